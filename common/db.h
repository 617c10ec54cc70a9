/*
 * The database door (SQLite): one file per service, one writer thread, readers beside it.
 *
 * Writing. db_write() hands a function to the writer thread and waits until its transaction is on
 * disk (WAL, synchronous=FULL). All functions waiting at that moment run in ONE transaction, each
 * inside its own savepoint, and one sync answers them all; a function that returns non-zero is
 * rolled back alone and its error handed to its caller. So a function may run more than once only
 * if the whole commit failed and was reported as failed to everyone: it must have no side effect
 * but the database's.
 * Reading. db_read() runs a function on a reader connection of its own, in one snapshot.
 *
 * Rows are read by column name. Statements are cached per connection. SQL is named constants at
 * the top of noun_db.c, always bound. The schema is a table of numbered migrations.
 */
#ifndef JOGAK_DB_H
#define JOGAK_DB_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

struct db;      /* a database file */
struct db_conn; /* what a function gets: a connection inside a transaction */

/* One schema step; numbers 1, 2, 3, ... without holes; never edited once released. */
struct db_migration {
    int number;
    const char *name;
    const char *sql;
};
/* Opens (creates with mode 0600) and migrates. Refuses a file of a newer schema.
 * durable: synchronous=FULL; false only for tests. Errors: ERR_UNAVAILABLE, ERR_NO_SPACE. */
struct db *db_open(const char *path, const struct db_migration *migrations, size_t count,
                   bool durable, struct err *err);
void db_close(struct db *db);

typedef int (*db_fn)(struct db_conn *c, void *arg, struct err *err);
/* Blocks until committed. 0, or -1 with the function's error or the commit's. Must not be called
 * from inside a db_fn (asserted). */
int db_write(struct db *db, db_fn fn, void *arg, struct err *err);
int db_read(struct db *db, db_fn fn, void *arg, struct err *err);

/* --- inside a db_fn --- */
struct db_stmt;
/* Prepares (or takes from the cache) and binds by a format string, one letter per ?: s text (NULL
 * binds NULL), i int64_t, d double, b blob (two arguments: const void *, size_t). Never returns
 * NULL without err. The statement goes back to the cache with db_done(). */
struct db_stmt *db_query(struct db_conn *c, struct err *err, const char *sql, const char *binds, ...);
/* 1: a row is there; 0: no more; -1: error. */
int db_step(struct db_stmt *s, struct err *err);
void db_done(struct db_stmt *s); /* NULL is fine */
static inline void db_cleanup(struct db_stmt **s) { db_done(*s); }
#define AUTO_STMT __attribute__((cleanup(db_cleanup)))

/* Columns of the present row by name (asserts that the name exists). Text and blobs are borrowed
 * until the next db_step(). db_text gives NULL for SQL NULL. */
const char *db_text(struct db_stmt *s, const char *column);
int64_t db_int(struct db_stmt *s, const char *column);
double db_double(struct db_stmt *s, const char *column);
const void *db_blob(struct db_stmt *s, const char *column, size_t *ret_length);
bool db_null(struct db_stmt *s, const char *column);

/* Runs a statement that returns no rows. ret_changes (may be NULL) gets the rows changed.
 * A broken UNIQUE or PRIMARY KEY is ERR_CONFLICT, a broken FOREIGN KEY or CHECK ERR_UNPROCESSABLE. */
int db_exec(struct db_conn *c, int *ret_changes, struct err *err, const char *sql,
            const char *binds, ...);
int64_t db_last_rowid(struct db_conn *c);

/* Write a consistent copy while in use (for backups). */
int db_backup(struct db *db, const char *path, struct err *err);
/* Whether functions that wait at the same time share one transaction (they do). Only the benchmark
 * says false, before any database is open, to see what sharing saves. */
void db_share_commits(bool on);
/* Counters since start, for the metrics and the benchmark. */
struct db_stats { uint64_t commits, functions, syncs_failed; };
void db_stats(struct db *db, struct db_stats *ret);

#endif
