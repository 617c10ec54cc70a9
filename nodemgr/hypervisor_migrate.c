#include "nodemgr/hypervisor_internal.h"

#include <stdio.h>

struct hypervisor_migration {
    virConnectPtr connection;
};

struct hypervisor_migration *hypervisor_migration_open(struct hypervisor *h, struct err *err) {
    virConnectPtr c = virConnectOpen(h->uri);
    if (!c) {
        hypervisor_failed(err, "connect to libvirt at %s for a migration", h->uri);
        return NULL;
    }
    virConnectSetKeepAlive(c, 5, 3);
    struct hypervisor_migration *m = xcalloc(1, sizeof *m);
    m->connection = c;
    return m;
}

virConnectPtr hypervisor_migration_connection(struct hypervisor_migration *m) {
    return m->connection;
}

void hypervisor_migration_close(struct hypervisor_migration *m) {
    if (!m) return;
    virConnectClose(m->connection);
    free(m);
}

struct params {
    virTypedParameterPtr list;
    int count, room;
    bool failed;
};
static void params_done(struct params *p) { virTypedParamsFree(p->list, p->count); }

static void param(struct params *p, const char *key, const char *value) {
    if (virTypedParamsAddString(&p->list, &p->count, &p->room, key, value) < 0) p->failed = true;
}

/* What libvirt takes for "no limit" (QEMU's domains): the most that its parameter can be. */
#define UNLIMITED_MIB_PER_S (INT64_MAX / (1024 * 1024))

static unsigned long long mib_per_s(int64_t kbps) {
    int64_t mib = kbps * 1000 / 8 / (1024 * 1024);
    return kbps <= 0 ? UNLIMITED_MIB_PER_S : mib < 1 ? 1 : (unsigned long long)mib;
}

int hypervisor_max_speed(struct hypervisor *h, const char *name, int64_t kbps, struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    if (virDomainMigrateSetMaxSpeed(d, (unsigned long)mib_per_s(kbps), 0) < 0)
        return hypervisor_failed(err, "limit the migration of %s to %lld kbit/s", name, (long long)kbps);
    return 0;
}

int hypervisor_migrate(struct hypervisor_migration *m, const struct hypervisor_move *move,
                       struct err *err) {
    struct params p CLEANUP(params_done) = { .list = NULL };
    char *daemon AUTO_FREE = xasprintf("qemu+unix:///system?socket=%s", move->libvirt_socket);
    char *memory AUTO_FREE = xasprintf("unix://%s", move->memory_socket);
    char *disk AUTO_FREE = xasprintf("unix://%s", move->disk_socket);
    virDomainPtr d AUTO_DOMAIN = hypervisor_find(m->connection, move->name, err);
    if (!d) return -1;
    param(&p, VIR_MIGRATE_PARAM_URI, memory);
    param(&p, VIR_MIGRATE_PARAM_DISKS_URI, disk);
    param(&p, VIR_MIGRATE_PARAM_DEST_NAME, move->destination_name);
    param(&p, VIR_MIGRATE_PARAM_DEST_XML, move->destination_xml);
    param(&p, VIR_MIGRATE_PARAM_MIGRATE_DISKS, move->disk);
    if (move->max_kbps &&
        virTypedParamsAddULLong(&p.list, &p.count, &p.room, VIR_MIGRATE_PARAM_BANDWIDTH,
                                mib_per_s(move->max_kbps)) < 0)
        p.failed = true;
    if (p.failed) return hypervisor_failed(err, "prepare the migration of %s", move->name);
    unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PAUSED |
                     VIR_MIGRATE_NON_SHARED_INC;
    if (virDomainMigrateToURI3(d, daemon, p.list, (unsigned)p.count, flags) < 0)
        return hypervisor_failed(err, "migrate %s", move->name);
    return 0;
}

int hypervisor_abort(struct hypervisor *h, const char *name, struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    return virDomainAbortJob(d) < 0 ? hypervisor_failed(err, "abort the migration of %s", name) : 0;
}

int hypervisor_max_downtime(struct hypervisor *h, const char *name, int64_t ms, struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    if (virDomainMigrateSetMaxDowntime(d, (unsigned long long)ms, 0) < 0)
        return hypervisor_failed(err, "allow %s a pause of %lld ms", name, (long long)ms);
    return 0;
}

static int64_t number(virTypedParameterPtr list, int count, const char *key) {
    unsigned long long value = 0;
    virTypedParamsGetULLong(list, count, key, &value);
    return (int64_t)value;
}

int hypervisor_job(struct hypervisor *h, const char *name, struct hypervisor_job *ret,
                   struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    int type, count = 0;
    virTypedParameterPtr list = NULL;
    if (virDomainGetJobStats(d, &type, &list, &count, 0) < 0)
        return hypervisor_failed(err, "read the progress of %s", name);
    *ret = (struct hypervisor_job){
        .active = type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED,
        .bytes_done = number(list, count, VIR_DOMAIN_JOB_DATA_PROCESSED),
        .bytes_total = number(list, count, VIR_DOMAIN_JOB_DATA_TOTAL),
        .rate_bps = number(list, count, VIR_DOMAIN_JOB_MEMORY_BPS),
        .memory_remaining = number(list, count, VIR_DOMAIN_JOB_MEMORY_REMAINING),
        .memory_total = number(list, count, VIR_DOMAIN_JOB_MEMORY_TOTAL),
        .disk_remaining = number(list, count, VIR_DOMAIN_JOB_DISK_REMAINING),
        .iteration = number(list, count, VIR_DOMAIN_JOB_MEMORY_ITERATION),
    };
    virTypedParamsFree(list, count);
    return 0;
}
