/*
 * The database door: transactions, grouping, faults, a really full disk, and SIGKILL.
 */
#include "common/db.h"
#include "common/db_fault.h"
#include "common/log.h"
#include "common/mem.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct db_migration migrations[] = {
    { 1, "items",
      "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size REAL,"
      " data BLOB, parent INTEGER REFERENCES item, CHECK (size >= 0))" },
    { 2, "notes", "CREATE TABLE note (text TEXT NOT NULL); INSERT INTO note VALUES ('hello')" },
};
static char dir[64], path[128];
static struct db *db;
static struct err err;

static struct db *reopen(void) {
    db_close(db);
    db = db_open(path, migrations, COUNT_OF(migrations), true, &err);
    return db;
}

static void setup(void) {
    log_set_levels("error");
    err_clear(&err);
    snprintf(dir, sizeof dir, "/tmp/jogak-test-db-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.sqlite", dir);
    db = NULL;
    ck_assert_msg(reopen() != NULL, "%s", err.msg);
}

static void teardown(void) {
    for (int p = 0; p < DB_FAULT_POINTS_; p++)
        db_fail_nth((enum db_fault_point)p, 0, DB_FAULT_FULL);
    db_close(db);
    static const char *const ends[] = { "", "-wal", "-shm", ".copy", ".copy-wal", ".copy-shm" };
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char file[160];
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    rmdir(dir);
}

static int add_named(struct db_conn *c, void *arg, struct err *e) {
    return db_exec(c, NULL, e, "INSERT INTO item (name, size) VALUES (?, 1)", "s", arg);
}

static int add_then_fail(struct db_conn *c, void *arg, struct err *e) {
    if (add_named(c, arg, e)) return -1;
    return err_set(e, ERR_PRECONDITION, "second thoughts");
}

static int count_fn(struct db_conn *c, void *arg, struct err *e) {
    struct db_stmt *s AUTO_STMT = db_query(c, e, "SELECT count(*) AS n FROM item", "");
    if (!s || db_step(s, e) != 1) return -1;
    *(int64_t *)arg = db_int(s, "n");
    return 0;
}

static int64_t count(void) {
    int64_t n = -1;
    ck_assert_msg(db_read(db, count_fn, &n, &err) == 0, "%s", err.msg);
    return n;
}

static int put_and_get(struct db_conn *c, void *arg, struct err *e) {
    (void)arg;
    int changes = 0;
    if (db_exec(c, &changes, e, "INSERT INTO item (name, size, data, parent) VALUES (?,?,?,?)",
                "sdbi", "one", 2.5, "a\0b", (size_t)3, INT64_C(1)))
        return -1;
    ck_assert_int_eq(changes, 1);
    ck_assert_int_eq(db_last_rowid(c), 1);
    if (db_exec(c, NULL, e, "INSERT INTO item (name, data) VALUES (?, ?)", "sb", NULL, NULL,
                (size_t)0))
        return -1;
    struct db_stmt *s AUTO_STMT = db_query(
        c, e, "SELECT * FROM item WHERE id IN (?, ?) ORDER BY id", "ii", INT64_C(1), INT64_C(2));
    ck_assert_int_eq(db_step(s, e), 1);
    ck_assert_str_eq(db_text(s, "name"), "one");
    ck_assert_double_eq(db_double(s, "size"), 2.5);
    size_t length;
    ck_assert_mem_eq(db_blob(s, "data", &length), "a\0b", 3);
    ck_assert_uint_eq(length, 3);
    ck_assert_int_eq(db_int(s, "parent"), 1);
    ck_assert(!db_null(s, "parent"));
    ck_assert_int_eq(db_step(s, e), 1);
    ck_assert_ptr_null(db_text(s, "name"));
    ck_assert(db_null(s, "data"));
    ck_assert_int_eq(db_step(s, e), 0);
    return 0;
}

START_TEST(values) { ck_assert_msg(db_write(db, put_and_get, NULL, &err) == 0, "%s", err.msg); }
END_TEST

START_TEST(files_are_private) {
    ck_assert_int_eq(db_write(db, add_named, "a", &err), 0);
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char file[160];
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        struct stat st;
        ck_assert_msg(stat(file, &st) == 0, "%s", file);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
    }
    ck_assert_int_eq(chmod(path, 0644), 0); /* someone opened it up: closed again at the start */
    ck_assert_ptr_nonnull(reopen());
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(a_failed_function_leaves_nothing) {
    ck_assert_int_eq(db_write(db, add_then_fail, "a", &err), -1);
    ck_assert_int_eq(err.code, ERR_PRECONDITION);
    ck_assert_int_eq(count(), 0);
}
END_TEST

static int bad_parent(struct db_conn *c, void *arg, struct err *e) {
    (void)arg;
    return db_exec(c, NULL, e, "INSERT INTO item (parent) VALUES (99)", "");
}
static int bad_check(struct db_conn *c, void *arg, struct err *e) {
    (void)arg;
    return db_exec(c, NULL, e, "INSERT INTO item (size) VALUES (-1)", "");
}
static int bad_sql(struct db_conn *c, void *arg, struct err *e) {
    return db_exec(c, NULL, e, arg, "");
}
static int says_nothing(struct db_conn *c, void *arg, struct err *e) {
    (void)c, (void)arg, (void)e;
    return -1;
}

START_TEST(broken_rules_have_their_codes) {
    ck_assert_int_eq(db_write(db, add_named, "a", &err), 0);
    ck_assert_int_eq(db_write(db, add_named, "a", &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_int_eq(db_write(db, bad_parent, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_int_eq(db_write(db, bad_check, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    static const char *const bad[] = { "", "SELEC", "SELECT 1", "DELETE FROM item WHERE id = ?" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_int_eq(db_write(db, bad_sql, (void *)(uintptr_t)bad[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_INTERNAL);
    }
    ck_assert_int_eq(db_write(db, says_nothing, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_int_eq(count(), 1);
}
END_TEST

static int write_inside(struct db_conn *c, void *arg, struct err *e) {
    (void)c;
    return db_write(db, add_named, arg, e);
}

START_TEST(no_database_calls_inside) {
    ck_assert_int_eq(db_write(db, write_inside, "x", &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_int_eq(db_read(db, write_inside, "x", &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
}
END_TEST

START_TEST(readers_cannot_write) {
    ck_assert_int_eq(db_read(db, add_named, "x", &err), -1);
    ck_assert_int_eq(count(), 0);
}
END_TEST

/* --- nested statements of one text, and many different ones --- */

static int nested_fn(struct db_conn *c, void *arg, struct err *e) {
    static const char sql[] = "SELECT id FROM item ORDER BY id";
    int *pairs = arg;
    struct db_stmt *outer AUTO_STMT = db_query(c, e, sql, "");
    while (db_step(outer, e) == 1) {
        struct db_stmt *inner AUTO_STMT = db_query(c, e, sql, "");
        while (db_step(inner, e) == 1) ++*pairs;
    }
    for (int i = 0; i < 300; i++) { /* more than the cache holds */
        char text[64];
        snprintf(text, sizeof text, "SELECT %d AS n", i);
        struct db_stmt *s AUTO_STMT = db_query(c, e, text, "");
        if (!s || db_step(s, e) != 1 || db_int(s, "n") != i) return -1;
    }
    return 0;
}

START_TEST(nested_statements) {
    char name[] = "a";
    for (; name[0] < 'd'; name[0]++) ck_assert_int_eq(db_write(db, add_named, name, &err), 0);
    int pairs = 0;
    ck_assert_int_eq(db_read(db, nested_fn, &pairs, &err), 0);
    ck_assert_int_eq(pairs, 9);
}
END_TEST

/* --- many at once --- */

#define WRITERS 64
#define ROUNDS 20
static atomic_int refused;

static void *write_many(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "w%d-%d", (int)(intptr_t)arg, i);
        struct err e = ERR_INIT;
        bool fail = i % 5 == 4;
        int rc = db_write(db, fail ? add_then_fail : add_named, name, &e);
        if (fail ? e.code != ERR_PRECONDITION : rc != 0) atomic_fetch_add(&refused, 1);
    }
    return NULL;
}

static void *read_many(void *arg) {
    int64_t last = 0;
    for (int i = 0; i < 50; i++) {
        int64_t n = 0;
        if (db_read(db, count_fn, &n, NULL) || n < last) atomic_fetch_add((atomic_int *)arg, 1);
        last = n;
    }
    return NULL;
}

START_TEST(writers_share_commits) {
    pthread_t writers[WRITERS], readers[24];
    atomic_int bad_reads = 0;
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&writers[i], NULL, write_many, (void *)(intptr_t)i);
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        pthread_create(&readers[i], NULL, read_many, &bad_reads);
    for (int i = 0; i < WRITERS; i++) pthread_join(writers[i], NULL);
    for (size_t i = 0; i < COUNT_OF(readers); i++) pthread_join(readers[i], NULL);
    ck_assert_int_eq(atomic_load(&refused), 0);
    ck_assert_int_eq(atomic_load(&bad_reads), 0);
    ck_assert_int_eq(count(), WRITERS * ROUNDS * 4 / 5);
    struct db_stats stats;
    db_stats(db, &stats);
    ck_assert_uint_eq(stats.functions, WRITERS * ROUNDS);
    ck_assert_msg(stats.commits * 3 <= stats.functions, "%llu commits for %llu functions",
                  (unsigned long long)stats.commits, (unsigned long long)stats.functions);
    ck_assert_uint_eq(stats.syncs_failed, 0);
}
END_TEST

/* --- groups with a fault inside: made by holding the writer until the others wait --- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int hold_fn(struct db_conn *c, void *arg, struct err *e) {
    (void)c, (void)arg, (void)e;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return 0;
}
static void *hold(void *arg) {
    (void)arg;
    db_write(db, hold_fn, NULL, NULL);
    return NULL;
}
struct one {
    pthread_t thread;
    char name[16];
    db_fn fn;
    int rc;
    struct err err;
};
static void *write_one(void *arg) {
    struct one *o = arg;
    o->rc = db_write(db, o->fn, o->name, &o->err);
    return NULL;
}

/* Five writes in one group, in order; the fault is set off only once the group stands. */
static void run_group(struct one *w, size_t n, enum db_fault_point point, int nth,
                      enum db_fault_kind kind) {
    pthread_t holder;
    pthread_mutex_lock(&gate);
    pthread_create(&holder, NULL, hold, NULL);
    usleep(20000);
    for (size_t i = 0; i < n; i++) {
        snprintf(w[i].name, sizeof w[i].name, "g%d", (int)i);
        if (!w[i].fn) w[i].fn = add_named;
        pthread_create(&w[i].thread, NULL, write_one, &w[i]);
        usleep(20000); /* so that they queue in order */
    }
    db_fail_nth(point, nth, kind);
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < n; i++) pthread_join(w[i].thread, NULL);
    pthread_join(holder, NULL);
}

START_TEST(one_fails_alone_in_a_group) {
    struct one w[5] = { [2] = { .fn = add_then_fail } };
    run_group(w, 5, DB_FAULT_COMMIT, 0, DB_FAULT_FULL);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(w[i].rc, i == 2 ? -1 : 0);
    ck_assert_int_eq(count(), 4);
    struct db_stats stats;
    db_stats(db, &stats);
    ck_assert_uint_eq(stats.commits, 2); /* the holder's and the group's */
}
END_TEST

START_TEST(a_failed_commit_is_told_to_all) {
    struct one w[5] = { [2] = { .fn = add_then_fail } };
    run_group(w, 5, DB_FAULT_COMMIT, 2, DB_FAULT_FULL); /* the holder's passes */
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(w[i].rc, -1);
        ck_assert_int_eq(w[i].err.code, i == 2 ? ERR_PRECONDITION : ERR_NO_SPACE);
    }
    ck_assert_str_ne(w[0].err.remedy, "");
    ck_assert_int_eq(count(), 0);
    struct db_stats stats;
    db_stats(db, &stats);
    ck_assert_uint_eq(stats.syncs_failed, 1);
    ck_assert_int_eq(db_write(db, add_named, "after", &err), 0); /* and it goes on */
    ck_assert_int_eq(count(), 1);
}
END_TEST

START_TEST(a_lost_transaction_takes_only_those_before) {
    struct one w[5] = { { .fn = NULL } };
    /* statements: the holder's RELEASE, then SAVEPOINT, INSERT, RELEASE for each */
    run_group(w, 5, DB_FAULT_STATEMENT, 1 + 3 * 2 + 2, DB_FAULT_LOST);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(w[i].rc, i <= 2 ? -1 : 0);
        if (i <= 2) ck_assert_int_eq(w[i].err.code, ERR_NO_SPACE);
    }
    ck_assert_int_eq(count(), 2);
}
END_TEST

/* Whatever statement fails in whatever way: the count is that of the successes, and it goes on. */
START_TEST(every_statement_may_fail) {
    static const enum db_fault_kind kinds[] = { DB_FAULT_FULL, DB_FAULT_IOERR, DB_FAULT_LOST };
    int64_t expected = 0;
    for (int n = 1; n <= 16; n++) {
        struct one w[5] = { [1] = { .fn = add_then_fail } };
        run_group(w, 5, DB_FAULT_STATEMENT, n, kinds[_i]);
        for (int i = 0; i < 5; i++) expected += w[i].rc == 0;
        db_fail_nth(DB_FAULT_STATEMENT, 0, DB_FAULT_FULL);
        ck_assert_int_eq(count(), expected);
        ck_assert_int_eq(db_write(db, bad_sql, (void *)(uintptr_t) "DELETE FROM item", &err), 0);
        expected = 0;
    }
    db_fail_nth(DB_FAULT_BEGIN, 1, kinds[_i]);
    ck_assert_int_eq(db_write(db, add_named, "x", &err), -1);
    ck_assert_int_eq(db_write(db, add_named, "x", &err), 0);
}
END_TEST

/* --- a disk that is really full, in a mount namespace of the test's own process --- */

static int fill_fn(struct db_conn *c, void *arg, struct err *e) {
    return db_exec(c, NULL, e, "INSERT INTO item (data) VALUES (zeroblob(?))", "i",
                   *(int64_t *)arg);
}

static int mount_small(void) {
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) return -1;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) return -1;
    return mount("tmpfs", dir, "tmpfs", 0, "size=512k");
}

START_TEST(full_disk) {
    db_close(db);
    db = NULL;
    ck_assert_msg(mount_small() == 0, "a tmpfs of the test's own: %s", strerror(errno));
    ck_assert_msg(reopen() != NULL, "%s", err.msg);
    char ballast[160];
    snprintf(ballast, sizeof ballast, "%s/ballast", dir);
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_eq(posix_fallocate(fd, 0, 150000), 0);
    close(fd);
    int64_t size = 20000, written = 0;
    while (db_write(db, fill_fn, &size, &err) == 0) written++;
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
    ck_assert_str_ne(err.remedy, "");
    ck_assert_int_gt(written, 0);
    ck_assert_int_eq(count(), written); /* reading works meanwhile */
    ck_assert_int_eq(db_write(db, fill_fn, &size, &err), -1);
    unlink(ballast);
    ck_assert_msg(db_write(db, fill_fn, &size, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(count(), written + 1);
    ck_assert_ptr_nonnull(reopen());
    ck_assert_int_eq(count(), written + 1);
    db_close(db);
    db = NULL;
    umount2(dir, MNT_DETACH);
}
END_TEST

/* --- what was answered survives SIGKILL --- */

static void write_until_killed(int out) {
    struct db *own = db_open(path, migrations, COUNT_OF(migrations), true, &err);
    for (int i = 0; own; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        if (db_write(own, add_named, name, &err) || write(out, &i, sizeof i) != sizeof i) _exit(1);
    }
    _exit(2);
}

START_TEST(answered_writes_survive_sigkill) {
    db_close(db);
    db = NULL;
    int fds[2], last = -1, seen;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) write_until_killed(fds[1]);
    close(fds[1]);
    while (last < 100 && read(fds[0], &seen, sizeof seen) == sizeof seen) last = seen;
    kill(pid, SIGKILL);
    while (read(fds[0], &seen, sizeof seen) == sizeof seen) last = seen;
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_ge(last, 100);
    ck_assert_ptr_nonnull(reopen());
    ck_assert_int_ge(count(), last + 1);
    ck_assert_int_le(count(), last + 2); /* one may have been on its way */
}
END_TEST

/* --- schema, files, backup --- */

START_TEST(migrations_run_once_and_in_order) {
    ck_assert_int_eq(db_write(db, add_named, "a", &err), 0);
    ck_assert_ptr_nonnull(reopen());
    ck_assert_int_eq(count(), 1);
    db_close(db);
    db = db_open(path, migrations, 1, true, &err); /* an older program */
    ck_assert_ptr_null(db);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_str_ne(err.remedy, "");
    struct db_migration more[3] = { migrations[0],
                                    migrations[1],
                                    { 3, "broken",
                                      "CREATE TABLE t (x); INSERT INTO nowhere VALUES (1)" } };
    db = db_open(path, more, 3, true, &err);
    ck_assert_ptr_null(db);
    ck_assert_ptr_nonnull(strstr(err.msg, "migration 3 (broken)"));
    more[2].sql = "DELETE FROM note; UPDATE item SET parent = 77"; /* points nowhere */
    ck_assert_ptr_null(db_open(path, more, 3, true, &err));
    more[2].sql = "CREATE TABLE t (x)"; /* nothing of the broken ones has stayed */
    db = db_open(path, more, 3, true, &err);
    ck_assert_msg(db != NULL, "%s", err.msg);
    ck_assert_int_eq(count(), 1);
    struct db_migration hole[1] = { { 2, "x", "" } };
    ck_assert_ptr_null(db_open(path, hole, 1, true, &err));
    ck_assert_int_eq(err.code, ERR_INTERNAL);
}
END_TEST

static void write_file(const char *text, size_t length) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(write(fd, text, length), (ssize_t)length);
    close(fd);
}

START_TEST(other_files_are_refused) {
    db_close(db);
    db = NULL;
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    write_file(junk, sizeof junk);
    ck_assert_ptr_null(db_open(path, migrations, 2, true, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_null(db_open("/nonexistent/x.sqlite", migrations, 2, true, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_null(db_open(dir, migrations, 2, true, &err));
}
END_TEST

START_TEST(backup_is_whole) {
    ck_assert_int_eq(db_write(db, add_named, "a", &err), 0);
    char copy[160];
    snprintf(copy, sizeof copy, "%s.copy", path);
    for (int i = 0; i < 2; i++) /* the second replaces the first */
        ck_assert_msg(db_backup(db, copy, &err) == 0, "%s", err.msg);
    struct stat st;
    ck_assert_int_eq(stat(copy, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(db_write(db, add_named, "b", &err), 0);
    db_close(db);
    db = db_open(copy, migrations, 2, true, &err);
    ck_assert_msg(db != NULL, "%s", err.msg);
    ck_assert_int_eq(count(), 1);
    ck_assert_int_eq(db_backup(db, "/nonexistent/x", &err), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("db");
    TCase *tc = tcase_create("db");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, values);
    tcase_add_test(tc, files_are_private);
    tcase_add_test(tc, a_failed_function_leaves_nothing);
    tcase_add_test(tc, broken_rules_have_their_codes);
    tcase_add_test(tc, no_database_calls_inside);
    tcase_add_test(tc, readers_cannot_write);
    tcase_add_test(tc, nested_statements);
    tcase_add_test(tc, writers_share_commits);
    tcase_add_test(tc, one_fails_alone_in_a_group);
    tcase_add_test(tc, a_failed_commit_is_told_to_all);
    tcase_add_test(tc, a_lost_transaction_takes_only_those_before);
    tcase_add_loop_test(tc, every_statement_may_fail, 0, 3);
    tcase_add_test(tc, full_disk);
    tcase_add_test(tc, answered_writes_survive_sigkill);
    tcase_add_test(tc, migrations_run_once_and_in_order);
    tcase_add_test(tc, other_files_are_refused);
    tcase_add_test(tc, backup_is_whole);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
