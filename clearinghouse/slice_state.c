#include "slice_state.h"

#include "common/clock.h"
#include "common/mem.h"

#include <assert.h>

static const char *const names[] = {
    [SLICE_ACTIVE] = "active",
    [SLICE_EXPIRED] = "expired",
    [SLICE_SHUTDOWN] = "shutdown",
};
static const struct {
    enum slice_state from, to;
} allowed[] = {
    { SLICE_ACTIVE, SLICE_EXPIRED },
    { SLICE_ACTIVE, SLICE_SHUTDOWN },
    { SLICE_SHUTDOWN, SLICE_EXPIRED },
};

const char *slice_state_name(enum slice_state s) {
    assert((size_t)s < COUNT_OF(names));
    return names[s];
}

enum slice_state slice_state_from(const char *name) {
    size_t i = 0;
    while (i < COUNT_OF(names) && strcmp(names[i], name) != 0) i++;
    assert(i < COUNT_OF(names)); /* the table's CHECK lets no other in */
    return (enum slice_state)i;
}

bool slice_state_allowed(enum slice_state from, enum slice_state to) {
    for (size_t i = 0; i < COUNT_OF(allowed); i++)
        if (allowed[i].from == from && allowed[i].to == to) return true;
    return false;
}

static int check_bounds(int64_t now_ms, int64_t at_ms, int64_t max_ms, struct err *err) {
    char at[CLOCK_TEXT_BYTES], latest[CLOCK_TEXT_BYTES];
    if (at_ms <= now_ms)
        return err_set(err, ERR_UNPROCESSABLE, "the expiry %s is not in the future",
                       clock_rfc3339(at_ms, at));
    if (at_ms - now_ms <= max_ms) return 0;
    err_set(err, ERR_UNPROCESSABLE, "the expiry %s is too far ahead", clock_rfc3339(at_ms, at));
    return err_remedy(err, "The latest possible now is %s; renew the slice later.",
                      clock_rfc3339(now_ms + max_ms, latest));
}

int slice_expiry_new(int64_t now_ms, int64_t expires_ms, int64_t lifetime_ms, int64_t otherwise_ms,
                     int64_t max_ms, int64_t *ret_ms, struct err *err) {
    if (expires_ms && lifetime_ms)
        return err_set(err, ERR_INVALID, "give either expires or lifetime_s, not both");
    if (!lifetime_ms) lifetime_ms = otherwise_ms < max_ms ? otherwise_ms : max_ms;
    int64_t at_ms = expires_ms ? expires_ms : now_ms + lifetime_ms;
    if (check_bounds(now_ms, at_ms, max_ms, err) != 0) return -1;
    *ret_ms = at_ms;
    return 0;
}

int slice_expiry_renew(int64_t now_ms, int64_t old_ms, int64_t new_ms, int64_t max_ms,
                       struct err *err) {
    char text[CLOCK_TEXT_BYTES];
    if (new_ms < old_ms) {
        err_set(err, ERR_UNPROCESSABLE, "a slice's life can not be shortened; it expires %s",
                clock_rfc3339(old_ms, text));
        return err_remedy(err, "Name a later time, or shut the slice down.");
    }
    return check_bounds(now_ms, new_ms, max_ms, err);
}
