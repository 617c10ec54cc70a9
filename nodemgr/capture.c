#include "nodemgr/capture.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/capability.h"
#include "nodemgr/lease.h"
#include "nodemgr/save_file.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/state_about.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

LOG_MODULE("nm.capture");

#define ROOM_BYTES (INT64_C(64) << 20) /* beside what the state needs */
#define RESUME_TRIES 50
#define RESUME_PAUSE_MS 100

static int64_t allocated_bytes(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_blocks * 512 : 0;
}

static int check_room(const struct sliver_spec *spec, const struct capture *c, struct err *err) {
    struct statvfs fs;
    int64_t need = (spec->memory_mib << 20) + allocated_bytes(c->disk) + ROOM_BYTES;
    if (statvfs(c->directory, &fs))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "look at %s", c->directory);
    if ((int64_t)(fs.f_bavail * fs.f_frsize) >= need) return 0;
    err_set(err, ERR_NO_SPACE, "the state of sliver %s needs %lld MiB of disk for a while",
            spec->sliver, (long long)(need >> 20));
    return err_remedy(err, "Make room on the disk of this node's state_dir.");
}

int capture_begin(struct agent *a, const struct sliver_spec *spec, const char *directory,
                  struct capture *ret, struct err *err) {
    struct sliver_paths paths AUTO_PATHS = { NULL };
    sliver_paths(a, spec, &paths);
    *ret = (struct capture){
        .directory = xstrdup(directory),
        .about = xasprintf("%s/about", directory),
        .memory = xasprintf("%s/memory", directory),
        .disk = xstrdup(paths.disk),
    };
    if (!*spec->store_url) {
        err_set(err, ERR_CONFLICT, "sliver %s has no store to bring its state to", spec->sliver);
        return err_remedy(err, "Configure the aggregate's store_url.");
    }
    if (dir_make(directory, 0700, err) == 0 && check_room(spec, ret, err) == 0) return 0;
    capture_done(ret);
    return -1;
}

static int write_about(struct agent *a, const struct sliver_spec *spec, const struct capture *c,
                       struct err *err) {
    char machine[HYPERVISOR_MACHINE_BYTES], name[DOMAIN_NAME_BYTES];
    domain_name(spec->sliver, spec->epoch, name);
    if (hypervisor_machine(a->hypervisor, name, machine, err)) return -1;
    char *text AUTO_FREE = state_about_text(spec, machine, capability_kvm(a->capability));
    return file_write(c->about, text, strlen(text), 0600, err);
}

static int save(struct hypervisor_migration *connection, const struct sliver_spec *spec,
                struct capture *c, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    unlink(c->memory);
    if (hypervisor_save_memory(connection, domain_name(spec->sliver, spec->epoch, name), c->memory,
                               err))
        return -1;
    int fd AUTO_FD = open(c->memory, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", c->memory);
    return save_file_stream(fd, &c->stream_at, err);
}

int capture_paused(struct agent *a, struct hypervisor_migration *connection,
                   const struct sliver_spec *spec, struct capture *c, struct err *err) {
    c->taken_ms = clock_wall_ms();
    return write_about(a, spec, c, err) || save(connection, spec, c, err) ? -1 : 0;
}

/* --- a copy of the disk --- */

static int copy_piece(int from, int to, off_t at, off_t end, struct err *err) {
    while (at < end) {
        loff_t in = at, out = at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return err_set_errno(err, ERR_UNAVAILABLE, n ? errno : EIO, "copy the disk");
        at += n;
    }
    return 0;
}

static int copy_data(int from, int to, struct err *err) {
    struct stat st;
    if (fstat(from, &st) || ftruncate(to, st.st_size))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "copy the disk");
    if (ioctl(to, FICLONE, from) == 0) return 0;
    for (off_t at = 0; at < st.st_size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break; /* nothing but a hole follows */
        off_t end = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
        if (end < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "copy the disk");
        if (copy_piece(from, to, data, end, err)) return -1;
        at = end;
    }
    return 0;
}

static int copy_disk(struct capture *c, struct err *err) {
    char *copy AUTO_FREE = xasprintf("%s/disk", c->directory);
    int from AUTO_FD = open(c->disk, O_RDONLY | O_CLOEXEC);
    int to AUTO_FD = open(copy, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", from < 0 ? c->disk : copy);
    if (copy_data(from, to, err)) return -1;
    free(c->disk);
    c->disk = STEAL(copy);
    c->disk_is_ours = true;
    return 0;
}

/* --- live --- */

int capture_resume(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    domain_name(spec->sliver, spec->epoch, name);
    for (int i = 1;; i++) {
        struct err why = ERR_INIT;
        if (lease_check(a->lease, spec, &why)) {
            log_warn("a guest stays paused until there is a lease", "sliver=%s", spec->sliver);
            lease_take_over(a->lease, name);
            return 0;
        }
        if (hypervisor_resume(a->hypervisor, name, &why) == 0) return 0;
        if (why.code == ERR_NOT_FOUND || i == RESUME_TRIES) {
            log_error("a guest was paused and does not go on", "sliver=%s cause=\"%s\"",
                      spec->sliver, why.msg);
            if (err) *err = why;
            return -1;
        }
        clock_sleep_ms(RESUME_PAUSE_MS);
    }
}

int capture_live(struct agent *a, struct hypervisor_migration *connection,
                 const struct sliver_spec *spec, struct capture *c, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    struct err standing = ERR_INIT;
    domain_name(spec->sliver, spec->epoch, name);
    if (write_about(a, spec, c, err)) return -1;
    int64_t begin_us = clock_monotonic_us();
    c->taken_ms = clock_wall_ms();
    int failed = hypervisor_suspend(a->hypervisor, name, err);
    if (!failed) failed = save(connection, spec, c, err) || copy_disk(c, err);
    if (capture_resume(a, spec, &standing)) {
        if (!failed && err) *err = standing;
        failed = -1;
    }
    c->pause_ms = (clock_monotonic_us() - begin_us) / 1000;
    log_info("guest paused for a checkpoint", "sliver=%s ms=%lld result=%d", spec->sliver,
             (long long)c->pause_ms, failed ? -1 : 0);
    return failed ? -1 : 0;
}

/* --- to the store --- */

/* "urn:publicid:IDN+example.org:demo+sliver+ring.a" is of slice ring. NULL when it is another kind. */
static char *slice_urn(const char *sliver_urn) {
    struct urn urn;
    struct err none = ERR_INIT; /* then the node itself is the owner */
    if (urn_parse(sliver_urn, &urn, &none)) return NULL;
    urn.name[strcspn(urn.name, ".")] = '\0';
    char *out = xmalloc(URN_MAX_BYTES);
    return urn_text(out, urn.authority, "slice", urn.name);
}

int capture_upload(struct agent *a, const struct sliver_spec *spec, const struct capture *c,
                   bool chunks_only, const atomic_bool *cancel,
                   void (*progress)(void *ctx, const struct image_progress *p), void *ctx,
                   struct state_result *ret, struct err *err) {
    char *owner AUTO_FREE = slice_urn(spec->urn);
    const struct state_part parts[] = {
        { "about", c->about, 0 }, { "memory", c->memory, c->stream_at }, { "disk", c->disk, 0 },
    };
    struct image_transfer transfer = {
        .client = a->client, .store_url = spec->store_url, .progress = progress,
        .progress_ctx = ctx, .cancel = cancel,
    };
    struct state_upload what = {
        .parts = parts, .part_count = COUNT_OF(parts), .sliver = spec->sliver, .owner = owner,
        .epoch = spec->epoch, .taken_ms = c->taken_ms,
        .virtual_size_bytes = spec_disk_bytes(spec), .chunks_only = chunks_only,
    };
    return state_upload(&transfer, &what, ret, err);
}

/* --- the end --- */

void capture_remove(const char *directory) {
    static const char *const names[] = { "about", "memory", "disk" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path AUTO_FREE = xasprintf("%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

void capture_done(struct capture *c) {
    if (c->directory) capture_remove(c->directory);
    free(c->directory);
    free(c->about);
    free(c->memory);
    free(c->disk);
    *c = (struct capture){ .directory = NULL };
}
