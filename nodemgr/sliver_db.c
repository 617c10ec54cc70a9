#include "nodemgr/sliver_db.h"

#include "common/clock.h"

#include <stdio.h>

#define COLUMNS "sliver, epoch, slice, role, document, outcome, since_ms"
#define SQL_ALL "SELECT " COLUMNS " FROM sliver ORDER BY sliver, epoch"
#define SQL_OF "SELECT " COLUMNS " FROM sliver WHERE sliver = ? ORDER BY epoch"
#define SQL_PUT "INSERT OR REPLACE INTO sliver (" COLUMNS ") VALUES (?, ?, ?, ?, ?, '', ?)"
#define SQL_OWN "UPDATE sliver SET role = 'own', since_ms = ? WHERE sliver = ? AND epoch = ?"
#define SQL_OUTCOME "UPDATE sliver SET outcome = ?, since_ms = ? WHERE sliver = ? AND epoch = ?"
#define SQL_DELETE "DELETE FROM sliver WHERE sliver = ? AND epoch = ?"

void sliver_rows_done(struct sliver_rows *r) {
    for (size_t i = 0; i < r->count; i++) json_put(r->rows[i].document);
    free(STEAL(r->rows));
    r->count = 0;
}

static int read_row(struct db_stmt *s, struct sliver_row *ret, struct err *err) {
    const char *text = db_text(s, "document");
    snprintf(ret->sliver, sizeof ret->sliver, "%s", db_text(s, "sliver"));
    snprintf(ret->slice, sizeof ret->slice, "%s", db_text(s, "slice"));
    snprintf(ret->outcome, sizeof ret->outcome, "%s", db_text(s, "outcome"));
    ret->epoch = db_int(s, "epoch");
    ret->incoming = strcmp(db_text(s, "role"), "incoming") == 0;
    ret->since_ms = db_int(s, "since_ms");
    ret->document = json_parse(text, strlen(text), err);
    return ret->document ? 0 : err_wrap(err, "the row of sliver %s", ret->sliver);
}

struct reading {
    const char *sliver;
    struct sliver_rows out;
};

static int read_fn(struct db_conn *c, void *arg, struct err *err) {
    struct reading *r = arg;
    struct db_stmt *s AUTO_STMT =
        r->sliver ? db_query(c, err, SQL_OF, "s", r->sliver) : db_query(c, err, SQL_ALL, "");
    int more;
    if (!s) return -1;
    while ((more = db_step(s, err)) == 1) {
        r->out.rows = xrealloc_array(r->out.rows, r->out.count + 1, sizeof *r->out.rows);
        if (read_row(s, &r->out.rows[r->out.count], err)) return -1;
        r->out.count++;
    }
    return more;
}

int sliver_rows_read(struct db *db, const char *sliver, struct sliver_rows *ret, struct err *err) {
    struct reading r = { sliver, { NULL, 0 } };
    if (db_read(db, read_fn, &r, err)) {
        sliver_rows_done(&r.out);
        return -1;
    }
    *ret = r.out;
    return 0;
}

struct change {
    const struct sliver_spec *spec;
    const char *sliver, *role, *outcome;
    char *text;
    int64_t epoch;
};

static int put_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_PUT, "sisssi", w->spec->sliver, w->spec->epoch, w->spec->slice,
                   w->role, w->text, clock_wall_ms());
}

int sliver_row_put(struct db *db, const struct sliver_spec *spec, bool incoming, struct err *err) {
    char *text AUTO_FREE = json_text(spec->document);
    struct change w = { .spec = spec, .role = incoming ? "incoming" : "own", .text = text };
    return db_write(db, put_fn, &w, err);
}

static int own_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_OWN, "isi", clock_wall_ms(), w->sliver, w->epoch);
}

int sliver_row_own(struct db *db, const char *sliver, int64_t epoch, struct err *err) {
    struct change w = { .sliver = sliver, .epoch = epoch };
    return db_write(db, own_fn, &w, err);
}

static int outcome_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_OUTCOME, "sisi", w->outcome, clock_wall_ms(), w->sliver,
                   w->epoch);
}

int sliver_row_outcome(struct db *db, const char *sliver, int64_t epoch, const char *outcome,
                       struct err *err) {
    struct change w = { .sliver = sliver, .epoch = epoch, .outcome = outcome };
    return db_write(db, outcome_fn, &w, err);
}

static int delete_fn(struct db_conn *c, void *arg, struct err *err) {
    struct change *w = arg;
    return db_exec(c, NULL, err, SQL_DELETE, "si", w->sliver, w->epoch);
}

int sliver_row_delete(struct db *db, const char *sliver, int64_t epoch, struct err *err) {
    struct change w = { .sliver = sliver, .epoch = epoch };
    return db_write(db, delete_fn, &w, err);
}
