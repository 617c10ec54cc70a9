/*
 * Rows of chunks and of the claims on them. Every function runs inside a db_fn.
 */
#ifndef JOGAK_SLIVERSTORE_CHUNK_DB_H
#define JOGAK_SLIVERSTORE_CHUNK_DB_H

#include "access.h"
#include "common/db.h"
#include "common/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_row {
    int64_t id;
    int64_t size_bytes, stored_bytes;
    bool damaged;
    bool readable; /* by the caller: in an image they see, or claimed by them */
};
/* 1: found; 0: there is none; -1: error. */
int chunk_db_find(struct db_conn *c, const uint8_t digest[SHA256_BYTES],
                  const struct caller *caller, struct chunk_row *ret, struct err *err);
/* The chunk is there (in full and sound) and the caller, by urn, has a claim on it. Refuses with
 * ERR_TOO_LARGE what would go beyond quota_bytes, images, states and claims together. */
int chunk_db_put(struct db_conn *c, const uint8_t digest[SHA256_BYTES], int64_t size_bytes,
                 int64_t stored_bytes, const char *urn, int64_t quota_bytes, int64_t now_ms,
                 struct err *err);
int chunk_db_set_damaged(struct db_conn *c, const uint8_t digest[SHA256_BYTES], struct err *err);
/* Keep the caller's claim for another grace period. No claim: nothing happens. */
int chunk_db_touch_claim(struct db_conn *c, int64_t id, const char *urn, int64_t now_ms,
                         struct err *err);
/* The claims of urn on an image's chunks have done their work. */
int chunk_db_drop_claims(struct db_conn *c, int64_t image_id, const char *urn, struct err *err);
/* Likewise on a state's. */
int chunk_db_drop_state_claims(struct db_conn *c, int64_t state_id, const char *urn,
                               struct err *err);
/* What images, states and claims of an owner take. */
int chunk_db_used_bytes(struct db_conn *c, const char *urn, int64_t *ret, struct err *err);
/* ERR_TOO_LARGE with a remedy when used is more than the quota. */
int chunk_db_check_quota(const char *urn, int64_t used_bytes, int64_t quota_bytes, struct err *err);

/* --- the collection --- */

/* Forget claims untouched since before_ms, and count every owner's claims anew. */
int chunk_db_expire_claims(struct db_conn *c, int64_t before_ms, struct err *err);
/* Calls fn with each chunk of a stripe that nothing needs and that was untouched since before_ms,
 * at most `limit`; deletes the rows when `remove`. Claims untouched since count as none. */
int chunk_db_unneeded(struct db_conn *c, unsigned stripe, int64_t before_ms, int64_t limit,
                      bool remove, void (*fn)(void *ctx, const char *digest, int64_t bytes),
                      void *ctx, struct err *err);

#endif
