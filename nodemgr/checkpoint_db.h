/*
 * The rows of checkpoints.
 */
#ifndef JOGAK_NODEMGR_CHECKPOINT_DB_H
#define JOGAK_NODEMGR_CHECKPOINT_DB_H

#include "common/db.h"
#include "common/json.h"

/* Inserts or replaces; durable when it returns. document (borrowed): CheckpointState. */
int checkpoint_db_put(struct db *db, const json *document, struct err *err);
int checkpoint_db_delete(struct db *db, const char *id, struct err *err);
/* Calls fn for each row, oldest first, outside of the transaction. The document is borrowed. */
int checkpoint_db_each(struct db *db, void (*fn)(void *ctx, const json *document), void *ctx,
                       struct err *err);

#endif
