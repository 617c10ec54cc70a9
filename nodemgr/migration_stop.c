/*
 * Stop and confirm at the source: when the guest pauses, and how it is made sure that it stays so.
 *
 * When. QEMU is told to allow no downtime, so that it goes on copying what the guest dirties until we
 * say stop; we say it once the rest would pass within downtime_ms by the present rate. That
 * allowance doubles every second, and after force_ms the guest is stopped whatever remains. Before
 * the pause the taps are put on hold and the guest reads what it has: a paused QEMU would still read
 * one frame and take it to its grave. (A guest that dirties nothing at all may be stopped by QEMU
 * itself; the taps are then put on hold at once.)
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
#include "nodemgr/netdev.h"
#include "nodemgr/waiting.h"

LOG_MODULE("nm.stop");

#define POLL_MS 10
#define SETTLE_MS 5
#define WAIT_MS 30000
#define DOWNTIME_MS 30
#define FORCE_MS 10000
#define ASK_MS 40
#define CONFIRM_MS 2000

static void hold_taps(struct migration *m) {
    const char **taps AUTO_FREE = migration_taps(m);
    struct err err = ERR_INIT;
    for (size_t i = 0; taps[i]; i++)
        if (netdev_hold(taps[i], &err))
            log_warn("a tap cannot be held", "tap=%s cause=\"%s\"", taps[i], err.msg);
    err_clear(&err);
    if (m->held && held_settle(m->held, SETTLE_MS, &err))
        log_info("the guest does not take its frames", "migration=%s", m->id);
}

/* Would the rest pass within `allowed` ms? Only the memory rounds count; disks are done first. */
static bool nearly_done(struct migration *m, int64_t allowed_ms) {
    struct hypervisor_job job;
    struct err none = ERR_INIT;
    if (hypervisor_job(migration_agent(m)->hypervisor, m->name, &job, &none) || !job.active)
        return false;
    log_debug("progress", "migration=%s iteration=%lld memory_left=%lld disk_left=%lld bps=%lld",
              m->id, (long long)job.iteration, (long long)job.memory_remaining,
              (long long)job.disk_remaining, (long long)job.rate_bps);
    if (job.iteration < 2 || job.rate_bps <= 0) return false;
    return job.memory_remaining * 1000 / job.rate_bps <= allowed_ms;
}

/* Waits for POLL_MS, or less when something happens. False once stopped, failed or cancelled. */
static bool still_copying(struct migration *m) {
    int64_t until = clock_monotonic_ms() + POLL_MS;
    WITH_LOCK(&m->lock);
    while (m->phase == PHASE_COPYING && !m->cancelled)
        if (!waiting_until(&m->changed, &m->lock, until)) break;
    return m->phase == PHASE_COPYING && !m->cancelled;
}

static int pause_guest(struct migration *m, struct err *err) {
    hold_taps(m);
    if (hypervisor_suspend(migration_agent(m)->hypervisor, m->name, err)) {
        if (migration_phase(m) == PHASE_STOPPED) return 0; /* QEMU was faster */
        return -1;
    }
    {
        WITH_LOCK(&m->lock);
        if (!m->paused_ms) m->paused_ms = clock_wall_ms();
    }
    if (migration_phase(m) == PHASE_COPYING) migration_see_phase(m, PHASE_STOPPED);
    return 0;
}

int source_stop(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)extra;
    int64_t begin = clock_monotonic_ms();
    int64_t wait_ms = json_get_int(body, "wait_ms", WAIT_MS);
    int64_t downtime_ms = json_get_int(body, "downtime_ms", DOWNTIME_MS);
    int64_t force_ms = json_get_int(body, "force_ms", FORCE_MS);
    if (migration_expect(m, "stop", err, PHASE_COPYING, PHASE_STOPPED, PHASE_PINNED, PHASE_MAX_))
        return -1;
    while (migration_phase(m) == PHASE_COPYING) {
        int64_t passed = clock_monotonic_ms() - begin;
        if (passed >= wait_ms) return 0;
        int64_t allowed = downtime_ms << (passed / 1000 < 8 ? passed / 1000 : 8);
        if (nearly_done(m, allowed) || passed >= force_ms) {
            if (pause_guest(m, err)) return -1;
            break;
        }
        if (!still_copying(m)) break;
    }
    if (migration_expect(m, "stop", err, PHASE_STOPPED, PHASE_PINNED, PHASE_MAX_)) return -1;
    hold_taps(m); /* again, for the guest that QEMU stopped by itself */
    return 0;
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
    if (pin_down(m, err)) return -1;
    migration_see_phase(m, PHASE_PINNED);
    return 0;
}
