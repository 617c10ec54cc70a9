/*
 * The fence: the highest epoch that this node has seen of each sliver, on disk before any answer.
 *
 * A sliver gets a new epoch whenever it gets a new owner, so a message of a lower one comes from the
 * past: a late retry, or an aggregate that was restored from an old copy.
 */
#ifndef JOGAK_NODEMGR_FENCE_H
#define JOGAK_NODEMGR_FENCE_H

#include "common/db.h"
#include "common/ids.h"

#include <stddef.h>

/* Note this epoch, durably. Blocks on the disk unless it is known already.
 * Errors: ERR_STALE_EPOCH when a higher one was seen, or this one was ended. */
int fence_raise(struct db *db, const char *sliver, int64_t epoch, struct err *err);
/* Only compare. An unknown sliver passes. Errors: ERR_STALE_EPOCH. */
int fence_check(struct db *db, const char *sliver, int64_t epoch, struct err *err);
/* Learn several at once, from what runs here or from the aggregate; what is known to be higher stays. */
struct fence_mark {
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
};
int fence_learn(struct db *db, const struct fence_mark *marks, size_t count, struct err *err);
/* Incarnations up to this epoch are gone for good: a late message must not bring one back. */
int fence_end(struct db *db, const char *sliver, int64_t epoch, struct err *err);

#endif
