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
    const json *targets; /* names of the only nodes that it may get, the best first; NULL or []: any */
    const json *barred; /* {node: reason}: others that it must not get, NULL: none */
    const char *near;   /* a site: its nodes come first; NULL: no matter */
    const char *backup; /* a node that comes first of all; NULL: none */
    bool is_public;       /* it needs a public address of its node's site */
    const char *has_site; /* it has one of that site already, NULL: none */
    bool stays;           /* it must keep that one: no node of another site */
    int64_t vcpus, memory_mib, disk_mib, rate_kbps;
    int chosen; /* out: index into nodes, or -1 */
};

/* nodes: their used_* are counted up as slivers are placed. 0, or -1 with ERR_NO_SPACE (message
 * for people) and *ret_reasons: [{sliver, node, reason, need, free}], reason one of "state",
 * "kind", "vcpus", "memory_mib", "disk_mib", "rate_kbps", "public_addresses", "no_gateway",
 * "other_site", "not_wanted", "unknown_node", or the word of `barred`. */
int placement_choose(struct node_list *nodes, struct placement_wish *wishes, size_t count,
                     int64_t cpu_overcommit_percent, json **ret_reasons, struct err *err);

/* As placement_choose(), but it does not give up when the first way does not work out: it goes back
 * and tries others, up to a bounded number of tries. When there is none, as many as possible are
 * placed (chosen >= 0), *ret_reasons has the refusals of all the others, and the message names them. */
int placement_search(struct node_list *nodes, struct placement_wish *wishes, size_t count,
                     int64_t cpu_overcommit_percent, json **ret_reasons, struct err *err);

/* --- of one sliver and one node, for those two --- */
struct placement_refusal {
    const char *reason; /* NULL: it fits */
    int64_t need, free;
};
struct placement_refusal placement_fits(const struct node *n, const struct placement_wish *w,
                                        int64_t cpu_overcommit_percent);
/* Counts the sliver in (sign 1) or out (-1). */
void placement_use(struct node *n, const struct placement_wish *w, int sign);
/* Higher is better; own: how many slivers of this request the node has already. */
int64_t placement_score(const struct node *n, const struct placement_wish *w, int64_t own);
/* Why no node takes it: message and *ret_reasons (may be NULL) as of placement_choose(); -1. */
int placement_refuse(const struct node_list *nodes, const struct placement_wish *w,
                     int64_t cpu_overcommit_percent, json **ret_reasons, struct err *err);

#endif
