/*
 * SQL of slices. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_SLICE_DB_H
#define JOGAK_CLEARINGHOUSE_SLICE_DB_H

#include "slice_state.h"
#include "common/db.h"
#include "common/ids.h"

struct slice {
    int64_t id;
    char uuid[UUID_TEXT_BYTES];
    char urn[URN_MAX_BYTES];
    char project[64], name[32];
    char description[1024];
    enum slice_state state;
    char creator[URN_MAX_BYTES];
    int64_t created_ms, expires_ms, version;
};

/* By UUID, or by "project:name": of several of one name the one that has not expired, else the
 * newest. Errors: ERR_NOT_FOUND. */
int slice_db_find(struct db_conn *c, const char *authority, const char *key, struct slice *ret,
                  struct err *err);
/* s->id is set. Errors: ERR_CONFLICT when a slice of this name has not expired. */
int slice_db_insert(struct db_conn *c, struct slice *s, struct err *err);
/* Stores description, state and expiry under the next version (s->version grows). */
int slice_db_update(struct db_conn *c, struct slice *s, struct err *err);
/* Slices with an id above `after`, at most limit. user: only those that this user may see; project,
 * state: only such; each may be NULL. fn gets each and returns 1 to go on, 0 to stop, -1 with err.
 */
struct slice_filter {
    const char *user, *project, *state;
    int64_t after, limit;
};
typedef int (*slice_fn)(void *ctx, struct db_conn *c, const struct slice *s, struct err *err);
int slice_db_list(struct db_conn *c, const struct slice_filter *f, slice_fn fn, void *ctx,
                  struct err *err);
/* The next slice that is due to expire at now_ms: 1, 0 for none, -1. */
int slice_db_due(struct db_conn *c, int64_t now_ms, struct slice *ret, struct err *err);
/* When the next one will expire; INT64_MAX when none. */
int slice_db_next_expiry(struct db_conn *c, int64_t *ret_ms, struct err *err);

#endif
