#include "user_db.h"

#include <stdio.h>

#define COLUMNS "name, urn, email, role, ssh_keys, disabled, created_ms, version"
static const char SQL_GET[] = "SELECT " COLUMNS " FROM users WHERE name = ?";
static const char SQL_LIST[] = "SELECT " COLUMNS " FROM users WHERE name > ? ORDER BY name LIMIT ?";
static const char SQL_INSERT[] = "INSERT INTO users (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_UPDATE[] =
    "UPDATE users SET email = ?, role = ?, ssh_keys = ?, disabled = ?, version = version + 1"
    " WHERE name = ?";
static const char SQL_DELETE[] = "DELETE FROM users WHERE name = ?";
static const char SQL_OPERATORS[] = "SELECT count(*) AS n FROM users"
                                    " WHERE role = 'operator' AND disabled = 0 AND name <> ?";

void user_done(struct user *u) {
    json_put(u->ssh_keys);
    u->ssh_keys = NULL;
}

static int read_row(struct db_stmt *q, struct user *u, struct err *err) {
    memset(u, 0, sizeof *u);
    const char *email = db_text(q, "email"), *keys = db_text(q, "ssh_keys");
    snprintf(u->name, sizeof u->name, "%s", db_text(q, "name"));
    snprintf(u->urn, sizeof u->urn, "%s", db_text(q, "urn"));
    snprintf(u->email, sizeof u->email, "%s", email ? email : "");
    snprintf(u->role, sizeof u->role, "%s", db_text(q, "role"));
    u->disabled = db_int(q, "disabled") != 0;
    u->created_ms = db_int(q, "created_ms");
    u->version = db_int(q, "version");
    u->ssh_keys = json_parse(keys, strlen(keys), err);
    return u->ssh_keys ? 0 : err_wrap(err, "ssh keys of user %s", u->name);
}

int user_db_get(struct db_conn *c, const char *name, struct user *ret, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_GET, "s", name);
    int more = q ? db_step(q, err) : -1;
    if (more < 0) return -1;
    return more ? read_row(q, ret, err) : err_set(err, ERR_NOT_FOUND, "no user %.63s", name);
}

int user_db_insert(struct db_conn *c, const struct user *u, struct err *err) {
    AUTO_FREE char *keys = json_text(u->ssh_keys);
    const char *email = u->email[0] ? u->email : NULL;
    int rc = db_exec(c, NULL, err, SQL_INSERT, "sssssiii", u->name, u->urn, email, u->role, keys,
                     (int64_t)u->disabled, u->created_ms, u->version);
    if (rc != 0 && err && err->code == ERR_CONFLICT)
        err_set(err, ERR_CONFLICT, "the user name %s is taken", u->name);
    return rc;
}

int user_db_update(struct db_conn *c, struct user *u, struct err *err) {
    AUTO_FREE char *keys = json_text(u->ssh_keys);
    const char *email = u->email[0] ? u->email : NULL;
    u->version++;
    return db_exec(c, NULL, err, SQL_UPDATE, "sssis", email, u->role, keys, (int64_t)u->disabled,
                   u->name);
}

int user_db_delete(struct db_conn *c, const char *name, struct err *err) {
    return db_exec(c, NULL, err, SQL_DELETE, "s", name);
}

int64_t user_db_other_operators(struct db_conn *c, const char *name, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_OPERATORS, "s", name);
    return q && db_step(q, err) > 0 ? db_int(q, "n") : -1;
}

int user_db_list(struct db_conn *c, const char *after, int64_t limit,
                 bool (*fn)(void *ctx, const struct user *u), void *ctx, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_LIST, "si", after, limit);
    int more = q ? 1 : -1;
    while (q && (more = db_step(q, err)) > 0) {
        AUTO_USER struct user u;
        if (read_row(q, &u, err) != 0) return -1;
        if (!fn(ctx, &u)) return 0;
    }
    return more;
}
