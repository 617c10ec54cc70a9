/*
 * What this node can do, found out by trying.
 *
 * That /dev/kvm exists proves nothing: under some hypervisors it opens and guests then hang or crawl.
 * So a tiny guest is started under it with a time limit, after the same guest under QEMU's own
 * translation has set the pace. The result is kept in <state_dir>/capability.json together with the
 * boot id and QEMU's version, and found out again when either differs.
 */
#ifndef JOGAK_NODEMGR_CAPABILITY_H
#define JOGAK_NODEMGR_CAPABILITY_H

#include "common/json.h"

struct capability;
/* Probes unless the kept result holds; blocks for up to about ten seconds when it probes.
 * state_dir and boot_id are borrowed during the call. Never NULL: what cannot be found out is
 * reported as absent. */
struct capability *capability_open(const char *state_dir, const char *boot_id);
void capability_free(struct capability *c);
bool capability_kvm(const struct capability *c);
/* {kinds, accel, kvm, cpu_model, arch, qemu, ovs, lxc, xen, kernel}; the caller's. */
json *capability_json(const struct capability *c);

/* The versions that only a running libvirt tells; part of capability_json() from then on. */
void capability_set_libvirt(struct capability *c, const char *version);

/* The machine as it stands. Sizes of the file system are those of `path`. */
struct capability_resources {
    int64_t vcpus, memory_mib, memory_free_mib, disk_mib, disk_free_mib;
};
void capability_resources(const char *path, struct capability_resources *ret);

#endif
