/*
 * The agents door: every call from the aggregate to a node goes through here.
 *
 * One function carries a call, so a simulation can stand in for all nodes. Calls block until the
 * answer or the deadline and are made by workers and the ticker only. The node's certificate must
 * name the node that is meant.
 */
#ifndef JOGAK_AGGREGATE_AGENTS_H
#define JOGAK_AGGREGATE_AGENTS_H

#include "aggregate.h"
#include "node.h"

typedef json *(*agents_call_fn)(void *ctx, const struct node *to, const char *method,
                                const char *path, const json *body, int64_t timeout_ms,
                                struct err *err);
struct agents {
    void *ctx;
    agents_call_fn call;
    void (*free)(void *ctx);
};
/* The real one: HTTPS with our certificate. */
struct agents *agents_new(const struct identity *identity, struct err *err);
void agents_free(struct agents *a);

/* A call to the node of that name. path is a format. Returns the answer (JSON null when empty).
 * Errors: ERR_UNAVAILABLE (nothing was sent), ERR_TIMEOUT (the outcome is unknown), and whatever
 * the agent answered. */
json *agents_call(struct aggregate *am, const char *node, const char *method, const json *body,
                  int64_t timeout_ms, struct err *err, const char *path, ...)
    __attribute__((format(printf, 7, 8)));

/* The same call to several nodes at once, each on a thread of its own. */
struct agents_each {
    char node[64];
    const char *method;
    char path[200];
    json *body;       /* owned by the struct */
    int64_t timeout_ms;
    json *answer;     /* NULL when it failed */
    struct err err;
};
/* Returns how many failed. */
size_t agents_call_all(struct aggregate *am, struct agents_each *calls, size_t count);
/* From now on one after the other, so that a simulation replays the same. Tests only. */
void agents_call_in_turn(void);
void agents_each_done(struct agents_each *calls, size_t count);

#endif
