/*
 * The procedure of sliver migration: twelve rows, in the order of the paper (Kim 2010, II.5).
 */
#ifndef JOGAK_AGGREGATE_STEPS_H
#define JOGAK_AGGREGATE_STEPS_H

#include "../operation.h"
#include "../sliver.h"
#include "delivery.h"
#include "journal.h"

#define STEP_COUNT 12
#define STEP_COPY 6         /* the first step in which a guest moves */
#define STEP_COMMIT_AFTER 8 /* the commit point lies between this step and the next */

/* One migration in a worker's hands. */
struct run {
    struct aggregate *am;
    const struct operation *op;
    struct migration m;
    struct sliver s;
    const struct delivery *how;
    json *detail;          /* of the step at work; goes into its journal row */
    int64_t undo_since_ms; /* monotonic: when undoing began in this process */
    bool again;            /* this attempt has ended, and another one has begun */
};

/* run and undo are idempotent: they also work when the thing never happened, or had happened
 * already. A run returns ERR_CANCELLED when it noticed a request to stop. */
struct step {
    int number;
    const char *name;
    const char *title; /* for people */
    int (*run)(struct run *r, struct err *err);
    int (*undo)(struct run *r, struct err *err); /* NULL: nothing to undo, or past the commit */
    int64_t timeout_ms; /* of one call to a node within it */
};
extern const struct step steps[STEP_COUNT];

/* What the nodes say of a migration that did not go on by itself. */
enum verdict {
    VERDICT_WAIT,    /* a node did not answer, or is still at it: ask again */
    VERDICT_UNDO,    /* the source has the guest */
    VERDICT_FORWARD, /* the target has all of it and the source does not run: commit */
    VERDICT_LOST,    /* neither has it, and both say so */
};
enum verdict step_probe(struct run *r, struct err *ret_why);

#endif
