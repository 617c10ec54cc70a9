#include "slice_call.h"

#include "answer.h"
#include "member_db.h"
#include "project_db.h"
#include "common/clock.h"
#include "common/log.h"

#include <assert.h>
#include <stdio.h>

LOG_MODULE("ch.slice");

#define DAY_MS 86400000LL

static int64_t max_life_ms(const struct house *h) { return h->config->slice_days_max * DAY_MS; }

/* --- making --- */

static int insert(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    struct slice *s = &call->slice;
    struct project project;
    if (access_project(c, call->req, s->project, ACCESS_USE, NULL, err) != 0 ||
        project_db_get(c, s->project, &project, err) != 0)
        return -1;
    snprintf(s->project, sizeof s->project, "%s", project.name);
    if (slice_db_insert(c, s, err) != 0) return -1;
    if (member_db_slice_put(c, s->id, access_name(call->req), "lead", err) != 0) return -1;
    slice_expiry_hint(call->house, s->expires_ms);
    return slice_call_show(c, call, err);
}

static int read_expiry(const json *body, int64_t *ret_ms, struct err *err) {
    const char *text = json_get_str(body, "expires");
    *ret_ms = 0;
    if (!text || clock_parse_rfc3339(text, ret_ms) == 0) return 0;
    return err_set(err, ERR_INVALID, "/expires: \"%.40s\" is not a time as in RFC 3339", text);
}

static int fill(const struct house *h, const struct http_request *req, struct slice *s,
                struct err *err) {
    const char *project = json_get_str(req->body, "project");
    const char *name = json_get_str(req->body, "name");
    const char *description = json_get_str(req->body, "description");
    if (!name_valid(project) || !name_valid_slice(name)) {
        err_set(err, ERR_UNPROCESSABLE, "\"%.63s\" can not be a slice's name", name);
        return err_remedy(err, "Use 1 to 19 letters, digits and '-', not beginning with '-'.");
    }
    char authority[192];
    snprintf(authority, sizeof authority, "%s:%s", h->authority.name, project);
    urn_text(s->urn, authority, "slice", name);
    uuid_new(s->uuid);
    snprintf(s->project, sizeof s->project, "%s", project);
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->description, sizeof s->description, "%s", description ? description : "");
    snprintf(s->creator, sizeof s->creator, "%s", req->peer->urn);
    s->state = SLICE_ACTIVE;
    s->created_ms = clock_wall_ms();
    s->version = 1;
    int64_t expires_ms;
    if (read_expiry(req->body, &expires_ms, err) != 0) return -1;
    return slice_expiry_new(s->created_ms, expires_ms,
                            json_get_int(req->body, "lifetime_s", 0) * 1000,
                            h->config->slice_days * DAY_MS, max_life_ms(h), &s->expires_ms, err);
}

int slice_post(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    if (fill(ctx, req, &call.slice, err) != 0) return -1;
    if (slice_call_write(&call, insert, 201, reply, err) != 0) return -1;
    log_info("slice made", "slice=%s uuid=%s by=%s", call.slice.urn, call.slice.uuid,
             access_name(req));
    snprintf(reply->location, sizeof reply->location, "/v1/slices/%s", call.slice.uuid);
    return 0;
}

/* --- looking --- */

struct slice_page {
    struct page page;
    struct slice_filter filter;
};

static int add_to_page(void *ctx, struct db_conn *c, const struct slice *s, struct err *err) {
    json *shown = slice_json(c, s, err);
    if (!shown) return -1;
    char key[24];
    snprintf(key, sizeof key, "%lld", (long long)s->id);
    return page_add(ctx, shown, key) ? 1 : 0;
}

static int list(struct db_conn *c, void *arg, struct err *err) {
    struct slice_page *p = arg;
    return slice_db_list(c, &p->filter, add_to_page, &p->page, err);
}

static int begin_list(const struct http_request *req, struct slice_page *p, struct err *err) {
    if (page_begin(req, &p->page, err) != 0) return -1;
    bool all = access_is_operator(req) || req->roles & ROLE_AGGREGATE;
    const char *state = http_query(req, "state");
    if (state && strcmp(state, "active") && strcmp(state, "expired") && strcmp(state, "shutdown"))
        return err_set(err, ERR_INVALID, "state is one of active, expired, shutdown");
    char *end = NULL;
    p->filter.after = strtoll(p->page.after, &end, 10);
    if (*end) return err_set(err, ERR_INVALID, "the cursor is not one of this list");
    p->filter.user = all ? NULL : access_name(req);
    p->filter.project = http_query(req, "project");
    p->filter.state = state;
    p->filter.limit = p->page.limit + 1;
    return 0;
}

int slice_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct house *h = ctx;
    struct slice_page p = { .filter = { 0 } };
    int rc = begin_list(req, &p, err);
    if (rc == 0) rc = slice_settle(h, err);
    if (rc == 0) rc = db_read(h->db, list, &p, err);
    if (rc == 0) page_end(&p.page, reply);
    page_done(&p.page);
    return rc;
}

static int get(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    return slice_call_open(c, call, ACCESS_SEE, err) == 0 ? slice_call_show(c, call, err) : -1;
}

int slice_get(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    if (slice_settle(ctx, err) != 0 || db_read(call.house->db, get, &call, err) != 0) return -1;
    return answer_with(reply, 200, call.shown, call.slice.version);
}

/* --- changing --- */

static int check_living(const struct slice *s, struct err *err) {
    if (s->state != SLICE_EXPIRED && s->expires_ms > clock_wall_ms()) return 0;
    err_set(err, ERR_GONE, "slice %s has expired", s->urn);
    return err_remedy(err, "What has expired stays so; make a new slice, its name is free again.");
}

static int patch(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    struct slice *s = &call->slice;
    if (slice_call_open(c, call, ACCESS_LEAD, err) != 0 || check_living(s, err) != 0) return -1;
    const char *description = json_get_str(call->req->body, "description");
    if (description) snprintf(s->description, sizeof s->description, "%s", description);
    return slice_db_update(c, s, err) == 0 ? slice_call_show(c, call, err) : -1;
}

int slice_patch(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    return slice_call_write(&call, patch, 200, reply, err);
}

static int renew(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    struct slice *s = &call->slice;
    int64_t expires_ms;
    if (slice_call_open(c, call, ACCESS_USE, err) != 0 || check_living(s, err) != 0 ||
        read_expiry(call->req->body, &expires_ms, err) != 0)
        return -1;
    if (s->state == SLICE_SHUTDOWN && !access_is_operator(call->req))
        return err_set(err, ERR_CONFLICT, "slice %s was shut down; only operators keep it longer",
                       s->urn);
    if (slice_expiry_renew(clock_wall_ms(), s->expires_ms, expires_ms, max_life_ms(call->house),
                           err) != 0)
        return -1;
    s->expires_ms = expires_ms;
    return slice_db_update(c, s, err) == 0 ? slice_call_show(c, call, err) : -1;
}

int slice_renew(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    if (slice_call_write(&call, renew, 200, reply, err) != 0) return -1;
    char text[CLOCK_TEXT_BYTES];
    log_info("slice renewed", "slice=%s expires=%s by=%s", call.slice.urn,
             clock_rfc3339(call.slice.expires_ms, text), access_name(req));
    return 0;
}

/* Shutting down twice is no error: the caller wants it to be so. */
static int shut_down(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    struct slice *s = &call->slice;
    if (slice_call_open(c, call, ACCESS_LEAD, err) != 0 || check_living(s, err) != 0) return -1;
    if (s->state != SLICE_SHUTDOWN) {
        assert(slice_state_allowed(s->state, SLICE_SHUTDOWN));
        s->state = SLICE_SHUTDOWN;
        if (slice_db_update(c, s, err) != 0) return -1;
    }
    return slice_call_show(c, call, err);
}

int slice_shutdown(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    if (slice_call_write(&call, shut_down, 200, reply, err) != 0) return -1;
    log_info("slice shut down", "slice=%s by=%s", call.slice.urn, access_name(req));
    return 0;
}

/* --- members --- */

static int put_member(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    struct slice *s = &call->slice;
    const char *role = json_get_str(call->req->body, "role");
    if (slice_call_open(c, call, ACCESS_LEAD, err) != 0 || check_living(s, err) != 0 ||
        member_db_slice_put(c, s->id, call->req->params[1], role, err) != 0 ||
        slice_db_update(c, s, err) != 0)
        return -1;
    return slice_call_show(c, call, err);
}

int slice_member_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    if (slice_call_write(&call, put_member, 200, reply, err) != 0) return -1;
    log_info("slice member set", "slice=%s user=%s role=%s by=%s", call.slice.urn, req->params[1],
             json_get_str(req->body, "role"), access_name(req));
    return 0;
}

static int remove_member(struct db_conn *c, void *arg, struct err *err) {
    struct slice_call *call = arg;
    struct slice *s = &call->slice;
    if (slice_call_open(c, call, ACCESS_LEAD, err) != 0 || check_living(s, err) != 0 ||
        member_db_slice_remove(c, s->id, call->req->params[1], err) != 0)
        return -1;
    return slice_db_update(c, s, err);
}

int slice_member_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct slice_call call = { .house = ctx, .req = req };
    if (slice_call_write(&call, remove_member, 204, reply, err) != 0) return -1;
    log_info("slice member removed", "slice=%s user=%s by=%s", call.slice.urn, req->params[1],
             access_name(req));
    return 0;
}
