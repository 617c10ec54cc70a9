/*
 * The life of a slice.
 *
 *              renew (expiry only grows)
 *               +--+
 *               v  |
 *   (made) --> active --- its time is over ---> expired
 *               |                                  ^
 *               | shutdown, by a lead or operator  |
 *               v                                  |
 *            shutdown ---- its time is over -------+
 *
 * A slice that was shut down is kept for inspection, with its name, until it expires. What has
 * expired stays so: the state is stored, and no clock that jumps back changes it.
 */
#ifndef JOGAK_CLEARINGHOUSE_SLICE_STATE_H
#define JOGAK_CLEARINGHOUSE_SLICE_STATE_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

enum slice_state { SLICE_ACTIVE, SLICE_EXPIRED, SLICE_SHUTDOWN };

const char *slice_state_name(enum slice_state s);    /* as stored and on the wire */
enum slice_state slice_state_from(const char *name); /* asserts that it is one */
/* May a slice go from one to the other? */
bool slice_state_allowed(enum slice_state from, enum slice_state to);

/* When a new slice expires. expires_ms 0: not said; lifetime_ms 0: not said; neither: otherwise_ms
 * from now. Errors: ERR_UNPROCESSABLE when it lies in the past, or more than max_ms ahead. */
int slice_expiry_new(int64_t now_ms, int64_t expires_ms, int64_t lifetime_ms, int64_t otherwise_ms,
                     int64_t max_ms, int64_t *ret_ms, struct err *err);
/* May the expiry move from old_ms to new_ms? Only forward, and at most max_ms ahead of now. */
int slice_expiry_renew(int64_t now_ms, int64_t old_ms, int64_t new_ms, int64_t max_ms,
                       struct err *err);

#endif
