#ifndef JOGAK_AGGREGATE_LEASE_DB_H
#define JOGAK_AGGREGATE_LEASE_DB_H

#include "common/db.h"
#include "common/json.h"

typedef void (*lease_db_fn)(void *ctx, const char *node, int64_t lease_ms);
/* Each node with the lease that its agent may hold. */
int lease_db_each(struct db *db, lease_db_fn fn, void *ctx, struct err *err);
int lease_db_set(struct db_conn *c, const char *node, int64_t lease_ms, struct err *err);
/* [{sliver, epoch}] that may be at this node: its own, and those that a migration brings. */
int lease_db_slivers(struct db_conn *c, const char *node, json **ret, struct err *err);

#endif
