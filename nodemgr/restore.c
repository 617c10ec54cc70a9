#include "nodemgr/restore.h"

#include "common/log.h"
#include "common/state_client.h"
#include "nodemgr/capability.h"
#include "nodemgr/capture.h"
#include "nodemgr/save_file.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/spawn.h"
#include "nodemgr/state_about.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

LOG_MODULE("nm.restore");

#define REBASE_TIMEOUT_MS 30000
#define QCOW2_DATA_FILE 4 /* incompatible feature: content in another file */

struct restore {
    struct agent *agent;
    const struct sliver_spec *spec;
    const char *directory;
    struct state *state;
    char machine[HYPERVISOR_MACHINE_BYTES];
    struct sliver_paths paths;
};

static void restore_done(struct restore *r) {
    state_close(r->state);
    sliver_paths_done(&r->paths);
    capture_remove(r->directory);
}

static int check_state(struct restore *r, struct err *err) {
    char *about AUTO_FREE = state_text(r->state, "about", STATE_ABOUT_MAX, err);
    if (!about) return -1;
    if (strcmp(state_manifest(r->state)->name, r->spec->sliver) != 0)
        return err_set(err, ERR_UNPROCESSABLE, "the state is of sliver %s, not of %s",
                       state_manifest(r->state)->name, r->spec->sliver);
    return state_about_check(about, r->spec, capability_kvm(r->agent->capability), r->machine,
                             sizeof r->machine, err);
}

static int check_room(struct restore *r, struct err *err) {
    struct statvfs fs;
    int64_t need = state_part_bytes(r->state, "memory") + state_part_bytes(r->state, "disk");
    if (statvfs(r->directory, &fs))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "look at %s", r->directory);
    if ((int64_t)(fs.f_bavail * fs.f_frsize) >= need) return 0;
    err_set(err, ERR_NO_SPACE, "restoring sliver %s needs %lld MiB of disk", r->spec->sliver,
            (long long)(need >> 20));
    return err_remedy(err, "Make room on the disk of this node's state_dir.");
}

/* --- the disk --- */

/* A state's disk may build on its base image alone, which the rebase sees to. */
static int check_disk(int fd, struct err *err) {
    uint8_t head[80];
    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head || memcmp(head, "QFI\xfb", 4) != 0)
        return err_set(err, ERR_UNPROCESSABLE, "the state's disk is no qcow2");
    /* Bytes 72 to 79, big-endian, of version 3; version 2 has no such features. */
    if (head[7] >= 3 && head[79] & QCOW2_DATA_FILE)
        return err_set(err, ERR_UNPROCESSABLE, "the state's disk keeps its content elsewhere");
    return 0;
}

static int rebase(struct restore *r, const char *path, struct err *err) {
    const char *const argv[] = { "qemu-img", "rebase", "-u", "-f", "qcow2", "-F",
                                 r->spec->image_format, "-b", r->paths.image, path, NULL };
    return spawn_run(argv, REBASE_TIMEOUT_MS, NULL, err);
}

static int sync_directory(const char *path, struct err *err) {
    int fd AUTO_FD = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync %s", path);
    return 0;
}

static int make_disk(struct restore *r, struct err *err) {
    char *part AUTO_FREE = xasprintf("%s.part", r->paths.disk);
    unlink(part);
    int fd AUTO_FD = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "make %s", part);
    if (state_fetch(r->state, "disk", fd, 0, err) || check_disk(fd, err) || rebase(r, part, err))
        return -1;
    if (fsync(fd) || rename(part, r->paths.disk))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "name the disk %s", r->paths.disk);
    return sync_directory(r->paths.directory, err);
}

/* --- the memory --- */

/* The very machine type that it ran with: "pc" may mean another one here. */
static char *document(struct restore *r, struct err *err) {
    static const char any[] = "machine='pc'";
    char *xml AUTO_FREE = sliver_document(r->agent, r->spec);
    char *at = strstr(xml, any);
    if (at) return xasprintf("%.*smachine='%s'%s", (int)(at - xml), xml, r->machine, at + strlen(any));
    err_set(err, ERR_INTERNAL, "the sliver's document names no machine type");
    return NULL;
}

static int write_head(int fd, const struct buf *head, struct err *err) {
    ssize_t n = pwrite(fd, head->data, head->length, 0);
    if (n == (ssize_t)head->length) return 0;
    return err_set_errno(err, ERR_UNAVAILABLE, n < 0 ? errno : ENOSPC, "write the memory's head");
}

static int make_memory(struct restore *r, const char *path, struct err *err) {
    struct buf head AUTO_BUF = BUF_INIT;
    char *xml AUTO_FREE = document(r, err);
    int fd AUTO_FD = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!xml) return -1;
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "make %s", path);
    save_file_head(xml, &head);
    return state_fetch(r->state, "memory", fd, (int64_t)head.length, err) ||
                   write_head(fd, &head, err)
               ? -1
               : 0;
}

static void close_connection(struct hypervisor_migration **c) { hypervisor_migration_close(*c); }

static int start(struct restore *r, const char *path, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    struct hypervisor_migration *c CLEANUP(close_connection) =
        hypervisor_migration_open(r->agent->hypervisor, err);
    if (!c) return -1;
    return hypervisor_restore(c, path, domain_name(r->spec->sliver, r->spec->epoch, name), err);
}

int restore_state(struct agent *a, const struct sliver_spec *spec, const char *digest,
                  const char *directory, const atomic_bool *cancel,
                  void (*progress)(void *ctx, const struct image_progress *p), void *ctx,
                  struct err *err) {
    struct restore r CLEANUP(restore_done) = { .agent = a, .spec = spec, .directory = directory };
    struct image_transfer transfer = {
        .client = a->client, .store_url = spec->store_url, .progress = progress,
        .progress_ctx = ctx, .cancel = cancel,
    };
    char *memory AUTO_FREE = xasprintf("%s/memory", directory);
    sliver_paths(a, spec, &r.paths);
    if (dir_make(directory, 0700, err) || !(r.state = state_open(&transfer, digest, err)) ||
        check_state(&r, err) || check_room(&r, err) || make_disk(&r, err) ||
        make_memory(&r, memory, err))
        return err_wrap(err, "restore sliver %s", spec->name);
    if (cancel && atomic_load(cancel)) return err_set(err, ERR_CANCELLED, "it was called off");
    if (start(&r, memory, err)) return err_wrap(err, "restore sliver %s", spec->name);
    log_info("sliver restored", "sliver=%s epoch=%lld state=%s", spec->sliver,
             (long long)spec->epoch, digest);
    return 0;
}
