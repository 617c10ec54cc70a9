/* What of slivers on lost nodes stands in the database. All in transactions. */
#ifndef JOGAK_AGGREGATE_LOSS_DB_H
#define JOGAK_AGGREGATE_LOSS_DB_H

#include "loss.h"

/* Ids of slivers that nothing works on, on nodes that are lost or retired, and whose time has come. */
int loss_db_due(struct db_conn *c, json **ret_slivers, struct err *err);
/* Slivers whose policy wants them back when they go down, and which are down on a node that is well. */
int loss_db_down(struct db_conn *c, json **ret_slivers, struct err *err);
/* One that is failed for the loss of a node which reports again; "" for none. Asked in turns. */
int loss_db_back(struct db_conn *c, char ret_sliver[37], struct err *err);
int loss_db_mark(struct db_conn *c, const char *sliver, int64_t since_ms, int64_t retry_ms,
                 struct err *err);
int loss_db_clear(struct db_conn *c, const char *sliver, struct err *err);

#endif
