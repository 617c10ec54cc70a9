/*
 * Delivery through the sliver store, at the source.
 *
 * Most of the state goes there while the guest runs: it is captured live, with a short pause, and its
 * chunks are uploaded. Then the guest is paused for good, captured once more, and only what has changed
 * since is sent; with the manifest the state is complete. Until the manifest is in the store nobody else
 * can have the guest, so whatever fails before lets it run again here; afterwards only undo does.
 */
#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/capture.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/sliver_watch.h"

#include <stdio.h>

LOG_MODULE("nm.store");

static void note_progress(void *ctx, const struct image_progress *p) {
    struct migration *m = ctx;
    if (p->phase != IMAGE_TRANSFER) return;
    WITH_LOCK(&m->lock);
    if (p->done_bytes - m->bytes_done < 1 << 20 && p->done_bytes != p->total_bytes &&
        p->total_bytes == m->bytes_total)
        return;
    m->bytes_done = p->done_bytes;
    m->bytes_total = p->total_bytes;
    m->sequence++;
    pthread_cond_broadcast(&m->changed);
}

static int upload(struct migration *m, const struct capture *c, bool chunks_only,
                  struct state_result *ret, struct err *err) {
    int64_t begin = clock_monotonic_ms();
    if (capture_upload(migration_agent(m), &m->spec, c, chunks_only, &m->give_up, note_progress, m,
                       ret, err))
        return -1;
    log_info("state uploaded", "migration=%s last=%d total=%lld new=%lld sent=%lld ms=%lld", m->id,
             !chunks_only, (long long)ret->bytes_total, (long long)ret->bytes_new,
             (long long)ret->bytes_sent, (long long)(clock_monotonic_ms() - begin));
    return 0;
}

/* What stands in the store already need not wait for the pause. */
static int copy_running(struct migration *m, struct err *err) {
    struct agent *a = migration_agent(m);
    struct capture c CLEANUP(capture_done) = { .directory = NULL };
    struct state_result sent;
    {
        WITH_SLIVER(a->locks, m->spec.sliver);
        if (capture_begin(a, &m->spec, m->states, &c, err) ||
            capture_live(a, m->connection, &m->spec, &c, err))
            return -1;
    }
    return upload(m, &c, true, &sent, err);
}

static bool called_off(struct migration *m, struct err *err) {
    if (!atomic_load(&m->give_up)) return false;
    err_set(err, ERR_CANCELLED, "the migration was called off");
    return true;
}

static void publish(struct migration *m, const struct state_result *sent) {
    WITH_LOCK(&m->lock);
    snprintf(m->manifest, sizeof m->manifest, "%s", sent->digest);
    m->sequence++;
    pthread_cond_broadcast(&m->changed);
}

static int copy_paused(struct migration *m, struct err *err) {
    struct agent *a = migration_agent(m);
    struct capture c CLEANUP(capture_done) = { .directory = NULL };
    struct state_result sent;
    if (capture_begin(a, &m->spec, m->states, &c, err) || called_off(m, err) ||
        indirect_pause(m, err))
        return -1;
    if (capture_paused(a, m->connection, &m->spec, &c, err) || called_off(m, err)) return -1;
    migration_see_phase(m, PHASE_STOPPED);
    if (upload(m, &c, false, &sent, err)) return -1;
    publish(m, &sent);
    return 0;
}

/* Only ours to do while there is no manifest, and not while undo does it. */
static void run_again(struct migration *m) {
    struct err err = ERR_INIT;
    {
        WITH_LOCK(&m->lock);
        if (!m->paused_ms) return;
    }
    if (capture_resume(migration_agent(m), &m->spec, &err) == 0) source_open_taps(m);
}

static void *copy_main(void *arg) {
    struct migration *m = arg;
    struct err err = ERR_INIT;
    int failed = copy_running(m, &err) || called_off(m, &err) || copy_paused(m, &err);
    if (failed) run_again(m);
    source_copy_ended(m, !failed, &err);
    migration_put_back(m);
    return NULL;
}

int store_copy(struct migration *m, const json *body, json *extra, struct err *err) {
    struct err why = ERR_INIT;
    (void)body;
    (void)extra;
    if (migration_expect(m, "copy", err, PHASE_PREPARED, PHASE_COPYING, PHASE_STOPPED, PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_PREPARED) return 0;
    m->call_running = true;
    migration_set_phase(m, PHASE_COPYING);
    sliver_watch_migrating(migration_agent(m)->watch, m->spec.sliver, m->spec.epoch, true);
    if (migration_thread(m, copy_main, &why) == 0) return 0;
    source_copy_ended(m, false, &why);
    if (err) *err = why;
    return -1;
}

/* A guest that QEMU is still writing to a file, or whose state nobody has yet, is not frozen. */
int store_confirm(struct migration *m, const json *body, json *extra, struct err *err) {
    bool complete;
    {
        WITH_LOCK(&m->lock);
        complete = *m->manifest && !m->call_running;
    }
    if (complete || migration_phase(m) != PHASE_STOPPED) return source_confirm(m, body, extra, err);
    err_set(err, ERR_CONFLICT, "the state of sliver %s is not in the store yet", m->spec.sliver);
    return err_remedy(err, "Wait until GET /v1/migrations/%s tells its manifest.", m->id);
}
