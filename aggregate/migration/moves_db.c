#include "moves.h"

#include "../operation_db.h"
#include "../slice.h"

#include <stdio.h>

static const char SQL_PROGRESS[] = "UPDATE operation SET progress = ?2 WHERE id = ?1";
static const char SQL_CLAIM[] =
    "INSERT INTO claim (operation, sliver, node, vcpus, memory_mib, disk_mib, rate_kbps)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET node = excluded.node";
static const char SQL_UNCLAIM[] =
    "DELETE FROM claim WHERE operation = ?1 AND (?2 IS NULL OR sliver = ?2)";
static const char SQL_ELSEWHERE[] =
    "SELECT 1 AS there FROM claim WHERE sliver = ?2 AND operation <> ?1 AND operation <> sliver";
static const char SQL_DRAIN[] =
    "SELECT id FROM operation WHERE kind = 'drain' AND node = ?"
    " AND state IN ('pending', 'running', 'cancelling')";

static const char *const states[MOVE_STATES_] = {
    [MOVE_BLOCKED] = "blocked", [MOVE_WAITING] = "waiting", [MOVE_MOVING] = "moving",
    [MOVE_MOVED] = "moved",     [MOVE_FAILED] = "failed",   [MOVE_STAYS] = "stays",
    [MOVE_CANCELLED] = "cancelled",
};

/* The texts of a row, and their names in JSON. */
#define TEXT(member) { #member, offsetof(struct move, member), sizeof ((struct move *)0)->member }
static const struct { const char *key; size_t offset, size; } texts[] = {
    TEXT(sliver), TEXT(name),   TEXT(slice), TEXT(source), TEXT(target), TEXT(migration),
    TEXT(reason), TEXT(why),
};

void moves_done(struct moves *m) {
    free(m->rows);
    m->rows = NULL;
    m->count = 0;
}

static struct move *grow(struct moves *m) {
    m->rows = xrealloc_array(m->rows, m->count + 1, sizeof *m->rows);
    struct move *row = &m->rows[m->count++];
    *row = (struct move){ .state = MOVE_BLOCKED };
    return row;
}

static json *row_json(const struct move *row) {
    json *j = json_object();
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *text = (const char *)row + texts[i].offset;
        if (*text) json_set_str(j, texts[i].key, text);
    }
    return json_set_str(j, "state", states[row->state]);
}

static void row_read(struct move *row, const json *j) {
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *text = json_get_str(j, texts[i].key);
        snprintf((char *)row + texts[i].offset, texts[i].size, "%s", text ? text : "");
    }
    const char *state = json_get_str(j, "state");
    for (int i = 0; state && i < MOVE_STATES_; i++)
        if (!strcmp(state, states[i])) row->state = (enum move_state)i;
}

json *moves_json(const struct moves *m) {
    int64_t done = 0, moving = 0;
    json *rows = json_array();
    for (size_t i = 0; i < m->count; i++) {
        done += m->rows[i].state == MOVE_MOVED;
        moving += m->rows[i].state == MOVE_MOVING;
        json_add(rows, row_json(&m->rows[i]));
    }
    json *j = json_set_str(json_object(), "doing", "moving slivers");
    json_set_int(j, "total", (int64_t)m->count);
    json_set_int(j, "done", done);
    json_set_int(j, "moving", moving);
    return json_set(j, "slivers", rows);
}

json *moves_plan_json(const struct moves *m) {
    json *rows = json_array();
    for (size_t i = 0; i < m->count; i++) {
        const struct move *row = &m->rows[i];
        json *j = json_set_str(json_object(), "sliver", row->name);
        json_set_str(j, "id", row->sliver);
        json_set_str(j, "slice", row->slice);
        json_set_str(j, "source", row->source);
        if (row->target[0]) json_set_str(j, "target", row->target);
        if (row->why[0]) json_set_str(j, "problem", row->why);
        if (row->reason[0]) json_set_str(j, "reason", row->reason);
        json_add(rows, j);
    }
    return rows;
}

int moves_load(struct db_conn *c, const char *operation, struct moves *ret, struct err *err) {
    json *row AUTO_JSON = operation_db_show(c, operation, err);
    if (!row) return -1;
    const json *rows = json_path(row, "progress.slivers");
    *ret = (struct moves){ .count = 0 };
    snprintf(ret->operation, sizeof ret->operation, "%s", operation);
    for (size_t i = 0; i < json_length(rows); i++) row_read(grow(ret), json_at(rows, i));
    return 0;
}

int moves_save(struct db_conn *c, const struct moves *m, struct err *err) {
    json *progress AUTO_JSON = moves_json(m);
    char *text AUTO_FREE = json_text(progress);
    return db_exec(c, NULL, err, SQL_PROGRESS, "ss", m->operation, text);
}

int moves_add(struct db_conn *c, struct moves *m, const struct sliver *s, struct err *err) {
    struct slice_row slice;
    if (slice_get(c, s->slice, &slice, err)) return -1;
    struct move *row = grow(m);
    memcpy(row->sliver, s->id, sizeof row->sliver);
    snprintf(row->name, sizeof row->name, "%s", s->name);
    snprintf(row->source, sizeof row->source, "%s", s->node);
    slice_title(slice.urn, row->slice);
    return 0;
}

int moves_claim(struct db_conn *c, const char *operation, const struct sliver *s,
                const char *target, struct err *err) {
    return db_exec(c, NULL, err, SQL_CLAIM, "sssiiii", operation, s->id, target, s->vcpus,
                   s->memory_mib, s->disk_mib, s->rate_kbps);
}

int moves_unclaim(struct db_conn *c, const char *operation, const char *sliver, struct err *err) {
    return db_exec(c, NULL, err, SQL_UNCLAIM, "ss", operation, sliver);
}

int moves_claimed_elsewhere(struct db_conn *c, const char *operation, const char *sliver,
                            bool *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_ELSEWHERE, "ss", operation, sliver);
    int rc = q ? db_step(q, err) : -1;
    *ret = rc == 1;
    return rc < 0 ? -1 : 0;
}

int moves_open_drain(struct db_conn *c, const char *node, char ret_id[37], struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_DRAIN, "s", node);
    int rc = q ? db_step(q, err) : -1;
    snprintf(ret_id, 37, "%s", rc == 1 ? db_text(q, "id") : "");
    return rc < 0 ? -1 : 0;
}
