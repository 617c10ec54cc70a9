/*
 * Delivery: how a sliver's state gets from the source to the target.
 *
 *   direct       through the tunnel between the two nodes, while it runs
 *   store        saved into the sliver store by the source, fetched from there by the target
 *   fresh        no state: the target starts it from its image
 *   checkpoint   from the newest complete checkpoint: the source takes no part
 *
 * The twelve rows are the same for all; a row asks this table what there is to do.
 */
#ifndef JOGAK_AGGREGATE_DELIVERY_H
#define JOGAK_AGGREGATE_DELIVERY_H

#include "journal.h"

struct run;

struct delivery {
    const char *name;
    bool source;   /* the source takes part: it runs the guest until step 7, and gives it away */
    bool copies;   /* step 6 lasts until the source has nothing more to give, and has paused */
    bool manifest; /* the state is a manifest in the store, which the target is told to fetch */
    bool fetches;  /* the target obtains what it needs by itself (verb fetch); nobody pushes it */
};

/* The row for a name (NULL, "": direct). alone: the source takes no part. Never NULL. */
const struct delivery *delivery_named(const char *name, bool alone);
/* Does the source of this migration take no part, since its node is gone or its guest is down? */
bool delivery_alone(const struct migration *m);
/* Step 3's decision, into r->m.delivery, r->how and r->m.facts. Errors: ERR_GONE (no state to start
 * from), ERR_CONFLICT (the signal does not hold any more). */
int delivery_decide(struct run *r, struct err *err);
/* Does nothing run at this node any more for sure, so that it need not be waited for? */
bool delivery_gone(const struct run *r, const char *node);
/* Of a delivery without the source: the guest does not run there, for sure. ERR_CONFLICT: it may. Blocks. */
int delivery_source_is_out(struct run *r, struct err *err);
/* An attempt that failed before the commit was undone: with what delivery is another one made? NULL:
 * none. Direct first, and then once through the store, when nothing else was asked for. */
const char *delivery_after(const struct run *r, const struct err *why);

#endif
