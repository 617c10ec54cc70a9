/*
 * Operations: whatever may take over a second. A row in the database, run by a small pool of
 * workers (work), started again after a restart.
 *
 * The row is the only truth; a worker's struct operation is a copy. An operation names the slivers
 * that it works on by their column `busy`, so that there is at most one per sliver. Life:
 *
 *   pending -> running -> done | failed
 *      |          +-> cancelling -> cancelled | done | failed
 *      +--------------> cancelled
 */
#ifndef JOGAK_AGGREGATE_OPERATION_H
#define JOGAK_AGGREGATE_OPERATION_H

#include "aggregate.h"

struct operation {
    char id[37];
    char kind[16];
    char state[16];
    char slice[37];  /* "" for none */
    char sliver[37];
    char node[64];
    char owner[256];
    json *input;
};

/* In a transaction. Takes input. The caller has checked and marked the slivers (sliver_set_busy). */
int operation_add(struct db_conn *c, struct operation *op, json *input, struct err *err);
int operation_get(struct db_conn *c, const char *id, struct operation *ret, struct err *err);
void operation_done(struct operation *op);
#define AUTO_OPERATION CLEANUP(operation_done)

/* By a worker. Takes progress; not durable before the next commit, but seen by readers at once. */
int operation_progress(struct aggregate *am, const char *id, json *progress, struct err *err);
/* Merge fields into the result. In a transaction; takes result. */
int operation_result(struct db_conn *c, const char *id, json *result, struct err *err);
/* Was it asked to stop? Reads memory only. */
bool operation_cancelled(struct aggregate *am, const char *id);

/* The pool. A kind's run function returns 0 (done) or -1 with err (failed; ERR_CANCELLED:
 * cancelled). It is called again from the start after a crash of the process, so it is idempotent. */
typedef int (*operation_fn)(struct aggregate *am, const struct operation *op, struct err *err);
struct operation_kind {
    const char *name;
    operation_fn run;
    /* May it be cancelled at this moment? In a transaction; NULL: always. */
    int (*may_cancel)(struct db_conn *c, const struct operation *op, struct err *err);
};
struct work *work_start(struct aggregate *am, const struct operation_kind *kinds, size_t count,
                        unsigned threads, struct err *err);
void work_wake(struct work *w); /* after a commit that added one */
void work_stop(struct work *w); /* running ones end at their next check */
/* Ask one to stop. ERR_CONFLICT when it has ended, or its kind does not allow it any more. */
int work_cancel(struct aggregate *am, const char *id, struct err *err);
/* How many milliseconds to sleep at most while waiting inside an operation; wakes on cancel. */
void work_pause(struct aggregate *am, const char *operation, int64_t ms);

/* Routes. */
int operation_list(void *am, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int operation_show(void *am, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int operation_cancel(void *am, const struct http_request *req, struct http_reply *reply,
                     struct err *err);
/* 202 with Location and the operation as the body. */
int operation_accepted(struct aggregate *am, const char *id, struct http_reply *reply,
                       struct err *err);

#endif
