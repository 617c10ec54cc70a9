/*
 * Phases and deliveries: their names, which phases are kept on disk, and the only functions that change one.
 */
#include "nodemgr/migration_internal.h"

#include "common/log.h"
#include "nodemgr/migration_db.h"

LOG_MODULE("nm.migration");

static const struct {
    const char *name;
    bool kept; /* on disk */
} phases[PHASE_MAX_] = {
    [PHASE_UNKNOWN] = { "unknown", false },   [PHASE_CHECKED] = { "checked", true },
    [PHASE_PREPARED] = { "prepared", true },  [PHASE_COPYING] = { "copying", true },
    [PHASE_STOPPED] = { "stopped", false },   [PHASE_PINNED] = { "pinned", false },
    [PHASE_RELEASED] = { "released", false }, [PHASE_DRAINED] = { "drained", false },
    [PHASE_GONE] = { "gone", true },          [PHASE_INCOMING] = { "incoming", false },
    [PHASE_ARRIVED] = { "arrived", false },   [PHASE_ACTIVE] = { "active", false },
    [PHASE_DELIVERED] = { "delivered", true },[PHASE_FAILED] = { "failed", true },
    [PHASE_UNDONE] = { "undone", true },
};

const char *migration_phase_name(enum migration_phase phase) { return phases[phase].name; }

static const char *const deliveries[DELIVERY_MAX_] = {
    [DELIVERY_DIRECT] = "direct", [DELIVERY_STORE] = "store",
    [DELIVERY_FRESH] = "fresh", [DELIVERY_CHECKPOINT] = "checkpoint",
};

const char *migration_delivery_name(enum migration_delivery d) { return deliveries[d]; }

enum migration_phase migration_phase_named(const char *name) {
    for (unsigned i = 0; i < PHASE_MAX_; i++)
        if (strcmp(phases[i].name, name) == 0) return (enum migration_phase)i;
    return PHASE_UNKNOWN;
}

void migration_touch(struct migration *m) {
    WITH_LOCK(&m->lock);
    m->sequence++;
    pthread_cond_broadcast(&m->changed);
}

void migration_see_phase(struct migration *m, enum migration_phase phase) {
    WITH_LOCK(&m->lock);
    if (m->phase == phase) return;
    log_info("migration phase", "migration=%s role=%s sliver=%s epoch=%lld phase=%s", m->id,
             m->source ? "source" : "target", m->spec.sliver, (long long)m->epoch,
             phases[phase].name);
    m->phase = phase;
    m->sequence++;
    pthread_cond_broadcast(&m->changed);
}

void migration_set_phase(struct migration *m, enum migration_phase phase) {
    struct err err = ERR_INIT;
    migration_see_phase(m, phase);
    if (phases[phase].kept && migration_db_put(migration_agent(m)->db, m->id, m->source,
                                               phases[phase].name, m->document, &err))
        log_error("the phase of a migration is not on disk", "migration=%s cause=\"%s\"", m->id,
                  err.msg);
}

enum migration_phase migration_phase(struct migration *m) {
    WITH_LOCK(&m->lock);
    return m->phase;
}

void migration_fail(struct migration *m, const struct err *why) {
    log_warn("migration failed", "migration=%s role=%s cause=\"%s\"", m->id,
             m->source ? "source" : "target", why->msg);
    {
        WITH_LOCK(&m->lock);
        m->err = *why;
    }
    migration_set_phase(m, PHASE_FAILED);
}

int migration_expect(struct migration *m, const char *verb, struct err *err, ...) {
    enum migration_phase now = migration_phase(m);
    bool fits = false;
    va_list ap;
    va_start(ap, err);
    for (int p; !fits && (p = va_arg(ap, int)) != PHASE_MAX_;) fits = p == (int)now;
    va_end(ap);
    if (fits) return 0;
    WITH_LOCK(&m->lock);
    err_set(err, ERR_CONFLICT, "%s does not fit: migration %s is %s here%s%s", verb, m->id,
            phases[now].name, m->err.msg[0] ? ": " : "", m->err.msg);
    return err_remedy(err, "GET /v1/migrations/%s tells how it stands.", m->id);
}

enum migration_delivery migration_delivery_named(const char *name) {
    enum migration_delivery d = DELIVERY_DIRECT;
    while (name && d < DELIVERY_MAX_ && strcmp(deliveries[d], name) != 0) d++;
    return d;
}
