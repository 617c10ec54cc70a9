/*
 * Draining: the node takes no new slivers, and each sliver on it is moved by a migration of its
 * own. The drain's operation only starts them and watches; after a crash it looks again at what is
 * still there.
 */
#include "migration.h"

#include "../access.h"
#include "../event.h"
#include "../node.h"
#include "../placement.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("am.drain");

#define LOOK_MS 300

struct look {
    const struct operation *op;
    struct sliver_list slivers;
    size_t moving, failed;
    json *problems; /* {sliver name: why} */
    json *tried;    /* {sliver id: migration id} of this drain */
};

static const char SQL_OPEN[] = "SELECT 1 AS there FROM operation WHERE id = ?"
                               " AND state IN ('pending', 'running', 'cancelling')";
static const char SQL_STATE[] = "SELECT state, error FROM operation WHERE id = ?";

/* Did the migration of this drain fail? Then it is not tried again: an operator has to look. */
static int has_failed(struct db_conn *c, const char *id, bool *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_STATE, "s", id);
    if (!q || db_step(q, err) < 0) return -1;
    const char *state = db_text(q, "state");
    *ret = state && (!strcmp(state, "failed") || !strcmp(state, "cancelled"));
    return 0;
}

static int look_at(struct db_conn *c, struct look *l, const struct sliver *s, struct err *err) {
    const char *tried = json_get_str(l->tried, s->id);
    bool failed = false;
    if (tried && has_failed(c, tried, &failed, err)) return -1;
    if (failed) {
        l->failed++;
        json_set_str(l->problems, s->name, "its migration failed");
        return 0;
    }
    if (s->busy[0]) {
        l->moving++;
        return 0;
    }
    char id[37];
    struct err one = ERR_INIT;
    if (migration_add(c, s, l->op->owner, "drain", NULL, id, &one)) {
        l->failed++;
        json_set_str(l->problems, s->name, one.msg);
        return 0;
    }
    json_set_str(l->tried, s->id, id);
    l->moving++;
    return 0;
}

/* Those past their commit belong to another node already, but their source is not free yet. */
static int count_open(struct db_conn *c, const json *tried, size_t *ret, struct err *err) {
    const char *sliver;
    json *id;
    *ret = 0;
    for (size_t it = 0; json_next(tried, &it, &sliver, &id);) {
        struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_OPEN, "s", json_str(id));
        if (!q) return -1;
        int rc = db_step(q, err);
        if (rc < 0) return -1;
        *ret += rc == 1;
    }
    return 0;
}

static int look_fn(struct db_conn *c, void *arg, struct err *err) {
    struct look *l = arg;
    size_t open = 0;
    l->moving = l->failed = 0;
    if (sliver_of_node(c, l->op->node, &l->slivers, err)) return -1;
    for (size_t i = 0; i < l->slivers.count; i++)
        if (look_at(c, l, &l->slivers.rows[i], err)) return -1;
    if (count_open(c, l->tried, &open, err)) return -1;
    if (open > l->moving) l->moving = open;
    return 0;
}

static int begin_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct operation *op = arg;
    return node_set_state(c, op->node, "draining", "it is being drained", err);
}

static void look_done(struct look *l) {
    sliver_list_done(&l->slivers);
    json_put(l->problems);
    json_put(l->tried);
}

int drain_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct look l CLEANUP(look_done) = { .op = op, .problems = json_object(), .tried = json_object() };
    struct operation copy = *op;
    if (db_write(am->db, begin_fn, &copy, err)) return -1;
    size_t total = 0;
    for (;;) {
        sliver_list_done(&l.slivers);
        if (db_write(am->db, look_fn, &l, err)) return -1;
        if (l.slivers.count > total) total = l.slivers.count;
        json *p = json_set_int(json_object(), "total", (int64_t)total);
        json_set_int(p, "done", (int64_t)(total - l.slivers.count));
        json_set_int(p, "moving", (int64_t)l.moving);
        json_set(p, "problems", json_copy(l.problems));
        operation_progress(am, op->id, p, NULL);
        work_wake(am->work);
        if (!l.moving) break;
        if (operation_cancelled(am, op->id))
            return err_set(err, ERR_CANCELLED, "cancelled; %zu slivers are still on node %s",
                           l.slivers.count, op->node);
        if (am->stopping) return err_set(err, ERR_UNAVAILABLE, "the aggregate is stopping");
        work_pause(am, op->id, LOOK_MS);
    }
    if (!l.failed) return 0;
    struct buf problems AUTO_BUF = BUF_INIT;
    const char *name;
    json *why;
    for (size_t it = 0; json_next(l.problems, &it, &name, &why);)
        buf_printf(&problems, "%s%s: %s", problems.length ? "; " : "", name, json_str(why));
    err_set(err, ERR_CONFLICT, "%zu slivers could not leave node %s: %s", l.failed, op->node,
            problems.data ? problems.data : "");
    return err_remedy(err, "see `jogak migration list`, then drain again");
}

/* --- route --- */
struct ask {
    struct aggregate *am;
    const char *node, *owner;
    char operation[37];
    json *ret;
};

/* What would happen: a placement of all its slivers on the others, thrown away. */
static int rehearse_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct sliver_list slivers AUTO_SLIVERS = { 0 };
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    if (sliver_of_node(c, a->node, &slivers, err) || node_all(c, &nodes, err)) return -1;
    json *moves = json_array();
    a->ret = json_set(json_set_str(json_object(), "node", a->node), "moves", moves);
    for (size_t i = 0; i < slivers.count; i++) {
        const struct sliver *s = &slivers.rows[i];
        struct placement_wish w = { .name = s->name, .kind = s->kind, .avoid = a->node,
                                    .vcpus = s->vcpus, .memory_mib = s->memory_mib,
                                    .disk_mib = s->disk_mib, .rate_kbps = s->rate_kbps };
        struct err one = ERR_INIT;
        json *reasons = NULL, *move = json_set_str(json_object(), "sliver", s->name);
        json_set_str(move, "slice", s->slice);
        if (!json_get_bool(json_get(s->wanted, "migration"), "movable", true))
            json_set_str(move, "problem", "not movable by its policy");
        else if (placement_choose(&nodes, &w, 1, a->am->config->cpu_overcommit_percent, &reasons, &one))
            json_set_str(move, "problem", one.msg);
        else json_set_str(move, "target", nodes.rows[w.chosen].name);
        json_put(reasons);
        json_add(moves, move);
    }
    return 0;
}

static int start_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct node n AUTO_NODE = { 0 };
    if (node_get(c, a->node, &n, err)) return -1;
    struct operation op AUTO_OPERATION = { .kind = "drain" };
    snprintf(op.node, sizeof op.node, "%s", a->node);
    snprintf(op.owner, sizeof op.owner, "%s", a->owner);
    if (operation_add(c, &op, json_object(), err)) return -1;
    memcpy(a->operation, op.id, sizeof a->operation);
    return node_set_state(c, a->node, "draining", "it is being drained", err);
}

int drain_start(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct aggregate *am = ctx;
    struct ask a = { .am = am, .node = req->params[0], .owner = req->peer->urn };
    if (json_get_bool(req->body, "dry_run", false)) {
        struct node n AUTO_NODE = { 0 };
        if (node_find(am, a.node, &n, err) || db_read(am->db, rehearse_fn, &a, err)) return -1;
        reply->body = a.ret;
        return 0;
    }
    if (db_write(am->db, start_fn, &a, err)) return -1;
    events_wake(am->events);
    return operation_accepted(am, a.operation, reply, err);
}
