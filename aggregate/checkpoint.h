/*
 * Checkpoints: the state of a running sliver, reflected into the sliver store.
 *
 * A sliver whose policy says `checkpoint_interval_s` gets one every so many seconds (the ticker starts
 * them), any other one on demand. An operation of kind checkpoint asks the sliver's node to capture it and
 * waits until the store has it. It does not take the sliver (its column busy): whoever wants to move
 * or release the sliver does not wait for it, and a capture that has not begun gives way.
 *
 * The two newest complete ones of a sliver are kept. What is not needed any more is deleted in the
 * store by a sweep: it lists what the store has of that sliver, and deletes what nothing refers to.
 */
#ifndef JOGAK_AGGREGATE_CHECKPOINT_H
#define JOGAK_AGGREGATE_CHECKPOINT_H

#include "operation.h"
#include "sliver.h"

#define CHECKPOINTS_KEPT 2
#define CHECKPOINT_SETTLE_MS 20000 /* how long others wait for a capture that has begun */

struct checkpoint {
    char id[37], sliver[37], node[64], state[16], manifest[72];
    int64_t epoch, begun_ms, taken_ms, pause_ms, bytes_total, bytes_new;
};

/* In a transaction: the newest complete one. *ret_found false when there is none. */
int checkpoint_newest(struct db_conn *c, const char *sliver, struct checkpoint *ret, bool *ret_found,
                      struct err *err);
/* In a transaction: an operation that takes one. */
int checkpoint_add(struct db_conn *c, const struct sliver *s, const char *owner, char ret_id[37],
                   struct err *err);
/* In a transaction: the sliver is released, so its checkpoints are not needed any more. */
int checkpoint_forget(struct db_conn *c, const char *sliver, struct err *err);
/* In a transaction: something in the store may have become useless. */
int checkpoint_sweep(struct db_conn *c, const char *sliver, struct err *err);
/* Until no capture of this sliver is under way at its node. ERR_TIMEOUT after CHECKPOINT_SETTLE_MS. Blocks. */
int checkpoint_settle(struct aggregate *am, const char *sliver, struct err *err);

/* The operation (kind checkpoint). */
int checkpoint_run(struct aggregate *am, const struct operation *op, struct err *err);
/* Starts those that are due, and sweeps. Called by the ticker; blocks for a few calls to the store. */
void checkpoint_tick(struct aggregate *am);

/* Routes. */
int checkpoint_list(void *am, const struct http_request *req, struct http_reply *reply,
                    struct err *err);
int checkpoint_start(void *am, const struct http_request *req, struct http_reply *reply,
                     struct err *err);

#endif
