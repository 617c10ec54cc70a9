#include "project.h"

#include "access.h"
#include "answer.h"
#include "house.h"
#include "member_db.h"
#include "project_db.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("ch.project");

struct project_call {
    const struct http_request *req;
    const char *user; /* of a member's route, or the first lead; NULL for none */
    struct project project;
    json *shown;
};

/* The project as the API shows it, with its members; NULL with err. */
static json *show(struct db_conn *c, const struct project *p, struct err *err) {
    json *members = member_db_of_project(c, p->name, err);
    if (!members) return NULL;
    json *j = json_object();
    json_set_str(j, "name", p->name);
    json_set_str(j, "urn", p->urn);
    json_set_str(j, "description", p->description);
    answer_set_time(j, "created", p->created_ms);
    return json_set(j, "members", members);
}

static int show_in(struct db_conn *c, struct project_call *call, struct err *err) {
    call->shown = show(c, &call->project, err);
    return call->shown ? 0 : -1;
}

/* Runs fn in a transaction and answers with the project that it leaves in call->shown. */
static int answer_change(struct house *h, struct project_call *call, db_fn fn, unsigned status,
                         const char *what, struct http_reply *reply, struct err *err) {
    if (db_write(h->db, fn, call, err) != 0) {
        json_put(call->shown);
        return -1;
    }
    log_info(what, "project=%s user=%s by=%s", call->project.name, call->user ? call->user : "",
             access_name(call->req));
    return answer_with(reply, status, call->shown, call->project.version);
}

/* Loads the project and judges the caller and If-Match. */
static int open_for(struct db_conn *c, struct project_call *call, enum access_right right,
                    struct err *err) {
    const char *name = call->req->params[0];
    if (access_project(c, call->req, name, right, NULL, err) != 0 ||
        project_db_get(c, name, &call->project, err) != 0)
        return -1;
    if (strcmp(call->req->method, "GET") == 0) return 0;
    return answer_check_match(call->req, call->project.version, err);
}

static int insert(struct db_conn *c, void *arg, struct err *err) {
    struct project_call *call = arg;
    if (project_db_insert(c, &call->project, err) != 0) return -1;
    if (call->user && member_db_project_put(c, call->project.name, call->user, "lead", err) != 0)
        return -1;
    return show_in(c, call, err);
}

int project_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct house *h = ctx;
    const char *name = json_get_str(req->body, "name");
    const char *description = json_get_str(req->body, "description");
    if (!name_valid(name))
        return err_set(err, ERR_UNPROCESSABLE, "\"%.63s\" can not be a project's name", name);
    struct project_call call = { .req = req, .user = json_get_str(req->body, "lead") };
    struct project *p = &call.project;
    snprintf(p->name, sizeof p->name, "%s", name);
    urn_text(p->urn, h->authority.name, "project", name);
    snprintf(p->description, sizeof p->description, "%s", description ? description : "");
    p->created_ms = clock_wall_ms();
    p->version = 1;
    snprintf(reply->location, sizeof reply->location, "/v1/projects/%s", name);
    return answer_change(h, &call, insert, 201, "project made", reply, err);
}

struct project_page {
    struct page page;
    const char *user;
};

static int add_to_page(void *ctx, struct db_conn *c, const struct project *p, struct err *err) {
    struct page *page = ctx;
    json *shown = show(c, p, err);
    if (!shown) return -1;
    return page_add(page, shown, p->name) ? 1 : 0;
}

static int list(struct db_conn *c, void *arg, struct err *err) {
    struct project_page *p = arg;
    return project_db_list(c, p->user, p->page.after, p->page.limit + 1, add_to_page, &p->page,
                           err);
}

int project_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct house *h = ctx;
    struct project_page p = { .user = access_is_operator(req) ? NULL : access_name(req) };
    int rc = page_begin(req, &p.page, err);
    if (rc == 0) rc = db_read(h->db, list, &p, err);
    if (rc == 0) page_end(&p.page, reply);
    page_done(&p.page);
    return rc;
}

static int get(struct db_conn *c, void *arg, struct err *err) {
    struct project_call *call = arg;
    return open_for(c, call, ACCESS_SEE, err) == 0 ? show_in(c, call, err) : -1;
}

int project_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct house *h = ctx;
    struct project_call call = { .req = req };
    if (db_read(h->db, get, &call, err) != 0) return -1;
    return answer_with(reply, 200, call.shown, call.project.version);
}

static int patch(struct db_conn *c, void *arg, struct err *err) {
    struct project_call *call = arg;
    struct project *p = &call->project;
    if (open_for(c, call, ACCESS_LEAD, err) != 0) return -1;
    const char *description = json_get_str(call->req->body, "description");
    if (description) snprintf(p->description, sizeof p->description, "%s", description);
    return project_db_update(c, p, err) == 0 ? show_in(c, call, err) : -1;
}

int project_patch(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err) {
    struct project_call call = { .req = req };
    return answer_change(ctx, &call, patch, 200, "project changed", reply, err);
}

static int delete (struct db_conn *c, void *arg, struct err *err) {
    struct project_call *call = arg;
    if (open_for(c, call, ACCESS_LEAD, err) != 0) return -1;
    return project_db_delete(c, call->project.name, err);
}

int project_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct project_call call = { .req = req };
    return answer_change(ctx, &call, delete, 204, "project deleted", reply, err);
}

static int put_member(struct db_conn *c, void *arg, struct err *err) {
    struct project_call *call = arg;
    const char *role = json_get_str(call->req->body, "role");
    if (open_for(c, call, ACCESS_LEAD, err) != 0 ||
        member_db_project_put(c, call->project.name, call->user, role, err) != 0 ||
        project_db_update(c, &call->project, err) != 0)
        return -1;
    return show_in(c, call, err);
}

int project_member_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                       struct err *err) {
    struct project_call call = { .req = req, .user = req->params[1] };
    return answer_change(ctx, &call, put_member, 200, "project member set", reply, err);
}

static int remove_member(struct db_conn *c, void *arg, struct err *err) {
    struct project_call *call = arg;
    if (open_for(c, call, ACCESS_LEAD, err) != 0 ||
        member_db_project_remove(c, call->project.name, call->user, err) != 0)
        return -1;
    return project_db_update(c, &call->project, err);
}

int project_member_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                          struct err *err) {
    struct project_call call = { .req = req, .user = req->params[1] };
    return answer_change(ctx, &call, remove_member, 204, "project member removed", reply, err);
}
