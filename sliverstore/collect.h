/*
 * The collection: chunks that no image needs go, after a grace period.
 *
 * It walks the stripes one by one, each under its lock: rows first (one transaction), then files;
 * then files that have no row, which only a crash leaves. An image that is committed meanwhile is
 * safe: its transaction either sees the rows, and then the deletion sees that they are needed, or it
 * does not, and is refused naming them. SIGKILL at any point leaves at most files without rows.
 *
 * One thread does it every collect_interval_s; POST /v1/collect does it now, for at most about a
 * second, and tells whether it got round.
 */
#ifndef JOGAK_SLIVERSTORE_COLLECT_H
#define JOGAK_SLIVERSTORE_COLLECT_H

#include "store.h"

struct collect_result {
    int64_t chunks, bytes; /* removed, or to be removed in a dry run */
    int64_t orphans;       /* files without a row removed */
    bool complete;         /* the round came to its end */
};
/* Begins a round, or goes on where the last call stopped; ends with the round or after budget_ms. A dry run always
 * begins at the first stripe, removes nothing and counts no orphans. Blocks. */
int collect_run(struct store *s, bool dry_run, int64_t budget_ms, struct collect_result *ret,
                struct err *err);

struct collector *collect_start(struct store *s);
void collect_stop(struct collector *c); /* joins the thread; NULL is fine */

int collect_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err);

#endif
