#include "journal.h"

#include "../checkpoint.h"
#include "../event.h"
#include "common/clock.h"
#include "common/log.h"
#include "debt.h"

#include <stdio.h>

LOG_MODULE("am.journal");

static const char SQL_GET[] =
    "SELECT migration.*, operation.slice AS slice FROM migration"
    " JOIN operation USING (id) WHERE id = ?";
static const char SQL_INTENT[] =
    "INSERT INTO journal (migration, attempt, step, direction, intent_ms) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET result_ms = NULL, outcome = NULL";
static const char SQL_STEP[] = "UPDATE migration SET step = MAX(step, ?2), facts = ?3 WHERE id = ?1";
static const char SQL_RESULT[] =
    "UPDATE journal SET result_ms = ?5, outcome = ?6, detail = ?7, took_us = ?8"
    " WHERE migration = ?1 AND attempt = ?2 AND step = ?3 AND direction = ?4";
static const char SQL_HAS[] =
    "SELECT 1 AS there FROM journal WHERE migration = ? AND attempt = ? AND step = ?"
    " AND direction = ? AND outcome = 'ok'";
static const char SQL_STATE[] =
    "UPDATE migration SET state = ?2, facts = ?3, source = ?4, target = ?5, source_epoch = ?6,"
    " epoch = ?7, policy = ?8, delivery = ?9 WHERE id = ?1";
static const char SQL_ATTEMPT[] =
    "UPDATE migration SET attempt = ?2, delivery = ?3, facts = ?4, step = 0, target = '', epoch = 0,"
    " state = 'running' WHERE id = ?1";
static const char SQL_STEPS[] = "SELECT * FROM journal WHERE migration = ?"
                                " ORDER BY attempt, intent_ms, direction, step";

void migration_done(struct migration *m) {
    json_put(m->facts);
    m->facts = NULL;
}

int journal_get(struct db_conn *c, const char *id, struct migration *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_GET, "s", id);
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc < 0) return -1;
    if (rc == 0) return err_set(err, ERR_NOT_FOUND, "there is no migration %s", id);
    *ret = (struct migration){
        .attempt = db_int(q, "attempt"),
        .source_epoch = db_int(q, "source_epoch"),
        .epoch = db_int(q, "epoch"),
        .step = db_int(q, "step"),
        .committed = db_int(q, "committed") != 0,
    };
    const struct { const char *column; char *to; size_t size; } texts[] = {
        { "id", ret->id, sizeof ret->id },
        { "sliver", ret->sliver, sizeof ret->sliver },
        { "slice", ret->slice, sizeof ret->slice },
        { "trigger_", ret->trigger, sizeof ret->trigger },
        { "policy", ret->policy, sizeof ret->policy },
        { "delivery", ret->delivery, sizeof ret->delivery },
        { "state", ret->state, sizeof ret->state },
        { "wanted_target", ret->wanted_target, sizeof ret->wanted_target },
        { "source", ret->source, sizeof ret->source },
        { "target", ret->target, sizeof ret->target },
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *text = db_text(q, texts[i].column);
        snprintf(texts[i].to, texts[i].size, "%s", text ? text : "");
    }
    ret->facts = json_parse(db_text(q, "facts"), strlen(db_text(q, "facts")), NULL);
    return 0;
}

struct entry {
    struct migration *m;
    const char *id, *direction, *outcome, *detail, *facts, *state;
    int step;
    int64_t took_us;
    bool found;
};

static int load_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    return journal_get(c, e->id, e->m, err);
}

int journal_load(struct aggregate *am, const char *id, struct migration *ret, struct err *err) {
    struct entry e = { .m = ret, .id = id };
    return db_read(am->db, load_fn, &e, err);
}

static int tell(struct db_conn *c, const struct entry *e, struct err *err) {
    json *data = json_object();
    json_set_str(data, "migration", e->m->id);
    json_set_str(data, "sliver", e->m->sliver);
    json_set_int(data, "attempt", e->m->attempt);
    json_set_int(data, "step", e->step);
    json_set_str(data, "direction", e->direction);
    json_set_str(data, "outcome", e->outcome ? e->outcome : "begun");
    if (e->outcome) json_set_int(data, "took_us", e->took_us);
    return event_add(c, "migration.step", e->m->slice, data, err);
}

static int intent_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    return db_exec(c, NULL, err, SQL_INTENT, "siisi", e->m->id, e->m->attempt, (int64_t)e->step,
                   e->direction, clock_wall_ms()) ||
                   db_exec(c, NULL, err, SQL_STEP, "sis", e->m->id, (int64_t)e->step, e->facts) ||
                   tell(c, e, err)
               ? -1
               : 0;
}

int journal_intent(struct aggregate *am, struct migration *m, int step, const char *direction,
                   struct err *err) {
    char *facts AUTO_FREE = json_text(m->facts);
    struct entry e = { .m = m, .step = step, .direction = direction, .facts = facts };
    if (db_write(am->db, intent_fn, &e, err)) return err_wrap(err, "journal");
    if (m->step < step) m->step = step;
    events_wake(am->events);
    return 0;
}

static int result_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    return db_exec(c, NULL, err, SQL_RESULT, "siisissi", e->m->id, e->m->attempt, (int64_t)e->step,
                   e->direction, clock_wall_ms(), e->outcome, e->detail, e->took_us) ||
                   db_exec(c, NULL, err, SQL_STEP, "sis", e->m->id, (int64_t)e->step, e->facts) ||
                   tell(c, e, err)
               ? -1
               : 0;
}

int journal_result(struct aggregate *am, struct migration *m, int step, const char *direction,
                   const char *outcome, int64_t took_us, json *detail, struct err *err) {
    json *owned AUTO_JSON = detail ? detail : json_object();
    char *text AUTO_FREE = json_text(owned), *facts AUTO_FREE = json_text(m->facts);
    struct entry e = { .m = m, .step = step, .direction = direction, .outcome = outcome,
                       .detail = text, .facts = facts, .took_us = took_us };
    if (db_write(am->db, result_fn, &e, err)) return err_wrap(err, "journal");
    events_wake(am->events);
    return 0;
}

static int has_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_HAS, "siis", e->m->id, e->m->attempt,
                                           (int64_t)e->step, e->direction);
    if (!q) return -1;
    int rc = db_step(q, err);
    e->found = rc == 1;
    return rc < 0 ? -1 : 0;
}

bool journal_has(struct aggregate *am, const struct migration *m, int step,
                 const char *direction) {
    struct migration copy = *m;
    struct entry e = { .m = &copy, .step = step, .direction = direction };
    return db_read(am->db, has_fn, &e, NULL) == 0 && e.found;
}

static int state_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    struct migration *m = e->m;
    if (db_exec(c, NULL, err, SQL_STATE, "sssssiiss", m->id, e->state, e->facts, m->source,
                m->target, m->source_epoch, m->epoch, m->policy, m->delivery))
        return -1;
    log_info("migration state", "migration=%s sliver=%s source=%s target=%s epoch=%lld state=%s",
             m->id, m->sliver, m->source, m->target, (long long)m->epoch, e->state);
    json *data = json_object();
    json_set_str(data, "migration", m->id);
    json_set_str(data, "sliver", m->sliver);
    json_set_str(data, "state", e->state);
    return event_add(c, "migration.state", m->slice, data, err);
}

int journal_state(struct aggregate *am, struct migration *m, const char *state, struct err *err) {
    char *facts AUTO_FREE = json_text(m->facts);
    struct entry e = { .m = m, .facts = facts, .state = state };
    if (db_write(am->db, state_fn, &e, err)) return -1;
    snprintf(m->state, sizeof m->state, "%s", state);
    events_wake(am->events);
    return 0;
}

/* --- the end of an attempt --- */

/* facts: {attempts: [{attempt, delivery, target, epoch, step, cause}]} and nothing of the attempt that
 * has ended. Returns a new object. */
static json *facts_after(const struct migration *m) {
    json *one = json_set_int(json_object(), "attempt", m->attempt);
    json_set_str(one, "delivery", m->delivery);
    json_set_str(one, "target", m->target);
    json_set_int(one, "epoch", m->epoch);
    json_set_int(one, "step", m->step);
    if (json_has(m->facts, "cause")) json_set(one, "cause", json_copy(json_get(m->facts, "cause")));
    json *attempts = json_has(m->facts, "attempts") ? json_copy(json_get(m->facts, "attempts"))
                                                    : json_array();
    json_add(attempts, one);
    return json_set(json_object(), "attempts", attempts);
}

static int owe(struct db_conn *c, const struct migration *m, struct err *err) {
    if (json_has(m->facts, "source_owes") &&
        debt_add_undo(c, m->source, m->sliver, m->source_epoch, m->id, err))
        return -1;
    if (json_has(m->facts, "target_owes") &&
        debt_add(c, m->target, m->sliver, m->epoch, m->id, err))
        return -1;
    /* What it has put into the store is of no use to anybody. */
    return strcmp(m->delivery, "store") ? 0 : checkpoint_sweep(c, m->sliver, err);
}

static int attempt_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    if (owe(c, e->m, err) ||
        db_exec(c, NULL, err, SQL_ATTEMPT, "siss", e->m->id, e->m->attempt + 1, e->state, e->facts))
        return -1;
    json *data = json_set_str(json_object(), "migration", e->m->id);
    json_set_str(data, "sliver", e->m->sliver);
    json_set_int(data, "attempt", e->m->attempt + 1);
    json_set_str(data, "delivery", e->state);
    const json *cause = json_get(e->m->facts, "cause");
    if (cause) json_set(data, "cause", json_copy(cause));
    return event_add(c, "migration.attempt", e->m->slice, data, err);
}

int journal_attempt(struct aggregate *am, struct migration *m, const char *delivery,
                    struct err *err) {
    json *after AUTO_JSON = facts_after(m);
    char *facts AUTO_FREE = json_text(after);
    struct entry e = { .m = m, .state = delivery, .facts = facts };
    if (db_write(am->db, attempt_fn, &e, err)) return -1;
    log_info("migration goes on another way", "migration=%s sliver=%s attempt=%lld from=%s to=%s",
             m->id, m->sliver, (long long)m->attempt + 1, m->delivery, delivery);
    json_put(m->facts);
    m->facts = STEAL(after);
    m->attempt++;
    m->step = m->epoch = 0;
    m->target[0] = '\0';
    snprintf(m->delivery, sizeof m->delivery, "%s", delivery);
    snprintf(m->state, sizeof m->state, "running");
    events_wake(am->events);
    return 0;
}

static int abort_fn(struct db_conn *c, void *arg, struct err *err) {
    struct entry *e = arg;
    return owe(c, e->m, err) || state_fn(c, arg, err) ? -1 : 0;
}

int journal_abort(struct aggregate *am, struct migration *m, struct err *err) {
    char *facts AUTO_FREE = json_text(m->facts);
    struct entry e = { .m = m, .facts = facts, .state = "aborted" };
    if (db_write(am->db, abort_fn, &e, err)) return -1;
    snprintf(m->state, sizeof m->state, "aborted");
    events_wake(am->events);
    return 0;
}

json *journal_steps(struct db_conn *c, const char *id, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_STEPS, "s", id);
    if (!q) return NULL;
    json *all AUTO_JSON = json_array();
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        char when[CLOCK_TEXT_BYTES];
        json *j = json_set_int(json_object(), "step", db_int(q, "step"));
        json_set_int(j, "attempt", db_int(q, "attempt"));
        json_set_str(j, "direction", db_text(q, "direction"));
        json_set_str(j, "begun", clock_rfc3339(db_int(q, "intent_ms"), when));
        if (!db_null(q, "result_ms")) {
            json_set_str(j, "ended", clock_rfc3339(db_int(q, "result_ms"), when));
            json_set_str(j, "outcome", db_text(q, "outcome"));
            json_set_int(j, "took_us", db_int(q, "took_us"));
        }
        json_set(j, "detail", json_parse(db_text(q, "detail"), strlen(db_text(q, "detail")), NULL));
        json_add(all, j);
    }
    return rc < 0 ? NULL : STEAL(all);
}
