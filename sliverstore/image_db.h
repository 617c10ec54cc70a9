/*
 * Rows of images and of the chunks they need. Every function runs inside a db_fn.
 */
#ifndef JOGAK_SLIVERSTORE_IMAGE_DB_H
#define JOGAK_SLIVERSTORE_IMAGE_DB_H

#include "access.h"
#include "common/db.h"
#include "common/manifest.h"

struct image_row {
    int64_t id;
    char name[64];
    char digest[SHA256_TEXT_BYTES];
    char owner[256];
    bool is_public;
    char kind[16], format[16];
    int64_t virtual_size_bytes, size_bytes, stored_bytes; /* stored: chunks' files, each once */
    int64_t created_ms, uploaded_ms;                      /* wall clock */
};

/* By name, or by digest when `key` is one; whoever owns it. 1, 0 when there is none, -1. */
int image_db_find(struct db_conn *c, const char *key, struct image_row *ret, struct err *err);
/* The canonical manifest; the caller frees. NULL with err. */
char *image_db_manifest(struct db_conn *c, int64_t id, struct err *err);
/* Calls fn with those the caller may read, by name, beginning after `after`, until fn says false.
 * `kind` may be NULL: every kind. */
int image_db_list(struct db_conn *c, const struct caller *caller, const char *after,
                  const char *kind, bool (*fn)(void *ctx, const struct image_row *row), void *ctx,
                  struct err *err);
/* Adds the row; fills row->id. ERR_CONFLICT when name or digest are taken. */
int image_db_insert(struct db_conn *c, struct image_row *row, const char *manifest,
                    struct err *err);
int image_db_need_chunk(struct db_conn *c, int64_t image_id, int64_t chunk_id, struct err *err);
/* Sums up what the image's chunks take into row->stored_bytes, also in the database. */
int image_db_sum_up(struct db_conn *c, struct image_row *row, struct err *err);
int image_db_set_public(struct db_conn *c, int64_t id, bool is_public, struct err *err);
/* Also marks its chunks as touched now: their grace begins. */
int image_db_delete(struct db_conn *c, int64_t id, int64_t now_ms, struct err *err);

#endif
