/*
 * The writer thread: group commit.
 *
 * Callers queue a job and sleep. The writer takes all jobs that wait, runs them in one transaction,
 * each inside a savepoint, and commits once: while the disk syncs, the next group gathers, so the
 * busier a service is, the more answers share one sync. A lone caller waits for nobody.
 *
 *   BEGIN IMMEDIATE
 *     SAVEPOINT job; fn(); RELEASE job            a function that worked
 *     SAVEPOINT job; fn(); ROLLBACK TO, RELEASE   one that failed, alone
 *   COMMIT                                        one sync; only now everybody is told
 *
 * SQLite rolls a whole transaction back by itself on some faults (disk full, I/O error). Then the
 * functions before the culprit are undone too: they are told so, and the rest starts anew.
 */
#include "db.h"

#include "db_internal.h"
#include "log.h"

#include <assert.h>
#include <errno.h>

LOG_MODULE("db.write");

#define GROUP_MAX 256 /* jobs in one transaction: the first is not kept waiting for long */

static int group_max = GROUP_MAX; /* set before any writer runs */

struct db_job {
    db_fn fn;
    void *arg;
    int rc;
    bool done; /* under the lock of the database */
    struct err err;
    char request_id[64];
    pthread_cond_t finished;
    struct db_job *next;
};

static void fail_job(struct db_job *j, const struct err *why) {
    j->rc = -1;
    j->err = *why;
}

static void fail_range(struct db_job *from, const struct db_job *end, const struct err *why) {
    for (struct db_job *j = from; j != end; j = j->next)
        if (j->rc == 0) fail_job(j, why);
}

static bool in_transaction(const struct db_conn *c) { return !sqlite3_get_autocommit(c->handle); }

static int begin(struct db_conn *c, struct err *err) {
    int fault = db_fault_at(DB_FAULT_BEGIN);
    return fault ? db_error(c, fault & 0xffff, "BEGIN", err) : db_control(c, "BEGIN IMMEDIATE", err);
}

static int commit(struct db_conn *c, struct err *err) {
    int fault = db_fault_at(DB_FAULT_COMMIT);
    int rc = fault ? db_error(c, fault & 0xffff, "COMMIT", err) : db_control(c, "COMMIT", err);
    if (rc && in_transaction(c)) db_simple(c, "ROLLBACK", NULL);
    return rc;
}

static int savepoint(struct db_conn *c, const char *sql, struct err *err) {
    return db_exec(c, NULL, err, sql, "");
}

static int call(struct db_conn *c, struct db_job *j) {
    log_set_request_id(j->request_id);
    db_inside = true;
    int rc = j->fn(c, j->arg, &j->err);
    db_inside = false;
    log_set_request_id("");
    db_conn_reset(c);
    if (rc && j->err.code == ERR_NONE)
        err_set(&j->err, ERR_INTERNAL, "a write failed without saying why");
    return rc ? -1 : 0;
}

/* Runs one job inside its savepoint. -1 when the transaction is gone with it. */
static int run_job(struct db_conn *c, struct db_job *j) {
    j->rc = savepoint(c, "SAVEPOINT job", &j->err);
    bool saved = j->rc == 0;
    if (saved) j->rc = call(c, j);
    if (!in_transaction(c)) {
        if (j->rc == 0) j->rc = err_set(&j->err, ERR_UNAVAILABLE, "the transaction was lost");
        return -1;
    }
    if (!saved) return 0;
    struct err undo = ERR_INIT;
    int rc = j->rc ? savepoint(c, "ROLLBACK TO job", &undo) : 0;
    if (rc == 0) rc = savepoint(c, "RELEASE job", &undo);
    if (rc == 0) return 0;
    /* Neither kept nor undone: nothing of this transaction may be committed. */
    if (j->rc == 0) fail_job(j, &undo);
    if (in_transaction(c)) db_simple(c, "ROLLBACK", NULL);
    return -1;
}

/* Runs jobs from `first` in one transaction; returns where the next one has to start. */
static struct db_job *run_transaction(struct db *db, struct db_job *first,
                                      struct db_stats *counts) {
    struct db_conn *c = db->write_conn;
    struct err err = ERR_INIT;
    if (begin(c, &err)) {
        fail_range(first, NULL, &err);
        return NULL;
    }
    bool any = false;
    for (struct db_job *j = first; j; j = j->next) {
        if (run_job(c, j)) {
            struct err lost = j->err;
            err_wrap(&lost, "undone together with another request");
            fail_range(first, j, &lost);
            return j->next;
        }
        any |= j->rc == 0;
    }
    if (commit(c, &err)) {
        fail_range(first, NULL, &err);
        counts->syncs_failed++;
    } else if (any) {
        counts->commits++;
    }
    return NULL;
}

/* After a fault of the file the connection's state is not to be trusted: take a new one. When that
 * fails too, the old one stays, and the next group tries again. */
static void renew_connection(struct db *db) {
    if (!db->write_conn->broken) return;
    struct err err = ERR_INIT;
    struct db_conn *c = db_conn_open(db->path, db->durable, true, &err);
    if (!c) {
        log_error("database cannot be opened again", "path=%s reason=\"%s\"", db->path, err.msg);
        return;
    }
    db_conn_close(db->write_conn);
    db->write_conn = c;
}

static bool is_fault_of_file(enum err_code code) {
    return code == ERR_NO_SPACE || code == ERR_UNAVAILABLE;
}

/* Says once that writing fails, and once that it works again. */
static void log_health(const struct db *db, const struct db_job *group, bool faulty,
                       bool *failing) {
    const struct db_job *bad = NULL, *good = NULL;
    for (const struct db_job *j = group; j; j = j->next) {
        if (j->rc == 0)
            good = j;
        else if (faulty && is_fault_of_file(j->err.code))
            bad = j;
    }
    if (bad && !*failing)
        log_error("database cannot be written", "path=%s reason=\"%s\"", db->path, bad->err.msg);
    else if (!bad && good && *failing)
        log_info("database is written again", "path=%s", db->path);
    *failing = bad != NULL || (*failing && !good);
}

/* Takes up to GROUP_MAX waiting jobs. NULL: the database is being closed and none is left. */
static struct db_job *take_group(struct db *db) {
    WITH_LOCK(&db->lock);
    while (!db->first && !db->stopping) pthread_cond_wait(&db->work, &db->lock);
    struct db_job *group = db->first, *j = group;
    for (int n = 1; j && j->next && n < group_max; n++) j = j->next;
    if (!j) return NULL;
    db->first = STEAL(j->next);
    if (!db->first) db->last = &db->first;
    return group;
}

static void answer(struct db *db, struct db_job *group, const struct db_stats *counts) {
    WITH_LOCK(&db->lock);
    db->stats.commits += counts->commits;
    db->stats.syncs_failed += counts->syncs_failed;
    for (struct db_job *j = group, *next; j; j = next) {
        next = j->next; /* j lives on its caller's stack: gone once it is told */
        db->stats.functions++;
        j->done = true;
        pthread_cond_signal(&j->finished);
    }
}

static void *writer_main(void *arg) {
    struct db *db = arg;
    bool failing = false;
    pthread_setname_np(pthread_self(), "db-writer");
    for (struct db_job *group; (group = take_group(db));) {
        struct db_stats counts = { .commits = 0 };
        for (struct db_job *at = group; at;) at = run_transaction(db, at, &counts);
        bool faulty = db->write_conn->failed; /* else a function's own "no space" is no fault */
        db->write_conn->failed = false;
        renew_connection(db);
        log_health(db, group, faulty, &failing);
        answer(db, group, &counts);
    }
    return NULL;
}

void db_share_commits(bool on) { group_max = on ? GROUP_MAX : 1; }

int db_writer_start(struct db *db, struct err *err) {
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, writer_main, db);
    if (rc) return err_set_errno(err, ERR_UNAVAILABLE, rc, "start the database writer");
    db->writer = thread;
    db->writer_running = true;
    return 0;
}

void db_writer_stop(struct db *db) {
    if (!db->writer_running) return;
    {
        WITH_LOCK(&db->lock);
        db->stopping = true;
        pthread_cond_signal(&db->work);
    }
    pthread_join(db->writer, NULL);
    db->writer_running = false;
}

int db_write(struct db *db, db_fn fn, void *arg, struct err *err) {
    if (db_inside) return err_set(err, ERR_INTERNAL, "db_write() inside a database function");
    struct db_job j = { .fn = fn, .arg = arg, .err = ERR_INIT };
    memcpy(j.request_id, log_request_id(), strnlen(log_request_id(), sizeof j.request_id - 1));
    pthread_cond_init(&j.finished, NULL);
    {
        WITH_LOCK(&db->lock);
        assert(!db->stopping);
        *db->last = &j;
        db->last = &j.next;
        pthread_cond_signal(&db->work);
        while (!j.done) pthread_cond_wait(&j.finished, &db->lock);
    }
    pthread_cond_destroy(&j.finished);
    if (j.rc && err) *err = j.err;
    return j.rc;
}
