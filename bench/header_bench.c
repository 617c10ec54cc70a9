/*
 * header_bench codec|wire|wrong|switch ROUNDS FRAMES: what bench/header prints comes from here; one JSON object a line.
 *
 * `wire` runs in a network namespace with veth pairs far-wire and port-sink. Frames of 64 bytes with random slice ids
 * are made by an XDP program (BPF_F_TEST_XDP_LIVE_FRAMES) and sent to `far`; at `wire` either the barest redirect or
 * the node's classification sends them on to `port`; a program at `sink` looks at each and counts. `wrong` sends
 * frames of slices that the node does not have. For `switch` somebody else forwards from `wire` to `port`.
 */
#include "nodemgr/ebpf.h"

#include "common/mem.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <time.h>

extern const unsigned char bench_header_object[];
extern const size_t bench_header_object_bytes;

#define FRAME_BYTES 64
#define SLICES_FEW 10
#define SLICES_MANY 60000

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "header_bench: %s: %s\n", what, why);
    exit(1);
}

/* --- the codec --- */

static void codec(unsigned rounds) {
    enum { FRAMES = 4096, PASSES = 500 };
    static uint8_t frames[FRAMES][FRAME_BYTES], out[FRAMES][FRAME_BYTES];
    static const uint8_t to[6] = { 2 }, from[6] = { 4 };
    uint64_t sum = 0;
    struct jogak_frame f = { .type = 1, .header_bytes = 8, .inner = 0x9000, .payload = out[0], .payload_bytes = 42 };
    for (uint32_t i = 0; i < FRAMES; i++) {
        f.slice = i + 1;
        jogak_frame_encode(&f, to, from, frames[i], FRAME_BYTES);
    }
    for (unsigned round = 0; round < rounds; round++) {
        double start[4];
        start[0] = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned pass = 0; pass < PASSES; pass++)
            for (unsigned i = 0; i < FRAMES; i++) {
                memcpy(out[i], frames[i], FRAME_BYTES);
                __asm__ volatile("" ::: "memory");
            }
        start[1] = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned pass = 0; pass < PASSES; pass++)
            for (unsigned i = 0; i < FRAMES; i++) {
                struct jogak_frame g;
                if (jogak_frame_decode(frames[i], FRAME_BYTES, &g) == JOGAK_FRAME_OK) sum += g.slice + g.inner;
                __asm__ volatile("" ::: "memory");
            }
        start[2] = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned pass = 0; pass < PASSES; pass++)
            for (unsigned i = 0; i < FRAMES; i++) {
                f.slice = i + 1;
                sum += jogak_frame_encode(&f, to, from, out[i], FRAME_BYTES);
                __asm__ volatile("" ::: "memory");
            }
        start[3] = seconds(CLOCK_THREAD_CPUTIME_ID);
        double n = (double)FRAMES * PASSES / 1e9;
        printf("{\"copy_ns\": %.2f, \"decode_ns\": %.2f, \"encode_ns\": %.2f, \"check\": %" PRIu64 "}\n",
               (start[1] - start[0]) / n, (start[2] - start[1]) / n, (start[3] - start[2]) / n, sum);
    }
}

/* --- the wire --- */

struct bench {
    struct bpf_object *object;
    int generate, bare, pass, sink, ways, sunk, settings;
    struct ebpf *few, *many;
};

static int program(struct bpf_object *o, const char *name) {
    struct bpf_program *p = bpf_object__find_program_by_name(o, name);
    if (!p) fail(name, "no such program");
    return bpf_program__fd(p);
}

static void set(int map, uint32_t key, uint32_t value) {
    if (bpf_map_update_elem(map, &key, &value, BPF_ANY)) fail("a map", strerror(errno));
}

static struct ebpf *node(uint32_t slices, struct err *err) {
    struct ebpf *e = ebpf_load(NULL, err);
    if (!e) fail("eBPF", err->msg);
    for (uint32_t id = 1; id <= slices; id++) {
        struct ebpf_slice s = { .id = id, .ifindex = if_nametoindex("port"), .mtu = 1500, .types = 1u << 1 | 1u << 2 };
        if (ebpf_slice_set(e, &s, err)) fail("a slice", err->msg);
    }
    return e;
}

static void keep_header(struct ebpf *e, uint32_t slices, bool keep) {
    struct err err = ERR_INIT;
    for (uint32_t id = 1; id <= slices; id++) {
        struct ebpf_slice s = { .id = id, .ifindex = if_nametoindex("port"), .mtu = 1500, .types = 1u << 1 | 1u << 2,
                                .keep_header = keep };
        if (ebpf_slice_set(e, &s, &err)) fail("a slice", err.msg);
    }
}

static void open_bench(struct bench *b) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "bench");
    b->object = bpf_object__open_mem(bench_header_object, bench_header_object_bytes, &options);
    if (!b->object || bpf_object__load(b->object)) fail("the benchmark's programs", strerror(errno));
    b->generate = program(b->object, "generate");
    b->bare = program(b->object, "bare");
    b->pass = program(b->object, "pass");
    b->sink = program(b->object, "sink");
    b->ways = bpf_object__find_map_fd_by_name(b->object, "ways");
    b->sunk = bpf_object__find_map_fd_by_name(b->object, "sunk");
    b->settings = bpf_object__find_map_fd_by_name(b->object, "settings");
    set(b->ways, 0, if_nametoindex("far"));
    set(b->ways, 1, if_nametoindex("port"));
    set(b->settings, 2, 1);
    if (bpf_xdp_attach((int)if_nametoindex("sink"), b->sink, XDP_FLAGS_DRV_MODE, NULL)) fail("sink", strerror(errno));
}

static void sunk(const struct bench *b, uint64_t *ret_frames, uint64_t *ret_other) {
    uint64_t each[1024], sums[2] = { 0 };
    for (uint32_t key = 0; key < 2; key++) {
        if (bpf_map_lookup_elem(b->sunk, &key, each)) fail("counters", strerror(errno));
        for (int cpu = 0; cpu < libbpf_num_possible_cpus() && cpu < 1024; cpu++) sums[key] += each[cpu];
    }
    *ret_frames = sums[0], *ret_other = sums[1];
}

static void generate(const struct bench *b, unsigned frames) {
    static uint8_t frame[FRAME_BYTES];
    struct xdp_md context = { .data_end = FRAME_BYTES, .ingress_ifindex = if_nametoindex("lo") };
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = FRAME_BYTES, .ctx_in = &context,
                .ctx_size_in = sizeof context, .repeat = (int)frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                .batch_size = 64);
    if (bpf_prog_test_run_opts(b->generate, &run)) fail("generating frames", strerror(errno));
}

/* One row. `e` NULL: the bare redirect. */
static void measure(const struct bench *b, const char *name, struct ebpf *e, uint32_t slices, uint32_t ethertype,
                    unsigned frames) {
    struct err err = ERR_INIT;
    uint64_t frames_before, other_before, arrived, other;
    int wire = (int)if_nametoindex("wire");
    set(b->settings, 0, slices);
    set(b->settings, 1, ethertype);
    if (e ? ebpf_wire_attach(e, "wire", NULL, &err) : bpf_xdp_attach(wire, b->bare, XDP_FLAGS_DRV_MODE, NULL))
        fail("wire", e ? err.msg : strerror(errno));
    generate(b, frames / 10); /* warm */
    sunk(b, &frames_before, &other_before);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    generate(b, frames);
    wall = seconds(CLOCK_MONOTONIC) - wall, cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    sunk(b, &arrived, &other);
    if (e ? ebpf_wire_detach(e, "wire", &err) : bpf_xdp_detach(wire, XDP_FLAGS_DRV_MODE, NULL))
        fail("wire", "the program does not come off");
    arrived -= frames_before, other -= other_before;
    printf("{\"way\": \"%s\", \"slices\": %u, \"sent\": %u, \"arrived\": %" PRIu64 ", \"wrong_form\": %" PRIu64
           ", \"wall_s\": %.6f, \"cpu_s\": %.6f}\n", name, slices, frames, arrived, other, wall, cpu);
    fflush(stdout);
}

static void wire(unsigned rounds, unsigned frames) {
    struct bench b = { 0 };
    struct err err = ERR_INIT;
    open_bench(&b);
    b.few = node(SLICES_FEW, &err);
    b.many = node(SLICES_MANY, &err);
    for (unsigned keep = 0; keep < 2; keep++) {
        const char *name = keep ? "native" : "transparent";
        uint32_t ethertype = keep ? JOGAK_FRAME_ETHERTYPE : 0x9000;
        keep_header(b.few, SLICES_FEW, keep);
        keep_header(b.many, SLICES_MANY, keep);
        for (unsigned round = 0; round < rounds; round++) {
            measure(&b, "bare", NULL, SLICES_FEW, JOGAK_FRAME_ETHERTYPE, frames);
            measure(&b, name, b.few, SLICES_FEW, ethertype, frames);
            measure(&b, "bare", NULL, SLICES_MANY, JOGAK_FRAME_ETHERTYPE, frames);
            measure(&b, name, b.many, SLICES_MANY, ethertype, frames);
        }
    }
    ebpf_free(b.few);
    ebpf_free(b.many);
    bpf_object__close(b.object);
}

/* Slices that this node does not have: none may arrive, each must be counted. */
static void wrong(unsigned rounds, unsigned frames) {
    struct bench b = { 0 };
    struct err err = ERR_INIT;
    struct ebpf_counters c;
    uint64_t arrived, other;
    open_bench(&b);
    b.many = node(SLICES_MANY, &err);
    set(b.settings, 0, 1u << 31);
    set(b.settings, 2, SLICES_MANY + 1);
    if (ebpf_wire_attach(b.many, "wire", NULL, &err)) fail("wire", err.msg);
    for (unsigned round = 0; round < rounds; round++) generate(&b, frames);
    if (ebpf_counters_read(b.many, &c, &err)) fail("counters", err.msg);
    sunk(&b, &arrived, &other);
    printf("{\"sent\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"arrived\": %" PRIu64 "}\n",
           (uint64_t)rounds * frames, c.frames[SLICE_WIRE_IN][SLICE_UNKNOWN], arrived);
    ebpf_free(b.many);
    bpf_object__close(b.object);
}

/* More frames than a switch in user space forwards; the caller knows what that cost it. */
static void switched(unsigned rounds, unsigned frames) {
    struct bench b = { 0 };
    uint64_t before, arrived, other;
    open_bench(&b);
    set(b.settings, 0, SLICES_FEW);
    set(b.settings, 1, JOGAK_FRAME_ETHERTYPE);
    if (bpf_xdp_attach((int)if_nametoindex("wire"), b.pass, XDP_FLAGS_DRV_MODE, NULL)) fail("wire", strerror(errno));
    for (unsigned round = 0; round < rounds; round++) {
        sunk(&b, &before, &other);
        double start = seconds(CLOCK_MONOTONIC);
        for (unsigned done = 0; done < frames; done += 640) {
            generate(&b, 640);
            struct timespec pause = { .tv_nsec = 1000000 };
            nanosleep(&pause, NULL);
        }
        sunk(&b, &arrived, &other);
        printf("{\"sent\": %u, \"arrived\": %" PRIu64 ", \"wall_s\": %.6f}\n", frames, arrived - before,
               seconds(CLOCK_MONOTONIC) - start);
    }
    bpf_object__close(b.object);
}

int main(int argc, char **argv) {
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    unsigned frames = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    if (argc == 4 && rounds && strcmp(argv[1], "codec") == 0) codec(rounds);
    else if (argc == 4 && rounds && frames && strcmp(argv[1], "wire") == 0) wire(rounds, frames);
    else if (argc == 4 && rounds && frames && strcmp(argv[1], "wrong") == 0) wrong(rounds, frames);
    else if (argc == 4 && rounds && frames && strcmp(argv[1], "switch") == 0) switched(rounds, frames);
    else return fprintf(stderr, "usage: header_bench codec|wire|wrong|switch ROUNDS FRAMES\n"), 2;
    return 0;
}
