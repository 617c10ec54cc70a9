#include "nodemgr/ovsdb.h"

#include "common/log.h"

LOG_MODULE("nm.ovsdb");

#define DATABASE "Open_vSwitch"
#define WATCH_ID "jogak"

int ovsdb_open(struct ovsdb *db, const char *path, struct err *err) {
    ovsdb_close(db);
    return stream_open(&db->stream, path, err);
}

void ovsdb_close(struct ovsdb *db) {
    stream_close(&db->stream);
    db->scanned = 0;
    db->depth = 0;
    db->in_string = db->escaped = false;
}

/* --- framing: texts follow each other without a separator --- */

/* Follow one byte. True when it closes the outermost object. */
static bool scan_byte(struct ovsdb *db, char c) {
    if (db->in_string) {
        if (db->escaped)
            db->escaped = false;
        else if (c == '\\')
            db->escaped = true;
        else if (c == '"')
            db->in_string = false;
        return false;
    }
    if (c == '"') db->in_string = true;
    if (c == '{' || c == '[') db->depth++;
    return (c == '}' || c == ']') && --db->depth == 0;
}

/* Take the next whole text off the input; NULL with err->code unset when there is none yet. */
static json *pull_text(struct ovsdb *db, struct err *err) {
    while (db->scanned < db->stream.length) {
        if (!scan_byte(db, stream_peek(&db->stream)[db->scanned++])) continue;
        size_t length = db->scanned;
        json *text = json_parse(stream_peek(&db->stream), length, err);
        stream_consume(&db->stream, length);
        db->scanned = 0;
        if (!text) ovsdb_close(db);
        return text;
    }
    return NULL;
}

static int send_message(struct ovsdb *db, json *message, int64_t deadline_ms, struct err *err) {
    AUTO_JSON json *owned = message;
    AUTO_FREE char *text = json_text(owned);
    return stream_send(&db->stream, text, strlen(text), deadline_ms, err);
}

static int answer_echo(struct ovsdb *db, const json *request, int64_t deadline_ms,
                       struct err *err) {
    json *reply = json_object();
    json_set(reply, "id", json_copy(json_get(request, "id")));
    json_set(reply, "result", json_copy(json_get(request, "params")));
    json_set(reply, "error", NULL);
    return send_message(db, reply, deadline_ms, err);
}

static bool is_method(const json *message, const char *name) {
    const char *method = json_get_str(message, "method");
    return method && strcmp(method, name) == 0;
}

/* Wait for the next message that is no echo request. */
static json *receive(struct ovsdb *db, int64_t deadline_ms, struct err *err) {
    for (;;) {
        struct err bad = ERR_INIT;
        json *m = pull_text(db, &bad);
        if (m && !is_method(m, "echo")) return m;
        if (m) {
            AUTO_JSON json *request = m;
            if (answer_echo(db, request, deadline_ms, err)) return NULL;
            continue;
        }
        if (bad.code != ERR_NONE) {
            err_set(err, ERR_UNAVAILABLE, "Open vSwitch sent malformed JSON: %.300s", bad.msg);
            return NULL;
        }
        if (stream_receive(&db->stream, deadline_ms, err)) {
            ovsdb_close(db); /* a late answer must not meet the next request */
            return NULL;
        }
    }
}

bool ovsdb_alive(struct ovsdb *db, int64_t deadline_ms) {
    stream_drain(&db->stream);
    while (stream_is_open(&db->stream)) {
        AUTO_JSON json *m = pull_text(db, NULL);
        if (!m) break;
        if (is_method(m, "echo") && answer_echo(db, m, deadline_ms, NULL)) break;
    }
    return stream_is_open(&db->stream);
}

/* --- calls --- */

/* The error member of an answer, or of one result, as text. */
static int answer_error(const json *error, const json *details, struct err *err) {
    const char *text = json_str(error), *more = json_str(details);
    AUTO_FREE char *other = text ? NULL : json_text(error);
    return err_set(err, ERR_UNPROCESSABLE, "Open vSwitch refused: %.300s%s%.500s",
                   text ? text : other, more ? ": " : "", more ? more : "");
}

json *ovsdb_call(struct ovsdb *db, const char *method, json *params, int64_t deadline_ms,
                 struct err *err) {
    int64_t id = db->next_id++;
    json *request = json_object();
    json_set_str(request, "method", method);
    json_set(request, "params", params);
    json_set_int(request, "id", id);
    if (send_message(db, request, deadline_ms, err)) return NULL;
    for (;;) {
        AUTO_JSON json *m = receive(db, deadline_ms, err);
        if (!m) return NULL;
        if (json_has(m, "method") || json_get_int(m, "id", -1) != id) continue;
        json *error = json_get(m, "error");
        if (error && json_kind(error) != JSON_NULL) {
            answer_error(error, NULL, err);
            return NULL;
        }
        json *result = json_get(m, "result");
        if (result) return json_ref(result);
        err_set(err, ERR_UNAVAILABLE, "Open vSwitch answered %s without a result", method);
        return NULL;
    }
}

json *ovsdb_transact(struct ovsdb *db, json *operations, int64_t deadline_ms, struct err *err) {
    json *params = json_array();
    json_add(params, json_string(DATABASE));
    for (size_t i = 0; i < json_length(operations); i++)
        json_add(params, json_ref(json_at(operations, i)));
    json_put(operations);
    AUTO_JSON json *results = ovsdb_call(db, "transact", params, deadline_ms, err);
    if (!results) return NULL;
    for (size_t i = 0; i < json_length(results); i++) {
        json *result = json_at(results, i);
        if (!result || !json_has(result, "error")) continue;
        answer_error(json_get(result, "error"), json_get(result, "details"), err);
        return NULL;
    }
    return STEAL(results);
}

/* --- notifications --- */

int ovsdb_watch(struct ovsdb *db, const char *table, json *columns, int64_t deadline_ms,
                struct err *err) {
    json *select = json_object();
    json_set_bool(select, "initial", false);
    json *request = json_object();
    json_set(request, "columns", columns);
    json_set(request, "select", select);
    json *tables = json_object();
    json_set(tables, table, request);
    json *params = json_array();
    json_add(params, json_string(DATABASE));
    json_add(params, json_string(WATCH_ID));
    json_add(params, tables);
    AUTO_JSON json *result = ovsdb_call(db, "monitor", params, deadline_ms, err);
    return result ? 0 : -1;
}

int ovsdb_unwatch(struct ovsdb *db, int64_t deadline_ms, struct err *err) {
    json *params = json_array();
    json_add(params, json_string(WATCH_ID));
    AUTO_JSON json *result = ovsdb_call(db, "monitor_cancel", params, deadline_ms, err);
    return result ? 0 : -1;
}

int ovsdb_await_update(struct ovsdb *db, int64_t deadline_ms, struct err *err) {
    for (;;) {
        AUTO_JSON json *m = receive(db, deadline_ms, err);
        if (!m) return -1;
        if (is_method(m, "update")) return 0;
        log_debug("stray message", "bytes=%zu", db->stream.length);
    }
}

/* --- operations --- */

json *ovsdb_op(const char *op, const char *table) {
    json *o = json_object();
    json_set_str(o, "op", op);
    return json_set_str(o, "table", table);
}

static json *triple(const char *a, const char *b, json *value) {
    json *t = json_array();
    json_add(t, json_string(a));
    json_add(t, json_string(b));
    json_add(t, value);
    return t;
}

static json *tagged(const char *tag, json *value) {
    json *t = json_array();
    json_add(t, json_string(tag));
    json_add(t, value);
    return t;
}

json *ovsdb_where(const char *column, const char *function, json *value) {
    json *conditions = json_array();
    json_add(conditions, triple(column, function, value));
    return conditions;
}

json *ovsdb_select(const char *table, json *where, json *columns) {
    json *o = json_set(ovsdb_op("select", table), "where", where);
    return json_set(o, "columns", columns);
}

json *ovsdb_insert(const char *table, json *row, const char *uuid_name) {
    json *o = json_set(ovsdb_op("insert", table), "row", row);
    return json_set_str(o, "uuid-name", uuid_name);
}

json *ovsdb_update(const char *table, json *where, json *row) {
    json *o = json_set(ovsdb_op("update", table), "where", where);
    return json_set(o, "row", row);
}

json *ovsdb_mutate(const char *table, json *where, const char *column, const char *mutator,
                   json *value) {
    json *mutations = json_array();
    json_add(mutations, triple(column, mutator, value));
    json *o = json_set(ovsdb_op("mutate", table), "where", where);
    return json_set(o, "mutations", mutations);
}

json *ovsdb_uuid(const char *uuid) { return tagged("uuid", json_string(uuid)); }
json *ovsdb_named_uuid(const char *name) { return tagged("named-uuid", json_string(name)); }
json *ovsdb_set(json *elements) { return tagged("set", elements); }
json *ovsdb_map(json *pairs) { return tagged("map", pairs); }

json *ovsdb_pair(const char *key, const char *value) { return tagged(key, json_string(value)); }

json *ovsdb_strings(const char *const *strings, size_t count) {
    json *a = json_array();
    for (size_t i = 0; i < count; i++) json_add(a, json_string(strings[i]));
    return a;
}

/* --- values --- */

json *ovsdb_rows(const json *results, size_t i) {
    json *result = json_at(results, i);
    return result ? json_get(result, "rows") : NULL;
}

/* The payload of ["tag", payload]; NULL when the value is not of that form. */
static json *untag(const json *value, const char *tag) {
    if (!value || json_kind(value) != JSON_ARRAY || json_length(value) != 2) return NULL;
    const char *found = json_str(json_at(value, 0));
    return found && strcmp(found, tag) == 0 ? json_at(value, 1) : NULL;
}

json *ovsdb_atom(const json *value) {
    json *set = untag(value, "set");
    if (set) return json_length(set) > 0 ? json_at(set, 0) : NULL;
    return (json *)value;
}

const char *ovsdb_uuid_text(const json *value) {
    json *text = untag(value, "uuid");
    return text ? json_str(text) : NULL;
}

const char *ovsdb_map_get(const json *value, const char *key) {
    json *pairs = untag(value, "map");
    for (size_t i = 0; pairs && i < json_length(pairs); i++) {
        const char *k = json_str(json_at(json_at(pairs, i), 0));
        if (k && strcmp(k, key) == 0) return json_str(json_at(json_at(pairs, i), 1));
    }
    return NULL;
}

bool ovsdb_set_has_uuid(const json *value, const char *uuid) {
    const char *one = ovsdb_uuid_text(value);
    if (one) return strcmp(one, uuid) == 0;
    json *set = untag(value, "set");
    for (size_t i = 0; set && i < json_length(set); i++) {
        const char *text = ovsdb_uuid_text(json_at(set, i));
        if (text && strcmp(text, uuid) == 0) return true;
    }
    return false;
}
