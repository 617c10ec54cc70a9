/*
 * Deliveries that are not libvirt's migration: what their sources share, and the one without state.
 *
 * Fresh: the guest at the source is paused when stop is said, and one that begins anew from the image
 * takes its place. Undo lets the old one run again until it was released.
 */
#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"

LOG_MODULE("nm.indirect");

/* The tunnel only carries frames that wait here; without it they are lost, and the sliver still moves:
 * this delivery may be the one that is left because the nodes do not reach each other. */
int indirect_prepare(struct migration *m, const json *body, json *extra, struct err *err) {
    struct err unreachable = ERR_INIT;
    (void)body;
    (void)extra;
    if (migration_expect(m, "prepare", err, PHASE_CHECKED, PHASE_PREPARED, PHASE_MAX_)) return -1;
    if (migration_phase(m) == PHASE_PREPARED) return 0;
    m->connection = hypervisor_migration_open(migration_agent(m)->hypervisor, err);
    if (!m->connection || source_hold_on(m, err)) {
        source_let_go(m);
        return -1;
    }
    if (source_open_tunnel(m, 1u << TUNNEL_HELD, &unreachable))
        log_warn("frames that will wait here cannot be sent on", "migration=%s cause=\"%s\"", m->id,
                 unreachable.msg);
    migration_set_phase(m, PHASE_PREPARED);
    return 0;
}

int indirect_pause(struct migration *m, struct err *err) {
    source_hold_taps(m);
    int64_t now_ms = clock_wall_ms();
    if (hypervisor_suspend(migration_agent(m)->hypervisor, m->name, err)) {
        source_open_taps(m);
        return -1;
    }
    WITH_LOCK(&m->lock);
    m->paused_ms = now_ms;
    return 0;
}

int fresh_copy(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)body;
    (void)extra;
    if (migration_expect(m, "copy", err, PHASE_PREPARED, PHASE_COPYING, PHASE_STOPPED, PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_PREPARED) return 0;
    {
        WITH_LOCK(&m->lock);
        m->converged = true; /* there is nothing to copy */
    }
    migration_set_phase(m, PHASE_COPYING);
    return 0;
}

int fresh_stop(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)body;
    (void)extra;
    if (migration_expect(m, "stop", err, PHASE_COPYING, PHASE_STOPPED, PHASE_PINNED, PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_COPYING) return 0;
    if (indirect_pause(m, err)) return -1;
    migration_see_phase(m, PHASE_STOPPED);
    return 0;
}
