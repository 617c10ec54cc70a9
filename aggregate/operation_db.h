#ifndef JOGAK_AGGREGATE_OPERATION_DB_H
#define JOGAK_AGGREGATE_OPERATION_DB_H

#include "operation.h"

/* The public form of a row (schema Operation). Caller frees. */
json *operation_db_show(struct db_conn *c, const char *id, struct err *err);
/* Newest first; slice or NULL; before_ms: created before (cursor). */
json *operation_db_list(struct db_conn *c, const char *slice, bool open_only, int64_t before_ms,
                        int limit, struct err *err);
/* Change the state when it is one of `from` (comma separated); ERR_CONFLICT otherwise. */
int operation_db_state(struct db_conn *c, const char *id, const char *from, const char *to,
                       const struct err *why, struct err *err);
/* Open operations, oldest first: calls each(ctx, id, state). */
int operation_db_open(struct db_conn *c, void (*each)(void *ctx, const char *id, const char *state),
                      void *ctx, struct err *err);

#endif
