#include "nodemgr/sliver_parts.h"

#include "common/log.h"
#include "nodemgr/capability.h"
#include "nodemgr/domain_xml.h"
#include "nodemgr/netdev.h"
#include "nodemgr/seed.h"
#include "nodemgr/spawn.h"
#include "nodemgr/switch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

LOG_MODULE("nm.parts");

#define PORT_TIMEOUT_MS 5000
#define DISK_TIMEOUT_MS 30000

void sliver_paths(const struct agent *a, const struct sliver_spec *spec, struct sliver_paths *ret) {
    const char *state = a->config->base.state_dir;
    long long epoch = spec->epoch;
    ret->directory = xasprintf("%s/slivers/%s", state, spec->sliver);
    ret->disk = xasprintf("%s/disk-e%lld.qcow2", ret->directory, epoch);
    ret->seed = xasprintf("%s/seed-e%lld.iso", ret->directory, epoch);
    ret->spec = xasprintf("%s/spec-e%lld.json", ret->directory, epoch);
    ret->console = xasprintf("%s/console/%s-e%lld.sock", a->config->run_dir, spec->sliver, epoch);
    ret->image = xasprintf("%s/images/%s.%s", state, spec->image_digest, spec->image_format);
}

void sliver_paths_done(struct sliver_paths *p) {
    free(STEAL(p->directory));
    free(STEAL(p->disk));
    free(STEAL(p->seed));
    free(STEAL(p->spec));
    free(STEAL(p->console));
    free(STEAL(p->image));
}

char *sliver_tap_name(const char *sliver, int64_t epoch, const char *vnic, char ret[IFNAMSIZ]) {
    char digest[SHA256_TEXT_BYTES];
    char *what AUTO_FREE = xasprintf("%s/%lld/%s", sliver, (long long)epoch, vnic);
    sha256_text(what, strlen(what), digest);
    snprintf(ret, IFNAMSIZ, SLIVER_TAP_PREFIX "%.12s", digest);
    return ret;
}

bool sliver_tap_owner(const char *label, char ret_sliver[UUID_TEXT_BYTES], int64_t *ret_epoch) {
    char sliver[UUID_TEXT_BYTES];
    long long epoch;
    if (sscanf(label, "jogak %36s %lld", sliver, &epoch) != 2) return false;
    if (!uuid_valid(sliver) || epoch < 1) return false;
    memcpy(ret_sliver, sliver, sizeof sliver);
    *ret_epoch = epoch;
    return true;
}

char *sliver_document(const struct agent *a, const struct sliver_spec *spec) {
    struct sliver_paths paths AUTO_PATHS = { NULL };
    char names[SPEC_VNICS_MAX][IFNAMSIZ];
    const char *taps[SPEC_VNICS_MAX];
    sliver_paths(a, spec, &paths);
    for (size_t i = 0; i < spec->vnic_count; i++)
        taps[i] = sliver_tap_name(spec->sliver, spec->epoch, spec->vnics[i].name, names[i]);
    struct domain_xml xml = {
        .spec = spec,
        .kvm = capability_kvm(a->capability),
        .cpu_model = a->config->cpu_model,
        .disk_path = paths.disk,
        .seed_path = paths.seed,
        .console_path = paths.console,
        .taps = taps,
    };
    return domain_xml(&xml);
}

/* --- files --- */

/* Under another name first: a half-made overlay must never be taken for a disk. */
static int make_disk(const struct sliver_spec *spec, const struct sliver_paths *paths,
                     struct err *err) {
    if (access(paths->disk, F_OK) == 0) return 0;
    char *temporary AUTO_FREE = xasprintf("%s.part", paths->disk);
    char *size AUTO_FREE = xasprintf("%lld", (long long)spec_disk_bytes(spec));
    const char *const argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F",
                                 spec->image_format, "-b", paths->image, temporary, size, NULL };
    unlink(temporary);
    if (spawn_run(argv, DISK_TIMEOUT_MS, NULL, err)) {
        unlink(temporary);
        return err_wrap(err, "make the disk of sliver %s", spec->sliver);
    }
    if (rename(temporary, paths->disk) < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "name the disk %s", paths->disk);
    return 0;
}

static int make_seed(const struct sliver_spec *spec, const struct sliver_paths *paths,
                     struct err *err) {
    if (access(paths->seed, F_OK) == 0) return 0;
    return seed_write(paths->seed, spec_seed(spec, "meta_data"), spec_seed(spec, "network_config"),
                      spec_seed(spec, "user_data"), err);
}

int sliver_parts_note(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    struct sliver_paths paths AUTO_PATHS = { NULL };
    sliver_paths(a, spec, &paths);
    if (access(paths.spec, F_OK) == 0) return 0;
    char *text AUTO_FREE = json_text(spec->document);
    return dir_make(paths.directory, 0711, err) ? -1
                                                : file_write(paths.spec, text, strlen(text), 0600, err);
}

static int check_image(const struct sliver_spec *spec, const struct sliver_paths *paths,
                       struct err *err) {
    if (access(paths->image, R_OK) == 0) return 0;
    err_set(err, ERR_CONFLICT, "the image %s is not at this node", spec->image_digest);
    return err_remedy(err, "PUT /v1/images/%s and wait until it is present.", spec->image_digest);
}

/* --- network --- */

static int make_tap(const struct sliver_spec *spec, const struct spec_vnic *vnic, bool hold,
                    char name[IFNAMSIZ], struct err *err) {
    unsigned mtu = vnic->mtu > 0 ? (unsigned)vnic->mtu : 1500;
    sliver_tap_name(spec->sliver, spec->epoch, vnic->name, name);
    if (netdev_tap_create(name, mtu, NETDEV_TAP_QUEUE_FRAMES, err)) return -1;
    return hold ? netdev_hold(name, err) : 0;
}

int sliver_parts_gate(const struct sliver_spec *spec, bool hold, struct err *err) {
    char name[IFNAMSIZ];
    for (size_t i = 0; i < spec->vnic_count; i++)
        if (make_tap(spec, &spec->vnics[i], hold, name, err)) return -1;
    return 0;
}

static int make_port(struct agent *a, const struct sliver_spec *spec, const struct spec_vnic *vnic,
                     bool hold, struct err *err) {
    char name[IFNAMSIZ];
    uint32_t number;
    if (make_tap(spec, vnic, hold, name, err)) return -1;
    char *label AUTO_FREE = xasprintf(SLIVER_LABEL_FORMAT, spec->sliver, (long long)spec->epoch,
                                      vnic->name);
    if (netdev_label(name, label, err)) return -1;
    struct switch_port_spec port = {
        .name = name,
        .kind = SWITCH_PORT_SYSTEM,
        .sliver = spec->sliver,
        .vnic = vnic->name,
        .epoch = (uint64_t)spec->epoch,
    };
    return switch_add_port(a->bridge, &port, &number, PORT_TIMEOUT_MS, err);
}

static int make_ports(struct agent *a, const struct sliver_spec *spec, bool hold, struct err *err) {
    for (size_t i = 0; i < spec->vnic_count; i++)
        if (make_port(a, spec, &spec->vnics[i], hold, err))
            return err_wrap(err, "plug vNIC %s of sliver %s", spec->vnics[i].name, spec->sliver);
    return 0;
}

/* --- all of it --- */

struct disk_job { /* qemu-img takes longer than everything else, so it runs beside it */
    const struct sliver_spec *spec;
    const struct sliver_paths *paths;
    struct err err;
    int failed;
};
static void *disk_main(void *arg) {
    struct disk_job *job = arg;
    job->failed = make_disk(job->spec, job->paths, &job->err);
    return NULL;
}

static int make_all(struct agent *a, const struct sliver_spec *spec,
                    const struct sliver_paths *paths, bool hold, struct err *err) {
    struct disk_job job = { spec, paths, ERR_INIT, 0 };
    pthread_t thread;
    if (pthread_create(&thread, NULL, disk_main, &job))
        return err_set(err, ERR_UNAVAILABLE, "no thread for the disk of sliver %s", spec->sliver);
    int failed = make_seed(spec, paths, err) || make_ports(a, spec, hold, err);
    pthread_join(thread, NULL);
    if (!failed && job.failed && err) *err = job.err;
    return failed || job.failed ? -1 : 0;
}

int sliver_parts_make(struct agent *a, const struct sliver_spec *spec, bool hold, struct err *err) {
    struct sliver_paths paths AUTO_PATHS = { NULL };
    sliver_paths(a, spec, &paths);
    if (check_image(spec, &paths, err) || dir_make(paths.directory, 0711, err) ||
        sliver_parts_note(a, spec, err))
        return -1;
    if (make_all(a, spec, &paths, hold, err) == 0) return 0;
    struct err ignored = ERR_INIT;
    if (sliver_parts_remove(a, spec, &ignored))
        log_warn("not everything could be taken back", "sliver=%s epoch=%lld cause=\"%s\"",
                 spec->sliver, (long long)spec->epoch, ignored.msg);
    return -1;
}

int sliver_parts_unplug(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    int failed = 0;
    struct err first = ERR_INIT, later = ERR_INIT;
    for (size_t i = 0; i < spec->vnic_count; i++) {
        char name[IFNAMSIZ];
        sliver_tap_name(spec->sliver, spec->epoch, spec->vnics[i].name, name);
        struct err *at = failed ? &later : &first;
        if (switch_del_port(a->bridge, name, PORT_TIMEOUT_MS, at) || netdev_delete(name, at))
            failed = -1;
    }
    if (failed && err) *err = first;
    return failed;
}

static int remove_file(const char *path, struct err *err) {
    if (unlink(path) == 0 || errno == ENOENT) return 0;
    return err_set_errno(err, ERR_UNAVAILABLE, errno, "remove %s", path);
}

int sliver_parts_unlink(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    struct sliver_paths paths AUTO_PATHS = { NULL };
    sliver_paths(a, spec, &paths);
    char *temporary AUTO_FREE = xasprintf("%s.part", paths.disk);
    if (remove_file(paths.disk, err) || remove_file(temporary, err) ||
        remove_file(paths.seed, err) || remove_file(paths.console, err) ||
        remove_file(paths.spec, err))
        return -1;
    rmdir(paths.directory); /* stays while another incarnation has files there */
    return 0;
}

int sliver_parts_remove(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    struct err second = ERR_INIT;
    int unplugged = sliver_parts_unplug(a, spec, err);
    int unlinked = sliver_parts_unlink(a, spec, unplugged ? &second : err);
    return unplugged || unlinked ? -1 : 0;
}
