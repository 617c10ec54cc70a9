#include "checkpoint.h"

#include "access.h"
#include "agents.h"
#include "checkpoint_db.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "event.h"

#include <stdio.h>

LOG_MODULE("am.checkpoint");

#define CALL_MS 15000
#define LOOK_MS 500
#define STORE_MS 5000
#define GIVE_UP_MS 600000 /* without an end; the next one makes another attempt */
#define SWEPT_AT_ONCE 4

/* --- taking one --- */
struct take {
    const struct operation *op;
    struct sliver s;
    const json *state;
    const struct err *why;
};

static void take_done(struct take *t) { sliver_done(&t->s); }

static int begin_fn(struct db_conn *c, void *arg, struct err *err) {
    struct take *t = arg;
    sliver_done(&t->s);
    return sliver_get(c, t->op->sliver, &t->s, err) || checkpoint_db_begin(c, t->op->id, &t->s, err)
               ? -1
               : 0;
}

static int state_fn(struct db_conn *c, void *arg, struct err *err) {
    struct take *t = arg;
    return checkpoint_db_state(c, t->op->id, t->state, err);
}

static json *summary(const json *state) {
    json *j = json_object();
    static const char *const fields[] = { "manifest", "taken_at", "pause_ms", "bytes_total", "bytes_new" };
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (json_has(state, fields[i])) json_set(j, fields[i], json_copy(json_get(state, fields[i])));
    return j;
}

static int complete_fn(struct db_conn *c, void *arg, struct err *err) {
    struct take *t = arg;
    json *data = json_set_str(summary(t->state), "sliver", t->s.id);
    json_set_str(data, "checkpoint", t->op->id);
    return state_fn(c, arg, err) || checkpoint_db_retain(c, t->s.id, err) ||
                   operation_result(c, t->op->id, summary(t->state), err) ||
                   event_add(c, "sliver.checkpoint", t->s.slice, data, err)
               ? -1
               : 0;
}

static int failed_fn(struct db_conn *c, void *arg, struct err *err) {
    struct take *t = arg;
    return checkpoint_db_failed(c, t->op->id, t->why, err) ||
                   checkpoint_sweep(c, t->op->sliver, err)
               ? -1
               : 0;
}

static json *look(struct aggregate *am, const struct take *t, struct err *err) {
    return agents_call(am, t->s.node, "GET", NULL, CALL_MS, err,
                       "/v1/slivers/%s/checkpoints/%s?wait_ms=%d", t->s.id, t->op->id, LOOK_MS);
}

static int agent_error(const json *state, const char *node, struct err *err) {
    const json *e = json_get(state, "error");
    const char *message = json_get_str(e, "message"), *remedy = json_get_str(e, "remedy");
    err_set(err, err_from_name(json_get_str(e, "code")), "node %s: %s", node,
            message ? message : "the checkpoint failed");
    return remedy ? err_remedy(err, "%s", remedy) : -1;
}

/* Until the store has all of it. */
static int follow(struct aggregate *am, struct take *t, struct err *err) {
    int64_t deadline = clock_monotonic_ms() + GIVE_UP_MS;
    while (clock_monotonic_ms() < deadline) {
        if (am->stopping) return err_set(err, ERR_UNAVAILABLE, "the aggregate is stopping");
        if (operation_cancelled(am, t->op->id)) return err_set(err, ERR_CANCELLED, "cancelled");
        json *state AUTO_JSON = look(am, t, err);
        const char *is = json_get_str(state, "state");
        if (!state) return -1;
        if (!is || !strcmp(is, "failed")) return agent_error(state, t->s.node, err);
        t->state = state;
        bool complete = strcmp(is, "complete") == 0;
        if (db_write(am->db, complete ? complete_fn : state_fn, t, err)) return -1;
        operation_progress(am, t->op->id, json_copy(state), NULL);
        events_wake(am->events);
        if (complete) return 0;
    }
    return err_set(err, ERR_TIMEOUT, "the checkpoint was not complete within %d ms", GIVE_UP_MS);
}

static int take(struct aggregate *am, struct take *t, struct err *err) {
    json *body AUTO_JSON = json_set_int(json_object(), "epoch", t->s.epoch);
    json *begun AUTO_JSON = agents_call(am, t->s.node, "PUT", body, CALL_MS, err,
                                        "/v1/slivers/%s/checkpoints/%s", t->s.id, t->op->id);
    return begun ? follow(am, t, err) : -1;
}

int checkpoint_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct take t CLEANUP(take_done) = { .op = op };
    struct err here = ERR_INIT;
    if (!err) err = &here;
    int rc = db_write(am->db, begin_fn, &t, err) || take(am, &t, err) ? -1 : 0;
    if (rc && am->stopping) return -1; /* the same again after the restart: the node knows it by its id */
    if (rc) {
        t.why = err;
        db_write(am->db, failed_fn, &t, NULL);
        log_warn("no checkpoint", "sliver=%s node=%s error=%s", op->sliver, t.s.node, err->msg);
    }
    if (!t.s.node[0]) return rc;
    json *forgotten AUTO_JSON = agents_call(am, t.s.node, "DELETE", NULL, CALL_MS, NULL,
                                            "/v1/slivers/%s/checkpoints/%s", t.s.id, op->id);
    (void)forgotten; /* what it does not hear, it forgets with the sliver */
    return rc;
}

int checkpoint_add(struct db_conn *c, const struct sliver *s, const char *owner, char ret_id[37],
                   struct err *err) {
    if (strcmp(s->state, "ready") || s->busy[0]) {
        err_set(err, ERR_CONFLICT, "sliver %s is %s; only a ready one that nothing is done to can be"
                                   " checkpointed", s->name, s->busy[0] ? "being worked on" : s->state);
        return err_remedy(err, "see `jogak sliver show %s`", s->name);
    }
    struct operation op AUTO_OPERATION = { .kind = "checkpoint" };
    memcpy(op.slice, s->slice, sizeof op.slice);
    memcpy(op.sliver, s->id, sizeof op.sliver);
    snprintf(op.owner, sizeof op.owner, "%s", owner);
    if (operation_add(c, &op, json_set_str(json_object(), "sliver", s->id), err)) return -1;
    memcpy(ret_id, op.id, 37);
    return 0;
}

struct settle {
    const char *sliver;
    int64_t capturing;
};

static int capturing_fn(struct db_conn *c, void *arg, struct err *err) {
    struct settle *s = arg;
    return checkpoint_db_capturing(c, s->sliver, &s->capturing, err);
}

int checkpoint_settle(struct aggregate *am, const char *sliver, struct err *err) {
    int64_t deadline = clock_monotonic_ms() + CHECKPOINT_SETTLE_MS;
    struct settle s = { .sliver = sliver };
    for (;;) {
        if (db_read(am->db, capturing_fn, &s, err)) return -1;
        if (!s.capturing || am->stopping) return 0;
        if (clock_monotonic_ms() > deadline)
            return err_set(err, ERR_TIMEOUT, "a checkpoint of the sliver does not end");
        clock_sleep_ms(100);
    }
}

/* --- the ticker: what is due --- */
static int due_fn(struct db_conn *c, void *arg, struct err *err) {
    return checkpoint_db_due(c, arg, err);
}

static int start_due_fn(struct db_conn *c, void *arg, struct err *err) {
    const json *ids = arg;
    char id[37];
    for (size_t i = 0; i < json_length(ids); i++) {
        struct sliver s AUTO_SLIVER = { 0 };
        struct err one = ERR_INIT;
        if (sliver_get(c, json_str(json_at(ids, i)), &s, err)) return -1;
        if (checkpoint_add(c, &s, "aggregate", id, &one) && one.code != ERR_CONFLICT) {
            *err = one;
            return -1;
        }
    }
    return 0;
}

static void start_due(struct aggregate *am) {
    struct err err = ERR_INIT;
    json *ids AUTO_JSON = NULL;
    if (db_read(am->db, due_fn, &ids, &err) ||
        (json_length(ids) && db_write(am->db, start_due_fn, ids, &err)))
        log_warn("checkpoints not started", "error=%s", err.msg);
    else if (json_length(ids)) work_wake(am->work);
}

/* --- the ticker: what is useless in the store --- */
struct sweep {
    char sliver[37];
    const char *manifest;
    int64_t begun_ms;
    bool needed;
};

static int sweep_next_fn(struct db_conn *c, void *arg, struct err *err) {
    struct sweep *s = arg;
    return checkpoint_db_sweep_next(c, s->sliver, err);
}

static int needed_fn(struct db_conn *c, void *arg, struct err *err) {
    struct sweep *s = arg;
    return checkpoint_db_needed(c, s->manifest, &s->needed, err);
}

static int swept_fn(struct db_conn *c, void *arg, struct err *err) {
    struct sweep *s = arg;
    return checkpoint_db_swept(c, s->sliver, s->begun_ms, err);
}

static int drop_state(struct aggregate *am, struct sweep *s, struct err *err) {
    if (db_read(am->db, needed_fn, s, err)) return -1;
    if (s->needed) return 0;
    char *url AUTO_FREE = xasprintf("%s/v1/states/%s", am->config->store_url, s->manifest);
    struct err one = ERR_INIT;
    json *gone AUTO_JSON = http_json(am->client, "DELETE", url, NULL, STORE_MS, &one);
    if (!gone && one.code != ERR_NONE && one.code != ERR_NOT_FOUND) {
        *err = one;
        return -1;
    }
    log_info("state deleted in the store", "sliver=%s manifest=%s", s->sliver, s->manifest);
    return 0;
}

static int sweep_one(struct aggregate *am, struct sweep *s, struct err *err) {
    s->begun_ms = clock_wall_ms();
    char *url AUTO_FREE =
        xasprintf("%s/v1/states?sliver=%s&limit=1000", am->config->store_url, s->sliver);
    json *page AUTO_JSON = http_json(am->client, "GET", url, NULL, STORE_MS, err);
    if (!page) return -1;
    const json *items = json_get(page, "items");
    for (size_t i = 0; i < json_length(items); i++) {
        s->manifest = json_get_str(json_at(items, i), "digest");
        if (s->manifest && drop_state(am, s, err)) return -1;
    }
    return db_write(am->db, swept_fn, s, err);
}

static void sweep(struct aggregate *am) {
    for (int i = 0; am->client && i < SWEPT_AT_ONCE; i++) {
        struct sweep s = { .sliver = "" };
        struct err err = ERR_INIT;
        if (db_read(am->db, sweep_next_fn, &s, &err) == 0 && !s.sliver[0]) return;
        if (err.code || sweep_one(am, &s, &err)) {
            log_debug("states not swept", "sliver=%s error=%s", s.sliver, err.msg);
            return;
        }
    }
}

void checkpoint_tick(struct aggregate *am) {
    start_due(am);
    sweep(am);
}

/* --- routes --- */
struct ask {
    const struct sliver *s;
    const char *owner;
    char operation[37];
    json *items;
};

static int list_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    return checkpoint_db_list(c, a->s->id, &a->items, err);
}

int checkpoint_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    struct aggregate *am = ctx;
    struct sliver s AUTO_SLIVER = { 0 };
    struct ask a = { .s = &s };
    if (sliver_of_request(am, req, PRIV_INFO, &s, err) || db_read(am->db, list_fn, &a, err)) return -1;
    reply->body = json_set(json_object(), "items", a.items);
    return 0;
}

static int start_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct sliver now AUTO_SLIVER = { 0 };
    return sliver_get(c, a->s->id, &now, err) || checkpoint_add(c, &now, a->owner, a->operation, err)
               ? -1
               : 0;
}

int checkpoint_start(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct aggregate *am = ctx;
    struct sliver s AUTO_SLIVER = { 0 };
    struct ask a = { .s = &s, .owner = req->peer->urn };
    if (sliver_of_request(am, req, PRIV_OPERATE, &s, err) || db_write(am->db, start_fn, &a, err))
        return -1;
    return operation_accepted(am, a.operation, reply, err);
}
