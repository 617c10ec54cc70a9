#include "checkpoint_db.h"

#include "common/clock.h"
#include "event.h"

#include <stdio.h>

#define DUE_AT_ONCE 16

static const char SQL_BEGIN[] =
    "INSERT INTO checkpoint (id, sliver, node, epoch, state, begun_ms)"
    " VALUES (?, ?, ?, ?, 'capturing', ?) ON CONFLICT DO NOTHING";
static const char SQL_STATE[] =
    "UPDATE checkpoint SET state = ?2, manifest = ?3, taken_ms = ?4, pause_ms = ?5, bytes_total = ?6,"
    " bytes_new = ?7 WHERE id = ?1";
static const char SQL_FAILED[] =
    "UPDATE checkpoint SET state = 'failed', error = ?2 WHERE id = ?1 AND state <> 'complete'";
static const char SQL_NEWEST[] =
    "SELECT * FROM checkpoint WHERE sliver = ? AND state = 'complete'"
    " ORDER BY taken_ms DESC, begun_ms DESC LIMIT 1";
static const char SQL_LIST[] =
    "SELECT * FROM checkpoint WHERE sliver = ? ORDER BY begun_ms DESC LIMIT 50";
/* Complete ones but the newest, and failed ones that are older than the newest complete one. */
static const char SQL_DROP[] =
    "DELETE FROM checkpoint WHERE sliver = ?1 AND state IN ('complete', 'failed') AND id NOT IN (SELECT"
    " id FROM checkpoint WHERE sliver = ?1 AND state = 'complete' ORDER BY taken_ms DESC, begun_ms DESC"
    " LIMIT ?2) AND begun_ms < (SELECT MAX(begun_ms) FROM checkpoint WHERE sliver = ?1 AND"
    " state = 'complete')";
static const char SQL_DROP_OPERATIONS[] =
    "DELETE FROM operation WHERE kind = 'checkpoint' AND owner = 'aggregate' AND sliver = ? AND state IN"
    " ('done', 'failed', 'cancelled') AND id NOT IN (SELECT id FROM checkpoint)";
static const char SQL_CAPTURING[] =
    "SELECT COUNT(*) AS n FROM checkpoint WHERE sliver = ? AND state = 'capturing'";
static const char SQL_DUE[] =
    "SELECT id FROM sliver WHERE checkpoint_s > 0 AND allocation = 'provisioned' AND state = 'ready'"
    " AND busy IS NULL AND NOT EXISTS (SELECT 1 FROM checkpoint WHERE checkpoint.sliver = sliver.id AND"
    " (checkpoint.state IN ('capturing', 'uploading')"
    " OR checkpoint.begun_ms > ?1 - 1000 * sliver.checkpoint_s))"
    " AND NOT EXISTS (SELECT 1 FROM operation WHERE kind = 'checkpoint' AND operation.sliver = sliver.id"
    " AND (operation.state IN ('pending', 'running', 'cancelling')"
    " OR operation.created_ms > ?1 - 1000 * sliver.checkpoint_s)) LIMIT ?2";
static const char SQL_FORGET[] = "DELETE FROM checkpoint WHERE sliver = ?";
static const char SQL_SWEEP[] =
    "INSERT INTO state_sweep (sliver, since_ms) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET since_ms = ?2";
static const char SQL_SWEEP_NEXT[] =
    "SELECT sliver FROM state_sweep WHERE NOT EXISTS (SELECT 1 FROM operation WHERE operation.sliver ="
    " state_sweep.sliver AND operation.kind IN ('checkpoint', 'migrate') AND operation.state IN"
    " ('pending', 'running', 'cancelling')) ORDER BY since_ms LIMIT 1";
static const char SQL_NEEDED[] =
    "SELECT 1 AS there FROM checkpoint WHERE manifest = ?1 AND state = 'complete' UNION ALL"
    " SELECT 1 FROM migration WHERE state IN ('armed', 'running', 'undoing') AND"
    " instr(facts, ?1) > 0 LIMIT 1";
static const char SQL_SWEPT[] = "DELETE FROM state_sweep WHERE sliver = ? AND since_ms <= ?";

int checkpoint_db_begin(struct db_conn *c, const char *id, const struct sliver *s,
                        struct err *err) {
    struct sliver now AUTO_SLIVER = { 0 };
    if (sliver_get(c, s->id, &now, err)) return -1;
    if (now.busy[0])
        return err_set(err, ERR_CONFLICT, "sliver %s is being worked on by operation %s", now.name,
                       now.busy);
    if (strcmp(now.state, "ready"))
        return err_set(err, ERR_CONFLICT, "sliver %s is %s", now.name, now.state);
    return db_exec(c, NULL, err, SQL_BEGIN, "sssii", id, now.id, now.node, now.epoch, clock_wall_ms());
}

int checkpoint_db_state(struct db_conn *c, const char *id, const json *state, struct err *err) {
    const char *manifest = json_get_str(state, "manifest"), *taken = json_get_str(state, "taken_at");
    int64_t taken_ms = 0;
    if (taken && clock_parse_rfc3339(taken, &taken_ms)) taken_ms = 0;
    return db_exec(c, NULL, err, SQL_STATE, "sssiiii", id, json_get_str(state, "state"),
                   manifest ? manifest : "", taken_ms, json_get_int(state, "pause_ms", 0),
                   json_get_int(state, "bytes_total", 0), json_get_int(state, "bytes_new", 0));
}

int checkpoint_db_failed(struct db_conn *c, const char *id, const struct err *why,
                         struct err *err) {
    json *e AUTO_JSON = json_set_str(json_object(), "code", err_name(why->code));
    json_set_str(e, "message", why->msg);
    if (why->remedy[0]) json_set_str(e, "remedy", why->remedy);
    char *text AUTO_FREE = json_text(e);
    return db_exec(c, NULL, err, SQL_FAILED, "ss", id, text);
}

static void from_row(struct db_stmt *q, struct checkpoint *k) {
    *k = (struct checkpoint){
        .epoch = db_int(q, "epoch"),
        .begun_ms = db_int(q, "begun_ms"),
        .taken_ms = db_int(q, "taken_ms"),
        .pause_ms = db_int(q, "pause_ms"),
        .bytes_total = db_int(q, "bytes_total"),
        .bytes_new = db_int(q, "bytes_new"),
    };
    snprintf(k->id, sizeof k->id, "%s", db_text(q, "id"));
    snprintf(k->sliver, sizeof k->sliver, "%s", db_text(q, "sliver"));
    snprintf(k->node, sizeof k->node, "%s", db_text(q, "node"));
    snprintf(k->state, sizeof k->state, "%s", db_text(q, "state"));
    snprintf(k->manifest, sizeof k->manifest, "%s", db_text(q, "manifest"));
}

int checkpoint_newest(struct db_conn *c, const char *sliver, struct checkpoint *ret, bool *ret_found,
                      struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_NEWEST, "s", sliver);
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc == 1) from_row(q, ret);
    *ret_found = rc == 1;
    return rc < 0 ? -1 : 0;
}

static json *row_json(struct db_stmt *q) {
    struct checkpoint k;
    char when[CLOCK_TEXT_BYTES];
    from_row(q, &k);
    json *j = json_set_str(json_object(), "id", k.id);
    json_set_str(j, "sliver", k.sliver);
    json_set_str(j, "node", k.node);
    json_set_int(j, "epoch", k.epoch);
    json_set_str(j, "state", k.state);
    if (k.manifest[0]) json_set_str(j, "manifest", k.manifest);
    json_set_str(j, "begun", clock_rfc3339(k.begun_ms, when));
    if (k.taken_ms) {
        json_set_str(j, "taken", clock_rfc3339(k.taken_ms, when));
        json_set_int(j, "pause_ms", k.pause_ms);
        json_set_int(j, "bytes_total", k.bytes_total);
        json_set_int(j, "bytes_new", k.bytes_new);
    }
    const char *error = db_text(q, "error");
    if (*error) json_set(j, "error", json_parse(error, strlen(error), NULL));
    return j;
}

int checkpoint_db_list(struct db_conn *c, const char *sliver, json **ret_items, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_LIST, "s", sliver);
    json *items AUTO_JSON = json_array();
    int rc = -1;
    while (q && (rc = db_step(q, err)) == 1) json_add(items, row_json(q));
    if (rc < 0) return -1;
    *ret_items = STEAL(items);
    return 0;
}

int checkpoint_db_retain(struct db_conn *c, const char *sliver, struct err *err) {
    return db_exec(c, NULL, err, SQL_DROP, "si", sliver, (int64_t)CHECKPOINTS_KEPT) ||
                   db_exec(c, NULL, err, SQL_DROP_OPERATIONS, "s", sliver) ||
                   checkpoint_sweep(c, sliver, err)
               ? -1
               : 0;
}

int checkpoint_db_capturing(struct db_conn *c, const char *sliver, int64_t *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_CAPTURING, "s", sliver);
    if (!q || db_step(q, err) != 1) return -1;
    *ret = db_int(q, "n");
    return 0;
}

int checkpoint_db_due(struct db_conn *c, json **ret_slivers, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_DUE, "ii", clock_wall_ms(), (int64_t)DUE_AT_ONCE);
    json *ids AUTO_JSON = json_array();
    int rc = -1;
    while (q && (rc = db_step(q, err)) == 1) json_add(ids, json_string(db_text(q, "id")));
    if (rc < 0) return -1;
    *ret_slivers = STEAL(ids);
    return 0;
}

int checkpoint_forget(struct db_conn *c, const char *sliver, struct err *err) {
    return db_exec(c, NULL, err, SQL_FORGET, "s", sliver) || checkpoint_sweep(c, sliver, err) ? -1 : 0;
}

int checkpoint_sweep(struct db_conn *c, const char *sliver, struct err *err) {
    return db_exec(c, NULL, err, SQL_SWEEP, "si", sliver, clock_wall_ms());
}

int checkpoint_db_sweep_next(struct db_conn *c, char ret_sliver[37], struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_SWEEP_NEXT, "");
    if (!q) return -1;
    int rc = db_step(q, err);
    snprintf(ret_sliver, 37, "%s", rc == 1 ? db_text(q, "sliver") : "");
    return rc < 0 ? -1 : 0;
}

int checkpoint_db_needed(struct db_conn *c, const char *manifest, bool *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_NEEDED, "s", manifest);
    if (!q) return -1;
    int rc = db_step(q, err);
    *ret = rc != 0;
    return rc < 0 ? -1 : 0;
}

int checkpoint_db_swept(struct db_conn *c, const char *sliver, int64_t since_ms, struct err *err) {
    return db_exec(c, NULL, err, SQL_SWEPT, "si", sliver, since_ms);
}
