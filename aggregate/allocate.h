/*
 * Allocation: one transaction that turns a topology into slivers, links, MACs and network ids on
 * chosen nodes, or refuses all of it.
 */
#ifndef JOGAK_AGGREGATE_ALLOCATE_H
#define JOGAK_AGGREGATE_ALLOCATE_H

#include "common/credential.h"
#include "reservation.h"

struct allocate {
    struct aggregate *am;
    const struct credential *who;
    const char *slice_urn;
    const json *topology;      /* checked */
    char id[37];               /* out: the reservation; "" when nothing had to be made */
    json *reasons;             /* out: why not, for the reply; caller frees */
};
/* A db_fn. Slivers of the topology that the slice has already are left alone. */
int allocate(struct db_conn *c, void *arg, struct err *err);

struct rehearsal {
    struct aggregate *am;
    const json *topology;            /* checked */
    const struct sliver_list *have;
    json *plan; /* of topology_plan(); gets `problem` and `refused` when what it makes finds no place */
};
/* A db_fn that only reads: would what is created and replaced find its place once what leaves has left? */
int allocate_rehearse(struct db_conn *c, void *arg, struct err *err);

#endif
