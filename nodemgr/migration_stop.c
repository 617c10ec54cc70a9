/*
 * Stop and confirm at the source: when the guest pauses, and how it is made sure that it stays so.
 *
 * When. QEMU is told to allow next to no downtime, so that it goes on copying what the guest dirties
 * until we say stop; once stop was asked for, it is allowed more as soon as the rest would pass within
 * downtime_ms by the present rate. That allowance doubles every second, and after force_ms the guest
 * stops whatever remains. Shortly before, the taps are put on hold and the guest reads what it has, since a
 * pausing QEMU swallows frames: those that it reads between two of its own steps, and one more afterwards.
 * When QEMU was faster than we, witness.h finds the last of them again.
 *
 * Under translation (TCG) it is told to allow none at all: QEMU then ends after the first round and looks
 * only once for what was dirtied, with the guest stopped. With QEMU 7.2, guests hung at the target when
 * it had looked while they ran. So there, as with a guest that dirties next to nothing, the pause comes
 * by itself; the taps are held shortly before the first round ends, and opened again if a second follows.
 *
 * Confirm. The QEMU is frozen first, then one of three proofs is looked for, each of which can no
 * longer change: the process is gone; libvirt's SIGTERM waits for it, so libvirt has decided that
 * the guest is at the target; or libvirt says that the guest is paused and waits for no answer of
 * that QEMU. libvirt cannot be asked while it is ending a domain, since it holds the domain's lock,
 * so it is asked in a thread that may be left waiting.
 */
#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/lease.h"
#include "nodemgr/netdev.h"
#include "nodemgr/waiting.h"

LOG_MODULE("nm.stop");

#define POLL_DISK_MS 50 /* while disks are copied */
#define POLL_MS 3
#define ROUND_END_MS 30     /* before the end of the first round, the taps are held */
#define ROUND_END_PERCENT 10 /* of memory */
#define SETTLE_MS 5
#define WAIT_MS 30000
#define DOWNTIME_MS 30
#define FORCE_MS 10000
#define FORCED_DOWNTIME_MS 60000
#define ASK_MS 40
#define CONFIRM_MS 2000

/* The taps' gates are closed and the guest reads what it has; from then on nothing is left that a paused
 * QEMU could swallow. */
void source_hold_taps(struct migration *m) {
    const char **taps AUTO_FREE = migration_taps(m);
    struct err err = ERR_INIT;
    bool held = m->held != NULL;
    for (size_t i = 0; taps[i]; i++)
        if (netdev_hold(taps[i], &err)) {
            log_warn("a tap cannot be held", "tap=%s cause=\"%s\"", taps[i], err.msg);
            held = false;
        }
    err_clear(&err);
    if (held && held_settle(m->held, SETTLE_MS, &err) == 0) m->gated_ms = clock_wall_ms();
    log_debug("taps on hold", "migration=%s settled=%d", m->id, m->gated_ms != 0);
}

void source_open_taps(struct migration *m) {
    const char **taps AUTO_FREE = migration_taps(m);
    struct err none = ERR_INIT; /* a tap that cannot be held is open */
    m->gated_ms = 0;
    for (size_t i = 0; taps[i]; i++) netdev_release(taps[i], &none);
}

/* How the copy stands. */
struct progress {
    struct hypervisor_job job;
    bool held; /* the taps, shortly before the guest stops */
};

/* What is left of memory would pass within that time, by the present rate. */
static bool nearly_done(const struct progress *p, int64_t allowed_ms) {
    return p->job.rate_bps > 0 && p->job.memory_remaining * 1000 / p->job.rate_bps <= allowed_ms;
}

/* QEMU knows its rate too late for a short round, so the share that is left counts as well. */
static bool round_ends(const struct progress *p) {
    return nearly_done(p, ROUND_END_MS) ||
           (p->job.memory_total > 0 &&
            p->job.memory_remaining * 100 < p->job.memory_total * ROUND_END_PERCENT);
}

static void note_progress(struct migration *m, const struct hypervisor_job *job, bool converged) {
    WITH_LOCK(&m->lock);
    if (job->rate_bps) m->rate_bps = job->rate_bps;
    if (m->bytes_done == job->bytes_done && m->converged == converged) return;
    m->bytes_done = job->bytes_done;
    m->bytes_total = job->bytes_total;
    m->converged = converged;
    m->sequence++;
    pthread_cond_broadcast(&m->changed);
}

/* What stop has said: the pause allowed by now, and whether to stop whatever remains. */
struct order {
    bool stop, force;
    int64_t allowed_ms;
};
static struct order read_order(struct migration *m) {
    WITH_LOCK(&m->lock);
    struct order o = { .stop = m->stop_since_ms != 0, .allowed_ms = DOWNTIME_MS };
    if (!o.stop) return o;
    int64_t passed = clock_monotonic_ms() - m->stop_since_ms;
    o.force = passed >= m->force_ms;
    o.allowed_ms = m->downtime_ms << (passed / 1000 < 8 ? passed / 1000 : 8);
    return o;
}

/* QEMU stops the guest by itself once the rest would pass within that time. */
static void let_stop(struct migration *m, int64_t downtime_ms) {
    struct err err = ERR_INIT;
    if (hypervisor_max_downtime(migration_agent(m)->hypervisor, m->name, downtime_ms, &err) &&
        migration_phase(m) == PHASE_COPYING)
        log_warn("the guest was not let stop", "migration=%s cause=\"%s\"", m->id, err.msg);
}

/* One look at a copy in its memory rounds. */
static void decide(struct migration *m, struct progress *p) {
    struct order order = read_order(m);
    bool first_round = p->job.iteration < 2, near = nearly_done(p, order.allowed_ms);
    note_progress(m, &p->job, near && !first_round);
    log_debug("a look at the copy", "migration=%s round=%lld left=%lld bps=%lld near=%d", m->id,
              (long long)p->job.iteration, (long long)p->job.memory_remaining,
              (long long)p->job.rate_bps, near);
    if (order.stop && (order.force || (near && !first_round)) && !p->held) {
        source_hold_taps(m);
        p->held = true;
    }
    if (order.stop && (order.force || (near && !first_round))) {
        let_stop(m, order.force ? FORCED_DOWNTIME_MS : 2 * order.allowed_ms);
    } else if (first_round && !p->held && round_ends(p)) {
        source_hold_taps(m);
        p->held = true;
    } else if (p->held && !first_round) { /* a second round: not yet */
        source_open_taps(m);
        p->held = false;
    }
}

/* Waits, less when something happens. False once stopped, failed or cancelled. */
static bool still_copying(struct migration *m, int64_t ms) {
    int64_t until = clock_monotonic_ms() + ms;
    WITH_LOCK(&m->lock);
    while (m->phase == PHASE_COPYING && !m->cancelled)
        if (!waiting_until(&m->changed, &m->lock, until)) break;
    return m->phase == PHASE_COPYING && !m->cancelled;
}

void source_watch_copy(struct migration *m) {
    struct progress p = { .held = false };
    int64_t wait_ms = POLL_DISK_MS;
    while (still_copying(m, wait_ms)) {
        struct err none = ERR_INIT; /* the call has just begun, or just ended */
        if (hypervisor_job(migration_agent(m)->hypervisor, m->name, &p.job, &none)) continue;
        if (!p.job.active) continue;
        wait_ms = p.job.iteration > 0 ? POLL_MS : POLL_DISK_MS;
        if (p.job.iteration == 0) note_progress(m, &p.job, false);
        else decide(m, &p);
    }
}

static void say_stop(struct migration *m, const json *body) {
    WITH_LOCK(&m->lock);
    if (m->stop_since_ms) return;
    m->downtime_ms = json_get_int(body, "downtime_ms", DOWNTIME_MS);
    m->force_ms = json_get_int(body, "force_ms", FORCE_MS);
    m->stop_since_ms = clock_monotonic_ms();
}

int source_stop(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)extra;
    int64_t deadline = clock_monotonic_ms() + json_get_int(body, "wait_ms", WAIT_MS);
    if (migration_expect(m, "stop", err, PHASE_COPYING, PHASE_STOPPED, PHASE_PINNED, PHASE_MAX_))
        return -1;
    say_stop(m, body);
    {
        WITH_LOCK(&m->lock);
        while (m->phase == PHASE_COPYING && !m->cancelled)
            if (!waiting_until(&m->changed, &m->lock, deadline)) return 0; /* still copying */
    }
    return migration_expect(m, "stop", err, PHASE_STOPPED, PHASE_PINNED, PHASE_MAX_);
}

/* --- confirm --- */

struct question { /* shared with the thread that asks; the last one frees it */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    unsigned users;
    struct hypervisor *hypervisor;
    char name[DOMAIN_NAME_BYTES];
    bool done, failed, occupied;
    struct domain_info info;
};

static void question_drop(struct question *q) {
    pthread_mutex_lock(&q->lock);
    bool last = --q->users == 0;
    pthread_mutex_unlock(&q->lock);
    if (last) free(q);
}

static void *ask_main(void *arg) {
    struct question *q = arg;
    struct err none = ERR_INIT;
    struct domain_info info = { .state = DOMAIN_ABSENT };
    bool occupied = false;
    int failed = hypervisor_state(q->hypervisor, q->name, &info, &none);
    if (!failed && info.state != DOMAIN_ABSENT)
        failed = hypervisor_occupied(q->hypervisor, q->name, &occupied, &none);
    pthread_mutex_lock(&q->lock);
    q->done = true;
    q->failed = failed != 0;
    q->occupied = occupied;
    q->info = info;
    pthread_cond_broadcast(&q->answered);
    pthread_mutex_unlock(&q->lock);
    question_drop(q);
    return NULL;
}

static struct question *ask(struct migration *m) {
    struct question *q = xcalloc(1, sizeof *q);
    pthread_t thread;
    pthread_mutex_init(&q->lock, NULL);
    waiting_init(&q->answered);
    q->users = 2;
    q->hypervisor = migration_agent(m)->hypervisor;
    memcpy(q->name, m->name, sizeof q->name);
    if (pthread_create(&thread, NULL, ask_main, q) == 0) {
        pthread_detach(thread);
        return q;
    }
    free(q);
    return NULL;
}

enum proof { PROOF_NONE, PROOF_STANDS, PROOF_RUNS };

/* What libvirt says within ASK_MS. */
static enum proof ask_libvirt(struct migration *m) {
    int64_t deadline = clock_monotonic_ms() + ASK_MS;
    struct question *q = ask(m);
    enum proof proof = PROOF_NONE;
    if (!q) return PROOF_NONE;
    pthread_mutex_lock(&q->lock);
    while (!q->done)
        if (!waiting_until(&q->answered, &q->lock, deadline)) break;
    if (q->done && !q->failed && !q->occupied) {
        if (q->info.state == DOMAIN_ABSENT || q->info.state == DOMAIN_PAUSED ||
            q->info.paused_by_migration)
            proof = PROOF_STANDS;
        else if (q->info.state == DOMAIN_RUNNING) proof = PROOF_RUNS;
    }
    pthread_mutex_unlock(&q->lock);
    question_drop(q);
    return proof;
}

static enum proof look(struct migration *m) {
    if (pin_gone(m->pin, 0) || pin_ending(m->pin)) return PROOF_STANDS;
    return ask_libvirt(m);
}

/* A QEMU that had taken its SIGTERM before we froze it cannot go on to its end: without a proof it
 * is let go for a moment and frozen again. */
static int pin_down(struct migration *m, struct err *err) {
    int64_t deadline = clock_monotonic_ms() + CONFIRM_MS;
    do {
        if (pin_stop(m->pin, err)) return -1;
        enum proof proof = look(m);
        if (proof == PROOF_STANDS) return 0;
        if (pin_continue(m->pin, err)) return -1;
        if (proof == PROOF_RUNS)
            return err_set(err, ERR_CONFLICT, "sliver %s runs again at its source", m->spec.sliver);
        if (pin_gone(m->pin, 20)) return 0;
    } while (clock_monotonic_ms() < deadline);
    return err_set(err, ERR_TIMEOUT, "libvirt does not say whether sliver %s is paused",
                   m->spec.sliver);
}

int source_confirm(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)body;
    (void)extra;
    if (migration_expect(m, "confirm", err, PHASE_STOPPED, PHASE_PINNED, PHASE_RELEASED,
                         PHASE_DRAINED, PHASE_GONE, PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_STOPPED) return 0;
    /* Looking for a proof may let it go on for a moment. */
    if (lease_check(migration_agent(m)->lease, &m->spec, err) || pin_down(m, err)) return -1;
    migration_see_phase(m, PHASE_PINNED);
    return 0;
}
