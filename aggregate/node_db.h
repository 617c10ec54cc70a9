#ifndef JOGAK_AGGREGATE_NODE_DB_H
#define JOGAK_AGGREGATE_NODE_DB_H

#include "node.h"

/* Insert or refresh a node from its report (schema NodeReport). */
int node_db_report(struct db_conn *c, const char *name, const char *urn, const json *report,
                   struct err *err);
int node_db_set_state(struct db_conn *c, const char *name, const char *state, struct err *err);
int node_db_find(struct db *db, const char *name, struct node *ret, struct err *err);

#endif
