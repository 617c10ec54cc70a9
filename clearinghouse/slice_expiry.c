#include "slice.h"

#include "house.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <assert.h>
#include <stdio.h>

LOG_MODULE("ch.slice");

#define BATCH 64 /* slices in one transaction */

struct settling {
    struct house *h;
    int64_t now_ms;
    size_t count;
    char urns[BATCH][URN_MAX_BYTES];
};

/* The hint of the next expiry is raised here and lowered by slice_expiry_hint(), both inside
 * database functions, which one thread runs one after the other: so no new slice is overlooked. */
static int settle(struct db_conn *c, void *arg, struct err *err) {
    struct settling *s = arg;
    struct slice slice;
    int more = 0;
    int64_t next_ms;
    s->count = 0;
    while (s->count < BATCH && (more = slice_db_due(c, s->now_ms, &slice, err)) > 0) {
        assert(slice_state_allowed(slice.state, SLICE_EXPIRED));
        slice.state = SLICE_EXPIRED;
        if (slice_db_update(c, &slice, err) != 0) return -1;
        snprintf(s->urns[s->count++], URN_MAX_BYTES, "%s", slice.urn);
    }
    if (more < 0 || slice_db_next_expiry(c, &next_ms, err) != 0) return -1;
    atomic_store(&s->h->next_expiry_ms, next_ms);
    return 0;
}

int slice_settle(struct house *h, struct err *err) {
    AUTO_FREE struct settling *s = NULL;
    int64_t now_ms = clock_wall_ms();
    while (now_ms >= atomic_load(&h->next_expiry_ms)) {
        if (!s) s = xcalloc(1, sizeof *s);
        s->h = h;
        s->now_ms = now_ms;
        if (db_write(h->db, settle, s, err) != 0) {
            atomic_store(&h->next_expiry_ms, 0); /* nothing was stored: look again */
            return err_wrap(err, "expire slices");
        }
        for (size_t i = 0; i < s->count; i++) log_info("slice expired", "slice=%s", s->urns[i]);
    }
    return 0;
}

void slice_expiry_hint(struct house *h, int64_t expires_ms) {
    if (expires_ms < atomic_load(&h->next_expiry_ms)) atomic_store(&h->next_expiry_ms, expires_ms);
}
