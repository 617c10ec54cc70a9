#include "registry_db.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS "urn, type, name, url, description, created_ms, seen_ms, version"
static const char SQL_GET[] = "SELECT " COLUMNS " FROM services WHERE urn = ?";
static const char SQL_INSERT[] =
    "INSERT INTO services (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, NULL, 1)";
static const char SQL_PUT[] =
    "INSERT INTO services (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, 1)"
    " ON CONFLICT (urn) DO UPDATE SET url = excluded.url, description = excluded.description,"
    " seen_ms = excluded.seen_ms, version = services.version + 1";
static const char SQL_DELETE[] = "DELETE FROM services WHERE urn = ?";
static const char SQL_LIST[] = "SELECT " COLUMNS " FROM services WHERE urn > ?"
                               " AND (? IS NULL OR type = ?) ORDER BY urn LIMIT ?";

static void read_row(struct db_stmt *q, struct registered *r) {
    memset(r, 0, sizeof *r);
    snprintf(r->urn, sizeof r->urn, "%s", db_text(q, "urn"));
    snprintf(r->type, sizeof r->type, "%s", db_text(q, "type"));
    snprintf(r->name, sizeof r->name, "%s", db_text(q, "name"));
    snprintf(r->url, sizeof r->url, "%s", db_text(q, "url"));
    snprintf(r->description, sizeof r->description, "%s", db_text(q, "description"));
    r->created_ms = db_int(q, "created_ms");
    r->seen_ms = db_null(q, "seen_ms") ? 0 : db_int(q, "seen_ms");
    r->version = db_int(q, "version");
}

int registry_db_get(struct db_conn *c, const char *urn, struct registered *ret, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_GET, "s", urn);
    int more = q ? db_step(q, err) : -1;
    if (more > 0) read_row(q, ret);
    if (more) return more < 0 ? -1 : 0;
    return err_set(err, ERR_NOT_FOUND, "no service %s is registered", urn);
}

int registry_db_insert(struct db_conn *c, const struct registered *r, struct err *err) {
    int rc = db_exec(c, NULL, err, SQL_INSERT, "sssssi", r->urn, r->type, r->name, r->url,
                     r->description, r->created_ms);
    if (rc != 0 && err && err->code == ERR_CONFLICT)
        err_set(err, ERR_CONFLICT, "%s is registered already", r->urn);
    return rc;
}

int registry_db_put(struct db_conn *c, const struct registered *r, struct err *err) {
    return db_exec(c, NULL, err, SQL_PUT, "sssssii", r->urn, r->type, r->name, r->url,
                   r->description, r->created_ms, r->seen_ms);
}

int registry_db_delete(struct db_conn *c, const char *urn, struct err *err) {
    int changes = 0;
    if (db_exec(c, &changes, err, SQL_DELETE, "s", urn) != 0) return -1;
    return changes ? 0 : err_set(err, ERR_NOT_FOUND, "no service %s is registered", urn);
}

int registry_db_list(struct db_conn *c, const char *type, const char *after, int64_t limit,
                     bool (*fn)(void *ctx, const struct registered *r), void *ctx,
                     struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_LIST, "sssi", after, type, type, limit);
    int more = q ? 1 : -1;
    while (q && (more = db_step(q, err)) > 0) {
        struct registered r;
        read_row(q, &r);
        if (!fn(ctx, &r)) return 0;
    }
    return more;
}
