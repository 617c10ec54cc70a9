/*
 * Draining a node, and moving a whole slice: what is asked for, and the operation it becomes. How the
 * slivers are moved is moves.c, the same for both.
 */
#include "migration.h"

#include "../access.h"
#include "../event.h"
#include "../node.h"
#include "../slice.h"
#include "moves.h"

#include <stdio.h>

struct ask {
    struct aggregate *am;
    const struct http_request *req;
    const char *node;  /* that is drained; NULL: a slice is moved */
    const char *slice; /* its UUID */
    struct move_rule rule;
    bool dry_run, all_or_none;
    struct moves m;
    struct operation op;
    json *reasons; /* for programs, when it is refused */
};

static void ask_done(struct ask *a) {
    moves_done(&a->m);
    operation_done(&a->op);
    json_put(a->reasons);
}

/* Of a slice, those that the request is about. */
static bool concerned(const struct ask *a, const struct sliver *s) {
    if (a->node) return true;
    if (a->rule.to) return strcmp(s->node, a->rule.to) != 0;
    return !a->rule.avoid || !strcmp(s->node, a->rule.avoid);
}

static int gather(struct db_conn *c, struct ask *a, struct err *err) {
    struct sliver_list all AUTO_SLIVERS = { 0 };
    if (a->node ? sliver_of_node(c, a->node, &all, err) : sliver_of_slice(c, a->slice, &all, err))
        return -1;
    for (size_t i = 0; i < all.count; i++)
        if (concerned(a, &all.rows[i]) && moves_add(c, &a->m, &all.rows[i], err)) return -1;
    return 0;
}

/* A slice moves as a whole, so one that is busy or may not move refuses it all. */
static int refuse_some(struct ask *a, struct err *err) {
    json *reasons = json_array();
    size_t n = moves_refusals(&a->m, reasons);
    if (!n) {
        json_put(reasons);
        return 0;
    }
    json_put(a->reasons);
    a->reasons = reasons;
    struct buf b AUTO_BUF = BUF_INIT;
    for (size_t i = 0; i < json_length(reasons) && b.length < 600; i++)
        buf_printf(&b, "%s%s: %s", i ? "; " : "", json_get_str(json_at(reasons, i), "sliver"),
                   json_get_str(json_at(reasons, i), "why"));
    err_set(err, ERR_CONFLICT, "%zu of %zu slivers cannot be moved: %s", n, a->m.count, b.data);
    return err_remedy(err, "nothing was moved; see `jogak slice migrate --dry-run`");
}

/* Each place is found before anything moves. In a dry run what cannot be done is told beside the rest. */
static int plan(struct db_conn *c, struct ask *a, struct err *err) {
    struct err none = ERR_INIT;
    int failed = moves_place(c, a->am, &a->m, &a->rule, !a->dry_run, &a->reasons, &none);
    if (failed && (!a->dry_run || none.code != ERR_NO_SPACE)) {
        if (err) *err = none;
        return -1;
    }
    return a->all_or_none && !a->dry_run ? refuse_some(a, err) : 0;
}

static int rehearse_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    return gather(c, a, err) || plan(c, a, err) ? -1 : 0;
}

static int not_drained_already(struct db_conn *c, const char *node, struct err *err) {
    char open[37];
    if (moves_open_drain(c, node, open, err)) return -1;
    if (!open[0]) return 0;
    err_set(err, ERR_CONFLICT, "node %s is being drained by operation %s", node, open);
    return err_remedy(err, "wait for it (jogak operation wait --all %s) or cancel it", open);
}

/* The operation, where all its slivers go, and their room there: all of it or nothing. */
static int start_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    json *input = moves_input(a->req->body);
    if (a->rule.avoid) json_set_str(input, "avoid", a->rule.avoid);
    if (a->rule.to) json_set_str(input, "to", a->rule.to);
    if (a->node && not_drained_already(c, a->node, err)) {
        json_put(input);
        return -1;
    }
    if (operation_add(c, &a->op, input, err)) return -1;
    memcpy(a->m.operation, a->op.id, sizeof a->m.operation);
    if (a->node && node_set_state(c, a->node, "draining", "it is being drained", err)) return -1;
    return gather(c, a, err) || plan(c, a, err) || moves_save(c, &a->m, err) ? -1 : 0;
}

static json *plan_reply(struct ask *a, const char *key, const char *value) {
    json *j = json_set_str(json_object(), key, value);
    json *refused AUTO_JSON = json_array();
    size_t not_moving = moves_refusals(&a->m, refused);
    json_set_bool(j, "possible", a->all_or_none ? !not_moving : !a->reasons);
    json_set(j, "moves", moves_plan_json(&a->m));
    if (a->reasons) json_set(j, "reasons", json_ref(a->reasons));
    return j;
}

static int answer(struct ask *a, const char *key, const char *value, struct http_reply *reply,
                  struct err *err) {
    a->dry_run = json_get_bool(a->req->body, "dry_run", false);
    if (a->dry_run) {
        if (db_read(a->am->db, rehearse_fn, a, err)) return -1;
        reply->body = plan_reply(a, key, value);
        return 0;
    }
    if (db_write(a->am->db, start_fn, a, err)) {
        reply->reasons = STEAL(a->reasons);
        return -1;
    }
    events_wake(a->am->events);
    return operation_accepted(a->am, a->op.id, reply, err);
}

int drain_start(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct ask a CLEANUP(ask_done) = { .am = ctx, .req = req, .node = req->params[0],
                                       .rule.avoid = req->params[0], .op = { .kind = "drain" } };
    struct node n AUTO_NODE = { 0 };
    if (node_find(a.am, a.node, &n, err)) return -1;
    snprintf(a.op.node, sizeof a.op.node, "%s", n.name);
    snprintf(a.op.owner, sizeof a.op.owner, "%s", req->peer->urn);
    return answer(&a, "node", n.name, reply, err);
}

static int known_node(struct aggregate *am, const char *name, struct err *err) {
    struct node n AUTO_NODE = { 0 };
    return name ? node_find(am, name, &n, err) : 0;
}

int slice_migrate(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err) {
    struct ask a CLEANUP(ask_done) = { .am = ctx, .req = req, .all_or_none = true,
                                       .rule = { .avoid = json_get_str(req->body, "away_from"),
                                                 .to = json_get_str(req->body, "to") },
                                       .op = { .kind = "move" } };
    char urn[256], title[SLICE_TITLE_BYTES];
    struct slice_row slice;
    if (access_slice_urn(a.am, req->params[0], urn, err) ||
        access_slice(a.am, req, urn, PRIV_MIGRATE, NULL, err) || slice_find(a.am, urn, &slice, err) ||
        known_node(a.am, a.rule.to, err) || known_node(a.am, a.rule.avoid, err))
        return -1;
    if (a.rule.to && a.rule.avoid) return err_set(err, ERR_UNPROCESSABLE, "say `to` or `away_from`, not both");
    a.slice = slice.id;
    memcpy(a.op.slice, slice.id, sizeof a.op.slice);
    snprintf(a.op.owner, sizeof a.op.owner, "%s", req->peer->urn);
    return answer(&a, "slice", slice_title(urn, title), reply, err);
}
