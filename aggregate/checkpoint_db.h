/* The rows of checkpoints. All in transactions. */
#ifndef JOGAK_AGGREGATE_CHECKPOINT_DB_H
#define JOGAK_AGGREGATE_CHECKPOINT_DB_H

#include "checkpoint.h"

/* Begins one: ERR_CONFLICT when the sliver is being worked on, or is not ready. */
int checkpoint_db_begin(struct db_conn *c, const char *id, const struct sliver *s, struct err *err);
/* What its node says of it now (CheckpointState). */
int checkpoint_db_state(struct db_conn *c, const char *id, const json *state, struct err *err);
int checkpoint_db_failed(struct db_conn *c, const char *id, const struct err *why, struct err *err);
/* Drops all but the newest complete ones, and old operations that the ticker started. */
int checkpoint_db_retain(struct db_conn *c, const char *sliver, struct err *err);
/* How many captures of it have begun and not ended. */
int checkpoint_db_capturing(struct db_conn *c, const char *sliver, int64_t *ret, struct err *err);
/* The newest first; schema Checkpoint. */
int checkpoint_db_list(struct db_conn *c, const char *sliver, json **ret_items, struct err *err);
/* Ids of slivers that are due. */
int checkpoint_db_due(struct db_conn *c, json **ret_slivers, struct err *err);

/* The next sliver to sweep that nothing is at work on; "" for none. */
int checkpoint_db_sweep_next(struct db_conn *c, char ret_sliver[37], struct err *err);
/* Does a checkpoint, or a migration that has not ended, refer to this manifest? */
int checkpoint_db_needed(struct db_conn *c, const char *manifest, bool *ret, struct err *err);
int checkpoint_db_swept(struct db_conn *c, const char *sliver, int64_t since_ms, struct err *err);

#endif
