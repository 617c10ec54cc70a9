/*
 * The journal of a migration: what was intended, before it was done, and how it ended.
 *
 * Every function here is one durable transaction of its own: when it has returned 0 the row is on
 * disk. `facts` is a JSON object in the migration's row, for what later steps need.
 */
#ifndef JOGAK_AGGREGATE_JOURNAL_H
#define JOGAK_AGGREGATE_JOURNAL_H

#include "../aggregate.h"

struct migration {
    char id[37], sliver[37], slice[37];
    char trigger[16], policy[16], delivery[16], state[16];
    char wanted_target[64], source[64], target[64];
    int64_t attempt, source_epoch, epoch, step;
    bool committed;
    json *facts;
};
void migration_done(struct migration *m);
#define AUTO_MIGRATION CLEANUP(migration_done)

int journal_load(struct aggregate *am, const char *id, struct migration *ret, struct err *err);
int journal_get(struct db_conn *c, const char *id, struct migration *ret, struct err *err);
/* Before the side effects of a step; may run again for a step that was begun already. */
int journal_intent(struct aggregate *am, struct migration *m, int step, const char *direction,
                   struct err *err);
/* After them. outcome: ok or failed. Takes detail; keeps m->facts as well. */
int journal_result(struct aggregate *am, struct migration *m, int step, const char *direction,
                   const char *outcome, int64_t took_us, json *detail, struct err *err);
/* Was the step's result recorded as ok in this attempt? */
bool journal_has(struct aggregate *am, const struct migration *m, int step, const char *direction);
/* running, undoing, done, aborted, lost; with facts. */
int journal_state(struct aggregate *am, struct migration *m, const char *state, struct err *err);
/* The attempt was undone and another begins, with this delivery: its steps, target and epoch start
 * over. What the ended one was, and why it failed, goes into facts.attempts. A target that could not
 * be reached (facts.target_owes) becomes a debt in the same transaction. */
int journal_attempt(struct aggregate *am, struct migration *m, const char *delivery,
                    struct err *err);
/* The attempt was undone and there is no other: aborted. Notes and owes as journal_attempt(). */
int journal_abort(struct aggregate *am, struct migration *m, struct err *err);
/* [{step, direction, attempt, begun, ended?, outcome?, took_ms, detail}] in order. */
json *journal_steps(struct db_conn *c, const char *id, struct err *err);

#endif
