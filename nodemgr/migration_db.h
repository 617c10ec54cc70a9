/*
 * The rows of migrations.
 */
#ifndef JOGAK_NODEMGR_MIGRATION_DB_H
#define JOGAK_NODEMGR_MIGRATION_DB_H

#include "common/db.h"
#include "common/json.h"

int migration_db_put(struct db *db, const char *id, bool source, const char *phase,
                     const json *document, struct err *err);
int migration_db_delete(struct db *db, const char *id, struct err *err);
/* Calls fn for each row, outside of the transaction. Arguments are borrowed. */
int migration_db_each(struct db *db,
                      void (*fn)(void *ctx, const char *id, const char *phase, const json *document),
                      void *ctx, struct err *err);
/* The SliverSpec of an incarnation at this node; the caller's. Errors: ERR_NOT_FOUND. */
json *migration_db_spec(struct db *db, const char *sliver, int64_t epoch, struct err *err);

#endif
