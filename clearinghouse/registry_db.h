/*
 * SQL of the registry of aggregates and stores. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_REGISTRY_DB_H
#define JOGAK_CLEARINGHOUSE_REGISTRY_DB_H

#include "common/db.h"
#include "common/ids.h"

struct registered {
    char urn[URN_MAX_BYTES];
    char type[8]; /* "am" or "ss" */
    char name[64];
    char url[256];
    char description[1024];
    int64_t created_ms;
    int64_t seen_ms; /* 0: never reported itself */
    int64_t version;
};

/* Errors: ERR_NOT_FOUND. */
int registry_db_get(struct db_conn *c, const char *urn, struct registered *ret, struct err *err);
/* Errors: ERR_CONFLICT when it is registered. */
int registry_db_insert(struct db_conn *c, const struct registered *r, struct err *err);
/* Inserts, or replaces url, description and seen_ms. */
int registry_db_put(struct db_conn *c, const struct registered *r, struct err *err);
int registry_db_delete(struct db_conn *c, const char *urn, struct err *err);
/* Services after this URN; type may be NULL. fn returns false to stop. */
int registry_db_list(struct db_conn *c, const char *type, const char *after, int64_t limit,
                     bool (*fn)(void *ctx, const struct registered *r), void *ctx, struct err *err);

#endif
