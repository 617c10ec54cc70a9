/*
 * Slivers whose node is lost, and slivers that went down by themselves.
 *
 * A node that is silent is lost; when its lease is over, too (lease.h), nothing of it runs any more. Then each
 * of its slivers is treated as its policy says, `migration.on_node_loss`:
 *
 *   checkpoint   (default) resumed elsewhere from its newest complete checkpoint, if it has one
 *   fresh        the same; without a checkpoint it is started anew from its image
 *   none         it waits for its node
 *
 * Recovery is a migration with the signal `lost`, whose source takes no part. What cannot be
 * recovered is declared lost: failed, with its cause. It keeps its owner and epoch, so that it is ready again
 * when its node comes back with it. Unless it is told otherwise (`none`), recovery is tried again while the node is lost.
 *
 * `migration.on_down` says the same of a guest that went down while its node is well (by default: none).
 */
#ifndef JOGAK_AGGREGATE_LOSS_H
#define JOGAK_AGGREGATE_LOSS_H

#include "../operation.h"
#include "../sliver.h"

#define LOSS_RETRY_MS 10000

enum loss_plan { LOSS_WAIT, LOSS_CHECKPOINT, LOSS_FRESH };
/* In a transaction: what the policy says of this sliver now, for the signal lost or down. *ret_why: why it
 * has to wait (a static text). */
enum loss_plan loss_plan(struct db_conn *c, const struct sliver *s, const char *signal,
                         const char **ret_why, struct err *err);
/* In a transaction: the sliver is failed since its node is lost; tried again after LOSS_RETRY_MS. */
int loss_declare(struct db_conn *c, const char *sliver, const char *why, struct err *err);
/* In a transaction: it is whole again. */
int loss_over(struct db_conn *c, const char *sliver, struct err *err);
/* Starts what is to be recovered, and finds what came back with its node. Called by the ticker; blocks for one
 * call to a node. */
void loss_tick(struct aggregate *am);

#endif
