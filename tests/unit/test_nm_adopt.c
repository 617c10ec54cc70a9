/*
 * Adoption from files: an agent whose database is empty, or old, makes the rows of what is there and deletes
 * nothing; and what the marks on files and taps say.
 */
#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/adopt.h"
#include "nodemgr/fence.h"
#include "nodemgr/leftover_files.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_parts.h"

#include <check.h>
#include <stdio.h>
#include <sys/stat.h>

#define A "aaaaaaaa-2222-4333-8444-555555555555"
#define B "bbbbbbbb-2222-4333-8444-555555555555"
#define SPEC(id, epoch) \
    "{\"sliver\":\"" id "\",\"urn\":\"urn:publicid:IDN+example.org+sliver+a\",\"slice\":\"" B \
    "\",\"name\":\"a\",\"epoch\":" #epoch ",\"kind\":\"full\",\"vcpus\":1,\"memory_mib\":128,\"disk_mib\":256," \
    "\"image\":{\"digest\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"," \
    "\"format\":\"qcow2\",\"virtual_size_bytes\":1048576},\"store_url\":\"https://s\",\"vnics\":[]," \
    "\"seed\":{\"meta_data\":\"\",\"network_config\":\"\",\"user_data\":\"\"}}"

extern const struct db_migration nodemgr_migrations[];
extern const size_t nodemgr_migration_count;

static char state[] = "/tmp/jogak-adopt-XXXXXX";
static struct agent_config config;
static struct agent agent;

static char *path_of(const char *name) { return xasprintf("%s/%s", state, name); }

static void put(const char *name, const char *text) {
    char *path AUTO_FREE = path_of(name);
    struct err err = ERR_INIT;
    ck_assert_msg(file_write(path, text, strlen(text), 0600, &err) == 0, "%s", err.msg);
}

static bool there(const char *name) {
    char *path AUTO_FREE = path_of(name);
    return access(path, F_OK) == 0;
}

static void open_database(void) {
    struct err err = ERR_INIT;
    char *path AUTO_FREE = path_of("nodemgr.db");
    agent.db = db_open(path, nodemgr_migrations, nodemgr_migration_count, false, &err);
    ck_assert_msg(agent.db != NULL, "%s", err.msg);
}

static void lose_database(void) {
    static const char *const names[] = { "nodemgr.db", "nodemgr.db-wal", "nodemgr.db-shm" };
    db_close(agent.db);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path AUTO_FREE = path_of(names[i]);
        unlink(path);
    }
    open_database();
}

static int drop(void *ctx, const char *name, struct err *err) {
    char *path AUTO_FREE = xasprintf("%s/%s", (const char *)ctx, name);
    if (unlink(path) == 0) return 0;
    leftover_each(path, drop, path, err);
    return rmdir(path);
}

static void setup(void) {
    struct err err = ERR_INIT;
    leftover_each(state, drop, state, &err);
    char *a AUTO_FREE = path_of("slivers/" A), *b AUTO_FREE = path_of("slivers/" B);
    ck_assert_int_eq(dir_make(a, 0755, &err), 0);
    ck_assert_int_eq(dir_make(b, 0755, &err), 0);
    config.base.state_dir = state;
    config.run_dir = state;
    agent.config = &config;
    open_database();
}
static void teardown(void) { db_close(agent.db); }

static size_t rows_now(const char *sliver, struct sliver_row *ret_first) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct err err = ERR_INIT;
    ck_assert_int_eq(sliver_rows_read(agent.db, sliver, &rows, &err), 0);
    if (rows.count && ret_first) *ret_first = rows.rows[0];
    return rows.count;
}

static void adopt(void) {
    struct err err = ERR_INIT;
    ck_assert_msg(adopt_files(&agent, &err) == 0, "%s", err.msg);
}

START_TEST(rows_come_from_files) {
    struct sliver_row row = { .epoch = 0 };
    struct err err = ERR_INIT;
    put("slivers/" A "/spec-e3.json", SPEC(A, 3));
    put("slivers/" A "/disk-e3.qcow2", "x");
    adopt();
    ck_assert_uint_eq(rows_now(A, &row), 1);
    ck_assert_int_eq(row.epoch, 3);
    ck_assert(!row.incoming);
    /* The fence is where it was before: an older message is refused. */
    ck_assert_int_eq(fence_check(agent.db, A, 2, &err), -1);
    ck_assert_int_eq(err.code, ERR_STALE_EPOCH);
    ck_assert_int_eq(fence_check(agent.db, A, 3, &err), 0);
    adopt(); /* again: nothing changes */
    ck_assert_uint_eq(rows_now(NULL, NULL), 1);
}
END_TEST

START_TEST(what_is_no_incarnation_is_left_alone) {
    put("slivers/" A "/spec-e3.json", SPEC(A, 3)); /* without its disk: half removed */
    put("slivers/" B "/spec-e1.json", SPEC(A, 1)); /* another's */
    put("slivers/" B "/disk-e1.qcow2", "x");
    put("slivers/" A "/disk-e1.qcow2", "x");
    put("slivers/" B "/spec-e2.json", "{\"no\": \"spec\"");
    put("slivers/" B "/disk-e2.qcow2", "x");
    adopt();
    ck_assert_uint_eq(rows_now(NULL, NULL), 0);
    ck_assert(there("slivers/" A "/spec-e3.json"));
    ck_assert(there("slivers/" B "/disk-e1.qcow2"));
    ck_assert(there("slivers/" B "/disk-e2.qcow2"));
}
END_TEST

/* An agent of an earlier version wrote no such files: the next start does. */
START_TEST(rows_are_noted_in_files) {
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    struct err err = ERR_INIT;
    json *document AUTO_JSON = json_parse(SPEC(A, 2), strlen(SPEC(A, 2)), &err);
    ck_assert_msg(spec_read(document, &spec, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(sliver_row_put(agent.db, &spec, false, &err), 0);
    put("slivers/" A "/disk-e2.qcow2", "x");
    adopt();
    ck_assert(there("slivers/" A "/spec-e2.json"));
    lose_database();
    ck_assert_uint_eq(rows_now(A, NULL), 0);
    adopt();
    ck_assert_uint_eq(rows_now(A, NULL), 1);
}
END_TEST

/* An old copy: the row of an incarnation that is past stays beside the adopted one, for the audit to judge. */
START_TEST(old_rows_stay) {
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    struct err err = ERR_INIT;
    json *document AUTO_JSON = json_parse(SPEC(A, 2), strlen(SPEC(A, 2)), &err);
    ck_assert_int_eq(spec_read(document, &spec, &err), 0);
    ck_assert_int_eq(sliver_row_put(agent.db, &spec, false, &err), 0);
    put("slivers/" A "/spec-e4.json", SPEC(A, 4));
    put("slivers/" A "/disk-e4.qcow2", "x");
    adopt();
    ck_assert_uint_eq(rows_now(A, NULL), 2);
}
END_TEST

START_TEST(fences_only_rise) {
    struct err err = ERR_INIT;
    struct fence_mark marks[] = { { A, 5 }, { B, 1 } };
    ck_assert_int_eq(fence_raise(agent.db, A, 7, &err), 0);
    ck_assert_int_eq(fence_learn(agent.db, marks, 2, &err), 0);
    ck_assert_int_eq(fence_check(agent.db, A, 6, &err), -1);
    ck_assert_int_eq(fence_check(agent.db, A, 7, &err), 0);
    ck_assert_int_eq(fence_check(agent.db, B, 1, &err), 0);
}
END_TEST

START_TEST(marks) {
    static const struct { const char *name; int64_t epoch; } files[] = {
        { "disk-e3.qcow2", 3 },   { "disk-e3.qcow2.part", 3 }, { "seed-e12.iso", 12 },
        { A "-e4.sock", 4 },      { "spec-e1.json", 1 },       { "notes.txt", 0 },
        { "disk-e0.qcow2", 0 },   { "disk-e-1.qcow2", 0 },     { "disk-e3x.qcow2", 0 },
        { "disk-e3", 3 },         { "eeee-eeee-e2.x", 2 },
    };
    for (size_t i = 0; i < COUNT_OF(files); i++)
        ck_assert_msg(leftover_file_epoch(files[i].name) == files[i].epoch, "%s", files[i].name);
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    ck_assert(sliver_tap_owner("jogak " A " 4 eth0", sliver, &epoch));
    ck_assert_str_eq(sliver, A);
    ck_assert_int_eq(epoch, 4);
    ck_assert(!sliver_tap_owner("", sliver, &epoch));
    ck_assert(!sliver_tap_owner("jogak web 4 eth0", sliver, &epoch));
    ck_assert(!sliver_tap_owner("jogak " A " 0 eth0", sliver, &epoch));
}
END_TEST

/* Only files of that very incarnation, and only by their own names. */
START_TEST(files_are_collected_by_name) {
    struct err err = ERR_INIT;
    static const struct { const char *name; bool refused; } tries[] = {
        { "slivers/" A "/disk-e2.qcow2", false }, { "slivers/" A "/disk-e3.qcow2", true },
        { "slivers/" B "/disk-e2.qcow2", true },  { "slivers/" A "/../" B "/disk-e2.qcow2", true },
        { "images/x-e2", true },                  { "slivers/" A "/", true },
        { "console/" A "-e2.sock", false },       { "console/" A "-e3.sock", true },
    };
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct leftover what = { "file", tries[i].name, A, 2 };
        put("slivers/" A "/disk-e2.qcow2", "x");
        put("slivers/" A "/disk-e3.qcow2", "x");
        put("slivers/" B "/disk-e2.qcow2", "x");
        int failed = leftover_file(&agent, &what, &err);
        ck_assert_msg((failed != 0) == tries[i].refused, "%s", tries[i].name);
        ck_assert_msg(there("slivers/" A "/disk-e3.qcow2") && there("slivers/" B "/disk-e2.qcow2"), "%s",
                      tries[i].name);
    }
    put("slivers/" A "/disk-e2.qcow2", "x");
    ck_assert_int_eq(leftover_sweep_files(&agent, A, 2, &err), 0);
    ck_assert(!there("slivers/" A "/disk-e2.qcow2"));
    ck_assert(there("slivers/" A "/disk-e3.qcow2"));
}
END_TEST

int main(void) {
    if (!mkdtemp(state)) return 1;
    log_set_levels("error");
    Suite *s = suite_create("adopt");
    TCase *t = tcase_create("adopt");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, rows_come_from_files);
    tcase_add_test(t, what_is_no_incarnation_is_left_alone);
    tcase_add_test(t, rows_are_noted_in_files);
    tcase_add_test(t, old_rows_stay);
    tcase_add_test(t, fences_only_rise);
    tcase_add_test(t, marks);
    tcase_add_test(t, files_are_collected_by_name);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    leftover_each(state, drop, state, NULL);
    rmdir(state);
    return failed ? 1 : 0;
}
