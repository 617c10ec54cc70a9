#include "ticker.h"

#include "address.h"
#include "checkpoint.h"
#include "forwarding.h"
#include "migration/arm.h"
#include "migration/debt.h"
#include "migration/loss.h"
#include "node.h"
#include "reservation.h"

#include <errno.h>
#include <time.h>

#define TICK_S 1

struct ticker {
    struct aggregate *am;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
};

static void *run(void *arg) {
    struct ticker *t = arg;
    while (!t->am->stopping) {
        node_watch_tick(t->am);
        reservation_tick(t->am);
        loss_tick(t->am);
        arm_tick(t->am);
        debt_tick(t->am);
        checkpoint_tick(t->am);
        forwarding_tick(t->am);
        address_tick(t->am);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_S;
        WITH_LOCK(&t->lock);
        while (!t->stopping)
            if (pthread_cond_timedwait(&t->changed, &t->lock, &until) == ETIMEDOUT) break;
    }
    return NULL;
}

struct ticker *ticker_start(struct aggregate *am, struct err *err) {
    struct ticker *t = xcalloc(1, sizeof *t);
    t->am = am;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&t->thread, NULL, run, t);
    if (rc == 0) return t;
    err_set_errno(err, ERR_INTERNAL, rc, "cannot start the ticker");
    free(t);
    return NULL;
}

void ticker_stop(struct ticker *t) {
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
