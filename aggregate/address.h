/*
 * Public addresses: one for each sliver that has a public vNIC, from the pool of the site where it runs.
 *
 *   used       it is the sliver's
 *   claimed    by a migration to another site, from step 2 to the commit; an undo gives it back
 *   leaving    it was the sliver's; nobody else gets it before all nodes that translate or route it
 *              have been told
 *
 * In a move within the site it stays. All but address_tell() and address_tick() are for use inside a
 * transaction: of the allocation, of step 2 and its undo, of the commit, of a release.
 */
#ifndef JOGAK_AGGREGATE_ADDRESS_H
#define JOGAK_AGGREGATE_ADDRESS_H

#include "site.h"
#include "sliver.h"

struct node_list;

/* Tells placement what is free: fills in public_free and public_problem of each node. */
int address_offer(struct db_conn *c, const struct aggregate *am, struct node_list *nodes,
                  struct err *err);



/* The first free address of the node's site for this sliver, when it has a public vNIC. Errors:
 * ERR_NO_SPACE. */
int address_take(struct db_conn *c, const struct aggregate *am, const struct sliver *s,
                 struct err *err);
/* The same for a migration to that node, which holds it until address_commit() or address_unclaim().
 * Nothing when the sliver's address is of that site already. */
int address_claim(struct db_conn *c, const struct aggregate *am, const struct sliver *s,
                  const char *node, const char *operation, struct err *err);
int address_unclaim(struct db_conn *c, const char *operation, struct err *err);
int address_commit(struct db_conn *c, const char *operation, struct err *err);
int address_release(struct db_conn *c, const char *sliver, struct err *err);

/* Frees what has left. */
int address_sweep(struct db_conn *c, struct err *err);

/* Once all nodes were told: the event "sliver.address", once. *ret (caller frees): {vnic, from, to}, or
 * NULL when nothing has changed or it was told before. */
int address_tell(struct aggregate *am, const struct sliver *s, const char *operation, json **ret,
                 struct err *err);
/* address_sweep(), when there is something to free. Called by the ticker. */
void address_tick(struct aggregate *am);

#endif
