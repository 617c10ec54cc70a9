/* Asking for an audit, and looking at what it found. */
#include "audit.h"

#include "audit_db.h"
#include "common/log.h"
#include "node.h"

#include <stdio.h>

LOG_MODULE("am.audit");

#define SETTLE_MS 1500 /* for debts to be paid, before the next round */

/* --- the operation --- */
struct round {
    json *nodes, *problems; /* names; {node: why} */
    int64_t open;
};

static void round_done(struct round *r) {
    json_put(r->nodes);
    json_put(r->problems);
}

static int look_at_all(struct aggregate *am, const struct operation *op, struct round *r, int number,
                       struct err *err) {
    r->open = 0;
    for (size_t i = 0; i < json_length(r->nodes); i++) {
        const char *name = json_str(json_at(r->nodes, i));
        json *p = json_set_str(json_object(), "doing", "looking at");
        json_set_str(p, "node", name);
        json_set_int(p, "round", number);
        json_set_int(p, "done", (int64_t)i);
        operation_progress(am, op->id, json_set_int(p, "total", (int64_t)json_length(r->nodes)), NULL);
        if (operation_cancelled(am, op->id))
            return err_set(err, ERR_CANCELLED, "cancelled before node %s", name);
        if (am->stopping) return err_set(err, ERR_UNAVAILABLE, "the aggregate is stopping");
        struct err one = ERR_INIT;
        int64_t open = 0;
        json_del(r->problems, name);
        if (audit_node(am, name, &open, &one)) json_set_str(r->problems, name, one.msg);
        r->open += open;
    }
    return 0;
}

struct result {
    const char *id;
    json *fields;
};

static int result_fn(struct db_conn *c, void *arg, struct err *err) {
    struct result *r = arg;
    return operation_result(c, r->id, json_copy(r->fields), err);
}

/* Is a repair under way whose effect can still be seen? */
static bool hopeful(struct aggregate *am, const char *node) {
    json *open AUTO_JSON = audit_db_findings(am, node, "open", INT64_MAX, 500, NULL);
    for (size_t i = 0; open && i < json_length(open); i++)
        if (strcmp(json_get_str(json_at(open, i), "repair"), "none")) return true;
    return false;
}

int audit_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct round r CLEANUP(round_done) = { .problems = json_object() };
    const char *node = op->node[0] ? op->node : NULL;
    if (node) json_add(r.nodes = json_array(), json_string(node));
    else r.nodes = audit_db_nodes(am, INT64_MAX, err);
    if (!r.nodes) return -1;
    for (int round = 1; round <= AUDIT_ROUNDS; round++) {
        if (look_at_all(am, op, &r, round, err)) return -1;
        if (!r.open || !hopeful(am, node) || round == AUDIT_ROUNDS) break;
        work_pause(am, op->id, SETTLE_MS);
    }
    json *fields AUTO_JSON = json_set_int(json_object(), "open", r.open);
    json_set_int(fields, "nodes", (int64_t)json_length(r.nodes));
    json_set(fields, "problems", json_copy(r.problems));
    struct result result = { op->id, fields };
    if (db_write(am->db, result_fn, &result, err)) return -1;
    if (!json_length(r.problems)) return 0;
    const char *name;
    json *why;
    size_t it = 0;
    json_next(r.problems, &it, &name, &why);
    err_set(err, ERR_UNAVAILABLE, "%zu of %zu nodes were not audited; %s: %s",
            json_length(r.problems), json_length(r.nodes), name, json_str(why));
    return err_remedy(err, "see whether its agent runs: systemctl status jogak-nodemgr");
}

/* --- routes --- */
struct ask {
    const char *node, *owner;
    char operation[37];
};

static int start_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct node n AUTO_NODE = { 0 };
    struct operation op AUTO_OPERATION = { .kind = "audit" };
    if (a->node && node_get(c, a->node, &n, err)) return -1;
    snprintf(op.node, sizeof op.node, "%s", a->node ? a->node : "");
    snprintf(op.owner, sizeof op.owner, "%s", a->owner);
    if (operation_add(c, &op, json_object(), err)) return -1;
    memcpy(a->operation, op.id, sizeof a->operation);
    return 0;
}

int audit_start(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct aggregate *am = ctx;
    struct ask a = { .node = json_get_str(req->body, "node"), .owner = req->peer->urn };
    if (db_write(am->db, start_fn, &a, err)) return -1;
    return operation_accepted(am, a.operation, reply, err);
}

static bool is_state(const char *text) {
    return !strcmp(text, "open") || !strcmp(text, "repaired") || !strcmp(text, "ignored");
}

int audit_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct aggregate *am = ctx;
    const char *node = http_query(req, "node"), *state = http_query(req, "state");
    int64_t limit, before;
    if (http_query_int(req, "limit", 1, 500, 100, &limit, err) ||
        http_query_int(req, "cursor", 0, INT64_MAX, INT64_MAX, &before, err))
        return -1;
    if (state && !is_state(state)) {
        err_set(err, ERR_INVALID, "there are no findings of state \"%.32s\"", state);
        return err_remedy(err, "ask for open, repaired or ignored ones");
    }
    json *looks AUTO_JSON = audit_db_looks(am, node, err);
    json *items = looks ? audit_db_findings(am, node, state, before, (int)limit, err) : NULL;
    if (!items) return -1;
    size_t n = json_length(items);
    reply->body = json_set(json_object(), "nodes", STEAL(looks));
    json_set(reply->body, "items", items);
    if ((int64_t)n < limit) return 0;
    char next[32];
    snprintf(next, sizeof next, "%lld", (long long)json_get_int(json_at(items, n - 1), "id", 0));
    json_set_str(reply->body, "next", next);
    return 0;
}
