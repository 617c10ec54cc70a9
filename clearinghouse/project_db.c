#include "project_db.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS "name, urn, description, created_ms, version"
static const char SQL_GET[] = "SELECT " COLUMNS " FROM projects WHERE name = ?";
static const char SQL_ALL[] =
    "SELECT " COLUMNS " FROM projects WHERE name > ? ORDER BY name LIMIT ?";
static const char SQL_OWN[] =
    "SELECT " COLUMNS " FROM projects WHERE name > ? AND EXISTS (SELECT 1 FROM project_members m"
    " WHERE m.project = projects.name AND m.user_name = ?) ORDER BY name LIMIT ?";
static const char SQL_INSERT[] = "INSERT INTO projects (" COLUMNS ") VALUES (?, ?, ?, ?, ?)";
static const char SQL_UPDATE[] =
    "UPDATE projects SET description = ?, version = version + 1 WHERE name = ?";
static const char SQL_LIVE_SLICES[] =
    "SELECT count(*) AS n FROM slices WHERE project = ? AND state <> 'expired'";
static const char SQL_DELETE[] = "DELETE FROM projects WHERE name = ?";

static void read_row(struct db_stmt *q, struct project *p) {
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", db_text(q, "name"));
    snprintf(p->urn, sizeof p->urn, "%s", db_text(q, "urn"));
    snprintf(p->description, sizeof p->description, "%s", db_text(q, "description"));
    p->created_ms = db_int(q, "created_ms");
    p->version = db_int(q, "version");
}

int project_db_get(struct db_conn *c, const char *name, struct project *ret, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_GET, "s", name);
    int more = q ? db_step(q, err) : -1;
    if (more > 0) read_row(q, ret);
    if (more) return more < 0 ? -1 : 0;
    return err_set(err, ERR_NOT_FOUND, "no project %.63s", name);
}

int project_db_insert(struct db_conn *c, const struct project *p, struct err *err) {
    int rc = db_exec(c, NULL, err, SQL_INSERT, "sssii", p->name, p->urn, p->description,
                     p->created_ms, p->version);
    if (rc != 0 && err && err->code == ERR_CONFLICT)
        err_set(err, ERR_CONFLICT, "the project name %s is taken", p->name);
    return rc;
}

int project_db_update(struct db_conn *c, struct project *p, struct err *err) {
    p->version++;
    return db_exec(c, NULL, err, SQL_UPDATE, "ss", p->description, p->name);
}

static int64_t live_slices(struct db_conn *c, const char *name, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_LIVE_SLICES, "s", name);
    return q && db_step(q, err) > 0 ? db_int(q, "n") : -1;
}

int project_db_delete(struct db_conn *c, const char *name, struct err *err) {
    int64_t live = live_slices(c, name, err);
    if (live < 0) return -1;
    if (live > 0) {
        err_set(err, ERR_CONFLICT, "project %s has %lld slices that have not expired", name,
                (long long)live);
        return err_remedy(err, "Wait until they have expired; a slice can not be cut short.");
    }
    return db_exec(c, NULL, err, SQL_DELETE, "s", name);
}

int project_db_list(struct db_conn *c, const char *user, const char *after, int64_t limit,
                    int (*fn)(void *ctx, struct db_conn *c, const struct project *p,
                              struct err *err),
                    void *ctx, struct err *err) {
    AUTO_STMT struct db_stmt *q = user ? db_query(c, err, SQL_OWN, "ssi", after, user, limit)
                                       : db_query(c, err, SQL_ALL, "si", after, limit);
    int more = q ? 1 : -1;
    while (q && (more = db_step(q, err)) > 0) {
        struct project p;
        read_row(q, &p);
        if ((more = fn(ctx, c, &p, err)) <= 0) break;
    }
    return more < 0 ? -1 : 0;
}
