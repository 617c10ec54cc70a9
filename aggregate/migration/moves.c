#include "moves.h"

#include "../event.h"
#include "../node.h"
#include "../operation_db.h"
#include "common/clock.h"
#include "common/log.h"
#include "migration.h"

#include <stdio.h>

LOG_MODULE("am.moves");

#define LOOK_MS 200
#define NAMED_MAX 600 /* characters of an error's list */

/* Why nothing new begins any more. */
enum ending { GOING_ON, CANCELLED, LATE };

struct look {
    struct aggregate *am;
    const struct operation *op;
    struct moves m;
    struct move_rule rule;
    int64_t parallel;
    enum ending ending;
    size_t open; /* rows that have not come to an end */
    bool changed;
};

static void look_done(struct look *l) { moves_done(&l->m); }

static void become(struct look *l, struct move *row, enum move_state state, const char *reason,
                   const char *why) {
    if (row->state == state && !strcmp(row->reason, reason)) return;
    row->state = state;
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    snprintf(row->why, sizeof row->why, "%.599s", why);
    l->changed = true;
}

/* --- what became of those that were there --- */

static int see_migration(struct db_conn *c, struct look *l, struct move *row, struct err *err) {
    json *op AUTO_JSON = operation_db_show(c, row->migration, err);
    if (!op) return -1;
    const char *state = json_get_str(op, "state"), *why = json_get_str(json_get(op, "error"), "message");
    if (!strcmp(state, "done")) become(l, row, MOVE_MOVED, "", "");
    else if (!strcmp(state, "failed")) become(l, row, MOVE_FAILED, "migration", why ? why : "it failed");
    else if (!strcmp(state, "cancelled")) become(l, row, MOVE_CANCELLED, "cancelled", "taken back");
    return 0;
}

/* One that waits may have been moved or released by somebody else. */
static int see_waiting(struct db_conn *c, struct look *l, struct move *row, struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    if (sliver_get(c, row->sliver, &s, err)) return -1;
    bool gone = !strcmp(s.allocation, "unallocated");
    if (gone || strcmp(s.node, row->source)) {
        become(l, row, MOVE_MOVED, gone ? "released" : "left", "");
        return moves_unclaim(c, l->op->id, row->sliver, err);
    }
    if (l->ending == GOING_ON) return 0;
    become(l, row, MOVE_CANCELLED, l->ending == LATE ? "timeout" : "cancelled", "not begun");
    return moves_unclaim(c, l->op->id, row->sliver, err);
}

static int see_all(struct db_conn *c, struct look *l, struct err *err) {
    for (size_t i = 0; i < l->m.count; i++) {
        struct move *row = &l->m.rows[i];
        if (row->state == MOVE_MOVING && see_migration(c, l, row, err)) return -1;
        if ((row->state == MOVE_WAITING || row->state == MOVE_BLOCKED) && see_waiting(c, l, row, err))
            return -1;
    }
    return 0;
}

/* A drain also takes what came to its node after it had begun: moves and starts that were on their way. */
static int see_newcomers(struct db_conn *c, struct look *l, struct err *err) {
    struct sliver_list there AUTO_SLIVERS = { 0 };
    if (!l->op->node[0] || l->ending != GOING_ON) return 0;
    if (sliver_of_node(c, l->op->node, &there, err)) return -1;
    for (size_t i = 0; i < there.count; i++) {
        bool known = false;
        for (size_t k = 0; k < l->m.count; k++)
            known |= !strcmp(l->m.rows[k].sliver, there.rows[i].id);
        if (known) continue;
        if (moves_add(c, &l->m, &there.rows[i], err)) return -1;
        l->changed = true;
    }
    return 0;
}

/* --- what begins now --- */

static int place_blocked(struct db_conn *c, struct look *l, struct err *err) {
    bool any = false;
    for (size_t i = 0; i < l->m.count; i++) any |= l->m.rows[i].state == MOVE_BLOCKED;
    if (!any || l->ending != GOING_ON) return 0;
    struct err none = ERR_INIT; /* those without a place are failed in their rows */
    if (moves_place(c, l->am, &l->m, &l->rule, true, NULL, &none) && none.code != ERR_NO_SPACE) {
        if (err) *err = none;
        return -1;
    }
    l->changed = true;
    return 0;
}

/* 1: it was begun; 0: not now; -1: error. A target that is no longer ready is chosen anew. */
static int begin(struct db_conn *c, struct look *l, struct move *row, struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    struct node target AUTO_NODE = { 0 };
    if (sliver_get(c, row->sliver, &s, err) || node_get(c, row->target, &target, err)) return -1;
    if (s.busy[0]) return 0;
    if (strcmp(target.state, "ready")) {
        become(l, row, MOVE_BLOCKED, "", "");
        row->target[0] = '\0';
        return moves_unclaim(c, l->op->id, row->sliver, err);
    }
    struct err why = ERR_INIT;
    if (migration_add(c, &s, l->op->owner, l->op->node[0] ? "drain" : "request", row->target,
                      row->migration, &why)) {
        if (why.code != ERR_CONFLICT) {
            if (err) *err = why;
            return -1;
        }
        become(l, row, MOVE_STAYS, "sliver_state", why.msg);
        return moves_unclaim(c, l->op->id, row->sliver, err);
    }
    become(l, row, MOVE_MOVING, "", "");
    return 1;
}

static int begin_some(struct db_conn *c, struct look *l, struct err *err) {
    int64_t moving = 0;
    for (size_t i = 0; i < l->m.count; i++) moving += l->m.rows[i].state == MOVE_MOVING;
    for (size_t i = 0; i < l->m.count && moving < l->parallel && l->ending == GOING_ON; i++) {
        if (l->m.rows[i].state != MOVE_WAITING) continue;
        int rc = begin(c, l, &l->m.rows[i], err);
        if (rc < 0) return -1;
        moving += rc;
    }
    return 0;
}

static int look_fn(struct db_conn *c, void *arg, struct err *err) {
    struct look *l = arg;
    moves_done(&l->m);
    l->changed = false;
    if (moves_load(c, l->op->id, &l->m, err) || see_all(c, l, err) || see_newcomers(c, l, err) ||
        place_blocked(c, l, err) || begin_some(c, l, err))
        return -1;
    l->open = 0;
    for (size_t i = 0; i < l->m.count; i++)
        l->open += l->m.rows[i].state <= MOVE_MOVING;
    return l->changed ? moves_save(c, &l->m, err) : 0;
}

/* --- the end --- */

static int unclaim_fn(struct db_conn *c, void *arg, struct err *err) {
    return moves_unclaim(c, ((const struct operation *)arg)->id, NULL, err);
}

static int tell_end(const struct look *l, struct err *err) {
    struct buf b AUTO_BUF = BUF_INIT;
    size_t left = 0;
    for (size_t i = 0; i < l->m.count; i++) {
        const struct move *row = &l->m.rows[i];
        if (row->state == MOVE_MOVED) continue;
        if (left++ && b.length > NAMED_MAX) continue;
        buf_printf(&b, "%s%s of %s on %s: %s", left > 1 ? "; " : "", row->name, row->slice,
                   row->source, row->why);
    }
    if (!left) return 0;
    err_set(err, l->ending == CANCELLED ? ERR_CANCELLED : l->ending == LATE ? ERR_TIMEOUT : ERR_CONFLICT,
            "%s%zu of %zu slivers were not moved%s%s",
            l->ending == CANCELLED ? "cancelled; " : l->ending == LATE ? "the time is over; " : "", left,
            l->m.count, left ? ": " : "", left ? b.data : "");
    return err_remedy(err, "its progress names each of them (jogak operation show %s); when the cause is gone, "
                           "ask again", l->op->id);
}

/* Those past their commit refuse: they go on, and are waited for. */
static void cancel_open(const struct look *l) {
    for (size_t i = 0; i < l->m.count; i++)
        if (l->m.rows[i].state == MOVE_MOVING) work_cancel(l->am, l->m.rows[i].migration, NULL);
}

static void note_ending(struct look *l, int64_t deadline_ms) {
    if (l->ending != GOING_ON) return;
    if (operation_cancelled(l->am, l->op->id)) l->ending = CANCELLED;
    else if (clock_monotonic_ms() >= deadline_ms) l->ending = LATE;
    if (l->ending != GOING_ON)
        log_info("no more moves", "operation=%s why=%s", l->op->id,
                 l->ending == LATE ? "timeout" : "cancelled");
}

/* On the monotonic clock of this life; across lives the end is kept as a time of day. */
static int64_t deadline_of(const struct operation *op) {
    int64_t at = json_get_int(op->input, "deadline_ms", 0), timeout_s = json_get_int(op->input, "timeout_s", 0);
    if (!at) return INT64_MAX;
    int64_t left = at - clock_wall_ms();
    if (left > timeout_s * 1000) left = timeout_s * 1000;
    return clock_monotonic_ms() + left;
}

int moves_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct look l CLEANUP(look_done) = {
        .am = am,
        .op = op,
        .rule = { .avoid = json_get_str(op->input, "avoid"), .to = json_get_str(op->input, "to") },
        .parallel = json_get_int(op->input, "parallel", am->config->drain_parallel),
    };
    if (l.parallel > am->config->drain_parallel) l.parallel = am->config->drain_parallel;
    int64_t deadline_ms = deadline_of(op);
    for (;;) {
        note_ending(&l, deadline_ms);
        if (db_write(am->db, look_fn, &l, err)) return -1;
        if (l.changed) {
            work_wake(am->work);
            events_wake(am->events);
        }
        if (!l.open) break;
        if (l.ending != GOING_ON) cancel_open(&l);
        if (am->stopping) return err_set(err, ERR_UNAVAILABLE, "the aggregate is stopping");
        if (l.ending == GOING_ON) work_pause(am, op->id, LOOK_MS);
        else clock_sleep_ms(LOOK_MS); /* a cancelled operation is not paused any more */
    }
    struct operation copy = *op;
    if (db_write(am->db, unclaim_fn, &copy, err)) return -1;
    return tell_end(&l, err);
}

json *moves_input(const json *body) {
    json *input = json_object();
    int64_t parallel = json_get_int(body, "parallel", 0), timeout_s = json_get_int(body, "timeout_s", 0);
    if (parallel) json_set_int(input, "parallel", parallel);
    if (timeout_s) {
        json_set_int(input, "timeout_s", timeout_s);
        json_set_int(input, "deadline_ms", clock_wall_ms() + timeout_s * 1000);
    }
    return input;
}
