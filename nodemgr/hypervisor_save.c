/*
 * Memory to a file and back. A guest that was paused before stays paused: libvirt saves it as a snapshot
 * of memory alone, which neither touches its disks nor ends it.
 */
#include "nodemgr/hypervisor_internal.h"

#define RESTORED "restored" /* the title of a domain that has been, and has not run since */

int hypervisor_save_memory(struct hypervisor_migration *m, const char *name, const char *path,
                           struct err *err) {
    if (strpbrk(path, "<>&'\""))
        return err_set(err, ERR_UNSUPPORTED, "the path %s cannot stand in libvirt's document", path);
    char *xml AUTO_FREE = xasprintf(
        "<domainsnapshot><memory snapshot='external' file='%s'/><disks>"
        "<disk name='vda' snapshot='no'/><disk name='vdb' snapshot='no'/></disks></domainsnapshot>",
        path);
    virDomainPtr d AUTO_DOMAIN = hypervisor_find(hypervisor_migration_connection(m), name, err);
    if (!d) return -1;
    virDomainSnapshotPtr s = virDomainSnapshotCreateXML(
        d, xml, VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC);
    if (!s) return hypervisor_failed(err, "save the memory of %s", name);
    virDomainSnapshotFree(s);
    return 0;
}

/* libvirt goes on saying of it what it says of one that is being restored, so it is marked. */
int hypervisor_restore(struct hypervisor_migration *m, const char *path, const char *name,
                       struct err *err) {
    virConnectPtr c = hypervisor_migration_connection(m);
    if (virDomainRestoreFlags(c, path, NULL, VIR_DOMAIN_SAVE_PAUSED) < 0)
        return hypervisor_failed(err, "restore %s", name);
    virDomainPtr d AUTO_DOMAIN = hypervisor_find(c, name, err);
    if (!d) return -1;
    if (virDomainSetMetadata(d, VIR_DOMAIN_METADATA_TITLE, RESTORED, NULL, NULL,
                             VIR_DOMAIN_AFFECT_LIVE) < 0)
        return hypervisor_failed(err, "mark %s as restored", name);
    return 0;
}

bool hypervisor_is_restored(virDomainPtr d) {
    char *title AUTO_FREE = virDomainGetMetadata(d, VIR_DOMAIN_METADATA_TITLE, NULL, 0);
    return title && strcmp(title, RESTORED) == 0;
}
