/*
 * The workers: threads that take open operations, oldest first, and run them.
 *
 * What is open is read from the database, so nothing is lost by a crash; which of those a thread
 * of this process already has, and which were asked to stop, is kept here in memory.
 */
#include "operation.h"

#include "common/clock.h"
#include "common/log.h"
#include "event.h"
#include "operation_db.h"

#include <errno.h>
#include <stdio.h>

LOG_MODULE("am.work");

#define TAKEN_MAX 64

struct work {
    struct aggregate *am;
    const struct operation_kind *kinds;
    size_t kind_count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    uint64_t wakes;
    struct { char id[37]; bool used, cancel, waits; } taken[TAKEN_MAX];
    unsigned thread_count, thread_max; /* that run; that there will be */
    pthread_t threads[TAKEN_MAX];
};

static int slot_of(struct work *w, const char *id) {
    for (int i = 0; i < TAKEN_MAX; i++)
        if (w->taken[i].used && strcmp(w->taken[i].id, id) == 0) return i;
    return -1;
}

struct pick {
    struct work *w;
    struct db_conn *c;
    char id[37];
    char state[16];
    int slot;
};

/* These wait for operations that they have started, so they never get all workers. */
static const char *const kinds_that_wait[] = { "drain", "move" };

static bool waits(const struct pick *p, const char *id) {
    struct operation op AUTO_OPERATION = { 0 };
    if (operation_get(p->c, id, &op, NULL)) return false;
    for (size_t i = 0; i < COUNT_OF(kinds_that_wait); i++)
        if (!strcmp(op.kind, kinds_that_wait[i])) return true;
    return false;
}

/* One worker is always left for what the others wait for. */
static bool room_to_wait(const struct work *w) {
    unsigned waiting = 0;
    for (int i = 0; i < TAKEN_MAX; i++) waiting += w->taken[i].used && w->taken[i].waits;
    return waiting + 1 < w->thread_max;
}

/* Takes the first open operation that nobody has. Called with the lock held. */
static void pick_one(void *ctx, const char *id, const char *state) {
    struct pick *p = ctx;
    if (p->slot >= 0) return;
    int have = slot_of(p->w, id);
    if (have >= 0) {
        if (strcmp(state, "cancelling") == 0) p->w->taken[have].cancel = true;
        return;
    }
    bool one_that_waits = waits(p, id);
    if (one_that_waits && !room_to_wait(p->w)) return;
    for (int i = 0; i < TAKEN_MAX; i++)
        if (!p->w->taken[i].used) {
            p->slot = i;
            break;
        }
    if (p->slot < 0) return;
    p->w->taken[p->slot].waits = one_that_waits;
    snprintf(p->id, sizeof p->id, "%s", id);
    snprintf(p->state, sizeof p->state, "%s", state);
    p->w->taken[p->slot].used = true;
    p->w->taken[p->slot].cancel = strcmp(state, "cancelling") == 0;
    memcpy(p->w->taken[p->slot].id, p->id, sizeof p->id);
}

static int pick_fn(struct db_conn *c, void *arg, struct err *err) {
    ((struct pick *)arg)->c = c;
    return operation_db_open(c, pick_one, arg, err);
}

struct change {
    const char *id, *from, *to;
    const struct err *why;
};

static int change_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *ch = arg;
    return operation_db_state(c, ch->id, ch->from, ch->to, ch->why, err);
}

static int change(struct aggregate *am, const char *id, const char *from, const char *to,
                  const struct err *why, struct err *err) {
    struct change ch = { id, from, to, why };
    int rc = db_write(am->db, change_fn, &ch, err);
    events_wake(am->events);
    return rc;
}

static int get_fn(struct db_conn *c, void *arg, struct err *err) {
    struct operation *op = arg;
    char id[37];
    memcpy(id, op->id, sizeof id);
    return operation_get(c, id, op, err);
}

static const struct operation_kind *kind_of(struct work *w, const char *name) {
    for (size_t i = 0; i < w->kind_count; i++)
        if (strcmp(w->kinds[i].name, name) == 0) return &w->kinds[i];
    return NULL;
}

static void run_one(struct work *w, const struct pick *p) {
    struct aggregate *am = w->am;
    struct err err = ERR_INIT;
    struct operation op AUTO_OPERATION = { 0 };
    memcpy(op.id, p->id, sizeof op.id);
    if (strcmp(p->state, "pending") == 0 &&
        change(am, p->id, "pending", "running", NULL, &err)) return;
    if (db_read(am->db, get_fn, &op, &err)) {
        log_error("operation not readable", "operation=%s error=%s", p->id, err.msg);
        return;
    }
    const struct operation_kind *kind = kind_of(w, op.kind);
    int rc = kind ? kind->run(am, &op, &err)
                  : err_set(&err, ERR_INTERNAL, "unknown kind of operation %s", op.kind);
    if (w->stopping) return; /* it stays open, and goes on after the restart */
    const char *to = rc == 0 ? "done" : err.code == ERR_CANCELLED ? "cancelled" : "failed";
    struct err db_err = ERR_INIT;
    if (change(am, op.id, "running,cancelling", to, rc ? &err : NULL, &db_err))
        log_error("operation's end not recorded", "operation=%s error=%s", op.id, db_err.msg);
}

static void *worker(void *arg) {
    struct work *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct pick p = { .w = w, .slot = -1 };
        uint64_t seen = w->wakes;
        struct err err = ERR_INIT;
        if (db_read(w->am->db, pick_fn, &p, &err))
            log_error("operations not readable", "error=%s", err.msg);
        if (p.slot < 0) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += 1;
            while (!w->stopping && w->wakes == seen)
                if (pthread_cond_timedwait(&w->changed, &w->lock, &until) == ETIMEDOUT) break;
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        run_one(w, &p);
        pthread_mutex_lock(&w->lock);
        w->taken[p.slot].used = false;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct work *work_start(struct aggregate *am, const struct operation_kind *kinds, size_t count,
                        unsigned threads, struct err *err) {
    struct work *w = xcalloc(1, sizeof *w);
    w->am = am;
    w->kinds = kinds;
    w->kind_count = count;
    w->thread_max = threads;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    am->work = w;
    for (unsigned i = 0; i < threads && i < TAKEN_MAX; i++) {
        int rc = pthread_create(&w->threads[i], NULL, worker, w);
        if (rc) {
            err_set_errno(err, ERR_INTERNAL, rc, "cannot start worker %u", i);
            work_stop(w);
            return am->work = NULL;
        }
        w->thread_count++;
    }
    return w;
}

void work_wake(struct work *w) {
    if (!w) return;
    WITH_LOCK(&w->lock);
    w->wakes++;
    pthread_cond_broadcast(&w->changed);
}

void work_stop(struct work *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++) pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

bool operation_cancelled(struct aggregate *am, const char *id) {
    struct work *w = am->work;
    if (!w) return false;
    WITH_LOCK(&w->lock);
    int slot = slot_of(w, id);
    return slot >= 0 && w->taken[slot].cancel;
}

void work_pause(struct aggregate *am, const char *operation, int64_t ms) {
    struct work *w = am->work;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    WITH_LOCK(&w->lock);
    int slot = slot_of(w, operation);
    while (!w->stopping && !(slot >= 0 && w->taken[slot].cancel))
        if (pthread_cond_timedwait(&w->changed, &w->lock, &until) == ETIMEDOUT) break;
}

/* --- cancelling: here, since it needs both the row and the memory --- */
struct cancel {
    struct work *w;
    char id[37];
};

static int cancel_fn(struct db_conn *c, void *arg, struct err *err) {
    struct cancel *k = arg;
    struct operation op AUTO_OPERATION = { 0 };
    if (operation_get(c, k->id, &op, err)) return -1;
    const struct operation_kind *kind = kind_of(k->w, op.kind);
    if (kind && kind->may_cancel && kind->may_cancel(c, &op, err)) return -1;
    if (strcmp(op.state, "cancelling") == 0) return 0;
    if (operation_db_state(c, op.id, "pending,running", "cancelling", NULL, err))
        return err_wrap(err, "it has ended already");
    return 0;
}

int work_cancel(struct aggregate *am, const char *id, struct err *err) {
    struct cancel k = { .w = am->work };
    snprintf(k.id, sizeof k.id, "%s", id);
    if (db_write(am->db, cancel_fn, &k, err)) return -1;
    {
        WITH_LOCK(&am->work->lock);
        int slot = slot_of(am->work, id);
        if (slot >= 0) am->work->taken[slot].cancel = true;
    }
    work_wake(am->work);
    events_wake(am->events);
    return 0;
}
