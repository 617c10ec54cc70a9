/*
 * Statements: prepared once per connection, bound by a format string, columns read by name.
 */
#include "db.h"

#include "db_internal.h"
#include "log.h"

#include <limits.h>
#include <stdarg.h>

LOG_MODULE("db.stmt");

static uint32_t hash_of(const char *sql) { /* FNV-1a */
    uint32_t h = 2166136261u;
    for (const char *p = sql; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
    return h;
}

static void stmt_free(struct db_stmt *s) {
    sqlite3_finalize(s->handle);
    free(s->sql);
    free(s);
}

void db_conn_close(struct db_conn *c) {
    if (!c) return;
    for (size_t i = 0; i < c->statement_count; i++) stmt_free(c->statements[i]);
    sqlite3_close(c->handle);
    free(c);
}

void db_conn_reset(struct db_conn *c) {
    for (size_t i = 0; i < c->statement_count; i++) {
        if (!c->statements[i]->busy) continue;
        log_warn("statement left open", "sql=\"%.80s\"", c->statements[i]->sql);
        db_done(c->statements[i]);
    }
}

/* A cached statement that is not in use; the same text may be open twice, in nested loops. */
static struct db_stmt *cache_find(struct db_conn *c, const char *sql, uint32_t hash) {
    for (size_t i = 0; i < c->statement_count; i++) {
        struct db_stmt *s = c->statements[i];
        if (s->hash == hash && !s->busy && strcmp(s->sql, sql) == 0) return s;
    }
    return NULL;
}

/* Puts s into the cache, in the place of the one not used for longest when it is full. */
static void cache_put(struct db_conn *c, struct db_stmt *s) {
    size_t at = c->statement_count;
    if (at == DB_STATEMENTS_MAX) {
        for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
            if (!c->statements[i]->busy &&
                (at == DB_STATEMENTS_MAX || c->statements[i]->used < c->statements[at]->used))
                at = i;
        if (at == DB_STATEMENTS_MAX) return; /* all are open: this one stays outside */
        stmt_free(c->statements[at]);
    } else {
        c->statement_count++;
    }
    c->statements[at] = s;
    s->cached = true;
}

static struct db_stmt *prepare(struct db_conn *c, const char *sql, uint32_t hash, struct err *err) {
    sqlite3_stmt *handle = NULL;
    int rc = sqlite3_prepare_v3(c->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);
    if (rc != SQLITE_OK) {
        db_error(c, rc, sql, err);
        return NULL;
    }
    if (!handle) {
        err_set(err, ERR_INTERNAL, "an empty statement");
        return NULL;
    }
    struct db_stmt *s = xcalloc(1, sizeof *s);
    s->handle = handle;
    s->conn = c;
    s->sql = xstrdup(sql);
    s->hash = hash;
    cache_put(c, s);
    return s;
}

static int bind_blob(sqlite3_stmt *h, int i, const void *data, size_t length) {
    if (!data) return sqlite3_bind_null(h, i);
    return sqlite3_bind_blob64(h, i, data, length, SQLITE_TRANSIENT);
}

static int bind_all(struct db_stmt *s, const char *binds, va_list ap, struct err *err) {
    if (sqlite3_bind_parameter_count(s->handle) != (int)strlen(binds))
        return err_set(err, ERR_INTERNAL, "%zu values for the statement %.80s", strlen(binds),
                       s->sql);
    for (int i = 1; *binds; binds++, i++) {
        int rc = SQLITE_MISUSE;
        switch (*binds) {
        case 's':
            rc = sqlite3_bind_text(s->handle, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
            break;
        case 'i':
            rc = sqlite3_bind_int64(s->handle, i, va_arg(ap, int64_t));
            break;
        case 'd':
            rc = sqlite3_bind_double(s->handle, i, va_arg(ap, double));
            break;
        case 'b': {
            const void *data = va_arg(ap, const void *);
            rc = bind_blob(s->handle, i, data, va_arg(ap, size_t));
            break;
        }
        }
        if (rc != SQLITE_OK) return db_error(s->conn, rc, s->sql, err);
    }
    return 0;
}

static struct db_stmt *query_va(struct db_conn *c, struct err *err, const char *sql,
                                const char *binds, va_list ap) {
    uint32_t hash = hash_of(sql);
    struct db_stmt *s = cache_find(c, sql, hash);
    if (!s) s = prepare(c, sql, hash, err);
    if (!s) return NULL;
    s->busy = true;
    s->used = ++c->counter;
    if (bind_all(s, binds, ap, err) == 0) return s;
    db_done(s);
    return NULL;
}

struct db_stmt *db_query(struct db_conn *c, struct err *err, const char *sql, const char *binds,
                         ...) {
    va_list ap;
    va_start(ap, binds);
    struct db_stmt *s = query_va(c, err, sql, binds, ap);
    va_end(ap);
    return s;
}

int db_control(struct db_conn *c, const char *sql, struct err *err) {
    struct db_stmt *s AUTO_STMT = db_query(c, err, sql, "");
    if (!s) return -1;
    int rc = sqlite3_step(s->handle);
    return rc == SQLITE_DONE ? 0 : db_error(c, rc, sql, err);
}

static int step_fault(struct db_stmt *s, int rc) {
    if (rc >> 16 == DB_FAULT_LOST) db_simple(s->conn, "ROLLBACK", NULL);
    return rc & 0xffff;
}

int db_step(struct db_stmt *s, struct err *err) {
    s->lookups = 0;
    int fault = db_fault_at(DB_FAULT_STATEMENT);
    int rc = fault ? step_fault(s, fault) : sqlite3_step(s->handle);
    if (rc == SQLITE_ROW) return 1;
    if (rc == SQLITE_DONE) return 0;
    return db_error(s->conn, rc, s->sql, err);
}

void db_done(struct db_stmt *s) {
    if (!s) return;
    sqlite3_reset(s->handle);
    sqlite3_clear_bindings(s->handle); /* secrets and big blobs do not stay in memory */
    s->busy = false;
    if (!s->cached) stmt_free(s);
}

static bool column_is(struct db_stmt *s, int i, const char *name) {
    return strcmp(sqlite3_column_name(s->handle, i), name) == 0;
}

/* Rows of one statement are read in the same order of columns: the nth lookup finds its column
 * where it did in the row before. A misspelt column is our bug, and the first test of the statement
 * finds it. */
static int column_of(struct db_stmt *s, const char *name) {
    int count = sqlite3_column_count(s->handle);
    unsigned n = s->lookups++;
    uint8_t none, *hint = n < DB_HINTS ? &s->hints[n] : &none;
    if (n < DB_HINTS && *hint < count && column_is(s, *hint, name)) return *hint;
    for (int i = 0; i < count; i++) {
        if (!column_is(s, i, name)) continue;
        *hint = (uint8_t)i;
        return i;
    }
    log_error("no such column", "column=%s sql=\"%.200s\"", name, s->sql);
    abort();
}

const char *db_text(struct db_stmt *s, const char *column) {
    return (const char *)sqlite3_column_text(s->handle, column_of(s, column));
}

int64_t db_int(struct db_stmt *s, const char *column) {
    return sqlite3_column_int64(s->handle, column_of(s, column));
}

double db_double(struct db_stmt *s, const char *column) {
    return sqlite3_column_double(s->handle, column_of(s, column));
}

const void *db_blob(struct db_stmt *s, const char *column, size_t *ret_length) {
    int i = column_of(s, column);
    const void *data = sqlite3_column_blob(s->handle, i);
    *ret_length = (size_t)sqlite3_column_bytes(s->handle, i);
    return data;
}

bool db_null(struct db_stmt *s, const char *column) {
    return sqlite3_column_type(s->handle, column_of(s, column)) == SQLITE_NULL;
}

int db_exec(struct db_conn *c, int *ret_changes, struct err *err, const char *sql,
            const char *binds, ...) {
    va_list ap;
    va_start(ap, binds);
    struct db_stmt *s AUTO_STMT = query_va(c, err, sql, binds, ap);
    va_end(ap);
    if (!s) return -1;
    int rc = db_step(s, err);
    if (rc < 0) return -1;
    if (rc > 0) return err_set(err, ERR_INTERNAL, "rows from a statement of none: %.80s", sql);
    if (ret_changes) *ret_changes = sqlite3_changes(c->handle);
    return 0;
}

int64_t db_last_rowid(struct db_conn *c) { return sqlite3_last_insert_rowid(c->handle); }
