/*
 * Many slivers moved by one operation: a node that is drained, a slice that goes elsewhere.
 *
 * All of them are placed first, in the transaction that makes the operation, and each has its room at
 * its target claimed: what is not possible is said before anything moves. Then each is moved by a
 * migration of its own (a child operation), so many at once as the configuration allows. The
 * operation's own row holds, as its progress, which sliver stands where; it changes in the same
 * transaction that makes a migration or sees one ended. So after a crash at any instant the next life
 * goes on from there, and no sliver is given two migrations.
 *
 *   blocked -> waiting -> moving -> moved | failed | cancelled
 *      |          +--> moved (it left by itself), cancelled
 *      +--> stays (may not move), failed (no room), moved
 *
 * Callers: the routes in drain.c and slice_move.c, and workers, which run moves_run().
 */
#ifndef JOGAK_AGGREGATE_MOVES_H
#define JOGAK_AGGREGATE_MOVES_H

#include "../operation.h"
#include "../sliver.h"

/* Stored by name. */
enum move_state {
    MOVE_BLOCKED,   /* another operation has it, or it has no target yet */
    MOVE_WAITING,   /* its room at the target is claimed */
    MOVE_MOVING,    /* its migration is open */
    MOVE_MOVED,     /* it is elsewhere, or gone */
    MOVE_FAILED,
    MOVE_STAYS,     /* its policy or its state does not let it move */
    MOVE_CANCELLED, /* not begun, or taken back before its commit */
    MOVE_STATES_
};
struct move {
    char sliver[37], name[64], slice[256], source[64], target[64], migration[37];
    enum move_state state;
    char reason[24]; /* for programs: not_movable, sliver_state, no_space, busy, migration, ... */
    char why[600];   /* for people */
};
struct moves {
    char operation[37];
    struct move *rows;
    size_t count;
};
void moves_done(struct moves *m);
#define AUTO_MOVES CLEANUP(moves_done)

/* Where they may go. NULL everywhere: each to another node than its own. */
struct move_rule {
    const char *avoid; /* a node */
    const char *to;    /* the only node */
};

/* --- rows; moves_db.c; all in a transaction --- */
int moves_load(struct db_conn *c, const char *operation, struct moves *ret, struct err *err);
int moves_save(struct db_conn *c, const struct moves *m, struct err *err);
/* A row in state blocked for a sliver. */
int moves_add(struct db_conn *c, struct moves *m, const struct sliver *s, struct err *err);
/* Room at the target, beside what other claims and slivers have. */
int moves_claim(struct db_conn *c, const char *operation, const struct sliver *s,
                const char *target, struct err *err);
/* sliver NULL: all that the operation still has. */
int moves_unclaim(struct db_conn *c, const char *operation, const char *sliver, struct err *err);
/* Does another operation move it already? */
int moves_claimed_elsewhere(struct db_conn *c, const char *operation, const char *sliver,
                            bool *ret, struct err *err);
/* The operation of that kind at the node that is open, "" for none. */
int moves_open_drain(struct db_conn *c, const char *node, char ret_id[37], struct err *err);
/* {total, done, moving, slivers: [...]}; also the operation's progress. */
json *moves_json(const struct moves *m);
/* The reply of a dry run: [{sliver, id, slice, source, target?, problem?, reason?}]. */
json *moves_plan_json(const struct moves *m);

/* --- planning; moves_plan.c --- */
/* In a transaction: places all rows that are blocked and that nobody else works on, together; those
 * that may not move stay. claim: and claims their room. 0, or -1 with ERR_NO_SPACE when some found no place:
 * those are failed in m, the others placed, and *ret_reasons (may be NULL) says why for programs. */
int moves_place(struct db_conn *c, struct aggregate *am, struct moves *m,
                const struct move_rule *rule, bool claim, json **ret_reasons, struct err *err);
/* Adds {sliver, slice, reason, why} to reasons for every row that does not move. Returns how many. */
size_t moves_refusals(const struct moves *m, json *reasons);

/* --- running; moves.c --- */
/* input of the operation: {parallel?, timeout_s?, deadline_ms?, avoid?, to?}. */
json *moves_input(const json *body);
int moves_run(struct aggregate *am, const struct operation *op, struct err *err);

#endif
