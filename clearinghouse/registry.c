#include "registry.h"

#include "access.h"
#include "answer.h"
#include "house.h"
#include "registry_db.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("ch.registry");

static json *registered_json(const struct registered *r) {
    json *j = json_object();
    json_set_str(j, "urn", r->urn);
    json_set_str(j, "type", r->type);
    json_set_str(j, "name", r->name);
    json_set_str(j, "url", r->url);
    json_set_str(j, "description", r->description);
    answer_set_time(j, "created", r->created_ms);
    return r->seen_ms ? answer_set_time(j, "seen", r->seen_ms) : j;
}

static int fill(struct registered *r, const char *urn, const json *body, struct err *err) {
    struct urn parts;
    const char *description = json_get_str(body, "description");
    if (urn_parse(urn, &parts, err) != 0) return -1;
    memset(r, 0, sizeof *r);
    snprintf(r->urn, sizeof r->urn, "%s", urn);
    snprintf(r->type, sizeof r->type, "%.7s", parts.type);
    snprintf(r->name, sizeof r->name, "%s", parts.name);
    snprintf(r->url, sizeof r->url, "%s", json_get_str(body, "url"));
    snprintf(r->description, sizeof r->description, "%s", description ? description : "");
    r->created_ms = clock_wall_ms();
    return 0;
}

static int insert(struct db_conn *c, void *arg, struct err *err) {
    struct registered *r = arg;
    return registry_db_insert(c, r, err) == 0 ? registry_db_get(c, r->urn, r, err) : -1;
}

int registry_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err) {
    struct house *h = ctx;
    struct registered r;
    const char *type = json_get_str(req->body, "type"), *name = json_get_str(req->body, "name");
    if (!name_valid(name))
        return err_set(err, ERR_UNPROCESSABLE, "\"%.63s\" can not be a service's name", name);
    char urn[URN_MAX_BYTES];
    urn_text(urn, h->authority.name, type, name);
    if (fill(&r, urn, req->body, err) != 0 || db_write(h->db, insert, &r, err) != 0) return -1;
    log_info("service registered", "urn=%s url=%s by=%s", r.urn, r.url, access_name(req));
    snprintf(reply->location, sizeof reply->location, "/v1/services/%s:%s", r.type, r.name);
    return answer_with(reply, 201, registered_json(&r), r.version);
}

static int put(struct db_conn *c, void *arg, struct err *err) {
    struct registered *r = arg;
    return registry_db_put(c, r, err) == 0 ? registry_db_get(c, r->urn, r, err) : -1;
}

int registry_put_self(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    struct house *h = ctx;
    struct registered r;
    if (fill(&r, req->peer->urn, req->body, err) != 0) return -1;
    r.seen_ms = r.created_ms;
    if (db_write(h->db, put, &r, err) != 0) return -1;
    log_info("service reported itself", "urn=%s url=%s", r.urn, r.url);
    return answer_with(reply, 200, registered_json(&r), r.version);
}

struct registry_page {
    struct page page;
    const char *type;
};

static bool add_to_page(void *ctx, const struct registered *r) {
    return page_add(ctx, registered_json(r), r->urn);
}

static int list(struct db_conn *c, void *arg, struct err *err) {
    struct registry_page *p = arg;
    return registry_db_list(c, p->type, p->page.after, p->page.limit + 1, add_to_page, &p->page,
                            err);
}

int registry_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err) {
    struct house *h = ctx;
    struct registry_page p = { .type = http_query(req, "type") };
    if (p.type && strcmp(p.type, "am") != 0 && strcmp(p.type, "ss") != 0)
        return err_set(err, ERR_INVALID, "type is one of am, ss");
    int rc = page_begin(req, &p.page, err);
    if (rc == 0) rc = db_read(h->db, list, &p, err);
    if (rc == 0) page_end(&p.page, reply);
    page_done(&p.page);
    return rc;
}

/* A request about one service: in, its URN; out, the row. */
struct lookup {
    const struct http_request *req;
    char urn[URN_MAX_BYTES];
    struct registered row;
};

static int find_urn(const struct house *h, const char *key, char ret[URN_MAX_BYTES],
                    struct err *err) {
    bool short_form = strncmp(key, "am:", 3) == 0 || strncmp(key, "ss:", 3) == 0;
    if (short_form && name_valid(key + 3)) {
        char type[3] = { key[0], key[1], '\0' };
        urn_text(ret, h->authority.name, type, key + 3);
        return 0;
    }
    struct urn parsed;
    if (short_form || urn_parse(key, &parsed, err) != 0)
        return err_set(err, ERR_NOT_FOUND, "no service %.160s is registered", key);
    snprintf(ret, URN_MAX_BYTES, "%s", key);
    return 0;
}

static int get(struct db_conn *c, void *arg, struct err *err) {
    struct lookup *l = arg;
    return registry_db_get(c, l->urn, &l->row, err);
}

int registry_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct house *h = ctx;
    struct lookup l = { .req = req };
    if (find_urn(h, req->params[0], l.urn, err) != 0 || db_read(h->db, get, &l, err) != 0)
        return -1;
    return answer_with(reply, 200, registered_json(&l.row), l.row.version);
}

static int delete (struct db_conn *c, void *arg, struct err *err) {
    struct lookup *l = arg;
    if (get(c, l, err) != 0 || answer_check_match(l->req, l->row.version, err) != 0) return -1;
    return registry_db_delete(c, l->urn, err);
}

int registry_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    struct house *h = ctx;
    struct lookup l = { .req = req };
    if (find_urn(h, req->params[0], l.urn, err) != 0 || db_write(h->db, delete, &l, err) != 0)
        return -1;
    log_info("service removed", "urn=%s by=%s", l.urn, access_name(req));
    reply->status = 204;
    return 0;
}
