/*
 * The migration engine against simulated nodes, killed at every instant.
 *
 * An aggregate is a child process with the real database file; the nodes live in shared memory. The
 * child is killed, or a call meets a fault, at the nth opportunity, for all n; then another child goes on
 * from the journal. The verdict comes from the nodes: exactly one incarnation runs, never two did, and
 * nothing is left over.
 */
#include "am_story.h"

/* What can be asked for: a loop test runs with each. */
static const char *const deliveries[] = { "auto", "direct", "store", "fresh" };

START_TEST(moves) {
    struct story t;
    wanted_delivery = deliveries[_i];
    begin(&t);
    play(&t, NULL, 0);
    ck_assert_int_eq(t.outcome, DONE);
    ck_assert_int_eq(t.lives, 1);
    judge(&t, "plain", 0);
}
END_TEST

static int again(struct db_conn *c, void *arg, struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    return sliver_clear_busy(c, arg, err) || sliver_get(c, SLIVER, &s, err)
               ? -1
               : migration_add(c, &s, "o", "request", "h2", arg, err);
}

START_TEST(moves_after_a_failure) {
    struct story t;
    wanted_delivery = "direct"; /* and no other way */
    begin(&t);
    sim_fault(t.sim, 9, SIM_ERROR, 1); /* a verb before the commit */
    play(&t, NULL, 0);
    ck_assert_int_eq(t.outcome, ABORTED);
    struct aggregate am;
    am_open(&am, t.sim);
    struct err err = ERR_INIT;
    ck_assert_msg(db_write(am.db, again, t.operation, &err) == 0, "%s", err.msg);
    am_close(&am);
    play(&t, NULL, 0);
    ck_assert_int_eq(t.outcome, DONE);
    judge(&t, "after a failure", 0);
}
END_TEST

/* --- direct fails, the store delivers --- */
static json *migration_of(const struct story *t) {
    struct aggregate am;
    am_open(&am, t->sim);
    struct migration m AUTO_MIGRATION = { 0 };
    ck_assert_int_eq(journal_load(&am, t->operation, &m, NULL), 0);
    json *j = json_copy(m.facts);
    json_set_str(j, "delivery", m.delivery);
    json_set_int(j, "attempt", m.attempt);
    json_set_int(j, "epoch", m.epoch);
    am_close(&am);
    return j;
}

START_TEST(goes_through_the_store_when_direct_fails) {
    struct story t;
    wanted_delivery = NULL;
    begin(&t);
    sim_fault(t.sim, 9, SIM_ERROR, 1);
    play(&t, NULL, 0);
    ck_assert_int_eq(t.outcome, DONE);
    json *m AUTO_JSON = migration_of(&t);
    ck_assert_str_eq(json_get_str(m, "delivery"), "store");
    ck_assert_int_eq(json_get_int(m, "attempt", 0), 2);
    ck_assert_int_eq(json_get_int(m, "epoch", 0), 3); /* 2 was used up by the first */
    const json *before = json_path(m, "attempts.0");
    ck_assert_str_eq(json_get_str(before, "delivery"), "direct");
    ck_assert_str_eq(json_path(before, "cause.code") ? json_str(json_path(before, "cause.code")) : "",
                     "unavailable");
    judge(&t, "store after direct", 0);
}
END_TEST

/* The target of the first attempt is cut off in the middle of it and stays so: the second goes to
 * another node, and what is left there goes when it answers again. */
START_TEST(leaves_a_target_that_is_cut_off) {
    struct story t;
    wanted_delivery = NULL;
    config.node_lost_ms = 200;
    begin(&t);
    sim_cut(t.sim, 7, "h2");
    play(&t, NULL, 0);
    config.node_lost_ms = 10000;
    ck_assert_int_eq(t.outcome, DONE);
    ck_assert_int_eq(sim_state(t.sim, "h3"), SIM_RUNNING);
    sim_reachable(t.sim, "h2", true);
    judge(&t, "target cut off", 0);
}
END_TEST

/* --- the node is lost --- */
static int finish_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct finish { const char *id, *to; } *f = arg;
    return operation_db_state(c, f->id, "pending,running,cancelling", f->to, NULL, err);
}

static int retry_fn(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    return db_exec(c, NULL, err, "UPDATE sliver SET retry_ms = 0", "");
}

static int lost_fn(struct db_conn *c, void *arg, struct err *err) {
    /* A lease that short is over before anybody asks. */
    return db_exec(c, NULL, err, "UPDATE node SET state = 'lost', lease_ms = 1 WHERE name = ?", "s", arg);
}

static int back_fn(struct db_conn *c, void *arg, struct err *err) {
    return db_exec(c, NULL, err, "UPDATE node SET state = 'ready', lease_ms = 600000 WHERE name = ?", "s",
                   arg) ||
                   db_exec(c, NULL, err, "UPDATE sliver SET retry_ms = 0", "")
               ? -1
               : 0;
}

static int checkpoint_fn(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    return db_exec(c, NULL, err,
                   "INSERT INTO checkpoint (id, sliver, node, epoch, state, manifest, begun_ms, taken_ms)"
                   " VALUES ('k', ?, 'h1', 1, 'complete', 'state-1', 1, ?)",
                   "si", SLIVER, clock_wall_ms() - 5000);
}

static void write_db(struct story *t, db_fn fn, const char *arg) {
    struct aggregate am;
    struct err err = ERR_INIT;
    char copy[40];
    snprintf(copy, sizeof copy, "%s", arg ? arg : "");
    am_open(&am, t->sim);
    ck_assert_msg(db_write(am.db, fn, copy, &err) == 0, "%s", err.msg);
    am_close(&am);
}

/* What a test of a lost node begins with. */
static const struct loss_case {
    const char *what, *policy;
    enum sim_loss how;
    bool checkpoint;
} losses[] = {
    { "power, checkpoint", "{\"migration\":{\"on_node_loss\":\"checkpoint\"}}", SIM_POWER, true },
    { "cut off, checkpoint", "{\"migration\":{\"checkpoint_interval_s\":60}}", SIM_CUT_OFF, true },
    { "power, fresh", "{\"migration\":{\"on_node_loss\":\"fresh\"}}", SIM_POWER, false },
    { "cut off, fresh", "{\"migration\":{\"on_node_loss\":\"fresh\"}}", SIM_CUT_OFF, false },
};

static void begin_lost(struct story *t, const struct loss_case *l) {
    wanted_signal = "lost";
    wanted_policy = l->policy;
    wanted_delivery = NULL;
    begin(t);
    wanted_signal = "request";
    wanted_policy = "{}";
    if (l->checkpoint) write_db(t, checkpoint_fn, NULL);
    if (l->checkpoint) sim_add_state(t->sim);
    write_db(t, lost_fn, "h1");
    sim_lose(t->sim, "h1", l->how);
}

/* The ticker, and the workers, until there is nothing to do. */
static void run_open(void *ctx, const char *id, const char *state) {
    (void)state;
    struct aggregate *am = ctx;
    struct err err = ERR_INIT;
    struct operation op AUTO_OPERATION = { 0 };
    snprintf(op.id, sizeof op.id, "%s", id);
    ck_assert_int_eq(db_read(am->db, get_operation, &op, NULL), 0);
    int rc = !strcmp(op.kind, "cleanup") ? debt_run(am, &op, &err) : migration_run(am, &op, &err);
    struct finish { const char *id, *to; } f = { op.id, rc ? "failed" : "done" };
    ck_assert_int_eq(db_write(am->db, finish_fn, &f, NULL), 0);
}

static void serve_all(struct story *t) {
    struct aggregate am;
    am_open(&am, t->sim);
    clock_sleep_ms(3);
    for (int round = 0, idle = 0; round < 9 && idle < 2; round++) {
        struct open_ids open = { .count = 0 };
        ck_assert_int_eq(db_write(am.db, retry_fn, NULL, NULL), 0);
        loss_tick(&am);
        debt_tick(&am);
        forwarding_tick(&am);
        ck_assert_int_eq(db_read(am.db, open_fn, &open, NULL), 0);
        for (int i = 0; i < open.count; i++) run_open(&am, open.ids[i], "");
        idle = open.count ? 0 : idle + 1;
    }
    am_close(&am);
}

/* The lost node is back, and everybody has done what there was to do. */
static void judge_lost(struct story *t, const char *what, int n) {
    ck_assert_msg(sim_most_running(t->sim) == 1, "%s %d: ran twice", what, n);
    sim_fault(t->sim, 1, SIM_NONE, 0);
    serve_all(t);
    struct sliver s AUTO_SLIVER = { 0 };
    struct aggregate am;
    am_open(&am, t->sim);
    ck_assert_int_eq(sliver_find(&am, SLIVER, &s, NULL), 0);
    am_close(&am);
    ck_assert_msg(strcmp(s.node, "h1"), "%s %d: it is still on h1 (%s: %s)", what, n, s.state, s.reason);
    write_db(t, back_fn, "h1");
    sim_return(t->sim, "h1", 0); /* the report's answer does not name the sliver: another owns it */
    serve_all(t);
    ck_assert_msg(sim_most_running(t->sim) == 1, "%s %d: ran twice in the end", what, n);
    ck_assert_msg(sim_running(t->sim) == 1, "%s %d: %d run (%s: %s)", what, n, sim_running(t->sim), s.state,
                  s.reason);
    ck_assert_msg(sim_state(t->sim, s.node) == SIM_RUNNING, "%s %d: not on %s", what, n, s.node);
    ck_assert_msg(sim_leaks(t->sim) == 0, "%s %d: %d leaks (last error: %s)", what, n, sim_leaks(t->sim),
                  sim_last_error(t->sim));
    ck_assert_msg(sim_forwarders(t->sim) == 1, "%s %d: %d forward", what, n, sim_forwarders(t->sim));
    ck_assert_int_eq(s.epoch, sim_epoch(t->sim, s.node));
    ck_assert_str_eq(s.state, "ready");
    sim_free(t->sim);
}

START_TEST(comes_back_elsewhere_when_its_node_is_lost) {
    struct story t;
    begin_lost(&t, &losses[_i]);
    play(&t, NULL, 0);
    ck_assert_int_eq(t.outcome, DONE);
    json *m AUTO_JSON = migration_of(&t);
    ck_assert_str_eq(json_get_str(m, "delivery"), losses[_i].checkpoint ? "checkpoint" : "fresh");
    if (losses[_i].checkpoint)
        ck_assert_int_ge(json_int_value(json_path(m, "checkpoint.age_ms")), 5000);
    judge_lost(&t, losses[_i].what, 0);
}
END_TEST

static struct sim *armed_sim;
static enum sim_fault armed_fault;
static void arm_call(int n) { sim_fault(armed_sim, n, armed_fault, 1); }

/* Every call to a node meets the fault, one after the other. Returns how many calls there are. */
static int at_every_call(enum sim_fault fault, const char *what) {
    for (int n = 1; n < 200; n++) {
        struct story t;
        begin(&t);
        armed_sim = t.sim;
        armed_fault = fault;
        play(&t, arm_call, n);
        bool beyond = sim_calls(t.sim) < n;
        judge(&t, what, n);
        if (beyond) return n - 1;
    }
    ck_abort_msg("no end of calls");
    return 0;
}

/* The same for a sliver whose node is lost; the verdict is after the node has come back. */
START_TEST(lost_node_and_a_fault_at_every_call) {
    static const enum sim_fault faults[] = { SIM_KILL_BEFORE, SIM_KILL_AFTER, SIM_UNREACHABLE,
                                             SIM_REPLY_LOST, SIM_TWICE, SIM_ERROR };
    const struct loss_case *l = &losses[_i];
    for (size_t f = 0; f < COUNT_OF(faults); f++)
        for (int n = 1;; n++) {
            struct story t;
            ck_assert_int_lt(n, 100);
            begin_lost(&t, l);
            armed_sim = t.sim;
            armed_fault = faults[f];
            play(&t, arm_call, n);
            bool beyond = sim_calls(t.sim) < n;
            judge_lost(&t, l->what, n);
            if (beyond) break;
        }
}
END_TEST

START_TEST(killed_before_every_call) {
    wanted_delivery = deliveries[_i];
    ck_assert_int_gt(at_every_call(SIM_KILL_BEFORE, "killed before call"), 20);
}
END_TEST
START_TEST(killed_after_every_call) {
    wanted_delivery = deliveries[_i];
    ck_assert_int_gt(at_every_call(SIM_KILL_AFTER, "killed after call"), 20);
}
END_TEST
START_TEST(every_call_unreachable_once) {
    wanted_delivery = deliveries[_i];
    at_every_call(SIM_UNREACHABLE, "unreachable at call");
}
END_TEST
START_TEST(every_reply_lost_once) {
    wanted_delivery = deliveries[_i];
    at_every_call(SIM_REPLY_LOST, "reply lost of call");
}
END_TEST
START_TEST(every_call_delivered_twice) {
    wanted_delivery = deliveries[_i];
    at_every_call(SIM_TWICE, "delivered twice: call");
}
END_TEST
START_TEST(every_call_an_error_once) {
    wanted_delivery = deliveries[_i];
    at_every_call(SIM_ERROR, "error at call");
}
END_TEST

static enum db_fault_point armed_point;
static void arm_db(int n) { db_fail_nth(armed_point, n, DB_FAULT_KILL); }

START_TEST(lost_node_and_killed_at_every_transaction) {
    for (int point = DB_FAULT_BEGIN; point <= DB_FAULT_COMMIT; point++) {
        armed_point = (enum db_fault_point)point;
        for (int n = 1;; n++) {
            struct story t;
            ck_assert_int_lt(n, 400);
            begin_lost(&t, &losses[_i]);
            play(&t, arm_db, n);
            bool beyond = t.lives == 1;
            judge_lost(&t, losses[_i].what, n);
            if (beyond) break;
        }
    }
}
END_TEST

START_TEST(killed_at_every_transaction) {
    wanted_delivery = deliveries[_i];
    for (int point = DB_FAULT_BEGIN; point <= DB_FAULT_COMMIT; point++) {
        armed_point = (enum db_fault_point)point;
        int n;
        for (n = 1; n < 400; n++) {
            struct story t;
            begin(&t);
            play(&t, arm_db, n);
            bool beyond = t.lives == 1;
            judge(&t, point == DB_FAULT_BEGIN ? "killed at begin" : "killed at commit", n);
            if (beyond) break;
        }
        ck_assert_int_gt(n, 30);
    }
}
END_TEST

int main(void) {
    if (!mkdtemp(dir)) return 2;
    log_set_levels("error");
    Suite *suite = suite_create("engine");
    TCase *tc = tcase_create("faults");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, moves, 0, (int)COUNT_OF(deliveries));
    tcase_add_test(tc, moves_after_a_failure);
    tcase_add_test(tc, goes_through_the_store_when_direct_fails);
    tcase_add_test(tc, leaves_a_target_that_is_cut_off);
    tcase_add_loop_test(tc, killed_before_every_call, 0, (int)COUNT_OF(deliveries));
    tcase_add_loop_test(tc, killed_after_every_call, 0, (int)COUNT_OF(deliveries));
    tcase_add_loop_test(tc, every_call_unreachable_once, 0, (int)COUNT_OF(deliveries));
    tcase_add_loop_test(tc, every_reply_lost_once, 0, (int)COUNT_OF(deliveries));
    tcase_add_loop_test(tc, every_call_delivered_twice, 0, (int)COUNT_OF(deliveries));
    tcase_add_loop_test(tc, every_call_an_error_once, 0, (int)COUNT_OF(deliveries));
    tcase_add_loop_test(tc, killed_at_every_transaction, 0, (int)COUNT_OF(deliveries));
    suite_add_tcase(suite, tc);
    tc = tcase_create("lost nodes");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, comes_back_elsewhere_when_its_node_is_lost, 0, (int)COUNT_OF(losses));
    tcase_add_loop_test(tc, lost_node_and_a_fault_at_every_call, 0, (int)COUNT_OF(losses));
    tcase_add_loop_test(tc, lost_node_and_killed_at_every_transaction, 0, (int)COUNT_OF(losses));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    story_clean();
    return failed ? 1 : 0;
}
