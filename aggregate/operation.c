#include "operation.h"

#include "access.h"
#include "common/clock.h"
#include "common/ids.h"
#include "operation_db.h"
#include "slice.h"

#include <errno.h>
#include <stdio.h>

struct show {
    const char *id;
    json *ret;
    struct slice_row slice;
};

static int show_fn(struct db_conn *c, void *arg, struct err *err) {
    struct show *s = arg;
    s->ret = operation_db_show(c, s->id, err);
    if (!s->ret) return -1;
    const char *slice = json_get_str(s->ret, "slice");
    if (slice && slice_get(c, slice, &s->slice, err)) {
        json_put(s->ret);
        return -1;
    }
    return 0;
}

/* The operation of the path, when the caller may have it: members of its slice, and operators. */
static int permitted(struct aggregate *am, const struct http_request *req, unsigned need,
                     json **ret, struct err *err) {
    struct show s = { .id = req->params[0] };
    if (db_read(am->db, show_fn, &s, err)) return -1;
    if (!(req->roles & ROLE_OPERATOR)) {
        int rc = s.slice.urn[0] ? access_slice(am, req, s.slice.urn, need, NULL, err)
                                : err_set(err, ERR_FORBIDDEN, "this operation is for operators");
        if (rc) {
            json_put(s.ret);
            return -1;
        }
    }
    *ret = s.ret;
    return 0;
}

int operation_show(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    return permitted(ctx, req, PRIV_INFO, &reply->body, err);
}

int operation_cancel(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct aggregate *am = ctx;
    json *before AUTO_JSON = NULL;
    if (permitted(am, req, PRIV_OPERATE, &before, err) || work_cancel(am, req->params[0], err))
        return -1;
    return operation_accepted(am, req->params[0], reply, err);
}

int operation_accepted(struct aggregate *am, const char *id, struct http_reply *reply,
                       struct err *err) {
    work_wake(am->work);
    struct show s = { .id = id };
    if (db_read(am->db, show_fn, &s, err)) return -1;
    reply->status = 202;
    reply->body = s.ret;
    snprintf(reply->location, sizeof reply->location, "/v1/operations/%s", id);
    return 0;
}

struct list {
    const char *slice;
    bool open_only;
    struct operation_cursor after;
    int64_t limit;
    json *ret;
};

static int list_fn(struct db_conn *c, void *arg, struct err *err) {
    struct list *l = arg;
    l->ret = operation_db_list(c, l->slice, l->open_only, &l->after, (int)l->limit, err);
    return l->ret ? 0 : -1;
}

/* The cursor, "MILLISECONDS.ID", is the last row: a page ends there. */
static void set_next(json *page, int64_t limit) {
    const json *items = json_get(page, "items");
    size_t n = json_length(items);
    if ((int64_t)n < limit || !n) return;
    int64_t ms;
    const json *last = json_at(items, n - 1);
    if (clock_parse_rfc3339(json_get_str(last, "created"), &ms)) return;
    char text[64];
    snprintf(text, sizeof text, "%lld.%s", (long long)ms, json_get_str(last, "id"));
    json_set_str(page, "next", text);
}

static int read_cursor(const char *text, struct operation_cursor *ret, struct err *err) {
    *ret = (struct operation_cursor){ .created_ms = INT64_MAX };
    if (!text) return 0;
    char *end;
    errno = 0;
    long long ms = strtoll(text, &end, 10);
    if (errno || end == text || ms < 0 || *end != '.' || !uuid_valid(end + 1)) {
        err_set(err, ERR_INVALID, "?cursor=%s is none that this service gave", text);
        return err_remedy(err, "take it from `next` of the page before");
    }
    ret->created_ms = ms;
    snprintf(ret->id, sizeof ret->id, "%s", end + 1);
    return 0;
}

int operation_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct aggregate *am = ctx;
    struct list l = { 0 };
    struct slice_row slice;
    const char *param = http_query(req, "slice");
    if (http_query_int(req, "limit", 1, 500, 100, &l.limit, err) ||
        read_cursor(http_query(req, "cursor"), &l.after, err))
        return -1;
    const char *open = http_query(req, "open");
    l.open_only = open && strcmp(open, "true") == 0;
    if (param) {
        char urn[256];
        bool known;
        if (access_slice_urn(am, param, urn, err) ||
            access_slice(am, req, urn, PRIV_INFO, NULL, err) || slice_known(am, urn, &slice, &known, err))
            return -1;
        l.slice = slice.id;
    } else if (!(req->roles & ROLE_OPERATOR)) {
        return err_set(err, ERR_FORBIDDEN, "say which slice: ?slice=project:name");
    }
    if (db_read(am->db, list_fn, &l, err)) return -1;
    reply->body = json_set(json_object(), "items", l.ret);
    set_next(reply->body, l.limit);
    return 0;
}
