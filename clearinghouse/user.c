#include "user.h"

#include "access.h"
#include "answer.h"
#include "certificate_db.h"
#include "enrollment_db.h"
#include "house.h"
#include "user_db.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("ch.user");

struct user_call {
    const struct http_request *req;
    const char *name;
    struct user user;
};

static json *user_json(const struct user *u) {
    json *j = json_object();
    json_set_str(j, "name", u->name);
    json_set_str(j, "urn", u->urn);
    if (u->email[0]) json_set_str(j, "email", u->email);
    json_set_str(j, "role", u->role);
    json_set(j, "ssh_keys", json_ref(u->ssh_keys));
    answer_set_time(j, "created", u->created_ms);
    return json_set_bool(j, "disabled", u->disabled);
}

static const char *named(const struct http_request *req) {
    const char *name = req->params[0];
    return strcmp(name, "self") == 0 ? access_name(req) : name;
}

/* The members of `body` that may be set at any time. */
static void take_fields(struct user *u, const json *body) {
    const char *email = json_get_str(body, "email"), *role = json_get_str(body, "role");
    if (email) snprintf(u->email, sizeof u->email, "%s", email);
    if (role) snprintf(u->role, sizeof u->role, "%s", role);
    if (json_has(body, "ssh_keys")) {
        json_put(u->ssh_keys);
        u->ssh_keys = json_copy(json_get(body, "ssh_keys"));
    }
    u->disabled = json_get_bool(body, "disabled", u->disabled);
}

static int insert(struct db_conn *c, void *arg, struct err *err) {
    return user_db_insert(c, arg, err);
}

int user_post(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct house *h = ctx;
    const char *name = json_get_str(req->body, "name");
    if (!name_valid(name) || strcmp(name, "self") == 0)
        return err_set(err, ERR_UNPROCESSABLE, "\"%.63s\" can not be a user's name", name);
    AUTO_USER struct user u = { .role = "user", .created_ms = clock_wall_ms(), .version = 1 };
    u.ssh_keys = json_array();
    snprintf(u.name, sizeof u.name, "%s", name);
    urn_text(u.urn, h->authority.name, "user", name);
    take_fields(&u, req->body);
    if (db_write(h->db, insert, &u, err) != 0 ||
        standing_refresh_user(&h->standing, h->db, name, err) != 0)
        return -1;
    log_info("user made", "user=%s role=%s by=%s", u.name, u.role, access_name(req));
    snprintf(reply->location, sizeof reply->location, "/v1/users/%s", u.name);
    return answer_with(reply, 201, user_json(&u), u.version);
}

static bool add_to_page(void *ctx, const struct user *u) {
    return page_add(ctx, user_json(u), u->name);
}

static int list(struct db_conn *c, void *arg, struct err *err) {
    struct page *p = arg;
    return user_db_list(c, p->after, p->limit + 1, add_to_page, p, err);
}

int user_list(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct house *h = ctx;
    AUTO_PAGE struct page page;
    if (page_begin(req, &page, err) != 0 || db_read(h->db, list, &page, err) != 0) return -1;
    return page_end(&page, reply);
}

static int get(struct db_conn *c, void *arg, struct err *err) {
    struct user_call *call = arg;
    return user_db_get(c, call->name, &call->user, err);
}

int user_get(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err) {
    struct house *h = ctx;
    struct user_call call = { .name = named(req) };
    if (access_user(req, call.name, err) != 0 || db_read(h->db, get, &call, err) != 0) return -1;
    AUTO_USER struct user u = call.user;
    return answer_with(reply, 200, user_json(&u), u.version);
}

/* Somebody must be left who can do everything. */
static int check_operator_left(struct db_conn *c, const struct user *before, bool stays,
                               struct err *err) {
    bool was = strcmp(before->role, "operator") == 0 && !before->disabled;
    if (!was || stays) return 0;
    int64_t others = user_db_other_operators(c, before->name, err);
    if (others != 0) return others < 0 ? -1 : 0;
    err_set(err, ERR_CONFLICT, "%s is the last operator", before->name);
    return err_remedy(err, "Make another user an operator first.");
}

static int patch(struct db_conn *c, void *arg, struct err *err) {
    struct user_call *call = arg;
    struct user *u = &call->user;
    if (user_db_get(c, call->name, u, err) != 0 ||
        answer_check_match(call->req, u->version, err) != 0)
        return -1;
    struct user before = *u;
    take_fields(u, call->req->body);
    bool stays = strcmp(u->role, "operator") == 0 && !u->disabled;
    if (check_operator_left(c, &before, stays, err) != 0) return -1;
    return user_db_update(c, u, err);
}

int user_patch(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct house *h = ctx;
    struct user_call call = { .req = req, .name = named(req) };
    if (access_user(req, call.name, err) != 0) return -1;
    bool privileged = json_has(req->body, "role") || json_has(req->body, "disabled");
    if (privileged && !access_is_operator(req))
        return err_set(err, ERR_FORBIDDEN, "only operators change a user's role or disable one");
    int rc = db_write(h->db, patch, &call, err);
    AUTO_USER struct user u = call.user;
    if (rc != 0 || standing_refresh_user(&h->standing, h->db, call.name, err) != 0) return -1;
    log_info("user changed", "user=%s role=%s disabled=%d by=%s", u.name, u.role, u.disabled,
             access_name(req));
    return answer_with(reply, 200, user_json(&u), u.version);
}

/* A later user of the same name must not inherit keys: certificates and tokens go as well. */
static int delete (struct db_conn *c, void *arg, struct err *err) {
    struct user_call *call = arg;
    struct user *u = &call->user;
    if (user_db_get(c, call->name, u, err) != 0 ||
        answer_check_match(call->req, u->version, err) != 0 ||
        check_operator_left(c, u, false, err) != 0)
        return -1;
    int revoked = 0;
    if (certificate_db_revoke_urn(c, u->urn, clock_wall_ms(), &revoked, err) != 0 ||
        enrollment_db_forget_urn(c, u->urn, err) != 0)
        return -1;
    return user_db_delete(c, call->name, err);
}

int user_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct house *h = ctx;
    struct user_call call = { .req = req, .name = named(req) };
    int rc = db_write(h->db, delete, &call, err);
    user_done(&call.user);
    if (rc != 0 || standing_refresh_user(&h->standing, h->db, call.name, err) != 0 ||
        standing_refresh_revoked(&h->standing, h->db, err) != 0)
        return -1;
    log_info("user deleted", "user=%s by=%s", call.name, access_name(req));
    reply->status = 204;
    return 0;
}
