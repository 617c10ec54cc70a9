#include "nodemgr/leftover.h"

#include "common/log.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/leftover_files.h"
#include "nodemgr/netdev.h"
#include "nodemgr/slice_forwarding.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/switch.h"

#include <stdio.h>

LOG_MODULE("nm.leftover");

#define SWITCH_MS 5000

/* Neither row nor domain: then nothing of this incarnation has an owner here. */
static int nobody_has_it(struct agent *a, const struct leftover *w, struct err *err) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct domain_info info;
    char name[DOMAIN_NAME_BYTES];
    if (!uuid_valid(w->sliver) || w->epoch < 1)
        return err_set(err, ERR_INVALID, "%s %s: whose is it?", w->kind, w->name);
    if (sliver_rows_read(a->db, w->sliver, &rows, err) ||
        hypervisor_state(a->hypervisor, domain_name(w->sliver, w->epoch, name), &info, err))
        return -1;
    bool owned = info.state != DOMAIN_ABSENT;
    for (size_t i = 0; i < rows.count; i++) owned |= rows.rows[i].epoch == w->epoch;
    if (!owned) return 0;
    return err_set(err, ERR_CONFLICT, "sliver %s is here at epoch %lld", w->sliver,
                   (long long)w->epoch);
}

static int not_ours(const struct leftover *w, struct err *err) {
    return err_set(err, ERR_FORBIDDEN, "%s %s does not bear the mark of sliver %s at epoch %lld",
                   w->kind, w->name, w->sliver, (long long)w->epoch);
}

/* With its tap, if that is its own device and not one that somebody else has plugged in. */
static int remove_port(struct agent *a, const char *name, struct err *err) {
    struct netdev_facts facts;
    struct err gone = ERR_INIT;
    if (switch_del_port(a->bridge, name, SWITCH_MS, err)) return -1;
    bool tap = strncmp(name, SLIVER_TAP_PREFIX, strlen(SLIVER_TAP_PREFIX)) == 0 &&
               netdev_read(name, &facts, &gone) == 0 && strcmp(facts.kind, "tun") == 0;
    return tap && !facts.carrier ? netdev_delete(name, err) : 0;
}

static int collect_port(struct agent *a, const struct leftover *w, struct err *err) {
    struct switch_port *ports AUTO_FREE = NULL;
    size_t count;
    if (switch_list_ports(a->bridge, &ports, &count, SWITCH_MS, err)) return -1;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(ports[i].name, w->name) != 0) continue;
        if (strcmp(ports[i].sliver, w->sliver) != 0 || ports[i].epoch != (uint64_t)w->epoch)
            return not_ours(w, err);
        return remove_port(a, w->name, err);
    }
    return 0;
}

static int collect_tap(struct agent *a, const struct leftover *w, struct err *err) {
    struct netdev_facts facts;
    struct err why = ERR_INIT;
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    (void)a;
    if (netdev_read(w->name, &facts, &why)) {
        if (why.code == ERR_NOT_FOUND) return 0;
        if (err) *err = why;
        return -1;
    }
    if (strcmp(facts.kind, "tun") != 0 || !sliver_tap_owner(facts.label, sliver, &epoch) ||
        strcmp(sliver, w->sliver) != 0 || epoch != w->epoch)
        return not_ours(w, err);
    if (facts.carrier)
        return err_set(err, ERR_CONFLICT, "tap %s is in use by a process", w->name);
    return netdev_delete(w->name, err);
}

static int collect_flow(struct agent *a, const struct leftover *w, struct err *err) {
    long long vni;
    int end = 0;
    if (sscanf(w->name, "vni-%lld%n", &vni, &end) != 1 || !end || w->name[end] || vni < 1 ||
        vni > 0xffffff)
        return err_set(err, ERR_INVALID, "flows of %s?", w->name);
    return slice_forwarding_drop(a->forwarding, vni, err);
}

static const struct kind {
    const char *name;
    bool of_sliver; /* it has a sliver, whose lock is held and which must not be here */
    int (*collect)(struct agent *a, const struct leftover *w, struct err *err);
} kinds[] = {
    { "port", true, collect_port },
    { "tap", true, collect_tap },
    { "file", true, leftover_file },
    { "directory", false, leftover_directory },
    { "flow", false, collect_flow },
};

int leftover_collect(struct agent *a, const struct leftover *w, struct err *err) {
    const struct kind *k = NULL;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, w->kind) == 0) k = &kinds[i];
    if (!k) {
        err_set(err, ERR_INVALID, "a %s is not collected", w->kind);
        return err_remedy(err, "An incarnation is removed by DELETE /v1/slivers/%s?epoch=N.",
                          w->sliver);
    }
    WITH_SLIVER(a->locks, w->sliver);
    if ((k->of_sliver && nobody_has_it(a, w, err)) || k->collect(a, w, err)) return -1;
    log_info("leftover removed", "kind=%s name=%s sliver=%s epoch=%lld", w->kind, w->name, w->sliver,
             (long long)w->epoch);
    return 0;
}

/* --- all of a sliver's --- */

static int sweep_ports(struct agent *a, const char *sliver, int64_t epoch, struct err *err) {
    struct switch_port *ports AUTO_FREE = NULL;
    size_t count;
    if (switch_list_ports(a->bridge, &ports, &count, SWITCH_MS, err)) return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(ports[i].sliver, sliver) == 0 && ports[i].epoch <= (uint64_t)epoch &&
            remove_port(a, ports[i].name, err))
            return -1;
    return 0;
}

static int sweep_taps(const char *sliver, int64_t epoch, struct err *err) {
    char **names CLEANUP(leftover_names_done) = netdev_list(SLIVER_TAP_PREFIX, err);
    if (!names) return -1;
    for (char **n = names; *n; n++) {
        struct netdev_facts facts;
        struct err gone = ERR_INIT;
        char owner[UUID_TEXT_BYTES];
        int64_t its;
        if (netdev_read(*n, &facts, &gone) == 0 && sliver_tap_owner(facts.label, owner, &its) &&
            strcmp(owner, sliver) == 0 && its <= epoch && netdev_delete(*n, err))
            return -1;
    }
    return 0;
}

int leftover_sweep(struct agent *a, const char *sliver, int64_t epoch, struct err *err) {
    return sweep_ports(a, sliver, epoch, err) || sweep_taps(sliver, epoch, err) ||
                   leftover_sweep_files(a, sliver, epoch, err)
               ? -1
               : 0;
}
