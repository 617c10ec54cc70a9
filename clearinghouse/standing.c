#include "standing.h"

#include "common/mem.h"
#include "common/route.h"

#include <stdio.h>

static const char SQL_USERS[] = "SELECT name, role, disabled FROM users";
static const char SQL_USER[] = "SELECT name, role, disabled FROM users WHERE name = ?";
static const char SQL_REVOKED[] =
    "SELECT serial FROM certificates WHERE revoked_ms IS NOT NULL ORDER BY serial";

struct standing_user {
    struct standing_user *next;
    unsigned roles;
    char name[64];
};

static size_t hash(const char *name) {
    size_t h = 14695981039346656037u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

static struct standing_user **place_of(struct standing *s, const char *name) {
    struct standing_user **p = &s->users[hash(name) & (s->user_buckets - 1)];
    while (*p && strcmp((*p)->name, name) != 0) p = &(*p)->next;
    return p;
}

static void grow(struct standing *s) {
    struct standing_user **old = s->users;
    size_t buckets = s->user_buckets;
    s->user_buckets = buckets ? buckets * 2 : 64;
    s->users = xcalloc(s->user_buckets, sizeof *s->users);
    for (size_t i = 0; i < buckets; i++)
        for (struct standing_user *u = old[i], *next; u; u = next) {
            next = u->next;
            struct standing_user **p = place_of(s, u->name);
            u->next = NULL;
            *p = u;
        }
    free(old);
}

/* roles 0 forgets the user. */
static void put(struct standing *s, const char *name, unsigned roles) {
    struct standing_user **p = place_of(s, name);
    if (*p && !roles) {
        struct standing_user *gone = *p;
        *p = gone->next;
        free(gone);
        s->user_count--;
    } else if (*p) {
        (*p)->roles = roles;
    } else if (roles) {
        *p = xcalloc(1, sizeof **p);
        (*p)->roles = roles;
        snprintf((*p)->name, sizeof(*p)->name, "%s", name);
        if (++s->user_count > s->user_buckets) grow(s);
    }
}

static unsigned roles_in(struct db_stmt *row) {
    if (db_int(row, "disabled")) return 0;
    bool is_operator = strcmp(db_text(row, "role"), "operator") == 0;
    return is_operator ? ROLE_USER | ROLE_OPERATOR : ROLE_USER;
}

struct reading {
    struct standing *s;
    const char *name;
    unsigned roles;
    char (*serials)[64];
    size_t count, room;
};

static int read_users(struct db_conn *c, void *arg, struct err *err) {
    struct reading *r = arg;
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_USERS, "");
    if (!q) return -1;
    int more;
    while ((more = db_step(q, err)) > 0) put(r->s, db_text(q, "name"), roles_in(q));
    return more;
}

static int read_user(struct db_conn *c, void *arg, struct err *err) {
    struct reading *r = arg;
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_USER, "s", r->name);
    if (!q) return -1;
    int more = db_step(q, err);
    if (more > 0) r->roles = roles_in(q);
    return more < 0 ? -1 : 0;
}

static int read_revoked(struct db_conn *c, void *arg, struct err *err) {
    struct reading *r = arg;
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_REVOKED, "");
    if (!q) return -1;
    int more;
    while ((more = db_step(q, err)) > 0) {
        if (r->count == r->room) {
            r->room = r->room ? r->room * 2 : 16;
            r->serials = xrealloc_array(r->serials, r->room, sizeof *r->serials);
        }
        snprintf(r->serials[r->count++], sizeof *r->serials, "%s", db_text(q, "serial"));
    }
    return more;
}

int standing_refresh_user(struct standing *s, struct db *db, const char *name, struct err *err) {
    WITH_LOCK(&s->refresh);
    struct reading r = { .s = s, .name = name };
    int rc = db_read(db, read_user, &r, err);
    pthread_rwlock_wrlock(&s->lock);
    put(s, name, rc == 0 ? r.roles : 0);
    pthread_rwlock_unlock(&s->lock);
    if (rc != 0) atomic_store(&s->stale, true);
    return rc;
}

int standing_refresh_revoked(struct standing *s, struct db *db, struct err *err) {
    WITH_LOCK(&s->refresh);
    struct reading r = { .s = s };
    if (db_read(db, read_revoked, &r, err) != 0) {
        free(r.serials);
        atomic_store(&s->stale, true);
        return -1;
    }
    pthread_rwlock_wrlock(&s->lock);
    free(s->revoked);
    s->revoked = r.serials;
    s->revoked_count = r.count;
    pthread_rwlock_unlock(&s->lock);
    return 0;
}

/* Users that are gone from the database were dropped when their own reading failed. */
static int reread_users(struct standing *s, struct db *db, struct err *err) {
    WITH_LOCK(&s->refresh);
    struct reading r = { .s = s };
    pthread_rwlock_wrlock(&s->lock);
    int rc = db_read(db, read_users, &r, err);
    pthread_rwlock_unlock(&s->lock);
    return rc;
}

int standing_retry(struct standing *s, struct db *db, struct err *err) {
    if (!atomic_exchange(&s->stale, false)) return 0;
    if (reread_users(s, db, err) == 0 && standing_refresh_revoked(s, db, err) == 0) return 0;
    atomic_store(&s->stale, true);
    return -1;
}

int standing_open(struct standing *s, struct db *db, struct err *err) {
    memset(s, 0, sizeof *s);
    pthread_rwlock_init(&s->lock, NULL);
    pthread_mutex_init(&s->refresh, NULL);
    grow(s);
    struct reading r = { .s = s };
    if (db_read(db, read_users, &r, err) == 0 && standing_refresh_revoked(s, db, err) == 0)
        return 0;
    standing_close(s);
    return -1;
}

void standing_close(struct standing *s) {
    for (size_t i = 0; i < s->user_buckets; i++)
        for (struct standing_user *u = s->users[i], *next; u; u = next) {
            next = u->next;
            free(u);
        }
    free(s->users);
    free(s->revoked);
    if (s->user_buckets) {
        pthread_rwlock_destroy(&s->lock);
        pthread_mutex_destroy(&s->refresh);
    }
    memset(s, 0, sizeof *s);
}

unsigned standing_of_user(struct standing *s, const char *name) {
    pthread_rwlock_rdlock(&s->lock);
    const struct standing_user *u = *place_of(s, name);
    unsigned roles = u ? u->roles : 0;
    pthread_rwlock_unlock(&s->lock);
    return roles;
}

static int compare(const void *a, const void *b) { return strcmp(a, b); }

bool standing_is_revoked(struct standing *s, const char *serial) {
    pthread_rwlock_rdlock(&s->lock);
    bool found = s->revoked_count &&
                 bsearch(serial, s->revoked, s->revoked_count, sizeof *s->revoked, compare);
    pthread_rwlock_unlock(&s->lock);
    return found;
}
