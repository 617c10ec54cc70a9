#include "throttle.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>

void throttle_init(struct throttle *t) {
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
}

void throttle_done(struct throttle *t) { pthread_mutex_destroy(&t->lock); }

/* The row of this address, or the number of rows. */
static size_t find(const struct throttle *t, const char *address) {
    size_t i = 0;
    while (i < THROTTLE_ADDRESSES && strcmp(t->rows[i].address, address) != 0) i++;
    return i;
}

int throttle_check(struct throttle *t, const char *address, struct err *err) {
    WITH_LOCK(&t->lock);
    size_t i = find(t, address);
    if (i == THROTTLE_ADDRESSES || t->rows[i].wrong < THROTTLE_WRONG_MAX) return 0;
    if (clock_monotonic_ms() - t->rows[i].since_ms >= THROTTLE_WINDOW_MS) return 0;
    err_set(err, ERR_BUSY, "too many wrong secrets from your address");
    return err_remedy(err, "Wait a minute, then use the token exactly as it was given.");
}

void throttle_wrong(struct throttle *t, const char *address) {
    WITH_LOCK(&t->lock);
    int64_t now = clock_monotonic_ms();
    size_t i = find(t, address);
    if (i == THROTTLE_ADDRESSES) {
        i = 0;
        for (size_t j = 1; j < THROTTLE_ADDRESSES; j++)
            if (t->rows[j].since_ms < t->rows[i].since_ms) i = j;
        t->rows[i].wrong = 0;
        snprintf(t->rows[i].address, sizeof t->rows[i].address, "%s", address);
    }
    if (t->rows[i].wrong == 0 || now - t->rows[i].since_ms >= THROTTLE_WINDOW_MS) {
        t->rows[i].since_ms = now;
        t->rows[i].wrong = 0;
    }
    t->rows[i].wrong++;
}
