#include "slice_db.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS \
    "id, uuid, urn, project, name, description, state, creator, created_ms, expires_ms, version"
static const char SQL_BY_UUID[] = "SELECT " COLUMNS " FROM slices WHERE uuid = ?";
static const char SQL_BY_NAME[] =
    "SELECT " COLUMNS " FROM slices WHERE lower(urn) = lower(?)"
    " ORDER BY CASE WHEN state = 'expired' THEN 1 ELSE 0 END, id DESC LIMIT 1";
static const char SQL_INSERT[] =
    "INSERT INTO slices (uuid, urn, project, name, description, state, creator, created_ms,"
    " expires_ms, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_UPDATE[] = "UPDATE slices SET description = ?, state = ?, expires_ms = ?,"
                                 " version = version + 1 WHERE id = ?";
static const char SQL_LIST[] =
    "SELECT " COLUMNS " FROM slices WHERE id > ?"
    " AND (? IS NULL OR project = ?) AND (? IS NULL OR state = ?)"
    " AND (? IS NULL OR EXISTS (SELECT 1 FROM slice_members m WHERE m.slice_id = slices.id"
    " AND m.user_name = ?) OR EXISTS (SELECT 1 FROM project_members p WHERE"
    " p.project = slices.project AND p.user_name = ? AND p.role IN ('lead', 'auditor')))"
    " ORDER BY id LIMIT ?";
static const char SQL_DUE[] = "SELECT " COLUMNS " FROM slices"
                              " WHERE state <> 'expired' AND expires_ms <= ? ORDER BY id LIMIT 1";
static const char SQL_NEXT[] =
    "SELECT min(expires_ms) AS next_ms FROM slices WHERE state <> 'expired'";

static void read_row(struct db_stmt *q, struct slice *s) {
    memset(s, 0, sizeof *s);
    s->id = db_int(q, "id");
    snprintf(s->uuid, sizeof s->uuid, "%s", db_text(q, "uuid"));
    snprintf(s->urn, sizeof s->urn, "%s", db_text(q, "urn"));
    snprintf(s->project, sizeof s->project, "%s", db_text(q, "project"));
    snprintf(s->name, sizeof s->name, "%s", db_text(q, "name"));
    snprintf(s->description, sizeof s->description, "%s", db_text(q, "description"));
    s->state = slice_state_from(db_text(q, "state"));
    snprintf(s->creator, sizeof s->creator, "%s", db_text(q, "creator"));
    s->created_ms = db_int(q, "created_ms");
    s->expires_ms = db_int(q, "expires_ms");
    s->version = db_int(q, "version");
}

/* Takes the query; its first row goes to ret. 1, 0 for none, -1. */
static int take_one(struct db_stmt *query, struct slice *ret, struct err *err) {
    AUTO_STMT struct db_stmt *q = query;
    int more = q ? db_step(q, err) : -1;
    if (more > 0) read_row(q, ret);
    return more;
}

static int find_by_name(struct db_conn *c, const char *authority, const char *key,
                        struct slice *ret, struct err *err) {
    const char *colon = strchr(key, ':');
    char project[64], in[160], urn[URN_MAX_BYTES];
    if (!colon || (size_t)(colon - key) >= sizeof project || !name_valid_slice(colon + 1)) return 0;
    snprintf(project, sizeof project, "%.*s", (int)(colon - key), key);
    if (!name_valid(project)) return 0;
    snprintf(in, sizeof in, "%s:%s", authority, project);
    return take_one(db_query(c, err, SQL_BY_NAME, "s", urn_text(urn, in, "slice", colon + 1)), ret,
                    err);
}

int slice_db_find(struct db_conn *c, const char *authority, const char *key, struct slice *ret,
                  struct err *err) {
    int found = uuid_valid(key) ? take_one(db_query(c, err, SQL_BY_UUID, "s", key), ret, err)
                                : find_by_name(c, authority, key, ret, err);
    if (found) return found < 0 ? -1 : 0;
    err_set(err, ERR_NOT_FOUND, "no slice %.160s, or you are not a member of it", key);
    return err_remedy(err, "Name a slice by its uuid or as project:name; see the list of your "
                           "slices, or ask its lead to add you.");
}

int slice_db_insert(struct db_conn *c, struct slice *s, struct err *err) {
    int rc = db_exec(c, NULL, err, SQL_INSERT, "sssssssiii", s->uuid, s->urn, s->project, s->name,
                     s->description, slice_state_name(s->state), s->creator, s->created_ms,
                     s->expires_ms, s->version);
    if (rc == 0) s->id = db_last_rowid(c);
    if (rc == 0 || !err || err->code != ERR_CONFLICT) return rc;
    err_set(err, ERR_CONFLICT, "project %s has a slice %s already", s->project, s->name);
    return err_remedy(err, "Choose another name, or use that slice; a name is free again when its "
                           "slice has expired.");
}

int slice_db_update(struct db_conn *c, struct slice *s, struct err *err) {
    s->version++;
    return db_exec(c, NULL, err, SQL_UPDATE, "ssii", s->description, slice_state_name(s->state),
                   s->expires_ms, s->id);
}

int slice_db_list(struct db_conn *c, const struct slice_filter *f, slice_fn fn, void *ctx,
                  struct err *err) {
    AUTO_STMT struct db_stmt *q =
        db_query(c, err, SQL_LIST, "isssssssi", f->after, f->project, f->project, f->state,
                 f->state, f->user, f->user, f->user, f->limit);
    int more = q ? 1 : -1;
    while (q && (more = db_step(q, err)) > 0) {
        struct slice s;
        read_row(q, &s);
        if ((more = fn(ctx, c, &s, err)) <= 0) break;
    }
    return more < 0 ? -1 : 0;
}

int slice_db_due(struct db_conn *c, int64_t now_ms, struct slice *ret, struct err *err) {
    return take_one(db_query(c, err, SQL_DUE, "i", now_ms), ret, err);
}

int slice_db_next_expiry(struct db_conn *c, int64_t *ret_ms, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_NEXT, "");
    if (!q || db_step(q, err) <= 0) return -1;
    *ret_ms = db_null(q, "next_ms") ? INT64_MAX : db_int(q, "next_ms");
    return 0;
}
