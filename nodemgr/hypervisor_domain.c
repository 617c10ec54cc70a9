#include "nodemgr/hypervisor_internal.h"

#include <stdio.h>

const char *domain_state_name(enum domain_state state) {
    static const char *const names[] = {
        [DOMAIN_ABSENT] = "absent",   [DOMAIN_RUNNING] = "running",
        [DOMAIN_PAUSED] = "paused",   [DOMAIN_STOPPED] = "stopped",
        [DOMAIN_INCOMING] = "incoming", [DOMAIN_FAILED] = "failed",
    };
    return names[state];
}

enum domain_state hypervisor_state_of(int state, int reason) {
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED: return DOMAIN_RUNNING;
    case VIR_DOMAIN_PAUSED:
        /* libvirt gives a target this reason until Finish has set another one. */
        return reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_STARTING_UP
                   ? DOMAIN_INCOMING
                   : DOMAIN_PAUSED;
    case VIR_DOMAIN_SHUTDOWN:
    case VIR_DOMAIN_SHUTOFF: return DOMAIN_STOPPED;
    case VIR_DOMAIN_CRASHED: return DOMAIN_FAILED;
    default: return DOMAIN_PAUSED;
    }
}

static int fill(virDomainPtr d, struct domain_info *ret, struct err *err) {
    int state, reason;
    const char *name = virDomainGetName(d);
    if (virDomainGetState(d, &state, &reason, 0) < 0)
        return hypervisor_failed(err, "read the state of %s", name);
    *ret = (struct domain_info){ .epoch = domain_name_epoch(name) };
    snprintf(ret->name, sizeof ret->name, "%s", name);
    if (virDomainGetUUIDString(d, ret->sliver) < 0)
        return hypervisor_failed(err, "read the UUID of %s", name);
    ret->state = hypervisor_state_of(state, reason);
    ret->paused_by_migration = state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_MIGRATION;
    if (ret->paused_by_migration && hypervisor_is_restored(d)) {
        ret->state = DOMAIN_PAUSED;
        ret->paused_by_migration = false;
    }
    return 0;
}

virDomainPtr hypervisor_find(virConnectPtr c, const char *name, struct err *err) {
    virDomainPtr d = virDomainLookupByName(c, name);
    if (!d) hypervisor_failed(err, "find %s", name);
    return d;
}

int hypervisor_list(struct hypervisor *h, struct domain_info **ret, size_t *ret_count,
                    struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    if (!c) return -1;
    virDomainPtr *domains;
    int count = virConnectListAllDomains(c, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    if (count < 0) return hypervisor_failed(err, "list libvirt's domains");
    struct domain_info *list = xcalloc((size_t)count + 1, sizeof *list);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        struct err ignored = ERR_INIT; /* one that ended meanwhile */
        if (domain_name_epoch(virDomainGetName(domains[i])) > 0 &&
            fill(domains[i], &list[used], &ignored) == 0)
            used++;
        virDomainFree(domains[i]);
    }
    free(domains);
    *ret = list;
    *ret_count = used;
    return 0;
}

int hypervisor_state(struct hypervisor *h, const char *name, struct domain_info *ret,
                     struct err *err) {
    struct err why = ERR_INIT;
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    if (!c) return -1;
    virDomainPtr d AUTO_DOMAIN = hypervisor_find(c, name, &why);
    if (d && fill(d, ret, &why) == 0) return 0;
    if (why.code == ERR_NOT_FOUND) {
        *ret = (struct domain_info){ .state = DOMAIN_ABSENT, .epoch = domain_name_epoch(name) };
        snprintf(ret->name, sizeof ret->name, "%s", name);
        return 0;
    }
    if (err) *err = why;
    return -1;
}

int hypervisor_occupied(struct hypervisor *h, const char *name, bool *ret, struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    virDomainControlInfo info;
    if (virDomainGetControlInfo(d, &info, 0) < 0)
        return hypervisor_failed(err, "read the monitor's state of %s", name);
    *ret = info.state == VIR_DOMAIN_CONTROL_OCCUPIED;
    return 0;
}

int hypervisor_machine(struct hypervisor *h, const char *name, char ret[HYPERVISOR_MACHINE_BYTES],
                       struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    char *xml AUTO_FREE = virDomainGetXMLDesc(d, 0);
    if (!xml) return hypervisor_failed(err, "read the document of %s", name);
    const char *at = strstr(xml, " machine='");
    size_t length = at ? strcspn(at + 10, "'") : 0;
    if (length == 0 || length >= HYPERVISOR_MACHINE_BYTES)
        return err_set(err, ERR_UNAVAILABLE, "libvirt names no machine type for %s", name);
    snprintf(ret, HYPERVISOR_MACHINE_BYTES, "%.*s", (int)length, at + 10);
    return 0;
}

static int create(struct hypervisor *h, const char *xml, unsigned flags, struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    if (!c) return -1;
    virDomainPtr d AUTO_DOMAIN = virDomainCreateXML(c, xml, flags);
    return d ? 0 : hypervisor_failed(err, "start the domain");
}

int hypervisor_create(struct hypervisor *h, const char *xml, struct err *err) {
    return create(h, xml, 0, err);
}

int hypervisor_create_paused(struct hypervisor *h, const char *xml, struct err *err) {
    return create(h, xml, VIR_DOMAIN_START_PAUSED, err);
}

/* The calls that take nothing but a domain. */
static int simple(struct hypervisor *h, const char *name, int (*call)(virDomainPtr),
                  const char *what, struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    virDomainPtr d AUTO_DOMAIN = c ? hypervisor_find(c, name, err) : NULL;
    if (!d) return -1;
    return call(d) < 0 ? hypervisor_failed(err, "%s %s", what, name) : 0;
}

static int reset_call(virDomainPtr d) { return virDomainReset(d, 0); }

int hypervisor_suspend(struct hypervisor *h, const char *name, struct err *err) {
    return simple(h, name, virDomainSuspend, "pause", err);
}
int hypervisor_resume(struct hypervisor *h, const char *name, struct err *err) {
    return simple(h, name, virDomainResume, "resume", err);
}
int hypervisor_reset(struct hypervisor *h, const char *name, struct err *err) {
    return simple(h, name, reset_call, "reset", err);
}
int hypervisor_shutdown(struct hypervisor *h, const char *name, struct err *err) {
    return simple(h, name, virDomainShutdown, "shut down", err);
}

int hypervisor_destroy(struct hypervisor *h, const char *name, struct err *err) {
    struct err why = ERR_INIT;
    if (simple(h, name, virDomainDestroy, "end", &why) == 0 || why.code == ERR_NOT_FOUND) return 0;
    if (err) *err = why;
    return -1;
}
