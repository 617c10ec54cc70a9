/*
 * The audit's view of what should be, and its findings, on disk.
 */
#ifndef JOGAK_AGGREGATE_AUDIT_DB_H
#define JOGAK_AGGREGATE_AUDIT_DB_H

#include "aggregate.h"
#include "audit_compare.h"

/* One consistent reading of what should be at the node whose inventory this is. */
int audit_db_view(struct aggregate *am, const char *node, const json *inventory,
                  struct audit_view *ret, struct err *err);
void audit_view_done(struct audit_view *v);
#define AUTO_VIEW CLEANUP(audit_view_done)

struct audit_look { /* what is noted of one look at a node */
    const char *node;
    int64_t at_ms, took_ms, items;
    const char *start;   /* of the agent's process; NULL: not known */
    const char *problem; /* "": none */
    const struct audit_view *view; /* what it was compared with, and its inventory; NULL: it did not answer */
    const json *inventory;
    bool whole;          /* else a finding that is not seen again may still be there */
};
/* Notes the look and its findings (NULL: the node did not answer): new ones become open (or ignored, when
 * foreign) and are told as events, those that are gone are repaired, or forgotten when nobody tried. */
int audit_db_note(struct aggregate *am, const struct audit_look *look,
                  const struct audit_findings *found, struct err *err);
/* The start of the agent that was noted last; "" before the first look. */
int audit_db_start(struct aggregate *am, const char *node, char ret[37], struct err *err);

/* Inside a transaction. The sliver as the view has it, now; ERR_CONFLICT when an operation has worked on it
 * since, so that what was found need not be true any more. */
int audit_db_still(struct db_conn *c, const char *sliver, int64_t since_ms, struct audit_sliver *ret,
                   struct err *err);
/* A repair was tried: done ends the finding, else problem says why not (may be "": it goes on). */
int audit_db_tried(struct db_conn *c, const char *node, const struct audit_finding *f, bool done,
                   const char *problem, struct err *err);

/* [{sliver, epoch}] of all slivers that live: what an agent's fences must be at least. */
json *audit_db_fences(struct aggregate *am, struct err *err);
/* Slices that have slivers at the node: [uuid]. */
json *audit_db_slices(struct aggregate *am, const char *node, struct err *err);
/* Does one of these states (a report's `slivers`) contradict what we say of a sliver at rest? */
int audit_db_suspicious(struct aggregate *am, const char *node, const json *states, bool *ret,
                        struct err *err);
/* Nodes that can be asked and were not looked at since then (or in the future: the clock was set back), the
 * longest not looked at first: [name]. */
json *audit_db_nodes(struct aggregate *am, int64_t not_since_ms, struct err *err);

/* For GET /v1/audit. node, state: NULL for all. */
json *audit_db_findings(struct aggregate *am, const char *node, const char *state,
                        int64_t before_id, int limit, struct err *err);
json *audit_db_looks(struct aggregate *am, const char *node, struct err *err);
int audit_db_count(struct aggregate *am, const char *node, const char *state, int64_t *ret,
                   struct err *err);

#endif
