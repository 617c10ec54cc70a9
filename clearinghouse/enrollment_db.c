#include "enrollment_db.h"

#include <stdio.h>
#include <string.h>

static const char SQL_INSERT[] =
    "INSERT INTO enrollments (selector, secret_hash, urn, created_ms, expires_ms, wrong)"
    " VALUES (?, ?, ?, ?, ?, 0)";
static const char SQL_GET[] =
    "SELECT selector, secret_hash, urn, created_ms, expires_ms, wrong, used_ms, key_id"
    " FROM enrollments WHERE selector = ?";
static const char SQL_WRONG[] = "UPDATE enrollments SET wrong = wrong + 1 WHERE selector = ?";
static const char SQL_USE[] =
    "UPDATE enrollments SET used_ms = ?, key_id = ? WHERE selector = ? AND used_ms IS NULL";
static const char SQL_WAITING[] = "SELECT count(*) AS n FROM enrollments"
                                  " WHERE urn = ? AND used_ms IS NULL AND expires_ms > ?";
static const char SQL_FORGET[] = "DELETE FROM enrollments WHERE urn = ?";
static const char SQL_PURGE[] = "DELETE FROM enrollments WHERE expires_ms < ?";

int enrollment_db_insert(struct db_conn *c, const struct enrollment *e, struct err *err) {
    return db_exec(c, NULL, err, SQL_INSERT, "sssii", e->selector, e->secret_hash, e->urn,
                   e->created_ms, e->expires_ms);
}

static void read_row(struct db_stmt *q, struct enrollment *e) {
    memset(e, 0, sizeof *e);
    const char *key_id = db_text(q, "key_id");
    snprintf(e->selector, sizeof e->selector, "%s", db_text(q, "selector"));
    snprintf(e->secret_hash, sizeof e->secret_hash, "%s", db_text(q, "secret_hash"));
    snprintf(e->urn, sizeof e->urn, "%s", db_text(q, "urn"));
    snprintf(e->key_id, sizeof e->key_id, "%s", key_id ? key_id : "");
    e->created_ms = db_int(q, "created_ms");
    e->expires_ms = db_int(q, "expires_ms");
    e->wrong = db_int(q, "wrong");
    e->used_ms = db_null(q, "used_ms") ? 0 : db_int(q, "used_ms");
}

int enrollment_db_get(struct db_conn *c, const char *selector, struct enrollment *ret,
                      struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_GET, "s", selector);
    int more = q ? db_step(q, err) : -1;
    if (more > 0) read_row(q, ret);
    return more;
}

int enrollment_db_count_wrong(struct db_conn *c, const char *selector, struct err *err) {
    return db_exec(c, NULL, err, SQL_WRONG, "s", selector);
}

int enrollment_db_use(struct db_conn *c, const char *selector, const char *key_id, int64_t now_ms,
                      struct err *err) {
    return db_exec(c, NULL, err, SQL_USE, "iss", now_ms, key_id, selector);
}

int enrollment_db_waiting(struct db_conn *c, const char *urn, int64_t now_ms, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_WAITING, "si", urn, now_ms);
    if (!q || db_step(q, err) <= 0) return -1;
    return db_int(q, "n") > 0;
}

int enrollment_db_forget_urn(struct db_conn *c, const char *urn, struct err *err) {
    return db_exec(c, NULL, err, SQL_FORGET, "s", urn);
}

int enrollment_db_purge(struct db_conn *c, int64_t before_ms, struct err *err) {
    return db_exec(c, NULL, err, SQL_PURGE, "i", before_ms);
}
