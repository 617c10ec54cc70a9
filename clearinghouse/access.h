/*
 * Who may do what to which thing: the one place of object-level decisions.
 *
 * The route table has already decided by role (routes.c); here it is about one user, project or
 * slice. What a caller may not even see is "not found", so that names can not be probed; what is
 * seen but not allowed is "forbidden". A project's leads are leads of all its slices, its auditors
 * auditors; operators may do all, aggregates may look at slices.
 */
#ifndef JOGAK_CLEARINGHOUSE_ACCESS_H
#define JOGAK_CLEARINGHOUSE_ACCESS_H

#include "common/db.h"
#include "common/http.h"

struct house;

/* Roles of the caller for the route table; ctx is the house. */
unsigned access_roles_of(void *ctx, const struct http_request *req);

/* The caller's own name ("kim"), borrowed from the request. */
const char *access_name(const struct http_request *req);
bool access_is_operator(const struct http_request *req);

/* May the caller see or change this user's own things? Operators and the user. ERR_FORBIDDEN. */
int access_user(const struct http_request *req, const char *user, struct err *err);

/* What is asked of a project or slice, from the least to the most. */
enum access_right {
    ACCESS_SEE,  /* any role in it */
    ACCESS_USE,  /* member or lead: make slices, renew a slice */
    ACCESS_LEAD, /* lead: change it, its members; shut a slice down */
};
/* Inside a database function. ret_role (may be NULL) gets "operator", "lead", "member" or
 * "auditor". Errors: ERR_NOT_FOUND, ERR_FORBIDDEN. */
int access_project(struct db_conn *c, const struct http_request *req, const char *project,
                   enum access_right right, char ret_role[16], struct err *err);
int access_slice(struct db_conn *c, const struct http_request *req, int64_t slice_id,
                 const char *project, const char *shown_as, enum access_right right,
                 char ret_role[16], struct err *err);

#endif
