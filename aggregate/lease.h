/*
 * Node leases: until when a node may run slivers without being heard of, and from when on it does not.
 *
 * Every answer to a report grants its node a lease of [aggregate] lease_ms. The agent counts it from the
 * moment at which it sent that report, so it ends there no later than lease_ms after it is granted
 * here; when it ends, the agent and its watchdog stop what runs (docs/architecture.md). So a node that is
 * silent runs nothing once lease_ms and a margin for two clocks have passed, and only then may its
 * slivers be started elsewhere.
 *
 * The clock is the monotonic one, which never runs ahead of true time. When it is not known what was
 * granted, since the aggregate has just started, the moment of its start counts as that of the last
 * grant. How long a lease the agent may hold is kept on disk, so a shorter one in the configuration
 * does not mislead.
 *
 * One caution makes this sound: the question and the deed are one transaction. A report grants and reads
 * the node's own slivers in one db_write(); so ask lease_is_over() in the db_write() that gives the
 * sliver its new owner, not before it. Then a node either has its lease and the sliver, or neither.
 */
#ifndef JOGAK_AGGREGATE_LEASE_H
#define JOGAK_AGGREGATE_LEASE_H

#include "aggregate.h"
#include "sliver.h"

struct leases;
/* Reads what nodes may hold. Errors: the database's. */
struct leases *leases_open(struct db *db, const struct aggregate_config *config, struct err *err);
void leases_close(struct leases *l); /* NULL is fine */

/* Has the node's lease ended for sure, with the margin? False when in doubt: a node that is not known, or
 * whose agent enforces no lease. Needs no I/O; any thread, and inside a db_fn. */
bool lease_is_over(struct aggregate *am, const char *node);
/* How long until then, milliseconds; 0 when it is over, -1 when it never will be by time alone. */
int64_t lease_left_ms(struct aggregate *am, const char *node);
/* Does the sliver stop when its node's lease ends? Its policy may say so (migration.fenced); unsaid, only one does
 * that is to be brought back when its node is lost (on_node_loss, on_down, checkpoint_interval_s), so that an aggregate
 * that is away stops no other. One that is not fenced runs on, and is never started elsewhere while its node is
 * silent. */
bool lease_fences(const struct sliver *s);
/* May the sliver be started elsewhere although its node is silent? 0, or -1 with ERR_CONFLICT and the
 * cause: it is unfenced, or the lease has not ended. */
int lease_check_over(struct aggregate *am, const struct sliver *s, struct err *err);

/* What the answer to a report grants. */
struct lease_grant {
    int64_t lease_ms;
    json *slivers; /* [{sliver, epoch}]: the incarnations that may be at the node; NULL unless asked for */
};
/* In the transaction of a report. keeps: its agent enforces leases; held: it has stopped slivers and wants
 * to know which of them it may let run. */
int lease_grant(struct db_conn *c, struct aggregate *am, const char *node, bool keeps, bool held,
                struct lease_grant *ret, struct err *err);
/* Without the disk, which is full: 0 when a lease of that length is on disk already, and it is granted. It names no
 * slivers, so what has been stopped stays so, and one that another node was given cannot come back. */
int lease_grant_known(struct aggregate *am, const char *node, bool keeps, struct lease_grant *ret);
/* When the node's lease ends at the latest, without the margin: wall clock, milliseconds. 0: none is known. */
int64_t lease_until_ms(struct aggregate *am, const char *node);

#endif
