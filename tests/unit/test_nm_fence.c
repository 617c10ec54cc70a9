#include "nodemgr/fence.h"
#include "nodemgr/migration_db.h"
#include "nodemgr/sliver_db.h"

#include <check.h>
#include <unistd.h>

extern const struct db_migration nodemgr_migrations[];
extern const size_t nodemgr_migration_count;

#define SLIVER "11111111-2222-4333-8444-555555555555"

static char directory[] = "/tmp/jogak-fence-XXXXXX";
static char *file;
static struct db *db;

static void open_db(void) {
    struct err err = ERR_INIT;
    db = db_open(file, nodemgr_migrations, nodemgr_migration_count, false, &err);
    ck_assert_msg(db != NULL, "%s", err.msg);
}

static void setup(void) {
    file = xasprintf("%s/nodemgr.db", directory);
    open_db();
}

static void teardown(void) {
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    db_close(db);
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char *path AUTO_FREE = xasprintf("%s%s", file, suffixes[i]);
        unlink(path);
    }
    free(file);
}

static enum err_code raised(int64_t epoch) {
    struct err err = ERR_INIT;
    int failed = fence_raise(db, SLIVER, epoch, &err);
    ck_assert_int_eq(failed != 0, err.code != ERR_NONE);
    return err.code;
}

START_TEST(only_up) {
    struct err err = ERR_INIT;
    ck_assert_int_eq(fence_check(db, SLIVER, 1, &err), 0); /* unknown: nothing is past yet */
    ck_assert_int_eq(raised(3), ERR_NONE);
    ck_assert_int_eq(raised(3), ERR_NONE);
    ck_assert_int_eq(raised(2), ERR_STALE_EPOCH);
    ck_assert_int_eq(raised(4), ERR_NONE);
    ck_assert_int_eq(raised(3), ERR_STALE_EPOCH);
    ck_assert_int_eq(fence_check(db, SLIVER, 4, &err), 0);
    ck_assert_int_eq(fence_check(db, SLIVER, 5, &err), 0); /* only compared, not noted */
    ck_assert_int_eq(fence_check(db, SLIVER, 4, &err), 0);
}
END_TEST

START_TEST(survives_a_restart) {
    ck_assert_int_eq(raised(9), ERR_NONE);
    db_close(db);
    open_db();
    ck_assert_int_eq(raised(8), ERR_STALE_EPOCH);
    ck_assert_int_eq(raised(9), ERR_NONE);
}
END_TEST

START_TEST(ended_stays_ended) {
    struct err err = ERR_INIT;
    ck_assert_int_eq(raised(5), ERR_NONE);
    ck_assert_int_eq(fence_end(db, SLIVER, 5, &err), 0);
    ck_assert_int_eq(raised(5), ERR_STALE_EPOCH);
    ck_assert_int_eq(raised(6), ERR_NONE);
    ck_assert_int_eq(fence_end(db, SLIVER, 2, &err), 0); /* late, and takes nothing back */
    ck_assert_int_eq(raised(6), ERR_NONE);
    ck_assert_int_eq(raised(5), ERR_STALE_EPOCH);
}
END_TEST

START_TEST(sliver_rows) {
    struct err err = ERR_INIT;
    struct sliver_rows rows = { NULL, 0 };
    struct sliver_spec spec = { .epoch = 2, .document = json_object() };
    strcpy(spec.sliver, SLIVER);
    strcpy(spec.slice, SLIVER);
    ck_assert_int_eq(sliver_row_put(db, &spec, true, &err), 0);
    ck_assert_int_eq(sliver_rows_read(db, SLIVER, &rows, &err), 0);
    ck_assert_uint_eq(rows.count, 1);
    ck_assert(rows.rows[0].incoming);
    sliver_rows_done(&rows);
    ck_assert_int_eq(sliver_row_own(db, SLIVER, 2, &err), 0);
    ck_assert_int_eq(sliver_row_outcome(db, SLIVER, 2, "failed", &err), 0);
    ck_assert_int_eq(sliver_rows_read(db, NULL, &rows, &err), 0);
    ck_assert(!rows.rows[0].incoming);
    ck_assert_str_eq(rows.rows[0].outcome, "failed");
    sliver_rows_done(&rows);
    json *found AUTO_JSON = migration_db_spec(db, SLIVER, 2, &err);
    ck_assert_ptr_nonnull(found);
    ck_assert_ptr_null(migration_db_spec(db, SLIVER, 3, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(sliver_row_delete(db, SLIVER, 2, &err), 0);
    ck_assert_int_eq(sliver_rows_read(db, SLIVER, &rows, &err), 0);
    ck_assert_uint_eq(rows.count, 0);
    json_put(spec.document);
}
END_TEST

int main(void) {
    if (!mkdtemp(directory)) return 1;
    Suite *suite = suite_create("fence");
    TCase *tc = tcase_create("fence");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, only_up);
    tcase_add_test(tc, survives_a_restart);
    tcase_add_test(tc, ended_stays_ended);
    tcase_add_test(tc, sliver_rows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(directory);
    return failed != 0;
}
