/* Leases at the aggregate: until when a silent node may still run something, on a clock that the test moves. */
#include "aggregate/lease.h"
#include "aggregate/node.h"
#include "common/clock.h"

#include <check.h>
#include <stdio.h>

#define LEASE_MS 10000
#define MARGIN_MS 2000
#define SLIVER "11111111-2222-4333-8444-555555555555"

static char dir[] = "/tmp/jogak-lease-XXXXXX";
static char path[64];
static int64_t now_ms;
static struct aggregate_config config;
static struct aggregate am;

static int64_t steered_us(void *ctx) {
    (void)ctx;
    return now_ms * 1000;
}
static int64_t steered_ms(void *ctx) {
    (void)ctx;
    return now_ms;
}
static void steered_sleep(void *ctx, int64_t ms) {
    (void)ctx;
    now_ms += ms;
}
static const struct clock_door steered = { NULL, steered_us, steered_ms, steered_ms, steered_sleep };

static void start(void) {
    struct err err = ERR_INIT;
    am = (struct aggregate){ .config = &config };
    am.db = db_open(path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am.db != NULL, "%s", err.msg);
    am.leases = leases_open(am.db, &config, &err);
    ck_assert_msg(am.leases != NULL, "%s", err.msg);
}

static void end(void) {
    leases_close(am.leases);
    db_close(am.db);
}

static void restart(void) {
    end();
    start();
}

static int populate(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    return db_exec(c, NULL, err,
                   "INSERT INTO node (name, urn, state, added_ms) VALUES ('h1', 'u1', 'ready', 0),"
                   " ('h2', 'u2', 'ready', 0)", "") ||
                   db_exec(c, NULL, err,
                           "INSERT INTO slice (id, urn, expires_ms, created_ms) VALUES ('s', 's', 0, 0)", "") ||
                   db_exec(c, NULL, err,
                           "INSERT INTO reservation (id, slice, state, owner, created_ms, expires_ms)"
                           " VALUES ('r', 's', 'provisioned', 'o', 0, 0)", "") ||
                   db_exec(c, NULL, err,
                           "INSERT INTO sliver (id, urn, slice, reservation, name, allocation, state, node,"
                           " epoch, kind, vcpus, memory_mib, disk_mib, wanted, created_ms) VALUES (?, 'u',"
                           " 's', 'r', 'a', 'provisioned', 'ready', 'h1', 3, 'full', 1, 128, 256, '{}', 0)",
                           "s", SLIVER) ||
                   db_exec(c, NULL, err,
                           "INSERT INTO operation (id, kind, state, owner, created_ms, updated_ms)"
                           " VALUES ('m', 'migrate', 'running', 'o', 0, 0)", "") ||
                   db_exec(c, NULL, err,
                           "INSERT INTO migration (id, sliver, trigger_, policy, source, target, source_epoch,"
                           " epoch, state) VALUES ('m', ?, 'request', 'dynamic', 'h1', 'h2', 3, 4, 'running')",
                           "s", SLIVER)
               ? -1
               : 0;
}

static void setup(void) {
    struct err err = ERR_INIT;
    clock_steer(&steered);
    now_ms = 1000000;
    config = (struct aggregate_config){ .lease_ms = LEASE_MS, .lease_margin_ms = MARGIN_MS };
    snprintf(path, sizeof path, "%s/am.db", dir);
    const char *const others[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, others[i]);
        unlink(file);
    }
    start();
    ck_assert_msg(db_write(am.db, populate, NULL, &err) == 0, "%s", err.msg);
    restart();
}

static void teardown(void) {
    end();
    clock_steer(NULL);
}

struct ask {
    const char *node;
    bool keeps, held;
    struct lease_grant out;
};

static int grant_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    return lease_grant(c, &am, a->node, a->keeps, a->held, &a->out, err);
}

static json *grant(const char *node, bool keeps, bool held) {
    struct ask a = { node, keeps, held, { 0, NULL } };
    struct err err = ERR_INIT;
    ck_assert_msg(db_write(am.db, grant_fn, &a, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(a.out.lease_ms, config.lease_ms);
    return a.out.slivers;
}

START_TEST(it_ends_after_the_margin) {
    grant("h1", true, false);
    ck_assert(!lease_is_over(&am, "h1"));
    now_ms += LEASE_MS + MARGIN_MS - 1;
    ck_assert(!lease_is_over(&am, "h1"));
    ck_assert_int_eq(lease_left_ms(&am, "h1"), 1);
    now_ms += 1;
    ck_assert(lease_is_over(&am, "h1"));
    grant("h1", true, false);
    ck_assert(!lease_is_over(&am, "h1"));
    ck_assert_int_eq(lease_until_ms(&am, "h1"), now_ms + LEASE_MS);
}
END_TEST

START_TEST(doubt_is_not_over) {
    now_ms += 100 * LEASE_MS;
    ck_assert(!lease_is_over(&am, "h1")); /* its agent never said that it keeps leases */
    ck_assert(!lease_is_over(&am, "nobody"));
    grant("h1", false, false);
    now_ms += 100 * LEASE_MS;
    ck_assert(!lease_is_over(&am, "h1"));
    ck_assert_int_eq(lease_left_ms(&am, "h1"), -1);
    struct leases *mine = STEAL(am.leases);
    ck_assert(!lease_is_over(&am, "h1"));
    am.leases = mine;
}
END_TEST

START_TEST(an_older_agent_takes_the_promise_away) {
    grant("h1", true, false);
    grant("h1", false, false);
    now_ms += 100 * LEASE_MS;
    ck_assert(!lease_is_over(&am, "h1"));
    restart();
    now_ms += 100 * LEASE_MS;
    ck_assert(!lease_is_over(&am, "h1"));
}
END_TEST

START_TEST(a_restart_counts_as_a_grant) {
    grant("h1", true, false);
    now_ms += 60000; /* it ended long ago, but who knows what was granted since */
    restart();
    ck_assert(!lease_is_over(&am, "h1"));
    now_ms += LEASE_MS + MARGIN_MS - 1;
    ck_assert(!lease_is_over(&am, "h1"));
    now_ms += 1;
    ck_assert(lease_is_over(&am, "h1"));
}
END_TEST

START_TEST(a_shorter_lease_waits_for_the_longer) {
    grant("h1", true, false);
    config.lease_ms = 2000;
    restart();
    grant("h1", true, false); /* the answer may be lost: the agent may still hold the longer one */
    now_ms += LEASE_MS + MARGIN_MS - 1;
    ck_assert(!lease_is_over(&am, "h1"));
    restart(); /* still noted as the longer one */
    now_ms += 2000 + MARGIN_MS;
    ck_assert(!lease_is_over(&am, "h1"));
    now_ms += LEASE_MS + 1;
    grant("h1", true, false); /* now the longer one has ended for sure */
    restart();
    now_ms += 2000 + MARGIN_MS;
    ck_assert(lease_is_over(&am, "h1"));
}
END_TEST

START_TEST(a_longer_lease_is_known_before_it_is_given) {
    grant("h1", true, false);
    config.lease_ms = 60000;
    restart();
    grant("h1", true, false);
    restart();
    now_ms += 60000 + MARGIN_MS - 1;
    ck_assert(!lease_is_over(&am, "h1"));
    now_ms += 1;
    ck_assert(lease_is_over(&am, "h1"));
}
END_TEST

START_TEST(a_full_disk_takes_no_lease_away) {
    struct lease_grant g = { 0, NULL };
    ck_assert_int_eq(lease_grant_known(&am, "h1", true, &g), -1); /* none is on disk */
    grant("h1", true, false);
    now_ms += LEASE_MS;
    ck_assert_int_eq(lease_grant_known(&am, "h1", false, &g), -1); /* that has to be noted first */
    ck_assert_int_eq(lease_grant_known(&am, "h1", true, &g), 0);
    ck_assert_int_eq(g.lease_ms, LEASE_MS);
    ck_assert_ptr_null(g.slivers);
    now_ms += LEASE_MS + MARGIN_MS - 1;
    ck_assert(!lease_is_over(&am, "h1"));
    now_ms += 1;
    ck_assert(lease_is_over(&am, "h1"));
    config.lease_ms = 60000;
    restart();
    ck_assert_int_eq(lease_grant_known(&am, "h1", true, &g), -1); /* a longer one than is on disk */
}
END_TEST

START_TEST(who_may_run) {
    ck_assert_ptr_null(grant("h1", true, false));
    json *at_h1 AUTO_JSON = grant("h1", true, true), *at_h2 AUTO_JSON = grant("h2", true, true);
    ck_assert_uint_eq(json_length(at_h1), 1);
    ck_assert_str_eq(json_get_str(json_at(at_h1, 0), "sliver"), SLIVER);
    ck_assert_int_eq(json_get_int(json_at(at_h1, 0), "epoch", 0), 3);
    ck_assert_uint_eq(json_length(at_h2), 1); /* what the migration brings, before it is the owner */
    ck_assert_int_eq(json_get_int(json_at(at_h2, 0), "epoch", 0), 4);
}
END_TEST

START_TEST(policy) {
    struct sliver s = { .name = "a", .node = "h1" };
    struct err err = ERR_INIT;
    grant("h1", true, false);
    ck_assert(!lease_fences(&s)); /* nobody asked to have it back elsewhere */
    static const struct {
        const char *rules;
        bool fenced;
    } rows[] = {
        { "{\"migration\":{}}", false },
        { "{\"migration\":{\"checkpoint_interval_s\":0}}", false },
        { "{\"migration\":{\"on_node_loss\":\"none\",\"checkpoint_interval_s\":5}}", false },
        { "{\"migration\":{\"on_node_loss\":\"fresh\",\"fenced\":false}}", false },
        { "{\"migration\":{\"checkpoint_interval_s\":5}}", true },
        { "{\"migration\":{\"on_node_loss\":\"fresh\"}}", true },
        { "{\"migration\":{\"on_node_loss\":\"checkpoint\"}}", true },
        { "{\"migration\":{\"on_down\":\"fresh\"}}", true },
        { "{\"migration\":{\"fenced\":true}}", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_put(s.wanted);
        s.wanted = json_parse(rows[i].rules, strlen(rows[i].rules), &err);
        ck_assert_msg(lease_fences(&s) == rows[i].fenced, "%s", rows[i].rules);
    }
    ck_assert_int_eq(lease_check_over(&am, &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    now_ms += LEASE_MS + MARGIN_MS;
    err_clear(&err);
    ck_assert_int_eq(lease_check_over(&am, &s, &err), 0);
    json *rule = json_set_bool(json_object(), "fenced", false);
    json_put(s.wanted);
    s.wanted = json_set(json_object(), "migration", rule);
    ck_assert(!lease_fences(&s));
    ck_assert_int_eq(lease_check_over(&am, &s, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "unfenced"));
    sliver_done(&s);
}
END_TEST

int main(void) {
    if (!mkdtemp(dir)) return 1;
    Suite *suite = suite_create("leases at the aggregate");
    TCase *t = tcase_create("lease");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, it_ends_after_the_margin);
    tcase_add_test(t, doubt_is_not_over);
    tcase_add_test(t, an_older_agent_takes_the_promise_away);
    tcase_add_test(t, a_restart_counts_as_a_grant);
    tcase_add_test(t, a_shorter_lease_waits_for_the_longer);
    tcase_add_test(t, a_longer_lease_is_known_before_it_is_given);
    tcase_add_test(t, a_full_disk_takes_no_lease_away);
    tcase_add_test(t, who_may_run);
    tcase_add_test(t, policy);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    char *command[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(command); i++) {
        char file[80];
        snprintf(file, sizeof file, "%s/am.db%s", dir, command[i]);
        unlink(file);
    }
    rmdir(dir);
    return failed ? 1 : 0;
}
