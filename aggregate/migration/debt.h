/*
 * Debts: what a node has to remove once it answers again. Written in the transaction that goes on
 * without the node, paid by an operation that the ticker starts when the node reports.
 */
#ifndef JOGAK_AGGREGATE_DEBT_H
#define JOGAK_AGGREGATE_DEBT_H

#include "../operation.h"

/* In a transaction: node owes the removal of the sliver's incarnations up to this epoch. migration: which
 * one left it there; "": none is known. It need not take back any more what a migration had changed. */
int debt_add(struct db_conn *c, const char *node, const char *sliver, int64_t epoch,
             const char *migration, struct err *err);
/* In a transaction: node owes an undo of what this migration did at its source: the guest stays. epoch:
 * of the incarnation there. */
int debt_add_undo(struct db_conn *c, const char *node, const char *sliver, int64_t epoch,
                  const char *migration, struct err *err);
/* Adds {node: "debt"} for each node that still has to clear away something of this migration. */
int debt_nodes_of(struct db_conn *c, const char *migration, json *nodes, struct err *err);
/* Starts an operation for each debt of a node that is there. */
void debt_tick(struct aggregate *am);
/* The operation (kind cleanup). */
int debt_run(struct aggregate *am, const struct operation *op, struct err *err);

#endif
