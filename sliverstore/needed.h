/*
 * The chunks that a manifest needs, found among those that the store has.
 */
#ifndef JOGAK_SLIVERSTORE_NEEDED_H
#define JOGAK_SLIVERSTORE_NEEDED_H

#include "chunk_db.h"
#include "common/manifest.h"

struct needed {
    int64_t *ids; /* of the chunks with content, in the manifest's order; may repeat */
    size_t count;
    struct chunk_row first; /* of the manifest's first chunk, when it has content */
};
/* Fills *ret (zeroed or filled before; needed_done() in the end). Errors: ERR_CONFLICT names chunks
 * that are missing, damaged or not the caller's to use; ERR_UNPROCESSABLE a wrong size. */
int needed_find(struct db_conn *c, const struct manifest *m, const struct caller *caller,
                struct needed *ret, struct err *err);
void needed_done(struct needed *n);

#endif
