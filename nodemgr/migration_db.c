#include "nodemgr/migration_db.h"

#include "common/clock.h"
#include "nodemgr/sliver_db.h"

#include <stdio.h>

#define SQL_PUT \
    "INSERT OR REPLACE INTO migration (migration, role, phase, document, at_ms)" \
    " VALUES (?, ?, ?, ?, ?)"
#define SQL_DELETE "DELETE FROM migration WHERE migration = ?"
#define SQL_ALL "SELECT migration, phase, document FROM migration"

struct row {
    char id[UUID_TEXT_BYTES], phase[16];
    json *document;
};
struct change {
    const char *id, *role, *phase;
    char *text;
    struct row *rows;
    size_t count;
};

static int put_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_PUT, "ssssi", w->id, w->role, w->phase, w->text,
                   clock_wall_ms());
}

int migration_db_put(struct db *db, const char *id, bool source, const char *phase,
                     const json *document, struct err *err) {
    char *text AUTO_FREE = json_text(document);
    struct change w = { .id = id, .role = source ? "source" : "target", .phase = phase,
                        .text = text };
    return db_write(db, put_fn, &w, err);
}

static int delete_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_DELETE, "s", w->id);
}

int migration_db_delete(struct db *db, const char *id, struct err *err) {
    struct change w = { .id = id };
    return db_write(db, delete_fn, &w, err);
}

static int all_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    struct db_stmt *s AUTO_STMT = db_query(c, err, SQL_ALL, "");
    int more;
    if (!s) return -1;
    while ((more = db_step(s, err)) == 1) {
        w->rows = xrealloc_array(w->rows, w->count + 1, sizeof *w->rows);
        struct row *row = &w->rows[w->count];
        const char *text = db_text(s, "document");
        snprintf(row->id, sizeof row->id, "%s", db_text(s, "migration"));
        snprintf(row->phase, sizeof row->phase, "%s", db_text(s, "phase"));
        row->document = json_parse(text, strlen(text), err);
        if (!row->document) return -1;
        w->count++;
    }
    return more;
}

int migration_db_each(struct db *db,
                      void (*fn)(void *ctx, const char *id, const char *phase, const json *document),
                      void *ctx, struct err *err) {
    struct change w = { .rows = NULL };
    int failed = db_read(db, all_fn, &w, err);
    for (size_t i = 0; i < w.count; i++) {
        if (!failed) fn(ctx, w.rows[i].id, w.rows[i].phase, w.rows[i].document);
        json_put(w.rows[i].document);
    }
    free(w.rows);
    return failed;
}

json *migration_db_spec(struct db *db, const char *sliver, int64_t epoch, struct err *err) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    if (sliver_rows_read(db, sliver ? sliver : "", &rows, err)) return NULL;
    for (size_t i = 0; i < rows.count; i++)
        if (rows.rows[i].epoch == epoch) return json_ref(rows.rows[i].document);
    err_set(err, ERR_NOT_FOUND, "sliver %s is not at this node at epoch %lld", sliver ? sliver : "",
            (long long)epoch);
    return NULL;
}
