/*
 * Forwarding: where each vNIC of a slice is, told to every node of the slice.
 *
 * The document for a node (Forwarding in docs/architecture.md) holds all links of the slice with all
 * their vNICs; the agent makes flows of it. A change takes a new generation of the slice, and an agent
 * refuses an older one, so late messages do no harm.
 */
#ifndef JOGAK_AGGREGATE_FORWARDING_H
#define JOGAK_AGGREGATE_FORWARDING_H

#include "sliver.h"

/* Tell all nodes that hold slivers of the slice, and `also` (may be NULL), in parallel. `skip`
 * names a sliver to leave out (it is going), may be NULL. Nodes that are lost are told when they are back.
 * ret_nodes (may be NULL): how many were told. */
int forwarding_push(struct aggregate *am, const char *slice, const char *also, const char *skip,
                    size_t *ret_nodes, struct err *err);
/* After a move, to all nodes of the slice: first those that send to the sliver, and `source` last,
 * since it delivers until then what is still on its way to it. When it returns no frame takes an old
 * way any more, also none of a connection that the datapaths had cached: each node waits for that, but no
 * longer than FORWARDING_SETTLE_MS. Calls for one slice and source that meet share a push. */
#define FORWARDING_SETTLE_MS 1000
int forwarding_push_moved(struct aggregate *am, const char *slice, const char *source,
                          size_t *ret_nodes, struct err *err);
/* In a transaction: this node has to be told the slice's forwarding (again), by forwarding_tick(). */
int forwarding_owe(struct db_conn *c, const char *slice, const char *node, struct err *err);
/* Tells nodes that were left behind by an earlier push and report again. Called by the ticker;
 * blocks for one call at most. */
void forwarding_tick(struct aggregate *am);
/* The same to one node alone. */
int forwarding_push_node(struct aggregate *am, const char *slice, const char *node,
                         const char *skip, struct err *err);

#endif
