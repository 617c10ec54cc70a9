/*
 * Armed slivers: steps 1 and 2 of a migration, done in advance.
 *
 * A sliver whose policy is `static` or `hybrid` has a target chosen for it when it is reserved, and its capacity
 * there is claimed from then on: the claim whose operation is the sliver itself. A signal sets it off: the
 * migration takes the claim over. Afterwards, or when the target is not ready any more, the ticker arms the sliver
 * anew. `static`: only nodes of its list. `hybrid`: the armed node first, then its list, then any.
 */
#ifndef JOGAK_AGGREGATE_ARM_H
#define JOGAK_AGGREGATE_ARM_H

#include "../sliver.h"

/* What placement is to know of the sliver's policy: targets, and what it prefers. Borrows s. */
struct placement_wish;
void arm_wish(const struct sliver *s, struct placement_wish *ret);
/* In a transaction: holds a target for it, if its policy wants that and none is held. ERR_NO_SPACE, with
 * *ret_reasons (may be NULL) as of placement_choose(). */
int arm_sliver(struct db_conn *c, struct aggregate *am, const struct sliver *s, json **ret_reasons,
               struct err *err);
/* In a transaction: the node that is held for it, "" for none; the claim goes. */
int arm_take(struct db_conn *c, const char *sliver, char ret_node[64], struct err *err);
/* Holds that have to be made again. Called by the ticker. */
void arm_tick(struct aggregate *am);

#endif
