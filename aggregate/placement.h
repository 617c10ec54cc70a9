/*
 * Placement: which node each sliver of a topology gets. A pure function of the inventory and the
 * wishes; it makes no call and changes nothing.
 *
 * Slivers are taken from the most demanding on; each gets, of the nodes that can hold it, the one with
 * the largest share of free memory left (so load spreads), and nodes that already hold a sliver of
 * the same slice come later (so an experiment spans servers). A wish for a node is obeyed or refused.
 */
#ifndef JOGAK_AGGREGATE_PLACEMENT_H
#define JOGAK_AGGREGATE_PLACEMENT_H

#include "node.h"
#include "sliver.h"

struct placement_wish {
    const char *name;  /* of the sliver */
    const char *kind;  /* full, para, os */
    const char *node;  /* NULL: choose */
    const char *avoid; /* a node that it must not get, NULL: none */
    int64_t vcpus, memory_mib, disk_mib, rate_kbps;
    int chosen; /* out: index into nodes, or -1 */
};

/* nodes: their used_* are counted up as slivers are placed. 0, or -1 with ERR_NO_SPACE (message
 * for people) and *ret_reasons: [{sliver, node, reason, need, free}], reason one of "state",
 * "kind", "vcpus", "memory_mib", "disk_mib", "rate_kbps", "not_wanted", "unknown_node". */
int placement_choose(struct node_list *nodes, struct placement_wish *wishes, size_t count,
                     int64_t cpu_overcommit_percent, json **ret_reasons, struct err *err);

#endif
