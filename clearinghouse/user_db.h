/*
 * SQL of users. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_USER_DB_H
#define JOGAK_CLEARINGHOUSE_USER_DB_H

#include "common/db.h"
#include "common/ids.h"
#include "common/json.h"

struct user {
    char name[64];
    char urn[URN_MAX_BYTES];
    char email[256]; /* "" for none */
    char role[16];   /* "user" or "operator" */
    json *ssh_keys;  /* array */
    bool disabled;
    int64_t created_ms, version;
};
void user_done(struct user *u);
#define AUTO_USER CLEANUP(user_done)

/* Fills ret (empty before). Errors: ERR_NOT_FOUND. */
int user_db_get(struct db_conn *c, const char *name, struct user *ret, struct err *err);
/* Errors: ERR_CONFLICT when the name is taken (also in other letters' case). */
int user_db_insert(struct db_conn *c, const struct user *u, struct err *err);
/* Stores everything but name, URN and creation, under the next version (u->version grows). */
int user_db_update(struct db_conn *c, struct user *u, struct err *err);
/* With its memberships. */
int user_db_delete(struct db_conn *c, const char *name, struct err *err);
/* How many operators are there that are not disabled and not `name`? -1 on error. */
int64_t user_db_other_operators(struct db_conn *c, const char *name, struct err *err);
/* Users after this name, at most limit: fn gets each and returns false to stop. */
int user_db_list(struct db_conn *c, const char *after, int64_t limit,
                 bool (*fn)(void *ctx, const struct user *u), void *ctx, struct err *err);

#endif
