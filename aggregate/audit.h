/*
 * The audit: what should be, compared with what every node really has; continuously, and on demand.
 *
 * A thread of its own looks at each node every config->audit_interval_ms, and at once at a node whose
 * report contradicts what we say of a sliver. One look fetches the node's inventory (GET /v1/inventory of
 * its agent), compares it (audit_compare.h), notes the findings and repairs what is ours: a debt removes an
 * old incarnation, the agent removes leftovers after looking again by itself, a sliver whose domain has
 * ended is no longer called ready. What is not ours, or not known, is reported and never touched, and
 * nothing is concluded from a node, or a part of it, that did not answer.
 */
#ifndef JOGAK_AGGREGATE_AUDIT_H
#define JOGAK_AGGREGATE_AUDIT_H

#include "operation.h"

/* The thread; am->auditor. */
int auditor_start(struct aggregate *am, struct err *err);
/* After the workers and the HTTP server, who use it. */
void auditor_stop(struct aggregate *am);

/* A node has reported these SliverStates: when one of them contradicts what we say, the node is looked at
 * at once. Reads the database; quick. */
void audit_reported(struct aggregate *am, const char *node, const json *slivers);
/* One look at one node, and what follows from it. Blocks on the node; may be called by any thread, also
 * without the auditor's. Errors: of the node's agent; ret_open (may be NULL): findings that stay open. */
int audit_node(struct aggregate *am, const char *node, int64_t *ret_open, struct err *err);

/* The operation (kind audit), asked for by POST /v1/audit: one node, or all. It looks again until its
 * repairs have been seen to work, at most AUDIT_ROUNDS times. */
#define AUDIT_ROUNDS 4
int audit_run(struct aggregate *am, const struct operation *op, struct err *err);

/* Routes. */
int audit_list(void *am, const struct http_request *req, struct http_reply *reply, struct err *err);
int audit_start(void *am, const struct http_request *req, struct http_reply *reply, struct err *err);

#endif
