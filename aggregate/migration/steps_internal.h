/* What the files of the twelve steps share. */
#ifndef JOGAK_AGGREGATE_STEPS_INTERNAL_H
#define JOGAK_AGGREGATE_STEPS_INTERNAL_H

#include "steps.h"

#define STEP_LOOK_MS 200 /* how long one look at a copy waits; bounds the answer to a cancel */

/* The time that one call to a node within this step may take. */
int64_t step_timeout_ms(int step);
/* A verb of the migration at a node, at this attempt's epoch. Takes more (may be NULL). */
json *step_call(struct run *r, int step, const char *node, const char *verb, json *more,
                struct err *err);
/* The migration changes its direction, to undo or, after all, forward: what was said before and is still
 * on its way must not count any more. Durable with the next row of the journal. */
void step_turn(struct run *r);
void step_tell_turn(const struct run *r, json *body);
/* How the migration stands there; waits wait_ms for a sequence above seen. */
json *step_look(struct run *r, int step, const char *node, int64_t seen, int wait_ms,
                struct err *err);
/* Is the phase one of these? phases: " one two ". */
bool step_phase_is(const json *state, const char *phases);
/* An agent's own account of a failure becomes *err; -1. */
int step_agent_error(const json *state, const char *node, struct err *err);
/* The nodes that take part: the target, and the source unless it takes none. Returns how many. */
size_t step_ends(const struct run *r, const char *ret_nodes[2]);

int choose_run(struct run *r, struct err *err); /* 2 */
int choose_undo(struct run *r, struct err *err);

int check_run(struct run *r, struct err *err); /* 4 */
int check_undo(struct run *r, struct err *err);
int network_run(struct run *r, struct err *err); /* 5 */
int network_undo(struct run *r, struct err *err);

int copy_run(struct run *r, struct err *err); /* 6 */
int stop_run(struct run *r, struct err *err); /* 7 */
int confirm_run(struct run *r, struct err *err); /* 8 */
int source_undo(struct run *r, struct err *err); /* of 6 to 8 */
/* An undo got no answer from this node (err): may it be left for later? 0: it is noted. */
int leave_end(struct run *r, const char *node, struct err *err);

int release_copy_run(struct run *r, struct err *err); /* 9 */
int activate_run(struct run *r, struct err *err);     /* 10 */
int link_run(struct run *r, struct err *err);         /* 11 */
int openflow_run(struct run *r, struct err *err);     /* 12 */

#endif
