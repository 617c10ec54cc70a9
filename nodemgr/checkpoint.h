/*
 * Checkpoints: the state of a running sliver, taken into the store while it runs on.
 *
 *   capturing - uploading - complete
 *           \__________\___ failed (the cause is told)
 *
 * Each has a worker; few work at once, one per sliver. "capturing" is on disk before the guest is paused,
 * so that an agent that died in between finds the guest standing and lets it go on. Nothing of a
 * checkpoint outlives it at the node but its row, until it is forgotten.
 */
#ifndef JOGAK_NODEMGR_CHECKPOINT_H
#define JOGAK_NODEMGR_CHECKPOINT_H

#include "nodemgr/agent.h"

struct checkpoints;
struct checkpoints *checkpoints_new(struct agent *a);
/* Reads the rows; what was under way has failed, and its guests go on. Removes what lies about. */
int checkpoints_start(struct checkpoints *all, struct err *err);
/* Ends what is under way and waits for it; no guest stays paused by it. NULL is fine, in both. */
void checkpoints_stop(struct checkpoints *all);
void checkpoints_free(struct checkpoints *all);

/* Begins it unless it is known; returns CheckpointState, the caller's. Errors: ERR_STALE_EPOCH,
 * ERR_NOT_FOUND (no such incarnation here), ERR_CONFLICT (it does not run, or moves; the id is another
 * sliver's), ERR_BUSY (too many, or another one of this sliver is under way). */
json *checkpoint_put(struct checkpoints *all, const char *sliver, const char *id, int64_t epoch,
                     struct err *err);
/* Waits until it has ended, at most wait_ms. Errors: ERR_NOT_FOUND. */
json *checkpoint_get(struct checkpoints *all, const char *sliver, const char *id, int64_t wait_ms,
                     struct err *err);
/* Ends it if it is under way. One that is not known is no error. */
int checkpoint_forget(struct checkpoints *all, const char *sliver, const char *id, struct err *err);

#endif
