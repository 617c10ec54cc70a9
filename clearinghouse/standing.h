/*
 * Who is whom, in memory: the role of every user and the serials that were revoked, so that each
 * request is judged without the database. The database is the truth; standing_refresh_user() and
 * standing_refresh_revoked() read it again after each change, before the change is answered. When
 * that reading fails, the user counts as unknown until standing_retry() succeeds.
 */
#ifndef JOGAK_CLEARINGHOUSE_STANDING_H
#define JOGAK_CLEARINGHOUSE_STANDING_H

#include "common/db.h"

#include <pthread.h>
#include <stdatomic.h>

struct standing_user;
struct standing {
    pthread_rwlock_t lock;        /* of the tables */
    pthread_mutex_t refresh;      /* read from the database and put, as one step */
    struct standing_user **users; /* hash table by name */
    size_t user_buckets, user_count;
    char (*revoked)[64]; /* serials, sorted */
    size_t revoked_count;
    atomic_bool stale; /* a reading failed */
};

/* Reads all users and all revoked serials. */
int standing_open(struct standing *s, struct db *db, struct err *err);
void standing_close(struct standing *s);
/* Read one user, or the revoked serials, again. Block on the database. */
int standing_refresh_user(struct standing *s, struct db *db, const char *name, struct err *err);
int standing_refresh_revoked(struct standing *s, struct db *db, struct err *err);

/* Reads everything again if a reading failed since. Called every second. */
int standing_retry(struct standing *s, struct db *db, struct err *err);

/* The user's roles (ROLE_USER, ROLE_OPERATOR); 0 when unknown or disabled. Quick. */
unsigned standing_of_user(struct standing *s, const char *name);
bool standing_is_revoked(struct standing *s, const char *serial);

#endif
