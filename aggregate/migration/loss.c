#include "loss.h"

#include "../agents.h"
#include "../checkpoint.h"
#include "../event.h"
#include "../lease.h"
#include "common/clock.h"
#include "common/log.h"
#include "loss_db.h"
#include "migration.h"

#include <stdio.h>

LOG_MODULE("am.loss");

#define ASK_MS 3000
#define BACK_RETRY_MS 2000

static const struct { const char *signal, *policy, *otherwise; } signals[] = {
    { "lost", "on_node_loss", "checkpoint" },
    { "down", "on_down", "none" },
};

enum loss_plan loss_plan(struct db_conn *c, const struct sliver *s, const char *signal,
                         const char **ret_why, struct err *err) {
    const char *policy = NULL;
    const json *rules = json_get(s->wanted, "migration");
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        if (strcmp(signals[i].signal, signal) == 0) {
            policy = json_get_str(rules, signals[i].policy);
            if (!policy) policy = signals[i].otherwise;
        }
    *ret_why = "its policy says to wait for the node";
    if (!policy || !strcmp(policy, "none")) return LOSS_WAIT;
    *ret_why = "it is not movable by its policy";
    if (!json_get_bool(rules, "movable", true)) return LOSS_WAIT;
    *ret_why = "it is unfenced by its policy, so it may still run there";
    if (!lease_fences(s)) return LOSS_WAIT;
    struct checkpoint newest;
    bool found = false;
    *ret_why = "its checkpoints cannot be read";
    if (checkpoint_newest(c, s->id, &newest, &found, err)) return LOSS_WAIT;
    if (found) return LOSS_CHECKPOINT;
    *ret_why = "it has no complete checkpoint to resume from";
    return strcmp(policy, "fresh") == 0 ? LOSS_FRESH : LOSS_WAIT;
}

int loss_declare(struct db_conn *c, const char *sliver, const char *why, struct err *err) {
    int64_t now = clock_wall_ms();
    return loss_db_mark(c, sliver, now, now + LOSS_RETRY_MS, err) ||
                   sliver_set_state(c, sliver, "failed", why, err)
               ? -1
               : 0;
}

int loss_over(struct db_conn *c, const char *sliver, struct err *err) {
    return loss_db_clear(c, sliver, err);
}

/* --- the signal node lost --- */
struct recover {
    struct aggregate *am;
    const char *sliver;
    const char *signal;
    const char *said; /* by its node: the sliver does not run; NULL: the node is lost */
};

static int recover_fn(struct db_conn *c, void *arg, struct err *err) {
    struct recover *r = arg;
    struct sliver s AUTO_SLIVER = { 0 };
    const char *why = "";
    if (sliver_get(c, r->sliver, &s, err)) return -1;
    if (s.busy[0] || (!r->said && lease_fences(&s) && !lease_is_over(r->am, s.node))) return 0;
    enum loss_plan plan = loss_plan(c, &s, r->signal, &why, err);
    const struct migration_wish wish = { "aggregate", r->signal, NULL, NULL };
    char id[37], text[400];
    if (plan != LOSS_WAIT) return migration_add_wish(c, &s, &wish, id, err);
    if (!strcmp(s.state, "stopped")) { /* it stays what it is; looked at again later */
        int64_t now = clock_wall_ms();
        return loss_db_mark(c, s.id, now, now + LOSS_RETRY_MS, err);
    }
    snprintf(text, sizeof text, "its node %s %s; %s", s.node, r->said ? r->said : "is lost", why);
    return loss_declare(c, s.id, text, err);
}

static int due_fn(struct db_conn *c, void *arg, struct err *err) { return loss_db_due(c, arg, err); }

static int down_fn(struct db_conn *c, void *arg, struct err *err) { return loss_db_down(c, arg, err); }

/* said: see struct recover. */
static void recover_all(struct aggregate *am, db_fn which, const char *signal, const char *said) {
    struct err err = ERR_INIT;
    json *ids AUTO_JSON = NULL;
    if (db_read(am->db, which, &ids, &err)) log_warn("lost slivers not looked at", "error=%s", err.msg);
    for (size_t i = 0; i < json_length(ids); i++) {
        struct recover r = { am, json_str(json_at(ids, i)), signal, said };
        if (db_write(am->db, recover_fn, &r, &err))
            log_warn("lost sliver not recovered", "sliver=%s error=%s", r.sliver, err.msg);
    }
    if (json_length(ids)) work_wake(am->work), events_wake(am->events);
}

/* --- what came back with its node --- */
static int back_fn(struct db_conn *c, void *arg, struct err *err) { return loss_db_back(c, arg, err); }

static int ready_fn(struct db_conn *c, void *arg, struct err *err) {
    return sliver_set_state(c, arg, "ready", "", err) || loss_over(c, arg, err) ? -1 : 0;
}

static int later_fn(struct db_conn *c, void *arg, struct err *err) {
    int64_t now = clock_wall_ms();
    return loss_db_mark(c, arg, now, now + BACK_RETRY_MS, err);
}

static void find_back(struct aggregate *am) {
    char id[37] = "";
    struct err err = ERR_INIT;
    struct sliver s AUTO_SLIVER = { 0 };
    if (db_read(am->db, back_fn, id, &err) || !id[0] || sliver_find(am, id, &s, &err)) return;
    json *state AUTO_JSON = agents_call(am, s.node, "GET", NULL, ASK_MS, &err, "/v1/slivers/%s", id);
    const char *is = json_get_str(state, "state");
    bool whole = is && !strcmp(is, "running") && json_get_int(state, "epoch", 0) == s.epoch;
    bool absent = is && !strcmp(is, "absent"), down = is && !strcmp(is, "stopped");
    struct recover without = { am, id, absent ? "lost" : "down", "is back without it" };
    int rc = absent || down ? db_write(am->db, recover_fn, &without, &err)
                            : db_write(am->db, whole ? ready_fn : later_fn, id, &err);
    if (rc) log_warn("sliver of a node that is back not noted", "sliver=%s error=%s", id, err.msg);
    if (whole) log_info("sliver is back with its node", "sliver=%s node=%s", id, s.node);
    work_wake(am->work);
    events_wake(am->events);
}

void loss_tick(struct aggregate *am) {
    recover_all(am, due_fn, "lost", NULL);
    recover_all(am, down_fn, "down", "has it, but it went down");
    find_back(am);
}
