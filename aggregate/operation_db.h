#ifndef JOGAK_AGGREGATE_OPERATION_DB_H
#define JOGAK_AGGREGATE_OPERATION_DB_H

#include "operation.h"

/* The public form of a row (schema Operation). Caller frees. */
json *operation_db_show(struct db_conn *c, const char *id, struct err *err);
/* Where a page of operations ended. Many can be created within one millisecond, so the time alone
 * does not say where: the id does. */
struct operation_cursor {
    int64_t created_ms;
    char id[37]; /* "": none of that millisecond was seen */
};
/* Newest first, by (time, id); slice or NULL; after: the last one of the page before. */
json *operation_db_list(struct db_conn *c, const char *slice, bool open_only,
                        const struct operation_cursor *after, int limit, struct err *err);
/* Change the state when it is one of `from` (comma separated); ERR_CONFLICT otherwise. */
int operation_db_state(struct db_conn *c, const char *id, const char *from, const char *to,
                       const struct err *why, struct err *err);
/* Open operations, oldest first: calls each(ctx, id, state). */
int operation_db_open(struct db_conn *c, void (*each)(void *ctx, const char *id, const char *state),
                      void *ctx, struct err *err);

#endif
