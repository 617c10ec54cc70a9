#include "operation_db.h"

#include "common/clock.h"
#include "common/ids.h"
#include "common/log.h"
#include "event.h"
#include "sliver.h"

#include <stdio.h>

LOG_MODULE("am.operation");

static const char SQL_ADD[] =
    "INSERT INTO operation (id, kind, state, slice, sliver, node, owner, input, request_id,"
    " created_ms, updated_ms) VALUES (?1, ?2, 'pending', NULLIF(?3, ''), NULLIF(?4, ''),"
    " NULLIF(?5, ''), ?6, ?7, ?8, ?9, ?9)";
static const char SQL_GET[] = "SELECT * FROM operation WHERE id = ?";
static const char SQL_OPEN[] =
    "SELECT id, state FROM operation WHERE state IN ('pending', 'running', 'cancelling')"
    " ORDER BY created_ms, id";
static const char SQL_LIST[] =
    "SELECT * FROM operation WHERE (?1 IS NULL OR slice = ?1)"
    " AND (created_ms < ?2 OR (created_ms = ?2 AND ?5 <> '' AND id > ?5))"
    " AND (?3 = 0 OR state IN ('pending', 'running', 'cancelling'))"
    " ORDER BY created_ms DESC, id LIMIT ?4";
static const char SQL_STATE[] =
    "UPDATE operation SET state = ?3, error = COALESCE(?4, error), updated_ms = ?5"
    " WHERE id = ?1 AND instr(',' || ?2 || ',', ',' || state || ',') > 0";
static const char SQL_PROGRESS[] =
    "UPDATE operation SET progress = ?2, updated_ms = ?3 WHERE id = ?1";
static const char SQL_RESULT[] =
    "UPDATE operation SET result = json_patch(result, ?2), updated_ms = ?3 WHERE id = ?1";

int operation_add(struct db_conn *c, struct operation *op, json *input, struct err *err) {
    json *owned AUTO_JSON = input;
    if (!op->id[0]) uuid_new(op->id);
    char *text AUTO_FREE = json_text(owned);
    return db_exec(c, NULL, err, SQL_ADD, "ssssssssi", op->id, op->kind, op->slice, op->sliver,
                   op->node, op->owner, text, log_request_id(), clock_wall_ms());
}

static json *parse_column(struct db_stmt *q, const char *column) {
    const char *text = db_text(q, column);
    return text ? json_parse(text, strlen(text), NULL) : NULL;
}

static void copy_column(struct db_stmt *q, const char *column, char *to, size_t size) {
    const char *text = db_text(q, column);
    snprintf(to, size, "%s", text ? text : "");
}

int operation_get(struct db_conn *c, const char *id, struct operation *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_GET, "s", id);
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc < 0) return -1;
    if (rc == 0) return err_set(err, ERR_NOT_FOUND, "there is no operation %s", id);
    copy_column(q, "id", ret->id, sizeof ret->id);
    copy_column(q, "kind", ret->kind, sizeof ret->kind);
    copy_column(q, "state", ret->state, sizeof ret->state);
    copy_column(q, "slice", ret->slice, sizeof ret->slice);
    copy_column(q, "sliver", ret->sliver, sizeof ret->sliver);
    copy_column(q, "node", ret->node, sizeof ret->node);
    copy_column(q, "owner", ret->owner, sizeof ret->owner);
    ret->input = parse_column(q, "input");
    return 0;
}

void operation_done(struct operation *op) {
    json_put(op->input);
    op->input = NULL;
}

static json *row_json(struct db_stmt *q) {
    char when[CLOCK_TEXT_BYTES];
    json *o = json_object();
    static const char *const texts[] = { "id", "kind", "state", "owner", "slice", "sliver", "node",
                                         "request_id" };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (db_text(q, texts[i]) && *db_text(q, texts[i]))
            json_set_str(o, texts[i], db_text(q, texts[i]));
    json_set(o, "progress", parse_column(q, "progress"));
    json_set(o, "result", parse_column(q, "result"));
    json *error = parse_column(q, "error");
    if (error) json_set(o, "error", error);
    json_set_str(o, "created", clock_rfc3339(db_int(q, "created_ms"), when));
    json_set_str(o, "updated", clock_rfc3339(db_int(q, "updated_ms"), when));
    return o;
}

json *operation_db_show(struct db_conn *c, const char *id, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_GET, "s", id);
    if (!q) return NULL;
    int rc = db_step(q, err);
    if (rc == 1) return row_json(q);
    if (rc == 0) err_set(err, ERR_NOT_FOUND, "there is no operation %s", id);
    return NULL;
}

json *operation_db_list(struct db_conn *c, const char *slice, bool open_only,
                        const struct operation_cursor *after, int limit, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_LIST, "siiis", slice, after->created_ms,
                                           (int64_t)open_only, (int64_t)limit, after->id);
    if (!q) return NULL;
    json *items AUTO_JSON = json_array();
    int rc;
    while ((rc = db_step(q, err)) == 1) json_add(items, row_json(q));
    return rc < 0 ? NULL : STEAL(items);
}

static json *error_json(const struct err *why) {
    json *e = json_object();
    json_set_str(e, "code", err_name(why->code));
    json_set_str(e, "message", why->msg);
    if (why->remedy[0]) json_set_str(e, "remedy", why->remedy);
    return e;
}

static int tell(struct db_conn *c, const char *id, const char *to, struct err *err) {
    struct operation op AUTO_OPERATION = { 0 };
    if (operation_get(c, id, &op, err)) return -1;
    json *data = json_object();
    json_set_str(data, "operation", id);
    json_set_str(data, "operation_kind", op.kind);
    json_set_str(data, "state", to);
    return event_add(c, "operation.state", op.slice[0] ? op.slice : NULL, data, err);
}

int operation_db_state(struct db_conn *c, const char *id, const char *from, const char *to,
                       const struct err *why, struct err *err) {
    char *error AUTO_FREE = NULL;
    if (why) {
        json *e AUTO_JSON = error_json(why);
        error = json_text(e);
    }
    int changes = 0;
    if (db_exec(c, &changes, err, SQL_STATE, "ssssi", id, from, to, error, clock_wall_ms()))
        return -1;
    if (!changes) return err_set(err, ERR_CONFLICT, "operation %s is not %s", id, from);
    log_info("operation state", "operation=%s state=%s%s%s", id, to, why ? " error=" : "",
             why ? why->msg : "");
    if (strcmp(to, "done") == 0 || strcmp(to, "failed") == 0 || strcmp(to, "cancelled") == 0)
        if (sliver_clear_busy(c, id, err)) return -1;
    return tell(c, id, to, err);
}

int operation_db_open(struct db_conn *c, void (*each)(void *ctx, const char *id, const char *state),
                      void *ctx, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_OPEN, "");
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1) each(ctx, db_text(q, "id"), db_text(q, "state"));
    return rc;
}

struct progress {
    const char *id;
    char *text;
};

static int progress_fn(struct db_conn *c, void *arg, struct err *err) {
    struct progress *p = arg;
    return db_exec(c, NULL, err, SQL_PROGRESS, "ssi", p->id, p->text, clock_wall_ms());
}

int operation_progress(struct aggregate *am, const char *id, json *progress, struct err *err) {
    json *owned AUTO_JSON = progress;
    char *text AUTO_FREE = json_text(owned);
    struct progress p = { id, text };
    return db_write(am->db, progress_fn, &p, err);
}

int operation_result(struct db_conn *c, const char *id, json *result, struct err *err) {
    json *owned AUTO_JSON = result;
    char *text AUTO_FREE = json_text(owned);
    return db_exec(c, NULL, err, SQL_RESULT, "ssi", id, text, clock_wall_ms());
}
