/*
 * The target's part of deliveries that are not libvirt's migration: fetch makes the domain, paused, in a
 * worker; from then on it stands there as one that has arrived.
 */
#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/restore.h"
#include "nodemgr/sliver_parts.h"

#include <stdio.h>

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

static void note_progress(void *ctx, const struct image_progress *p) {
    struct migration *m = ctx;
    WITH_LOCK(&m->lock);
    if (p->done_bytes - m->bytes_done < 1 << 20 && p->total_bytes == m->bytes_total) return;
    m->bytes_done = p->done_bytes;
    m->bytes_total = p->total_bytes;
    m->sequence++;
    pthread_cond_broadcast(&m->changed);
}

static void *store_main(void *arg) {
    struct migration *m = arg;
    struct err err = ERR_INIT;
    int64_t begin = clock_monotonic_ms();
    int failed = restore_state(migration_agent(m), &m->spec, m->manifest, m->states, &m->give_up,
                               note_progress, m, &err);
    log_info("fetch ended", "migration=%s ms=%lld result=\"%s\"", m->id,
             (long long)(clock_monotonic_ms() - begin), failed ? err.msg : "arrived");
    ended(m, !failed, &err);
    migration_put_back(m);
    return NULL;
}

int store_fetch(struct migration *m, const json *body, json *extra, struct err *err) {
    const char *manifest = json_get_str(body, "manifest");
    (void)extra;
    if (!manifest || !sha256_text_valid(manifest))
        return err_set(err, ERR_INVALID, "/manifest is needed: the digest of the state to restore");
    if (expect_fetch(m, err)) return -1;
    {
        WITH_LOCK(&m->lock);
        if (*m->manifest && strcmp(m->manifest, manifest) != 0)
            return err_set(err, ERR_CONFLICT, "migration %s fetches the state %s", m->id,
                           m->manifest);
        snprintf(m->manifest, sizeof m->manifest, "%s", manifest);
    }
    return migration_phase(m) == PHASE_PREPARED ? start(m, store_main, err) : 0;
}
