/*
 * SQL of the members of projects and slices. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_MEMBER_DB_H
#define JOGAK_CLEARINGHOUSE_MEMBER_DB_H

#include "common/db.h"
#include "common/json.h"

#define MEMBERS_MAX 256 /* of one project or slice */

/* The user's role in it; "" for none. */
int member_db_project_role(struct db_conn *c, const char *project, const char *user, char ret[16],
                           struct err *err);
int member_db_slice_role(struct db_conn *c, int64_t slice_id, const char *user, char ret[16],
                         struct err *err);

/* [{user, urn, role}] in the order of names; the caller owns it. */
json *member_db_of_project(struct db_conn *c, const char *project, struct err *err);
json *member_db_of_slice(struct db_conn *c, int64_t slice_id, struct err *err);

/* Adds a member or changes the role. Errors: ERR_UNPROCESSABLE for no such user, ERR_TOO_LARGE. */
int member_db_project_put(struct db_conn *c, const char *project, const char *user,
                          const char *role, struct err *err);
int member_db_slice_put(struct db_conn *c, int64_t slice_id, const char *user, const char *role,
                        struct err *err);
/* Removes; from a project also from all its slices. Errors: ERR_NOT_FOUND. */
int member_db_project_remove(struct db_conn *c, const char *project, const char *user,
                             struct err *err);
int member_db_slice_remove(struct db_conn *c, int64_t slice_id, const char *user, struct err *err);

#endif
