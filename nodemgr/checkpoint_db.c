#include "nodemgr/checkpoint_db.h"

#include "common/clock.h"

#define SQL_PUT \
    "INSERT INTO checkpoint (checkpoint, sliver, epoch, state, document, at_ms)" \
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (checkpoint) DO UPDATE SET" \
    " state = excluded.state, document = excluded.document"
#define SQL_DELETE "DELETE FROM checkpoint WHERE checkpoint = ?"
#define SQL_ALL "SELECT document FROM checkpoint ORDER BY at_ms"

struct change {
    const json *document;
    const char *id;
    char *text;
    json *rows;
};

static int put_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_PUT, "ssissi", json_get_str(w->document, "checkpoint"),
                   json_get_str(w->document, "sliver"), json_get_int(w->document, "epoch", 0),
                   json_get_str(w->document, "state"), w->text, clock_wall_ms());
}

int checkpoint_db_put(struct db *db, const json *document, struct err *err) {
    char *text AUTO_FREE = json_text(document);
    struct change w = { .document = document, .text = text };
    return db_write(db, put_fn, &w, err);
}

static int delete_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_DELETE, "s", w->id);
}

int checkpoint_db_delete(struct db *db, const char *id, struct err *err) {
    struct change w = { .id = id };
    return db_write(db, delete_fn, &w, err);
}

static int all_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    struct db_stmt *s AUTO_STMT = db_query(c, err, SQL_ALL, "");
    int more;
    if (!s) return -1;
    while ((more = db_step(s, err)) == 1) {
        const char *text = db_text(s, "document");
        json *document = json_parse(text, strlen(text), err);
        if (!document) return -1;
        json_add(w->rows, document);
    }
    return more;
}

int checkpoint_db_each(struct db *db, void (*fn)(void *ctx, const json *document), void *ctx,
                       struct err *err) {
    json *rows AUTO_JSON = json_array();
    struct change w = { .rows = rows };
    if (db_read(db, all_fn, &w, err)) return -1;
    for (size_t i = 0; i < json_length(rows); i++) fn(ctx, json_at(rows, i));
    return 0;
}
