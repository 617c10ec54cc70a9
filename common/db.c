/*
 * Opening a database, its schema, its readers, its backup. Statements are in db_stmt.c, the writer
 * thread in db_write.c.
 */
#include "db.h"

#include "db_internal.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

LOG_MODULE("db");

#define APPLICATION_ID 0x4a474b31 /* "JGK1", so that no foreign file is taken for ours */
#define BUSY_TIMEOUT_MS 5000      /* another process (a backup, an operator's shell) may lock */
#define READERS_MAX 16

_Thread_local bool db_inside;

/* --- errors --- */

static bool no_space(struct db_conn *c, int rc) {
    if ((rc & 0xff) == SQLITE_FULL) return true;
    int saved = c->handle ? sqlite3_system_errno(c->handle) : 0;
    return (rc & 0xff) == SQLITE_IOERR && (saved == ENOSPC || saved == EDQUOT);
}

static enum err_code code_of(int rc) {
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return ERR_CONFLICT;
    }
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        return ERR_UNPROCESSABLE;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        return ERR_INTERNAL;
    default:
        return ERR_UNAVAILABLE;
    }
}

int db_error(struct db_conn *c, int rc, const char *what, struct err *err) {
    bool real = c->handle && sqlite3_extended_errcode(c->handle) == rc;
    const char *reason = real ? sqlite3_errmsg(c->handle) : sqlite3_errstr(rc);
    if (no_space(c, rc)) {
        c->failed = true;
        err_set(err, ERR_NO_SPACE, "the database cannot grow: %s (%.80s)", reason, what);
        return err_remedy(err, "free space on the file system of the service's state directory; "
                               "the service goes on by itself");
    }
    err_set(err, code_of(rc), "database: %s (%.80s)", reason, what);
    c->failed |= code_of(rc) == ERR_UNAVAILABLE;
    switch (rc & 0xff) {
    case SQLITE_IOERR:
        c->broken = true;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        c->broken = true;
        err_remedy(err, "stop the service and restore the database from a backup");
    }
    return -1;
}

int db_simple(struct db_conn *c, const char *sql, struct err *err) {
    int rc = sqlite3_exec(c->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_error(c, rc, sql, err);
}

/* --- connections --- */

/* SQLite says in a row, not in its result, when a file system cannot carry a WAL. */
static int use_wal(struct db_conn *c, struct err *err) {
    struct db_stmt *s AUTO_STMT = db_query(c, err, "PRAGMA journal_mode=WAL", "");
    int rc = s ? db_step(s, err) : -1;
    if (rc < 0) return -1;
    if (rc == 1 && strcmp(db_text(s, "journal_mode"), "wal") == 0) return 0;
    err_set(err, ERR_UNAVAILABLE, "the file system cannot carry a write-ahead log");
    return err_remedy(err, "put state_dir on a local file system");
}

static int configure(struct db_conn *c, bool durable, bool writer, struct err *err) {
    sqlite3_extended_result_codes(c->handle, 1);
    sqlite3_busy_timeout(c->handle, BUSY_TIMEOUT_MS);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (writer && use_wal(c, err)) return -1;
    if (writer && db_simple(c, "PRAGMA journal_size_limit=16777216", err)) return -1;
    if (db_simple(c, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF", err))
        return -1;
    return db_simple(c,
                     writer ? "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY"
                            : "PRAGMA query_only=ON; PRAGMA cache_size=-512",
                     err);
}

struct db_conn *db_conn_open(const char *path, bool durable, bool writer, struct err *err) {
    struct db_conn *c = xcalloc(1, sizeof *c);
    /* Without a mutex of SQLite's: a connection is used by one thread at a time. */
    int rc = sqlite3_open_v2(path, &c->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        db_error(c, rc, "open", err);
        err_wrap(err, "%s", path);
    } else if (configure(c, durable, writer, err) == 0) {
        return c;
    }
    db_conn_close(c);
    return NULL;
}

/* --- opening --- */

/* SQLite gives -wal and -shm the mode of the file itself, so that the file's is all we must set. */
static int make_file(const char *path, struct err *err) {
    int fd AUTO_FD = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", path);
    if (fchmod(fd, 0600)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "chmod %s", path);
    return 0;
}

/* Steps a PRAGMA that gives one number. */
static int pragma_int(struct db_conn *c, const char *sql, int64_t *ret, struct err *err) {
    struct db_stmt *s AUTO_STMT = db_query(c, err, sql, "");
    if (!s) return -1;
    int rc = db_step(s, err);
    if (rc == 1) *ret = sqlite3_column_int64(s->handle, 0);
    return rc < 0 ? -1 : 0;
}

/* Is it ours? A new file becomes so. */
static int check_owner(struct db_conn *c, struct err *err) {
    int64_t id = 0, version = 0, tables = 0;
    if (pragma_int(c, "PRAGMA application_id", &id, err)) return -1;
    if (pragma_int(c, "PRAGMA user_version", &version, err)) return -1;
    if (pragma_int(c, "SELECT count(*) FROM sqlite_schema", &tables, err)) return -1;
    if (id == APPLICATION_ID) return 0;
    if (id != 0 || version != 0 || tables != 0) {
        err_set(err, ERR_UNAVAILABLE, "the file is a database of another program");
        return err_remedy(err, "check state_dir in the configuration");
    }
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d", APPLICATION_ID);
    return db_simple(c, sql, err);
}

static int foreign_keys_hold(struct db_conn *c, struct err *err) {
    struct db_stmt *s AUTO_STMT = db_query(c, err, "PRAGMA foreign_key_check", "");
    if (!s) return -1;
    int rc = db_step(s, err);
    if (rc == 1)
        return err_set(err, ERR_INTERNAL, "a row of %s would point nowhere", db_text(s, "table"));
    return rc;
}

static int run_migration(struct db_conn *c, const struct db_migration *m, struct err *err) {
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version=%d", m->number);
    if (db_simple(c, m->sql, err)) return -1;
    if (foreign_keys_hold(c, err)) return -1;
    if (db_simple(c, version, err)) return -1;
    return db_simple(c, "COMMIT", err);
}

static int migrate_one(struct db_conn *c, const struct db_migration *m, struct err *err) {
    if (db_simple(c, "BEGIN IMMEDIATE", err)) return -1;
    int rc = run_migration(c, m, err);
    if (!sqlite3_get_autocommit(c->handle)) db_simple(c, "ROLLBACK", NULL);
    if (rc) return err_wrap(err, "migration %d (%s)", m->number, m->name);
    log_info("schema migrated", "number=%d name=%s", m->number, m->name);
    return 0;
}

static int migrate(struct db_conn *c, const struct db_migration *migrations, size_t count,
                   struct err *err) {
    for (size_t i = 0; i < count; i++)
        if (migrations[i].number != (int)i + 1)
            return err_set(err, ERR_INTERNAL, "migrations are not numbered 1 to %zu", count);
    int64_t version = 0;
    if (pragma_int(c, "PRAGMA user_version", &version, err)) return -1;
    if (version < 0 || (size_t)version > count) {
        err_set(err, ERR_UNAVAILABLE, "the database has schema %lld, this program knows %zu",
                (long long)version, count);
        return err_remedy(err, "run the newer version, or restore the backup of this one");
    }
    /* A migration may rebuild tables; their references are checked at its end. */
    if (db_simple(c, "PRAGMA foreign_keys=OFF", err)) return -1;
    for (size_t i = (size_t)version; i < count; i++)
        if (migrate_one(c, &migrations[i], err)) return -1;
    return db_simple(c, "PRAGMA foreign_keys=ON", err);
}

static struct db_conn *open_writer(const char *path, const struct db_migration *migrations,
                                   size_t count, bool durable, struct err *err) {
    struct db_conn *c = db_conn_open(path, durable, true, err);
    if (!c) return NULL;
    if (check_owner(c, err) == 0 && migrate(c, migrations, count, err) == 0) return c;
    db_conn_close(c);
    err_wrap(err, "%s", path);
    return NULL;
}

struct db *db_open(const char *path, const struct db_migration *migrations, size_t count,
                   bool durable, struct err *err) {
    if (make_file(path, err)) return NULL;
    struct db_conn *c = open_writer(path, migrations, count, durable, err);
    if (!c) return NULL;
    struct db *db = xcalloc(1, sizeof *db);
    db->path = xstrdup(path);
    db->durable = durable;
    db->write_conn = c;
    db->last = &db->first;
    pthread_mutex_init(&db->lock, NULL);
    pthread_cond_init(&db->work, NULL);
    pthread_cond_init(&db->idle_reader, NULL);
    if (db_writer_start(db, err) == 0) return db;
    db_close(db);
    return NULL;
}

void db_close(struct db *db) {
    if (!db) return;
    db_writer_stop(db);
    for (struct db_conn *c = db->readers, *next; c; c = next) {
        next = c->next;
        db_conn_close(c);
    }
    db_conn_close(db->write_conn); /* the last one, which puts the WAL into the file */
    pthread_cond_destroy(&db->work);
    pthread_cond_destroy(&db->idle_reader);
    pthread_mutex_destroy(&db->lock);
    free(db->path);
    free(db);
}

void db_stats(struct db *db, struct db_stats *ret) {
    WITH_LOCK(&db->lock);
    *ret = db->stats;
}

/* --- readers --- */

/* An idle connection, a new one, or, when there are enough, the next that becomes idle. */
static struct db_conn *reader_take(struct db *db, struct err *err) {
    {
        WITH_LOCK(&db->lock);
        while (!db->readers && db->reader_count >= READERS_MAX)
            pthread_cond_wait(&db->idle_reader, &db->lock);
        struct db_conn *c = db->readers;
        if (c) {
            db->readers = c->next;
            return c;
        }
        db->reader_count++; /* the new one's place */
    }
    struct db_conn *c = db_conn_open(db->path, db->durable, false, err);
    if (c) return c;
    WITH_LOCK(&db->lock);
    db->reader_count--;
    pthread_cond_signal(&db->idle_reader);
    return NULL;
}

static void reader_give(struct db *db, struct db_conn *c) {
    bool keep = !c->broken;
    if (!keep) db_conn_close(c);
    WITH_LOCK(&db->lock);
    if (keep) {
        c->next = db->readers;
        db->readers = c;
    } else {
        db->reader_count--;
    }
    pthread_cond_signal(&db->idle_reader);
}

static int run_reader(struct db_conn *c, db_fn fn, void *arg, struct err *err) {
    if (db_control(c, "BEGIN", err)) return -1;
    struct err own = ERR_INIT;
    db_inside = true;
    int rc = fn(c, arg, &own);
    db_inside = false;
    db_conn_reset(c);
    if (!sqlite3_get_autocommit(c->handle) && db_control(c, "ROLLBACK", NULL)) c->broken = true;
    if (rc == 0) return 0;
    if (own.code == ERR_NONE) err_set(&own, ERR_INTERNAL, "a read failed without saying why");
    if (err) *err = own;
    return -1;
}

int db_read(struct db *db, db_fn fn, void *arg, struct err *err) {
    if (db_inside) return err_set(err, ERR_INTERNAL, "db_read() inside a database function");
    struct db_conn *c = reader_take(db, err);
    if (!c) return -1;
    int rc = run_reader(c, fn, arg, err);
    reader_give(db, c);
    return rc;
}

/* --- backup --- */

static int copy_to(struct db_conn *from, const char *path, struct err *err) {
    struct db_conn *to = db_conn_open(path, true, false, err);
    if (!to) return -1;
    db_simple(to, "PRAGMA query_only=OFF", NULL);
    sqlite3_backup *b = sqlite3_backup_init(to->handle, "main", from->handle, "main");
    if (b) sqlite3_backup_step(b, -1); /* all pages of one snapshot; its result is finish's too */
    int rc = b ? sqlite3_backup_finish(b) : sqlite3_extended_errcode(to->handle);
    if (rc != SQLITE_OK) db_error(to, rc, "backup", err);
    db_conn_close(to);
    return rc == SQLITE_OK ? 0 : -1;
}

static int sync_path(const char *path, int flags, struct err *err) {
    int fd AUTO_FD = open(path, flags | O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync %s", path);
    return 0;
}

/* The copy gets its name only when it is whole and on disk. */
static int publish(const char *temporary, const char *path, struct err *err) {
    if (sync_path(temporary, 0, err)) return -1;
    if (rename(temporary, path))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "rename %s", path);
    char *dir AUTO_FREE = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = '\0';
    return sync_path(slash ? dir : ".", O_DIRECTORY, err);
}

int db_backup(struct db *db, const char *path, struct err *err) {
    if (db_inside) return err_set(err, ERR_INTERNAL, "db_backup() inside a database function");
    char *temporary AUTO_FREE = xasprintf("%s.part", path);
    unlink(temporary);
    if (make_file(temporary, err)) return -1;
    struct db_conn *from = reader_take(db, err);
    int rc = from ? copy_to(from, temporary, err) : -1;
    if (from) reader_give(db, from);
    if (rc == 0) rc = publish(temporary, path, err);
    if (rc) unlink(temporary);
    return rc ? err_wrap(err, "backup to %s", path) : 0;
}
