/*
 * What a sliver's migration policy has the aggregate do by itself: hold a target in advance, take checkpoints and
 * keep two, bring it back when it goes down, prefer some nodes. Nodes are simulated; ticks are called by hand.
 */
#include "tests/lib/sim_nodes.h"

#include "aggregate/checkpoint.h"
#include "aggregate/event.h"
#include "aggregate/lease.h"
#include "aggregate/migration/arm.h"
#include "aggregate/migration/loss.h"
#include "aggregate/migration/migration.h"
#include "aggregate/operation_db.h"
#include "aggregate/placement.h"
#include "aggregate/slice.h"
#include "common/clock.h"
#include "common/log.h"

#include <check.h>
#include <stdio.h>

#define SLIVER "11111111-2222-4333-8444-555555555555"
#define RESERVATION "21111111-2222-4333-8444-555555555555"

static char dir[] = "/tmp/jogak-policy-XXXXXX";
static char path[64];
static struct aggregate_config config = { .cpu_overcommit_percent = 400, .node_lost_ms = 10000,
                                          .lease_ms = 600000,
                                          .store_url = (char *)(uintptr_t)"https://store" };
static struct aggregate am;
static struct sim *sim;

static int populate(struct db_conn *c, void *arg, struct err *err) {
    struct slice_row slice;
    for (int i = 1; i <= SIM_NODES; i++) {
        char urn[80];
        snprintf(urn, sizeof urn, "urn:publicid:IDN+example.org+node+h%d", i);
        if (db_exec(c, NULL, err,
                    "INSERT INTO node (name, urn, state, host, port, vtep, vcpus, memory_mib, disk_mib,"
                    " capabilities, added_ms, lease_ms) VALUES (?, ?, 'ready', 'h', 1, '10.0.0.1', 4, 4096,"
                    " 65536, '{\"kinds\":[\"full\"]}', 0, 600000)",
                    "ss", strrchr(urn, '+') + 1, urn))
            return -1;
    }
    if (slice_ensure(c, "urn:publicid:IDN+example.org:demo+slice+ring", clock_wall_ms() + 3600000, &slice,
                     err) ||
        db_exec(c, NULL, err,
                "INSERT INTO reservation (id, slice, state, owner, created_ms, expires_ms)"
                " VALUES (?, ?, 'provisioned', 'o', 0, ?)",
                "ssi", RESERVATION, slice.id, clock_wall_ms() + 3600000))
        return -1;
    struct sliver s AUTO_SLIVER = { .vcpus = 1, .memory_mib = 128, .disk_mib = 256 };
    snprintf(s.id, sizeof s.id, "%s", SLIVER);
    snprintf(s.urn, sizeof s.urn, "u");
    memcpy(s.slice, slice.id, sizeof s.slice);
    snprintf(s.reservation, sizeof s.reservation, "%s", RESERVATION);
    snprintf(s.name, sizeof s.name, "a");
    snprintf(s.node, sizeof s.node, "h1");
    snprintf(s.kind, sizeof s.kind, "full");
    const char *policy = arg;
    s.wanted = json_set(json_object(), "migration", json_parse(policy, strlen(policy), err));
    return sliver_add(c, &s, err) ||
                   db_exec(c, NULL, err,
                           "UPDATE sliver SET allocation = 'provisioned', state = 'ready', image ="
                           " '{\"digest\":\"d\",\"format\":\"qcow2\"}'", "")
               ? -1
               : 0;
}

static void begin(const char *policy) {
    struct err err = ERR_INIT;
    static const char *const others[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, others[i]);
        unlink(file);
    }
    sim = sim_new(SLIVER);
    am = (struct aggregate){ .config = &config };
    am.db = db_open(path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am.db != NULL, "%s", err.msg);
    char copy[512];
    snprintf(copy, sizeof copy, "%s", policy);
    ck_assert_msg(db_write(am.db, populate, copy, &err) == 0, "%s", err.msg);
    am.leases = leases_open(am.db, &config, &err);
    am.events = events_new();
    am.nodes = node_watch_new();
    am.agents = sim_agents(sim);
}

static void end(void) {
    agents_free(am.agents);
    node_watch_free(am.nodes);
    events_free(am.events);
    leases_close(am.leases);
    db_close(am.db);
    sim_free(sim);
}

static int sql_fn(struct db_conn *c, void *arg, struct err *err) { return db_exec(c, NULL, err, arg, ""); }

static void sql(const char *text) {
    struct err err = ERR_INIT;
    ck_assert_msg(db_write(am.db, sql_fn, (void *)(uintptr_t)text, &err) == 0, "%s", err.msg);
}

struct count {
    const char *sql;
    int64_t n;
};

static int count_fn(struct db_conn *c, void *arg, struct err *err) {
    struct count *k = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, k->sql, "");
    if (!q || db_step(q, err) != 1) return -1;
    k->n = db_int(q, "n");
    return 0;
}

static int64_t count(const char *text) {
    struct count k = { text, -1 };
    ck_assert_int_eq(db_read(am.db, count_fn, &k, NULL), 0);
    return k.n;
}

static int64_t used_mib(const char *name) {
    struct node n AUTO_NODE = { 0 };
    ck_assert_int_eq(node_find(&am, name, &n, NULL), 0);
    return n.used_memory_mib;
}

static struct sliver sliver_now(void) {
    struct sliver s = { 0 };
    ck_assert_int_eq(sliver_find(&am, SLIVER, &s, NULL), 0);
    return s;
}

/* --- the workers --- */
struct ids {
    char id[8][37];
    int count;
};

static void collect(void *ctx, const char *id, const char *state) {
    (void)state;
    struct ids *o = ctx;
    if (o->count < 8) snprintf(o->id[o->count++], 37, "%s", id);
}

static int open_fn(struct db_conn *c, void *arg, struct err *err) {
    return operation_db_open(c, collect, arg, err);
}

static int get_fn(struct db_conn *c, void *arg, struct err *err) {
    struct operation *op = arg;
    char id[37];
    memcpy(id, op->id, sizeof id);
    return operation_get(c, id, op, err);
}

struct finish {
    const char *id, *to;
};

static int finish_fn(struct db_conn *c, void *arg, struct err *err) {
    struct finish *f = arg;
    return operation_db_state(c, f->id, "pending,running", f->to, NULL, err);
}

/* Runs what is open; returns how many there were. */
static int work(void) {
    struct ids open = { .count = 0 };
    ck_assert_int_eq(db_read(am.db, open_fn, &open, NULL), 0);
    for (int i = 0; i < open.count; i++) {
        struct operation op AUTO_OPERATION = { 0 };
        struct err err = ERR_INIT;
        snprintf(op.id, sizeof op.id, "%s", open.id[i]);
        ck_assert_int_eq(db_read(am.db, get_fn, &op, NULL), 0);
        int rc = !strcmp(op.kind, "checkpoint") ? checkpoint_run(&am, &op, &err)
                                                : migration_run(&am, &op, &err);
        struct finish f = { op.id, rc ? "failed" : "done" };
        ck_assert_int_eq(db_write(am.db, finish_fn, &f, NULL), 0);
    }
    return open.count;
}

static int move_fn(struct db_conn *c, void *arg, struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    char id[37];
    return sliver_get(c, SLIVER, &s, err) || migration_add(c, &s, "o", "request", arg, id, err) ? -1 : 0;
}

/* --- static, hybrid --- */
START_TEST(a_target_is_held_and_used) {
    begin("{\"policy\":\"static\",\"targets\":[\"h3\",\"h2\"]}");
    arm_tick(&am);
    ck_assert_int_eq(used_mib("h3"), 128);
    ck_assert_int_eq(used_mib("h2"), 0);
    sql("UPDATE node SET memory_mib = 128 WHERE name = 'h3'"); /* nobody else finds place there now */
    ck_assert_int_eq(db_write(am.db, move_fn, NULL, NULL), 0);
    ck_assert_int_eq(work(), 1);
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(s.node, "h3");
    ck_assert_int_eq(used_mib("h3"), 128);
    arm_tick(&am); /* the next one of its list */
    ck_assert_int_eq(used_mib("h2"), 128);
    ck_assert_int_eq(used_mib("h1"), 0);
    end();
}
END_TEST

START_TEST(a_target_that_is_not_ready_is_replaced) {
    begin("{\"policy\":\"static\",\"targets\":[\"h3\",\"h2\"]}");
    arm_tick(&am);
    sql("UPDATE node SET state = 'draining' WHERE name = 'h3'");
    arm_tick(&am);
    ck_assert_int_eq(used_mib("h3"), 0);
    ck_assert_int_eq(used_mib("h2"), 128);
    sql("UPDATE node SET state = 'lost' WHERE name = 'h2'");
    arm_tick(&am); /* its list has no other */
    ck_assert_int_eq(used_mib("h2") + used_mib("h3"), 128);
    ck_assert_int_eq(db_write(am.db, move_fn, NULL, NULL), 0);
    work();
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(s.node, "h1");
    end();
}
END_TEST

START_TEST(hybrid_takes_any_other) {
    begin("{\"policy\":\"hybrid\",\"targets\":[\"h3\"]}");
    arm_tick(&am);
    ck_assert_int_eq(used_mib("h3"), 128);
    sql("UPDATE node SET state = 'lost' WHERE name = 'h3'");
    ck_assert_int_eq(db_write(am.db, move_fn, NULL, NULL), 0);
    work();
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(s.node, "h2");
    end();
}
END_TEST

static int release_fn(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    return sliver_set_allocation(c, SLIVER, "unallocated", err) || checkpoint_forget(c, SLIVER, err) ? -1 : 0;
}

START_TEST(what_is_held_goes_with_the_sliver) {
    begin("{\"policy\":\"static\"}");
    arm_tick(&am);
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM claim"), 1);
    ck_assert_int_eq(db_write(am.db, release_fn, NULL, NULL), 0);
    arm_tick(&am);
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM claim"), 0);
    end();
}
END_TEST

/* --- checkpoints --- */
START_TEST(checkpoints_are_taken_and_two_are_kept) {
    begin("{\"checkpoint_interval_s\":1}");
    for (int i = 1; i <= 4; i++) {
        checkpoint_tick(&am);
        ck_assert_int_eq(work(), 1);
        ck_assert_int_eq(sim_captures(sim), i);
        checkpoint_tick(&am);
        ck_assert_int_eq(work(), 0); /* not before its time */
        sql("UPDATE checkpoint SET begun_ms = begun_ms - 2000");
        sql("UPDATE operation SET created_ms = created_ms - 2000");
    }
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM checkpoint WHERE state = 'complete'"), 2);
    ck_assert_int_eq(count("SELECT MAX(pause_ms) AS n FROM checkpoint"), 12);
    ck_assert_int_eq(count("SELECT MIN(bytes_new) AS n FROM checkpoint"), 4096);
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM checkpoint WHERE manifest IN ('state-3', 'state-4')"), 2);
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM state_sweep"), 1);
    ck_assert_int_le(count("SELECT COUNT(*) AS n FROM operation WHERE kind = 'checkpoint'"), 3);
    ck_assert_int_eq(db_write(am.db, release_fn, NULL, NULL), 0);
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM checkpoint"), 0);
    end();
}
END_TEST

START_TEST(a_checkpoint_gives_way) {
    begin("{\"checkpoint_interval_s\":1}");
    checkpoint_tick(&am);
    ck_assert_int_eq(db_write(am.db, move_fn, (void *)(uintptr_t)"h2", NULL), 0);
    sql("UPDATE operation SET created_ms = created_ms + 5 WHERE kind = 'migrate'");
    ck_assert_int_eq(work(), 2);
    ck_assert_int_eq(sim_captures(sim), 0);
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(s.node, "h2");
    end();
}
END_TEST

START_TEST(a_checkpoint_that_fails_is_no_checkpoint) {
    begin("{\"checkpoint_interval_s\":1}");
    for (int n = 1; n <= 3; n++) {
        sql("DELETE FROM operation");
        sql("DELETE FROM checkpoint");
        checkpoint_tick(&am);
        sim_fault(sim, n, SIM_ERROR, 1);
        ck_assert_int_eq(work(), 1);
        ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM checkpoint WHERE state = 'failed' AND error <> ''"), 1);
        ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM checkpoint WHERE state <> 'failed'"), 0);
    }
    ck_assert_int_eq(sim_running(sim), 1);
    end();
}
END_TEST

/* --- lost nodes and guests that are down --- */
START_TEST(lost_without_a_checkpoint_waits_for_its_node) {
    begin("{\"on_node_loss\":\"checkpoint\"}");
    sim_lose(sim, "h1", SIM_CUT_OFF);
    sql("UPDATE node SET state = 'lost' WHERE name = 'h1'");
    loss_tick(&am); /* its lease has not ended: nothing is concluded */
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(s.state, "ready");
    sql("UPDATE node SET lease_ms = 1 WHERE name = 'h1'");
    leases_close(am.leases);
    am.leases = leases_open(am.db, &config, NULL);
    clock_sleep_ms(3);
    loss_tick(&am);
    struct sliver lost AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(lost.state, "failed");
    ck_assert_ptr_nonnull(strstr(lost.reason, "no complete checkpoint"));
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM migration"), 0);
    sim_return(sim, "h1", 1);
    sql("UPDATE node SET state = 'ready' WHERE name = 'h1'");
    sql("UPDATE sliver SET retry_ms = 0");
    loss_tick(&am);
    struct sliver back AUTO_SLIVER = sliver_now();
    ck_assert_str_eq(back.state, "ready");
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM sliver WHERE lost_ms IS NOT NULL"), 0);
    end();
}
END_TEST

START_TEST(an_unfenced_one_is_never_started_elsewhere) {
    begin("{\"fenced\":false,\"on_node_loss\":\"fresh\"}");
    sql("UPDATE node SET state = 'lost', lease_ms = 1 WHERE name = 'h1'");
    leases_close(am.leases);
    am.leases = leases_open(am.db, &config, NULL);
    clock_sleep_ms(3);
    sim_reachable(sim, "h1", false);
    loss_tick(&am);
    ck_assert_int_eq(work(), 0);
    ck_assert_int_eq(sim_running(sim), 1);
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_ptr_nonnull(strstr(s.reason, "unfenced"));
    end();
}
END_TEST

START_TEST(one_that_went_down_comes_back) {
    begin("{\"on_down\":\"fresh\"}");
    sim_lose(sim, "h1", SIM_POWER); /* the guest is gone; the node is well */
    sim_reachable(sim, "h1", true);
    sql("UPDATE sliver SET state = 'stopped'"); /* by its user */
    loss_tick(&am);
    ck_assert_int_eq(work(), 0);
    sql("UPDATE sliver SET reason = 'its guest shut itself down'");
    loss_tick(&am);
    ck_assert_int_eq(work(), 1);
    ck_assert_int_eq(sim_running(sim), 1);
    struct sliver s AUTO_SLIVER = sliver_now();
    ck_assert_str_ne(s.node, "h1");
    ck_assert_str_eq(s.state, "ready");
    ck_assert_int_eq(count("SELECT COUNT(*) AS n FROM migration WHERE trigger_ = 'down' AND state = 'done'"), 1);
    end();
}
END_TEST

/* The node says that the guest runs: the signal does not hold. */
START_TEST(one_that_runs_is_not_started_twice) {
    begin("{\"on_down\":\"fresh\"}");
    sql("UPDATE sliver SET state = 'stopped', reason = 'its guest shut itself down'");
    loss_tick(&am);
    ck_assert_int_eq(work(), 1);
    ck_assert_int_eq(sim_most_running(sim), 1);
    ck_assert_int_eq(sim_state(sim, "h1"), SIM_RUNNING);
    ck_assert_int_eq(sim_leaks(sim), 0);
    end();
}
END_TEST

/* --- preferences --- */
START_TEST(preferences_decide) {
    struct node near = { .memory_mib = 1000, .site = "seoul" }, far = { .memory_mib = 9000, .site = "busan" };
    snprintf(near.name, sizeof near.name, "n");
    snprintf(far.name, sizeof far.name, "f");
    struct placement_wish w = { .memory_mib = 500 };
    ck_assert_int_gt(placement_score(&far, &w, 0), placement_score(&near, &w, 0));
    w.near = "seoul";
    ck_assert_int_gt(placement_score(&near, &w, 0), placement_score(&far, &w, 0));
    w.backup = "f";
    ck_assert_int_gt(placement_score(&far, &w, 0), placement_score(&near, &w, 0));
}
END_TEST

int main(void) {
    if (!mkdtemp(dir)) return 2;
    snprintf(path, sizeof path, "%s/am.db", dir);
    log_set_levels("error");
    Suite *suite = suite_create("policy");
    TCase *tc = tcase_create("policy");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, a_target_is_held_and_used);
    tcase_add_test(tc, a_target_that_is_not_ready_is_replaced);
    tcase_add_test(tc, hybrid_takes_any_other);
    tcase_add_test(tc, what_is_held_goes_with_the_sliver);
    tcase_add_test(tc, checkpoints_are_taken_and_two_are_kept);
    tcase_add_test(tc, a_checkpoint_gives_way);
    tcase_add_test(tc, a_checkpoint_that_fails_is_no_checkpoint);
    tcase_add_test(tc, lost_without_a_checkpoint_waits_for_its_node);
    tcase_add_test(tc, an_unfenced_one_is_never_started_elsewhere);
    tcase_add_test(tc, one_that_went_down_comes_back);
    tcase_add_test(tc, one_that_runs_is_not_started_twice);
    tcase_add_test(tc, preferences_decide);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    static const char *const others[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, others[i]);
        unlink(file);
    }
    rmdir(dir);
    return failed ? 1 : 0;
}
