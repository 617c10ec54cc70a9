/*
 * A connection to ovsdb-server: JSON-RPC over a UNIX socket, as far as RFC 7047 is needed here.
 *
 * Not thread-safe: its owner (switch.c) serialises calls. Deadlines are points of
 * clock_monotonic_ms(). After ERR_UNAVAILABLE and ERR_TIMEOUT the connection is closed, and
 * ovsdb_open() starts a new one.
 */
#ifndef JOGAK_NODEMGR_OVSDB_H
#define JOGAK_NODEMGR_OVSDB_H

#include "common/json.h"
#include "nodemgr/stream.h"

struct ovsdb {
    struct stream stream;
    int64_t next_id;
    size_t scanned; /* bytes of the first buffered text that the framing has seen already */
    int depth;      /* its state there */
    bool in_string, escaped;
};
#define OVSDB_INIT \
    { STREAM_INIT, 1, 0, 0, false, false }

/* Errors: ERR_UNAVAILABLE. */
int ovsdb_open(struct ovsdb *db, const char *path, struct err *err);
void ovsdb_close(struct ovsdb *db);
/* True when the connection is up as far as can be told without sending anything. */
bool ovsdb_alive(struct ovsdb *db, int64_t deadline_ms);

/* One request; takes params. Returns its result. Errors: what the server answered, as
 * ERR_UNPROCESSABLE; ERR_UNAVAILABLE, ERR_TIMEOUT. */
json *ovsdb_call(struct ovsdb *db, const char *method, json *params, int64_t deadline_ms,
                 struct err *err);
/* One transaction on Open_vSwitch; takes the array of operations. Returns the array of their
 * results; nothing was changed when it fails. Errors: as ovsdb_call(). */
json *ovsdb_transact(struct ovsdb *db, json *operations, int64_t deadline_ms, struct err *err);

/* Ask for notifications about changed rows of a table; `columns` is an array (takes). Notifications
 * that arrive during a call are dropped, since the call's answer is newer. */
int ovsdb_watch(struct ovsdb *db, const char *table, json *columns, int64_t deadline_ms,
                struct err *err);
int ovsdb_unwatch(struct ovsdb *db, int64_t deadline_ms, struct err *err);
/* Wait for the next notification and drop it; the caller then selects what it wants to know. */
int ovsdb_await_update(struct ovsdb *db, int64_t deadline_ms, struct err *err);

/* --- operations (RFC 7047, 5.2); all *take* their json arguments --- */
json *ovsdb_op(const char *op, const char *table);
json *ovsdb_where(const char *column, const char *function, json *value); /* one condition */
json *ovsdb_select(const char *table, json *where, json *columns);
json *ovsdb_insert(const char *table, json *row, const char *uuid_name);
json *ovsdb_update(const char *table, json *where, json *row);
json *ovsdb_mutate(const char *table, json *where, const char *column, const char *mutator,
                   json *value);
json *ovsdb_uuid(const char *uuid);
json *ovsdb_named_uuid(const char *name);
json *ovsdb_set(json *elements); /* ["set", elements] */
json *ovsdb_map(json *pairs);    /* ["map", pairs] */
json *ovsdb_pair(const char *key, const char *value);
json *ovsdb_strings(const char *const *strings, size_t count); /* a plain array */

/* --- reading values; borrow --- */
/* Rows of the i-th result of a transaction; NULL when it has none. */
json *ovsdb_rows(const json *results, size_t i);
/* A value that is an atom, or a set of at most one: NULL when the set is empty. */
json *ovsdb_atom(const json *value);
const char *ovsdb_uuid_text(const json *value); /* of ["uuid", ".."]; else NULL */
const char *ovsdb_map_get(const json *value, const char *key);
bool ovsdb_set_has_uuid(const json *value, const char *uuid);

#endif
