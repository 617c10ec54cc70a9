/*
 * The target's part of deliveries that are not libvirt's migration: fetch makes the domain, paused, in a
 * worker; from then on it stands there as one that has arrived.
 */
#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/sliver_parts.h"

LOG_MODULE("nm.fetch");

/* How the worker ended (err: why it failed). */
static void ended(struct migration *m, bool succeeded, const struct err *err) {
    bool matters;
    {
        WITH_LOCK(&m->lock);
        m->call_running = false;
        matters = !m->cancelled;
        if (succeeded) m->arrived_ms = clock_wall_ms();
        m->sequence++;
        pthread_cond_broadcast(&m->changed);
    }
    if (succeeded) migration_see_phase(m, PHASE_ARRIVED);
    else if (matters) migration_fail(m, err);
}

static void *fresh_main(void *arg) {
    struct migration *m = arg;
    struct agent *a = migration_agent(m);
    struct err err = ERR_INIT;
    char *xml AUTO_FREE = sliver_document(a, &m->spec);
    int failed = hypervisor_create_paused(a->hypervisor, xml, &err);
    ended(m, !failed, &err);
    migration_put_back(m);
    return NULL;
}

/* Once: a repeated call finds it under way or done. */
static int start(struct migration *m, void *(*fn)(void *), struct err *err) {
    struct err why = ERR_INIT;
    {
        WITH_LOCK(&m->lock);
        m->call_running = true;
    }
    migration_see_phase(m, PHASE_INCOMING);
    if (migration_thread(m, fn, &why) == 0) return 0;
    ended(m, false, &why);
    if (err) *err = why;
    return -1;
}

static int expect_fetch(struct migration *m, struct err *err) {
    return migration_expect(m, "fetch", err, PHASE_PREPARED, PHASE_INCOMING, PHASE_ARRIVED,
                            PHASE_ACTIVE, PHASE_DELIVERED, PHASE_MAX_);
}

int fresh_fetch(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)extra;
    if (json_has(body, "manifest"))
        return err_set(err, ERR_INVALID, "/manifest: a fresh sliver has no state to fetch");
    if (expect_fetch(m, err)) return -1;
    return migration_phase(m) == PHASE_PREPARED ? start(m, fresh_main, err) : 0;
}

int store_fetch(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)m, (void)body, (void)extra;
    return err_set(err, ERR_UNSUPPORTED, "states cannot be fetched yet");
}
