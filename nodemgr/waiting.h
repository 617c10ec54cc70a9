/*
 * Condition variables on the monotonic clock, waited for until a point of clock_monotonic_ms().
 */
#ifndef JOGAK_NODEMGR_WAITING_H
#define JOGAK_NODEMGR_WAITING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline void waiting_init(pthread_cond_t *c) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* False once the deadline has passed. Wakes also for no reason, as pthread_cond_wait() does. */
static inline bool waiting_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms) {
    struct timespec until = { .tv_sec = deadline_ms / 1000,
                              .tv_nsec = deadline_ms % 1000 * 1000000 };
    return pthread_cond_timedwait(c, m, &until) == 0;
}

#endif
