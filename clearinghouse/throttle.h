/*
 * A brake on guessing: how many wrong secrets an address may show in a minute.
 */
#ifndef JOGAK_CLEARINGHOUSE_THROTTLE_H
#define JOGAK_CLEARINGHOUSE_THROTTLE_H

#include "common/err.h"

#include <pthread.h>
#include <stdint.h>

#define THROTTLE_WRONG_MAX 10
#define THROTTLE_WINDOW_MS 60000
#define THROTTLE_ADDRESSES 128 /* the one seen longest ago makes room */

struct throttle {
    pthread_mutex_t lock;
    struct {
        char address[64];
        int64_t since_ms; /* monotonic */
        unsigned wrong;
    } rows[THROTTLE_ADDRESSES];
};
void throttle_init(struct throttle *t);
void throttle_done(struct throttle *t);
/* ERR_BUSY when this address has shown too many wrong secrets of late. */
int throttle_check(struct throttle *t, const char *address, struct err *err);
/* It showed one more. */
void throttle_wrong(struct throttle *t, const char *address);

#endif
