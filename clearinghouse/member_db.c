#include "member_db.h"

#include <stdio.h>

static const char SQL_PROJECT_ROLE[] =
    "SELECT role FROM project_members WHERE project = ? AND user_name = ?";
static const char SQL_SLICE_ROLE[] =
    "SELECT role FROM slice_members WHERE slice_id = ? AND user_name = ?";
static const char SQL_OF_PROJECT[] =
    "SELECT m.user_name AS user_name, u.urn AS urn, m.role AS role FROM project_members m"
    " JOIN users u ON u.name = m.user_name WHERE m.project = ? ORDER BY m.user_name";
static const char SQL_OF_SLICE[] =
    "SELECT m.user_name AS user_name, u.urn AS urn, m.role AS role FROM slice_members m"
    " JOIN users u ON u.name = m.user_name WHERE m.slice_id = ? ORDER BY m.user_name";
static const char SQL_USER_EXISTS[] = "SELECT 1 AS one FROM users WHERE name = ?";
static const char SQL_PROJECT_COUNT[] =
    "SELECT count(*) AS n FROM project_members WHERE project = ? AND user_name <> ?";
static const char SQL_SLICE_COUNT[] =
    "SELECT count(*) AS n FROM slice_members WHERE slice_id = ? AND user_name <> ?";
static const char SQL_PROJECT_PUT[] =
    "INSERT INTO project_members (project, user_name, role) VALUES (?, ?, ?)"
    " ON CONFLICT (project, user_name) DO UPDATE SET role = excluded.role";
static const char SQL_SLICE_PUT[] =
    "INSERT INTO slice_members (slice_id, user_name, role) VALUES (?, ?, ?)"
    " ON CONFLICT (slice_id, user_name) DO UPDATE SET role = excluded.role";
static const char SQL_PROJECT_REMOVE[] =
    "DELETE FROM project_members WHERE project = ? AND user_name = ?";
static const char SQL_SLICE_REMOVE[] =
    "DELETE FROM slice_members WHERE slice_id = ? AND user_name = ?";
static const char SQL_SLICES_REMOVE[] =
    "DELETE FROM slice_members WHERE user_name = ?"
    " AND slice_id IN (SELECT id FROM slices WHERE project = ?)";

/* Takes the query; its one row's role goes to ret. */
static int take_role(struct db_stmt *query, char ret[16], struct err *err) {
    AUTO_STMT struct db_stmt *q = query;
    ret[0] = '\0';
    int more = q ? db_step(q, err) : -1;
    if (more > 0) snprintf(ret, 16, "%s", db_text(q, "role"));
    return more < 0 ? -1 : 0;
}

int member_db_project_role(struct db_conn *c, const char *project, const char *user, char ret[16],
                           struct err *err) {
    return take_role(db_query(c, err, SQL_PROJECT_ROLE, "ss", project, user), ret, err);
}

int member_db_slice_role(struct db_conn *c, int64_t slice_id, const char *user, char ret[16],
                         struct err *err) {
    return take_role(db_query(c, err, SQL_SLICE_ROLE, "is", slice_id, user), ret, err);
}

/* Takes the query; its rows become an array. */
static json *take_members(struct db_stmt *query, struct err *err) {
    AUTO_STMT struct db_stmt *q = query;
    AUTO_JSON json *members = json_array();
    int more = q ? 1 : -1;
    while (q && (more = db_step(q, err)) > 0) {
        json *m = json_object();
        json_set_str(m, "user", db_text(q, "user_name"));
        json_set_str(m, "urn", db_text(q, "urn"));
        json_set_str(m, "role", db_text(q, "role"));
        json_add(members, m);
    }
    return more < 0 ? NULL : STEAL(members);
}

json *member_db_of_project(struct db_conn *c, const char *project, struct err *err) {
    return take_members(db_query(c, err, SQL_OF_PROJECT, "s", project), err);
}

json *member_db_of_slice(struct db_conn *c, int64_t slice_id, struct err *err) {
    return take_members(db_query(c, err, SQL_OF_SLICE, "i", slice_id), err);
}

static int check_user(struct db_conn *c, const char *user, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_USER_EXISTS, "s", user);
    int more = q ? db_step(q, err) : -1;
    if (more) return more < 0 ? -1 : 0;
    err_set(err, ERR_UNPROCESSABLE, "no user %.63s", user);
    return err_remedy(err, "Check the name; an operator makes new users.");
}

/* Takes the query that counts the other members. */
static int check_count(struct db_stmt *query, struct err *err) {
    AUTO_STMT struct db_stmt *q = query;
    if (!q || db_step(q, err) <= 0) return -1;
    if (db_int(q, "n") < MEMBERS_MAX) return 0;
    return err_set(err, ERR_TOO_LARGE, "it has %d members already, the most there may be",
                   MEMBERS_MAX);
}

int member_db_project_put(struct db_conn *c, const char *project, const char *user,
                          const char *role, struct err *err) {
    if (check_user(c, user, err) != 0 ||
        check_count(db_query(c, err, SQL_PROJECT_COUNT, "ss", project, user), err) != 0)
        return -1;
    return db_exec(c, NULL, err, SQL_PROJECT_PUT, "sss", project, user, role);
}

int member_db_slice_put(struct db_conn *c, int64_t slice_id, const char *user, const char *role,
                        struct err *err) {
    if (check_user(c, user, err) != 0 ||
        check_count(db_query(c, err, SQL_SLICE_COUNT, "is", slice_id, user), err) != 0)
        return -1;
    return db_exec(c, NULL, err, SQL_SLICE_PUT, "iss", slice_id, user, role);
}

static int removed(int changes, const char *user, struct err *err) {
    return changes ? 0 : err_set(err, ERR_NOT_FOUND, "user %.63s is not a member of it", user);
}

int member_db_project_remove(struct db_conn *c, const char *project, const char *user,
                             struct err *err) {
    int changes = 0;
    if (db_exec(c, &changes, err, SQL_PROJECT_REMOVE, "ss", project, user) != 0 ||
        removed(changes, user, err) != 0)
        return -1;
    return db_exec(c, NULL, err, SQL_SLICES_REMOVE, "ss", user, project);
}

int member_db_slice_remove(struct db_conn *c, int64_t slice_id, const char *user, struct err *err) {
    int changes = 0;
    if (db_exec(c, &changes, err, SQL_SLICE_REMOVE, "is", slice_id, user) != 0) return -1;
    return removed(changes, user, err);
}
