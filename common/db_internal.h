/*
 * Shared by the files of the database door; nobody else includes it.
 */
#ifndef JOGAK_DB_INTERNAL_H
#define JOGAK_DB_INTERNAL_H

#include "db.h"
#include "db_fault.h"
#include "mem.h"

#include <pthread.h>
#include <sqlite3.h>

#define DB_HINTS 48
#define DB_STATEMENTS_MAX 96 /* cached per connection */

struct db_stmt {
    sqlite3_stmt *handle;
    struct db_conn *conn;
    char *sql; /* the cache's key */
    uint32_t hash;
    bool cached, busy;
    uint64_t used; /* the connection's counter when last handed out */
    unsigned lookups; /* of columns, in this row */
    uint8_t hints[DB_HINTS]; /* where the nth lookup of a row found its column */
};

struct db_conn {
    sqlite3 *handle;
    bool broken; /* a fault of the file was seen: do not keep this connection */
    bool failed; /* the file failed (or is full) since somebody reset this */
    uint64_t counter;
    struct db_stmt *statements[DB_STATEMENTS_MAX];
    size_t statement_count;
    struct db_conn *next; /* in the pool */
};

struct db_job; /* a function that waits for the writer, see db_write.c */

struct db {
    char *path;
    bool durable;

    pthread_mutex_t lock; /* over everything below */
    pthread_cond_t work;  /* the writer waits for jobs */
    struct db_job *first, **last;
    bool stopping;
    struct db_stats stats;

    pthread_cond_t idle_reader;
    struct db_conn *readers; /* those not in use */
    unsigned reader_count;   /* all there are */

    pthread_t writer;
    bool writer_running;
    struct db_conn *write_conn; /* the writer thread's own */
};

/* True while this thread runs a db_fn; set by the two places that run them. */
extern _Thread_local bool db_inside;

/* A connection with our settings. NULL with err. */
struct db_conn *db_conn_open(const char *path, bool durable, bool writer, struct err *err);
void db_conn_close(struct db_conn *c); /* NULL is fine */
/* Give back statements that a db_fn left open. */
void db_conn_reset(struct db_conn *c);

/* Turn SQLite's result into an error; `what` is the statement or the deed. Returns -1. */
int db_error(struct db_conn *c, int rc, const char *what, struct err *err);
/* A statement without parameters and rows, for settings. */
int db_simple(struct db_conn *c, const char *sql, struct err *err);
/* BEGIN, COMMIT, ROLLBACK: the same, prepared once per connection; passes no fault point. */
int db_control(struct db_conn *c, const char *sql, struct err *err);

int db_writer_start(struct db *db, struct err *err);
void db_writer_stop(struct db *db); /* runs what still waits, then joins the thread */

/* The result code to pretend, or 0. */
int db_fault_at(enum db_fault_point point);

#endif
