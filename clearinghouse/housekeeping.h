/*
 * What happens without being asked, on a thread of its own: each second slices whose time is over
 * are stored as expired; each hour old tokens and certificates are forgotten and our own
 * certificate is looked at.
 */
#ifndef JOGAK_CLEARINGHOUSE_HOUSEKEEPING_H
#define JOGAK_CLEARINGHOUSE_HOUSEKEEPING_H

#include "house.h"

#include <pthread.h>

struct housekeeping {
    struct house *house;
    /* Our certificate is due: stop serving, renew it, serve again. May be NULL. */
    void (*renew)(void *ctx);
    void *renew_ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};
/* Borrows the house until housekeeping_stop(). */
int housekeeping_start(struct housekeeping *k, struct house *h, void (*renew)(void *ctx),
                       void *renew_ctx, struct err *err);
void housekeeping_stop(struct housekeeping *k);

/* The hourly work; the thread does it, and tests. */
int housekeeping_purge(struct house *h, struct err *err);

#endif
