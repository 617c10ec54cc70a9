#include "nodemgr/ebpf_internal.h"

#include "common/log.h"
#include "common/mem.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/mman.h>

LOG_MODULE("nm.ebpf");

/* The compiled program (cmake/embed_bpf.cmake). */
extern const unsigned char ebpf_slice_object[];
extern const size_t ebpf_slice_object_bytes;

static const char *const map_names[EBPF_MAPS] = {
    "rows", "rest", "displaced", "layouts", "ports", "devices", "edges", "places", "reasons",
};
static const char *const program_names[SLICE_WAYS] = { "wire_in", "port_out", "wire_out" };

int ebpf_error(struct err *err, int errnum, const char *what) {
    if (errnum == E2BIG || errnum == ENOMEM)
        return err_set(err, ERR_NO_SPACE, "eBPF: %s: the map is full", what);
    return err_set_errno(err, ERR_UNAVAILABLE, errnum, "eBPF: %s", what);
}

int ebpf_index(const char *device, int *ret_ifindex, struct err *err) {
    unsigned index = device ? if_nametoindex(device) : 0;
    if (!index) return err_set(err, ERR_NOT_FOUND, "there is no interface %s", device);
    *ret_ifindex = (int)index;
    return 0;
}

/* libbpf's own words: the verifier's are long, so only with debug. */
static int print(enum libbpf_print_level level, const char *fmt, va_list ap) {
    char *text AUTO_FREE = xvasprintf(fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    if (level != LIBBPF_DEBUG && *text) log_debug("libbpf", "text=\"%.200s\"", text);
    return 0;
}

/* --- loading --- */

/* An earlier process's map, if it is of our making: another version's may differ, and is left
 * behind then, its frames with it. (libbpf's own way fails for `devices`, whose flags the kernel
 * changes.) */
static int reuse_map(struct bpf_map *map, const char *path, struct err *err) {
    struct bpf_map_info info = { 0 };
    uint32_t length = sizeof info;
    int fd AUTO_FD = bpf_obj_get(path);
    if (fd < 0) return errno == ENOENT ? 0 : ebpf_error(err, errno, path);
    if (bpf_obj_get_info_by_fd(fd, &info, &length)) return ebpf_error(err, errno, path);
    if (info.type == bpf_map__type(map) && info.key_size == bpf_map__key_size(map) &&
        info.value_size == bpf_map__value_size(map) && info.max_entries == bpf_map__max_entries(map)) {
        int problem = bpf_map__reuse_fd(map, fd);
        return problem ? ebpf_error(err, -problem, path) : 0;
    }
    log_warn("a pinned map is of another version", "path=%s", path);
    return unlink(path) ? ebpf_error(err, errno, path) : 0;
}

typedef int map_fn(struct bpf_map *map, const char *path, struct err *err);

static int pin_map(struct bpf_map *map, const char *path, struct err *err) {
    if (access(path, F_OK) == 0) return 0;
    int problem = bpf_map__pin(map, path);
    return problem && problem != -EEXIST ? ebpf_error(err, -problem, path) : 0;
}

static int each_map(struct bpf_object *object, const char *folder, map_fn *fn, struct err *err) {
    for (size_t i = 0; folder && i < EBPF_MAPS; i++) {
        char *path AUTO_FREE = xasprintf("%s/%s", folder, map_names[i]);
        struct bpf_map *map = bpf_object__find_map_by_name(object, map_names[i]);
        if (!map) return err_set(err, ERR_INTERNAL, "eBPF: no map %s", map_names[i]);
        if (fn(map, path, err)) return -1;
    }
    return 0;
}

static int find_parts(struct ebpf *e, struct err *err) {
    for (size_t i = 0; i < SLICE_WAYS; i++) {
        struct bpf_program *p = bpf_object__find_program_by_name(e->object, program_names[i]);
        if (!p) return err_set(err, ERR_INTERNAL, "eBPF: no program %s", program_names[i]);
        e->programs[i] = bpf_program__fd(p);
    }
    for (size_t i = 0; i < EBPF_MAPS; i++) {
        e->maps[i] = bpf_object__find_map_fd_by_name(e->object, map_names[i]);
        if (e->maps[i] < 0) return err_set(err, ERR_INTERNAL, "eBPF: no map %s", map_names[i]);
    }
    return 0;
}

#define ROWS_BYTES (SLICE_ROWS * sizeof(struct slice_row))

static int map_rows(struct ebpf *e, struct err *err) {
    void *rows = mmap(NULL, ROWS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, e->maps[EBPF_ROWS], 0);
    if (rows == MAP_FAILED) return ebpf_error(err, errno, "mapping the slices");
    e->rows = rows;
    return 0;
}

static int load(struct ebpf *e, const char *pin, struct err *err) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "jogak");
    e->object = bpf_object__open_mem(ebpf_slice_object, ebpf_slice_object_bytes, &options);
    if (!e->object) return ebpf_error(err, errno, "the program is not readable");
    if (each_map(e->object, pin, reuse_map, err)) return -1;
    int problem = bpf_object__load(e->object);
    if (problem) {
        err_set_errno(err, ERR_UNSUPPORTED, -problem, "the kernel does not take the eBPF program");
        return err_remedy(err, "it needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and a kernel with "
                               "CONFIG_BPF_SYSCALL; `jogak-nodemgr` logs more with nm.ebpf=debug");
    }
    if (each_map(e->object, pin, pin_map, err) || find_parts(e, err)) return -1;
    return map_rows(e, err);
}

struct ebpf *ebpf_load(const char *pin, struct err *err) {
    struct ebpf *e = xcalloc(1, sizeof *e);
    libbpf_set_print(print);
    int cpus = libbpf_num_possible_cpus();
    e->cpus = cpus > 0 ? (unsigned)cpus : 1;
    if (load(e, pin, err)) {
        ebpf_free(e);
        return NULL;
    }
    return e;
}

void ebpf_free(struct ebpf *e) {
    if (!e) return;
    if (e->rows) munmap(e->rows, ROWS_BYTES);
    bpf_object__close(e->object);
    free(e);
}

int ebpf_probe(struct err *err) {
    struct ebpf *e = ebpf_load(NULL, err);
    ebpf_free(e);
    return e ? 0 : -1;
}

/* --- counters --- */

const char *ebpf_reason_name(unsigned reason) {
    static const char *const names[SLICE_REASONS] = {
        [SLICE_UNKNOWN] = "unknown_slice",       [SLICE_BAD_LAYOUT] = "bad_layout",
        [SLICE_NO_PORT] = "no_port",             [SLICE_FOREIGN] = "foreign_slice",
        [SLICE_FOREIGN_PLACE] = "foreign_place", [SLICE_NOT_NATIVE] = "not_native",
        [SLICE_NESTED] = "nested",               [SLICE_TOO_LONG] = "too_long",
        [SLICE_OFFLOAD] = "offload",             [SLICE_FAILED] = "failed",
    };
    if (reason < JOGAK_FRAME_STATUS_MAX) return jogak_frame_status_name(reason);
    return reason < SLICE_REASONS ? names[reason] : NULL;
}

int ebpf_counters_read(struct ebpf *e, struct ebpf_counters *ret_counters, struct err *err) {
    uint64_t *each AUTO_FREE = xcalloc(e->cpus, sizeof *each);
    memset(ret_counters, 0, sizeof *ret_counters);
    for (uint32_t key = 0; key < SLICE_WAYS * SLICE_REASONS; key++) {
        if (bpf_map_lookup_elem(e->maps[EBPF_REASONS], &key, each))
            return ebpf_error(err, errno, "reading counters");
        for (unsigned cpu = 0; cpu < e->cpus; cpu++)
            ret_counters->frames[key / SLICE_REASONS][key % SLICE_REASONS] += each[cpu];
    }
    return 0;
}

uint64_t ebpf_drops(const struct ebpf_counters *c, enum slice_way way) {
    uint64_t drops = 0;
    for (unsigned reason = 0; reason < SLICE_REASONS; reason++)
        if (reason != JOGAK_FRAME_OK && (reason != JOGAK_FRAME_ORDINARY || way == SLICE_PORT_OUT))
            drops += c->frames[way][reason];
    return drops;
}

int ebpf_slice_counts(struct ebpf *e, uint32_t id, struct ebpf_slice_counts *ret_counts,
                      struct err *err) {
    const volatile struct slice_row *row = ebpf_row(e, id, err);
    struct slice_rest rest;
    if (!row) return -1;
    uint32_t place = (uint32_t)(row - e->rows);
    if (bpf_map_lookup_elem(e->maps[EBPF_REST], &place, &rest))
        return ebpf_error(err, errno, "reading a slice's counters");
    ret_counts->in_frames = row->in_frames, ret_counts->in_bytes = row->in_bytes;
    ret_counts->out_frames = rest.out_frames, ret_counts->out_bytes = rest.out_bytes;
    ret_counts->drops = rest.drops;
    return 0;
}

/* --- trying --- */

int ebpf_try(struct ebpf *e, enum slice_way way, const void *frame, size_t length, unsigned repeat,
             uint32_t *ret_verdict, uint32_t *ret_ns, struct err *err) {
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)length,
                .repeat = (int)repeat);
    if (bpf_prog_test_run_opts(e->programs[way], &run))
        return ebpf_error(err, errno, "trying a frame");
    *ret_verdict = run.retval;
    if (ret_ns) *ret_ns = run.duration;
    return 0;
}
