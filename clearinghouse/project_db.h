/*
 * SQL of projects. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_PROJECT_DB_H
#define JOGAK_CLEARINGHOUSE_PROJECT_DB_H

#include "common/db.h"
#include "common/ids.h"

struct project {
    char name[64];
    char urn[URN_MAX_BYTES];
    char description[1024];
    int64_t created_ms, version;
};

/* Errors: ERR_NOT_FOUND. */
int project_db_get(struct db_conn *c, const char *name, struct project *ret, struct err *err);
/* Errors: ERR_CONFLICT when the name is taken (also in other letters' case). */
int project_db_insert(struct db_conn *c, const struct project *p, struct err *err);
/* Stores the description under the next version (p->version grows). Also for changed members. */
int project_db_update(struct db_conn *c, struct project *p, struct err *err);
/* With its members and its expired slices. Errors: ERR_CONFLICT while it has others. */
int project_db_delete(struct db_conn *c, const char *name, struct err *err);
/* Projects after this name, at most limit; user: only those that have this member, NULL for all.
 * fn gets each and returns 1 to go on, 0 to stop, -1 with err. */
int project_db_list(struct db_conn *c, const char *user, const char *after, int64_t limit,
                    int (*fn)(void *ctx, struct db_conn *c, const struct project *p,
                              struct err *err),
                    void *ctx, struct err *err);

#endif
