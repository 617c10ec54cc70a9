/* What is decided without any node: placement, pages of operations, what a topology changes. */
#include "aggregate/operation_db.h"
#include "aggregate/placement.h"
#include "aggregate/topology.h"
#include "common/clock.h"
#include "common/log.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

/* --- placement that goes back --- */

START_TEST(placement_goes_back) {
    struct node rows[2] = { { .name = "a", .state = "ready", .vcpus = 99, .memory_mib = 10, .disk_mib = 99 },
                            { .name = "b", .state = "ready", .vcpus = 99, .memory_mib = 10, .disk_mib = 99 } };
    struct node_list nodes = { .rows = rows, .count = 2 };
    static const int64_t sizes[] = { 6, 4, 4, 3, 3 };
    struct placement_wish w[5];
    for (int i = 0; i < 2; i++) rows[i].capabilities = json_parse("{\"kinds\":[\"full\"]}", 18, NULL);
    for (int i = 0; i < 5; i++) w[i] = (struct placement_wish){ .name = "x", .kind = "full", .memory_mib = sizes[i] };
    ck_assert_int_eq(placement_choose(&nodes, w, 5, 100, NULL, NULL), -1); /* greedy: 6+3, 4+4 and no room */
    rows[0].used_memory_mib = rows[1].used_memory_mib = 0;
    ck_assert_int_eq(placement_search(&nodes, w, 5, 100, NULL, NULL), 0); /* 6+4 and 4+3+3 */
    ck_assert_int_eq(rows[0].used_memory_mib, 10);
    ck_assert_int_eq(rows[1].used_memory_mib, 10);
    for (int i = 0; i < 2; i++) node_done(&rows[i]);
}
END_TEST

/* --- pages of operations --- */

struct page {
    struct operation_cursor after;
    int seen;
};
static int page_fn(struct db_conn *c, void *arg, struct err *err) {
    struct page *p = arg;
    json *items AUTO_JSON = operation_db_list(c, NULL, false, &p->after, 2, err);
    size_t n = json_length(items);
    if (!items) return -1;
    p->seen += (int)n;
    if (!n) return 0;
    const json *last = json_at(items, n - 1);
    clock_parse_rfc3339(json_get_str(last, "created"), &p->after.created_ms);
    snprintf(p->after.id, sizeof p->after.id, "%s", json_get_str(last, "id"));
    return page_fn(c, arg, err);
}

static int five_fn(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    for (int i = 0; i < 5; i++) {
        struct operation op AUTO_OPERATION = { .kind = "power", .owner = "o" };
        if (operation_add(c, &op, json_object(), err)) return -1;
    }
    return db_exec(c, NULL, err, "UPDATE operation SET created_ms = 1000", "");
}

START_TEST(pages_lose_none_of_one_millisecond) {
    static char path[] = "/tmp/jogak-pages-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    char file[64];
    snprintf(file, sizeof file, "%s/am.db", path);
    struct db *db = db_open(file, aggregate_migrations, aggregate_migration_count, false, NULL);
    ck_assert_ptr_nonnull(db);
    struct page p = { .after = { .created_ms = INT64_MAX } };
    ck_assert_int_eq(db_write(db, five_fn, NULL, NULL), 0);
    ck_assert_int_eq(db_read(db, page_fn, &p, NULL), 0);
    db_close(db);
    ck_assert_int_eq(p.seen, 5);
    static const char *const names[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char one[80];
        snprintf(one, sizeof one, "%s%s", file, names[i]);
        unlink(one);
    }
    rmdir(path);
}
END_TEST

/* --- what a changed link does --- */

START_TEST(plan_sees_a_changed_mtu) {
    struct sliver_list have AUTO_SLIVERS = { 0 };
    static const char text[] = "{\"links\":[{\"name\":\"lan\",\"mtu\":1300}],\"slivers\":[{\"name\":\"v0\"}]}";
    json *topology AUTO_JSON = json_parse(text, sizeof text - 1, NULL);
    have.rows = xcalloc(1, sizeof *have.rows);
    have.count = 1;
    have.rows[0] = (struct sliver){ .name = "v0", .state = "ready", .wanted = json_object(), .vnic_count = 1,
                                    .vnics = { { .link = "lan", .mtu = 1400 } } };
    json *plan AUTO_JSON = topology_plan(topology, &have);
    ck_assert_str_eq(json_get_str(json_at(json_get(plan, "replace"), 0), "why"), "mtu");
    json_set_int(json_at(json_get(topology, "links"), 0), "mtu", 1400);
    json *same AUTO_JSON = topology_plan(topology, &have);
    ck_assert_int_eq((int)json_length(json_get(same, "keep")), 1);
}
END_TEST

int main(void) {
    log_set_levels("error");
    Suite *suite = suite_create("plan");
    TCase *tc = tcase_create("plan");
    tcase_add_test(tc, placement_goes_back);
    tcase_add_test(tc, pages_lose_none_of_one_millisecond);
    tcase_add_test(tc, plan_sees_a_changed_mtu);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
