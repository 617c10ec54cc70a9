/*
 * The rows of the incarnations that are at this node.
 */
#ifndef JOGAK_NODEMGR_SLIVER_DB_H
#define JOGAK_NODEMGR_SLIVER_DB_H

#include "common/db.h"
#include "nodemgr/spec.h"

struct sliver_row {
    char sliver[UUID_TEXT_BYTES];
    char slice[UUID_TEXT_BYTES];
    int64_t epoch;
    bool incoming;     /* else our own */
    char outcome[16];  /* "", "stopped", "failed" */
    int64_t since_ms;
    json *document;    /* SliverSpec; owned */
};
struct sliver_rows {
    struct sliver_row *rows;
    size_t count;
};
void sliver_rows_done(struct sliver_rows *r);
#define AUTO_ROWS CLEANUP(sliver_rows_done)

/* All rows, or those of one sliver (not NULL), lowest epoch first. */
int sliver_rows_read(struct db *db, const char *sliver, struct sliver_rows *ret, struct err *err);
/* Insert, or replace the one of the same sliver and epoch. Durable when it returns. */
int sliver_row_put(struct db *db, const struct sliver_spec *spec, bool incoming, struct err *err);
/* A target's incarnation became ours. */
int sliver_row_own(struct db *db, const char *sliver, int64_t epoch, struct err *err);
/* outcome: "", "stopped", "failed". */
int sliver_row_outcome(struct db *db, const char *sliver, int64_t epoch, const char *outcome,
                       struct err *err);
int sliver_row_delete(struct db *db, const char *sliver, int64_t epoch, struct err *err);

#endif
