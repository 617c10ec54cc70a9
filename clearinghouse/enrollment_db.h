/*
 * SQL of one-time tokens; only a hash of each secret is kept. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_ENROLLMENT_DB_H
#define JOGAK_CLEARINGHOUSE_ENROLLMENT_DB_H

#include "common/db.h"
#include "common/ids.h"

#include <stdbool.h>

struct enrollment {
    char selector[32];
    char secret_hash[65];
    char urn[URN_MAX_BYTES];
    int64_t created_ms, expires_ms;
    int64_t wrong;
    int64_t used_ms; /* 0: not used */
    char key_id[65]; /* "" until used */
};

int enrollment_db_insert(struct db_conn *c, const struct enrollment *e, struct err *err);
/* 1: found; 0: there is none; -1. */
int enrollment_db_get(struct db_conn *c, const char *selector, struct enrollment *ret,
                      struct err *err);
int enrollment_db_count_wrong(struct db_conn *c, const char *selector, struct err *err);
int enrollment_db_use(struct db_conn *c, const char *selector, const char *key_id, int64_t now_ms,
                      struct err *err);
/* Is there an unused token for this URN that is good beyond this time? 1, 0, -1. */
int enrollment_db_waiting(struct db_conn *c, const char *urn, int64_t now_ms, struct err *err);
/* Delete all tokens of a URN; delete those that expired before a time. */
int enrollment_db_forget_urn(struct db_conn *c, const char *urn, struct err *err);
int enrollment_db_purge(struct db_conn *c, int64_t before_ms, struct err *err);

#endif
