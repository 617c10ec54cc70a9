/*
 * The engine: walks the twelve rows of steps.c for one migration, from wherever its journal stands.
 *
 * Before a row runs, its intent is on disk; after it, its result. So a process that dies at any
 * instant finds at its start which row was at work, and runs that row again: rows are idempotent.
 * Before the commit a failure is followed by a question to both nodes (step_probe), and by an undo
 * of the rows in reverse, or by going forward when the guest has in truth arrived. After the
 * commit there is only forward: rows are repeated until they succeed.
 */
#include "migration.h"

#include "../address.h"
#include "../agents.h"
#include "../checkpoint.h"
#include "../event.h"
#include "../lease.h"
#include "debt.h"
#include "common/clock.h"
#include "common/log.h"
#include "loss.h"
#include "steps_internal.h"

LOG_MODULE("am.engine");

#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS 2000
#define FORWARD_GIVE_UP_MS 120000 /* after so long without success past the commit, say so */

static const char SQL_COMMITTED[] = "UPDATE migration SET committed = 1 WHERE id = ?";
static const char SQL_UNCLAIM[] = "DELETE FROM claim WHERE operation = ?";

static void run_done(struct run *r) {
    migration_done(&r->m);
    sliver_done(&r->s);
    json_put(r->detail);
}

static bool stopping(const struct run *r) { return r->am->stopping; }

static int stop_here(struct err *err) {
    return err_set(err, ERR_UNAVAILABLE, "the aggregate is stopping; the migration goes on later");
}

/* One row, in one direction, with its journal entries around it. */
static int walk(struct run *r, const struct step *step, const char *direction,
                int (*fn)(struct run *, struct err *), struct err *err) {
    if (journal_intent(r->am, &r->m, step->number, direction, err)) return -1;
    json_put(r->detail);
    r->detail = json_object();
    int64_t begin = clock_monotonic_us();
    int rc = fn(r, err);
    int64_t took = clock_monotonic_us() - begin;
    if (rc && err) json_set_str(r->detail, "error", err->msg);
    struct err journal = ERR_INIT;
    if (journal_result(r->am, &r->m, step->number, direction, rc ? "failed" : "ok", took,
                       json_ref(r->detail), &journal) && rc == 0) {
        if (err) *err = journal;
        return -1;
    }
    return rc ? err_wrap(err, "step %d (%s)", step->number, step->name) : 0;
}

/* --- the commit: one transaction, and from here only forward --- */
/* A source that was not asked is fenced by its lease: that has to hold at this very instant, since
 * a report grants it another in a transaction of its own. What is left there goes when it is back. */
static int commit_source_fn(struct db_conn *c, struct run *r, struct err *err) {
    if (json_get_bool(r->m.facts, "by_lease", false) && lease_check_over(r->am, &r->s, err)) return -1;
    if (r->how->source) return 0;
    return debt_add(c, r->m.source, r->s.id, r->m.source_epoch, r->m.id, err) ||
                   loss_over(c, r->s.id, err)
               ? -1
               : 0;
}

static int commit_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    if (commit_source_fn(c, r, err)) return -1;
    return sliver_set_owner(c, r->s.id, r->m.target, r->m.epoch, err) ||
                   db_exec(c, NULL, err, SQL_COMMITTED, "s", r->m.id) ||
                   db_exec(c, NULL, err, SQL_UNCLAIM, "s", r->m.id) ||
                   address_commit(c, r->m.id, err)
               ? -1
               : 0;
}

/* What must not be given up: a full disk can refuse it, so it is repeated until it is there. */
static int insist(struct run *r, const char *what, db_fn fn, void *arg, struct err *err) {
    while (db_write(r->am->db, fn, arg, err)) {
        if (stopping(r)) return stop_here(err);
        log_error("to be repeated", "what=%s migration=%s error=%s", what, r->m.id, err->msg);
        clock_sleep_ms(RETRY_MOST_MS);
    }
    err_clear(err);
    return 0;
}

/* 0; -1: stopping; 1: refused, since the source is back. */
static int commit(struct run *r, struct err *err) {
    /* A full disk can refuse it; there is no way back, so it is repeated until it is there. */
    while (db_write(r->am->db, commit_fn, r, err)) {
        if (stopping(r)) return stop_here(err);
        if (err->code == ERR_CONFLICT && json_get_bool(r->m.facts, "by_lease", false)) return 1;
        log_error("commit to be repeated", "migration=%s error=%s", r->m.id, err->msg);
        clock_sleep_ms(RETRY_MOST_MS);
    }
    err_clear(err);
    r->m.committed = true;
    log_info("committed", "migration=%s sliver=%s node=%s epoch=%lld", r->m.id, r->s.id,
             r->m.target, (long long)r->m.epoch);
    return 0;
}

/* --- before the commit --- */
static int prepare(struct run *r, struct err *err) {
    for (int i = 0; i < STEP_COMMIT_AFTER; i++) {
        if (journal_has(r->am, &r->m, i + 1, "run")) continue;
        if (stopping(r)) return stop_here(err);
        if (operation_cancelled(r->am, r->op->id))
            return err_set(err, ERR_CANCELLED, "cancelled before step %d (%s)", i + 1, steps[i].name);
        if (walk(r, &steps[i], "run", steps[i].run, err)) return -1;
    }
    return 0;
}

/* Why an attempt is undone stands in the journal, so that a restart knows it, too. */
static void note_cause(struct run *r, const struct err *why) {
    json *cause = json_set_str(json_object(), "code", err_name(why->code));
    json_set_str(cause, "message", why->msg);
    if (why->remedy[0]) json_set_str(cause, "remedy", why->remedy);
    json_set(r->m.facts, "cause", cause);
}

static void recall_cause(const struct run *r, struct err *err) {
    const json *cause = json_get(r->m.facts, "cause");
    const char *message = json_get_str(cause, "message"), *remedy = json_get_str(cause, "remedy");
    if (!message) {
        err_set(err, ERR_CANCELLED, "it was being undone when the aggregate was restarted");
        return;
    }
    err_set(err, err_from_name(json_get_str(cause, "code")), "%s", message);
    if (remedy) err_remedy(err, "%s", remedy);
}

/* The guest is at the source, or it is where a node was lost. */
static int sliver_after_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    const char *why = json_get_str(json_get(r->m.facts, "cause"), "message");
    if (!r->how->source || json_has(r->m.facts, "source_owes"))
        return loss_declare(c, r->s.id, why ? why : "", err);
    return sliver_set_state(c, r->s.id, "ready", "", err);
}

/* All of the attempt is undone: another one in another way, or the end. */
static int end_attempt(struct run *r, const struct err *why, struct err *err) {
    const char *delivery = delivery_after(r, why);
    if (delivery) {
        if (journal_attempt(r->am, &r->m, delivery, err)) return -1;
        r->how = delivery_named(delivery, delivery_alone(&r->m));
        return r->again = true, 0;
    }
    *err = *why;
    return db_write(r->am->db, sliver_after_fn, r, NULL) || journal_abort(r->am, &r->m, NULL) ? -1 : 0;
}

/* Undo is repeated until it succeeds: a source that is away now has to be told later. */
static int undo(struct run *r, const struct err *why, struct err *err) {
    note_cause(r, why);
    step_turn(r);
    r->undo_since_ms = clock_monotonic_ms();
    if (journal_state(r->am, &r->m, "undoing", err)) return -1;
    for (int i = STEP_COMMIT_AFTER; i-- > 0;) {
        if (!steps[i].undo || r->m.step < steps[i].number) continue;
        int64_t pause = RETRY_FIRST_MS;
        struct err one = ERR_INIT;
        while (!journal_has(r->am, &r->m, steps[i].number, "undo") &&
               walk(r, &steps[i], "undo", steps[i].undo, &one)) {
            if (one.code == ERR_CONFLICT) { /* the source says that its guest has moved */
                *err = one;
                return -1;
            }
            if (stopping(r)) return stop_here(err);
            log_warn("undo to be repeated", "migration=%s error=%s", r->m.id, one.msg);
            clock_sleep_ms(pause);
            pause = pause * 2 > RETRY_MOST_MS ? RETRY_MOST_MS : pause * 2;
        }
    }
    return end_attempt(r, why, err);
}

/* Nobody has the guest. What may be left of it at both nodes goes; a checkpoint may bring it back. */
static int lost_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    const char *why = json_get_str(r->m.facts, "lost");
    return debt_add(c, r->m.target, r->s.id, r->m.epoch, r->m.id, err) ||
                   debt_add(c, r->m.source, r->s.id, r->m.source_epoch, r->m.id, err) ||
                   db_exec(c, NULL, err, SQL_UNCLAIM, "s", r->m.id) ||
                   loss_declare(c, r->s.id, why, err)
               ? -1
               : 0;
}

static int declare_lost(struct run *r, struct err *err) {
    err_set(err, ERR_GONE, "sliver %s is lost: neither %s nor %s has it", r->s.name, r->m.source,
            r->m.target);
    err_remedy(err, "create it anew: jogak apply");
    json_set_str(r->m.facts, "lost", err->msg);
    if (db_write(r->am->db, lost_fn, r, NULL) == 0) journal_state(r->am, &r->m, "lost", NULL);
    return -1;
}

/* A row failed before the commit. 0: go forward after all; -1: it ended, err says how. */
static int recover(struct run *r, struct err *err) {
    const struct err why = *err;
    int64_t pause = RETRY_FIRST_MS;
    for (;;) {
        if (stopping(r)) return stop_here(err);
        struct err unknown = ERR_INIT;
        switch (step_probe(r, &unknown)) {
        case VERDICT_FORWARD: return 0;
        case VERDICT_LOST: return declare_lost(r, err);
        case VERDICT_UNDO:
            if (undo(r, &why, err) == 0) return -1;
            if (stopping(r)) return -1;
            break; /* it had arrived meanwhile: ask again */
        case VERDICT_WAIT:
            log_warn("waiting for a node's answer", "migration=%s error=%s", r->m.id, unknown.msg);
        }
        clock_sleep_ms(pause);
        pause = pause * 2 > RETRY_MOST_MS ? RETRY_MOST_MS : pause * 2;
    }
}

/* --- after the commit --- */

/* The target is lost while it takes over: it is waited for, unless the sliver can be brought back without it. */
static int target_lost_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    const char *why;
    if (loss_plan(c, &r->s, "lost", &why, err) == LOSS_WAIT) return 0;
    json_set_str(r->m.facts, "lost", "its new node was lost while it took the sliver over");
    return debt_add(c, r->m.source, r->s.id, r->m.source_epoch, r->m.id, err) ||
                   loss_declare(c, r->s.id, json_get_str(r->m.facts, "lost"), err)
               ? -1
               : 0;
}

static bool given_up(struct run *r, struct err *err) {
    if (!delivery_gone(r, r->m.target) || db_write(r->am->db, target_lost_fn, r, NULL)) return false;
    const char *why = json_get_str(r->m.facts, "lost");
    if (!why || journal_state(r->am, &r->m, "lost", NULL)) return false;
    err_set(err, ERR_GONE, "sliver %s: %s (%s)", r->s.name, why, r->m.target);
    err_remedy(err, "it is recovered from its newest checkpoint; see `jogak sliver show %s`", r->s.name);
    return true;
}

static int forward(struct run *r, struct err *err) {
    for (int i = STEP_COMMIT_AFTER; i < STEP_COUNT; i++) {
        int64_t pause = RETRY_FIRST_MS, begin = clock_monotonic_ms();
        bool told = false;
        while (!journal_has(r->am, &r->m, steps[i].number, "run")) {
            if (stopping(r)) return stop_here(err);
            struct err one = ERR_INIT;
            if (walk(r, &steps[i], "run", steps[i].run, &one) == 0) break;
            if (given_up(r, err)) return -1;
            log_warn("step to be repeated", "migration=%s error=%s", r->m.id, one.msg);
            if (!told && clock_monotonic_ms() - begin > FORWARD_GIVE_UP_MS) {
                log_error("migration cannot go on", "migration=%s sliver=%s node=%s error=%s",
                          r->m.id, r->s.id, r->m.target, one.msg);
                told = true;
            }
            clock_sleep_ms(pause);
            pause = pause * 2 > RETRY_MOST_MS ? RETRY_MOST_MS : pause * 2;
        }
    }
    return 0;
}

static json *summary(struct run *r) {
    json *j = json_set_str(json_object(), "source", r->m.source);
    json_set_str(j, "target", r->m.target);
    json_set_int(j, "epoch", r->m.epoch);
    json_set_str(j, "delivery", r->m.delivery);
    json_set_int(j, "attempts", r->m.attempt);
    json_set_int(j, "held_frames", json_get_int(r->m.facts, "held_frames", 0));
    if (json_has(r->m.facts, "address"))
        json_set(j, "address", json_copy(json_get(r->m.facts, "address")));
    if (json_has(r->m.facts, "checkpoint"))
        json_set(j, "checkpoint", json_copy(json_get(r->m.facts, "checkpoint")));
    int64_t from, to;
    const char *paused = json_get_str(r->m.facts, "paused_at");
    const char *resumed = json_get_str(r->m.facts, "resumed_at");
    if (paused && resumed && !clock_parse_rfc3339(paused, &from) &&
        !clock_parse_rfc3339(resumed, &to))
        json_set_int(j, "blackout_ms", to - from);
    return j;
}

static int finish_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    if (json_has(r->m.facts, "source_pending") &&
        debt_add(c, r->m.source, r->s.id, r->m.source_epoch, r->m.id, err))
        return -1;
    /* The state that it went through is in nobody's way, but of no use any more either. */
    if (!strcmp(r->m.delivery, "store") && checkpoint_sweep(c, r->s.id, err)) return -1;
    return sliver_set_state(c, r->s.id, "ready", "", err) ||
                   operation_result(c, r->m.id, summary(r), err)
               ? -1
               : 0;
}

struct owed {
    struct run *r;
    const char *node;
};

static int owed_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct owed *o = arg;
    return debt_add(c, o->node, o->r->s.id, o->r->m.source_epoch, o->r->m.id, err);
}

static int finish(struct run *r, struct err *err) {
    if (insist(r, "end", finish_fn, r, err)) return -1;
    const char *nodes[2];
    size_t n = step_ends(r, nodes);
    for (size_t i = 0; i < n; i++) {
        json *answer AUTO_JSON = agents_call(r->am, nodes[i], "DELETE", NULL, 5000, NULL,
                                             "/v1/migrations/%s?epoch=%lld", r->m.id,
                                             (long long)r->m.epoch);
        struct owed owed = { r, nodes[i] };
        if (!answer && insist(r, "debt", owed_fn, &owed, err)) return -1;
    }
    while (journal_state(r->am, &r->m, "done", err)) {
        if (stopping(r)) return stop_here(err);
        clock_sleep_ms(RETRY_MOST_MS);
    }
    err_clear(err);
    return 0;
}

/* Until the guest is known to be whole at the target with the source pinned (0), or the migration
 * has ended otherwise (-1). */
static int settle(struct run *r, struct err *err) {
    int failed = -1;
    if (strcmp(r->m.state, "undoing"))
        failed = sliver_change_state(r->am, r->s.id, "migrating", "", err) || prepare(r, err);
    else recall_cause(r, err);
    while (failed) {
        if (recover(r, err)) return -1;
        /* It had arrived after all: pin the source before anything else. */
        step_turn(r);
        failed = walk(r, &steps[STEP_COMMIT_AFTER - 1], "run", steps[STEP_COMMIT_AFTER - 1].run, err);
        if (failed) clock_sleep_ms(RETRY_FIRST_MS);
    }
    err_clear(err);
    return 0;
}

/* The source came back before the commit. One that takes no part keeps what it has; any other is
 * asked again, and pinned. */
static int back_again(struct run *r, struct err *err) {
    json_del(r->m.facts, "by_lease");
    if (r->how->source) return walk(r, &steps[STEP_COMMIT_AFTER - 1], "run", confirm_run, err), 0;
    const struct err why = *err;
    while (undo(r, &why, err) && !stopping(r)) clock_sleep_ms(RETRY_MOST_MS);
    return -1;
}

int migration_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct run r CLEANUP(run_done) = { .am = am, .op = op };
    struct err here = ERR_INIT;
    if (!err) err = &here; /* the engine itself reads it */
    if (journal_load(am, op->id, &r.m, err) || sliver_find(am, r.m.sliver, &r.s, err)) return -1;
    if (!strcmp(r.m.state, "done")) return 0;
    if (!strcmp(r.m.state, "aborted") || !strcmp(r.m.state, "lost"))
        return err_set(err, ERR_CONFLICT, "the migration was %s", r.m.state);
    r.how = delivery_named(r.m.delivery, delivery_alone(&r.m));
    while (!r.m.committed) {
        r.again = false;
        int failed = settle(&r, err);
        if (failed && r.again) continue;
        if (failed) return -1;
        int refused = commit(&r, err);
        if (refused < 0) return -1;
        if (refused && back_again(&r, err)) return -1;
    }
    if (forward(&r, err)) return -1;
    return finish(&r, err);
}
