/*
 * Rows of states and of the chunks they need. Every function runs inside a db_fn.
 */
#ifndef JOGAK_SLIVERSTORE_STATE_DB_H
#define JOGAK_SLIVERSTORE_STATE_DB_H

#include "common/db.h"
#include "common/digest.h"
#include "common/ids.h"

struct state_row {
    int64_t id;
    char digest[SHA256_TEXT_BYTES];
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    char owner[URN_MAX_BYTES], node[URN_MAX_BYTES];
    int64_t size_bytes, stored_bytes;
    int64_t created_ms, uploaded_ms; /* wall clock */
};

/* 1, 0 when there is none, -1. */
int state_db_find(struct db_conn *c, const char *digest, struct state_row *ret, struct err *err);
/* The canonical manifest; the caller frees. NULL with err. */
char *state_db_manifest(struct db_conn *c, int64_t id, struct err *err);
/* Calls fn with those of a sliver ("": of all), by digest beginning after `after`, until it says
 * false. */
int state_db_list(struct db_conn *c, const char *after, const char *sliver,
                  bool (*fn)(void *ctx, const struct state_row *row), void *ctx, struct err *err);
/* Adds the row; fills row->id. */
int state_db_insert(struct db_conn *c, struct state_row *row, const char *manifest,
                    struct err *err);
int state_db_need_chunk(struct db_conn *c, int64_t state_id, int64_t chunk_id, struct err *err);
/* Sums up what its chunks take into row->stored_bytes, also in the database. */
int state_db_sum_up(struct db_conn *c, struct state_row *row, struct err *err);
/* Also marks its chunks as touched now: their grace begins. */
int state_db_delete(struct db_conn *c, int64_t id, int64_t now_ms, struct err *err);

#endif
