#include "migration.h"

#include "../access.h"
#include "../event.h"
#include "../node.h"
#include "../slice.h"
#include "common/ids.h"
#include "journal.h"
#include "steps.h"

#include <stdio.h>

static const char SQL_ADD[] =
    "INSERT INTO migration (id, sliver, trigger_, policy, wanted_target, state)"
    " VALUES (?, ?, ?, '', ?, 'armed')";
static const char SQL_COMMITTED[] = "SELECT committed FROM migration WHERE id = ?";
static const char SQL_OF_SLICE[] =
    "SELECT migration.id FROM migration JOIN operation USING (id)"
    " WHERE operation.slice = ? ORDER BY operation.created_ms DESC LIMIT ?";

int migration_add(struct db_conn *c, const struct sliver *s, const char *owner,
                  const char *trigger, const char *target, char ret_id[37], struct err *err) {
    const struct migration_wish w = { .owner = owner, .trigger = trigger, .target = target };
    return migration_add_wish(c, s, &w, ret_id, err);
}

int migration_add_wish(struct db_conn *c, const struct sliver *s, const struct migration_wish *w,
                       char ret_id[37], struct err *err) {
    bool recovers = strcmp(w->trigger, "lost") == 0 || strcmp(w->trigger, "down") == 0;
    if (strcmp(s->state, "ready") && !(recovers && (!strcmp(s->state, "failed") || !strcmp(s->state, "stopped")))) {
        err_set(err, ERR_CONFLICT, "sliver %s is %s; only a ready one can be moved", s->name, s->state);
        return err_remedy(err, "see `jogak sliver show %s`", s->name);
    }
    if (w->target && strcmp(w->target, s->node) == 0)
        return err_set(err, ERR_CONFLICT, "sliver %s is on node %s already", s->name, w->target);
    struct operation op AUTO_OPERATION = { .kind = "migrate" };
    memcpy(op.slice, s->slice, sizeof op.slice);
    memcpy(op.sliver, s->id, sizeof op.sliver);
    snprintf(op.owner, sizeof op.owner, "%s", w->owner);
    json *input = json_set_str(json_object(), "sliver", s->id);
    if (w->target) json_set_str(input, "target", w->target);
    if (w->delivery) json_set_str(input, "delivery", w->delivery);
    if (operation_add(c, &op, input, err) || sliver_set_busy(c, s->id, op.id, err) ||
        db_exec(c, NULL, err, SQL_ADD, "ssss", op.id, s->id, w->trigger,
                w->target ? w->target : ""))
        return -1;
    memcpy(ret_id, op.id, 37);
    return 0;
}

int migration_may_cancel(struct db_conn *c, const struct operation *op, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_COMMITTED, "s", op->id);
    if (!q || db_step(q, err) < 0) return -1;
    if (!db_int(q, "committed")) return 0;
    err_set(err, ERR_CONFLICT, "the migration is committed: the sliver belongs to its new node");
    return err_remedy(err, "let it end, then move it back");
}

static void add_titles(json *list) {
    for (size_t i = 0; i < json_length(list); i++) {
        json *one = json_at(list, i);
        int64_t n = json_get_int(one, "step", 0);
        if (n < 1 || n > STEP_COUNT) continue;
        json_set_str(one, "name", steps[n - 1].name);
        json_set_str(one, "title", steps[n - 1].title);
    }
}

json *migration_json(struct db_conn *c, const char *id, struct err *err) {
    struct migration m AUTO_MIGRATION = { 0 };
    json *list AUTO_JSON = NULL;
    if (journal_get(c, id, &m, err) || !(list = journal_steps(c, id, err))) return NULL;
    add_titles(list);
    json *j = json_set_str(json_object(), "id", m.id);
    json_set_str(j, "sliver", m.sliver);
    json_set_str(j, "slice", m.slice);
    json_set_str(j, "state", m.state);
    json_set_str(j, "trigger", m.trigger);
    const struct { const char *key, *value; } texts[] = {
        { "policy", m.policy }, { "delivery", m.delivery }, { "source", m.source },
        { "target", m.target },
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (texts[i].value[0]) json_set_str(j, texts[i].key, texts[i].value);
    json_set_int(j, "attempt", m.attempt);
    json_set_int(j, "epoch", m.epoch);
    json_set_int(j, "step", m.step);
    json_set_bool(j, "committed", m.committed);
    if (json_has(m.facts, "attempts"))
        json_set(j, "attempts", json_copy(json_get(m.facts, "attempts")));
    json *facts = json_copy(m.facts);
    json_del(facts, "attempts");
    json_set(j, "facts", facts);
    return json_set(j, "steps", STEAL(list));
}

struct ask {
    const struct sliver *s;
    const char *owner, *target, *delivery, *id;
    char operation[37];
    struct slice_row slice;
    int64_t limit;
    json *ret;
};

static int start_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    if (a->target) {
        struct node n AUTO_NODE = { 0 };
        if (node_get(c, a->target, &n, err)) return -1;
    }
    const struct migration_wish w = { a->owner, "request", a->target, a->delivery };
    return migration_add_wish(c, a->s, &w, a->operation, err);
}

int migration_start(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    struct aggregate *am = ctx;
    struct sliver s AUTO_SLIVER = { 0 };
    if (sliver_of_request(am, req, PRIV_MIGRATE, &s, err)) return -1;
    struct ask a = { .s = &s, .owner = req->peer->urn, .target = json_get_str(req->body, "target"),
                     .delivery = json_get_str(req->body, "delivery") };
    if (db_write(am->db, start_fn, &a, err)) return -1;
    events_wake(am->events);
    return operation_accepted(am, a.operation, reply, err);
}

static int show_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    a->ret = migration_json(c, a->id, err);
    return a->ret ? slice_get(c, json_get_str(a->ret, "slice"), &a->slice, err) : -1;
}

int migration_show(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct aggregate *am = ctx;
    struct ask a = { .id = req->params[0] };
    if (db_read(am->db, show_fn, &a, err)) return -1;
    reply->body = a.ret;
    return access_slice(am, req, a.slice.urn, PRIV_INFO, NULL, err);
}

static int list_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_OF_SLICE, "si", a->slice.id, a->limit);
    if (!q) return -1;
    json *items AUTO_JSON = json_array();
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        json *one = migration_json(c, db_text(q, "id"), err);
        if (!one) return -1;
        json_del(one, "steps");
        json_add(items, one);
    }
    a->ret = STEAL(items);
    return rc;
}

int migration_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct aggregate *am = ctx;
    struct ask a = { 0 };
    char urn[256];
    bool known;
    const char *param = http_query(req, "slice");
    if (!param) return err_set(err, ERR_INVALID, "say which slice: ?slice=project:name");
    if (http_query_int(req, "limit", 1, 200, 50, &a.limit, err) ||
        access_slice_urn(am, param, urn, err) ||
        access_slice(am, req, urn, PRIV_INFO, NULL, err) || slice_known(am, urn, &a.slice, &known, err) ||
        db_read(am->db, list_fn, &a, err))
        return -1;
    reply->body = json_set(json_object(), "items", a.ret);
    return 0;
}
