#include "access.h"

#include "house.h"
#include "member_db.h"
#include "common/ids.h"
#include "common/mem.h"
#include "common/route.h"

#include <stdio.h>

static const struct {
    const char *type;
    unsigned roles;
} service_roles[] = {
    { "am", ROLE_AGGREGATE },
    { "ss", ROLE_STORE },
    { "node", ROLE_NODE },
    { "sa", ROLE_CLEARINGHOUSE },
};

unsigned access_roles_of(void *ctx, const struct http_request *req) {
    struct house *h = ctx;
    const struct http_peer *peer = req->peer;
    if (!peer || !peer->urn[0]) return ROLE_ANYONE;
    if (!urn_is(peer->urn, peer->type, h->authority.name)) return ROLE_ANYONE;
    if (standing_is_revoked(&h->standing, peer->serial)) return ROLE_ANYONE;
    if (strcmp(peer->type, "user") == 0)
        return ROLE_ANYONE | standing_of_user(&h->standing, urn_name(peer->urn));
    for (size_t i = 0; i < COUNT_OF(service_roles); i++)
        if (strcmp(peer->type, service_roles[i].type) == 0)
            return ROLE_ANYONE | service_roles[i].roles;
    return ROLE_ANYONE;
}

const char *access_name(const struct http_request *req) { return urn_name(req->peer->urn); }

bool access_is_operator(const struct http_request *req) { return req->roles & ROLE_OPERATOR; }

int access_user(const struct http_request *req, const char *user, struct err *err) {
    if (access_is_operator(req)) return 0;
    if (req->roles & ROLE_USER && strcmp(access_name(req), user) == 0) return 0;
    err_set(err, ERR_FORBIDDEN, "user %.63s is not you", user);
    return err_remedy(err, "Only operators see and change other users.");
}

/* The rank of a role among rights; -1 for none. */
static int rank(const char *role) {
    if (strcmp(role, "operator") == 0 || strcmp(role, "lead") == 0) return ACCESS_LEAD;
    if (strcmp(role, "member") == 0) return ACCESS_USE;
    if (strcmp(role, "auditor") == 0) return ACCESS_SEE;
    return -1;
}

static int judge(const char *role, enum access_right right, const char *kind, const char *shown_as,
                 struct err *err) {
    if (rank(role) < 0) {
        err_set(err, ERR_NOT_FOUND, "no %s %.160s, or you are not a member of it", kind, shown_as);
        return err_remedy(err, "See the list of your %ss, or ask its lead to add you.", kind);
    }
    if (rank(role) >= (int)right) return 0;
    err_set(err, ERR_FORBIDDEN, "you are %s of %s %.160s; this needs %s", role, kind, shown_as,
            right == ACCESS_LEAD ? "its lead" : "a member");
    return err_remedy(err, "Ask a lead of the %s.", kind);
}

static void set_role(char ret_role[16], const char *role) {
    if (ret_role) snprintf(ret_role, 16, "%s", role);
}

int access_project(struct db_conn *c, const struct http_request *req, const char *project,
                   enum access_right right, char ret_role[16], struct err *err) {
    char role[16] = "";
    if (access_is_operator(req))
        snprintf(role, sizeof role, "operator");
    else if (member_db_project_role(c, project, access_name(req), role, err) != 0)
        return -1;
    set_role(ret_role, role);
    return judge(role, right, "project", project, err);
}

/* The better of the role in the slice and what the project's role gives in all its slices. */
static int slice_role(struct db_conn *c, int64_t slice_id, const char *project, const char *user,
                      char ret[16], struct err *err) {
    char in_project[16] = "";
    if (member_db_slice_role(c, slice_id, user, ret, err) != 0 ||
        member_db_project_role(c, project, user, in_project, err) != 0)
        return -1;
    if (strcmp(in_project, "member") != 0 && rank(in_project) > rank(ret))
        snprintf(ret, 16, "%s", in_project);
    return 0;
}

int access_slice(struct db_conn *c, const struct http_request *req, int64_t slice_id,
                 const char *project, const char *shown_as, enum access_right right,
                 char ret_role[16], struct err *err) {
    char role[16] = "";
    if (access_is_operator(req))
        snprintf(role, sizeof role, "operator");
    else if (req->roles & ROLE_AGGREGATE)
        snprintf(role, sizeof role, "auditor");
    else if (slice_role(c, slice_id, project, access_name(req), role, err) != 0)
        return -1;
    set_role(ret_role, role);
    return judge(role, right, "slice", shown_as, err);
}
