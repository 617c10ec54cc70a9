/*
 * The audit: what follows from its findings in the database, with nodes whose inventories the test writes.
 */
#include "aggregate/agents.h"
#include "aggregate/audit.h"
#include "aggregate/audit_db.h"
#include "aggregate/event.h"
#include "aggregate/migration/debt.h"
#include "aggregate/node.h"
#include "aggregate/slice.h"
#include "aggregate/sliver.h"
#include "am_audit_fixture.h"
#include "common/clock.h"
#include "common/db_fault.h"
#include "common/log.h"

#include <check.h>
#include <stdio.h>
#include <sys/wait.h>

static char dir[] = "/tmp/jogak-audit-XXXXXX";
static struct aggregate_config config = { .cpu_overcommit_percent = 400, .node_lost_ms = 10000,
                                          .store_url = (char *)(uintptr_t)"https://store" };
static struct aggregate am;
static json *inventory;       /* of h1; NULL: it does not answer */
static json *answer_collect;  /* NULL: it does not answer */
static char calls[4096];      /* "METHOD path;..." of all but the inventory */
static void (*meanwhile)(void); /* while the inventory is on its way */

static json *node_call(void *ctx, const struct node *to, const char *method, const char *path,
                       const json *body, int64_t timeout_ms, struct err *err) {
    (void)ctx, (void)body, (void)timeout_ms, (void)to;
    if (!strncmp(path, "/v1/inventory?", 14)) {
        json *answer = inventory ? json_copy(inventory) : NULL;
        if (meanwhile) meanwhile();
        if (!answer) err_set(err, ERR_UNAVAILABLE, "no answer");
        return answer;
    }
    size_t n = strlen(calls);
    snprintf(calls + n, sizeof calls - n, "%s %s;", method, path);
    if (!strcmp(path, "/v1/inventory/collect") && answer_collect) return json_copy(answer_collect);
    return json_object();
}
static void node_free(void *ctx) { (void)ctx; }


static int exec_fn(struct db_conn *c, void *arg, struct err *err) {
    return db_exec(c, NULL, err, arg, "");
}
static void exec(const char *sql) {
    struct err err = ERR_INIT;
    ck_assert_msg(db_write(am.db, exec_fn, (void *)(uintptr_t)sql, &err) == 0, "%s: %s", sql, err.msg);
}

struct question {
    const char *sql;
    char answer[256];
};
static int ask_fn(struct db_conn *c, void *arg, struct err *err) {
    struct question *q = arg;
    struct db_stmt *s AUTO_STMT = db_query(c, err, q->sql, "");
    if (!s || db_step(s, err) < 0) return -1;
    const char *text = db_text(s, "answer");
    snprintf(q->answer, sizeof q->answer, "%s", text ? text : "");
    return 0;
}
/* SELECT ... AS answer, as text */
static const char *ask(const char *sql) {
    static struct question q;
    struct err err = ERR_INIT;
    q = (struct question){ .sql = sql };
    ck_assert_msg(db_read(am.db, ask_fn, &q, &err) == 0, "%s: %s", sql, err.msg);
    return q.answer;
}

#define SLIVER_ROW(id, name, allocation, state, epoch, last) \
    "INSERT INTO sliver (id, urn, slice, reservation, name, allocation, state, node, epoch," \
    " last_epoch, kind, vcpus, memory_mib, disk_mib, wanted, created_ms) VALUES ('" id "', 'u', '" \
    SLICE "', 'r', '" name "', '" allocation "', '" state "', 'h1', " #epoch ", " #last \
    ", 'full', 1, 128, 256, '{}', 0)"

static void remove_database(void) {
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char *path AUTO_FREE = xasprintf("%s/am.db%s", dir, ends[i]);
        unlink(path);
    }
}

static void open_database(void) {
    struct err err = ERR_INIT;
    char *path AUTO_FREE = xasprintf("%s/am.db", dir);
    am.db = db_open(path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am.db != NULL, "%s", err.msg);
}

static void setup(void) {
    remove_database();
    static struct agents agents = { NULL, node_call, node_free };
    am = (struct aggregate){ .config = &config, .agents = &agents, .events = events_new(),
                             .nodes = node_watch_new() };
    open_database();
    exec("INSERT INTO node (name, urn, state, host, port, added_ms) VALUES"
         " ('h1', 'urn:publicid:IDN+example.org+node+h1', 'ready', 'h', 1, 0),"
         " ('h2', 'urn:publicid:IDN+example.org+node+h2', 'ready', 'h', 1, 0)");
    exec("INSERT INTO slice (id, urn, expires_ms, created_ms) VALUES ('" SLICE "', 'u', 0, 0)");
    exec("INSERT INTO reservation (id, slice, state, owner, created_ms, expires_ms)"
         " VALUES ('r', '" SLICE "', 'provisioned', 'o', 0, 0)");
    exec(SLIVER_ROW(A, "a", "provisioned", "ready", 3, 5));
    exec(SLIVER_ROW(B, "b", "unallocated", "ready", 2, 2));
    inventory = NULL;
    answer_collect = NULL;
    meanwhile = NULL;
    calls[0] = '\0';
}

static void teardown(void) {
    json_put(STEAL(inventory));
    json_put(STEAL(answer_collect));
    node_watch_free(am.nodes);
    events_free(am.events);
    db_close(am.db);
}

static int64_t look(const char *items, int flags) {
    struct err err = ERR_INIT;
    int64_t open = -1;
    json_put(STEAL(inventory));
    inventory = inventory_of(items, flags);
    ck_assert_msg(audit_node(&am, "h1", &open, &err) == 0, "%s", err.msg);
    clock_sleep_ms(2); /* two looks have two times */
    return open;
}

START_TEST(a_dead_sliver_is_failed) {
    ck_assert_int_eq(look(ROW("failed") "," FORWARDING, 0), 0);
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "failed");
    ck_assert_ptr_nonnull(strstr(ask("SELECT reason AS answer FROM sliver WHERE id = '" A "'"), "killed"));
    ck_assert_str_eq(ask("SELECT state AS answer FROM finding"), "repaired");
    ck_assert_str_eq(ask("SELECT kind AS answer FROM event WHERE kind = 'sliver.state'"), "sliver.state");
    /* It runs again. */
    ck_assert_int_eq(look(HEALTHY, 0), 0);
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "ready");
}
END_TEST

static void operation_begins(void) {
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO operation (id, kind, state, slice, sliver, owner, created_ms, updated_ms) VALUES"
             " ('o', 'power', 'done', '" SLICE "', '" A "', 'o', 0, %lld)",
             (long long)clock_wall_ms());
    exec(sql);
}

/* The inventory was read before an operation changed the sliver: it says nothing any more. */
START_TEST(a_finding_of_the_past_changes_nothing) {
    meanwhile = operation_begins;
    look(ROW("failed") "," FORWARDING, 0);
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "ready");
    meanwhile = NULL;
    exec("DELETE FROM operation");
    look(ROW("failed") "," FORWARDING, 0);
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "failed");
}
END_TEST

START_TEST(an_old_incarnation_becomes_a_debt) {
    ck_assert_int_eq(look(HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false) ","
                                  THING("port", "jg9", A, 2, true), 0),
                     2);
    ck_assert_str_eq(ask("SELECT node || '/' || sliver || '/' || epoch AS answer FROM debt"), "h1/" A "/2");
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM debt"), "1");
    /* It is paid: the next look does not find it. */
    debt_tick(&am);
    ck_assert_str_eq(ask("SELECT kind AS answer FROM operation"), "cleanup");
    struct operation op = { .node = "h1", .sliver = A };
    struct err err = ERR_INIT;
    op.input = json_set_int(json_object(), "epoch", 2);
    json_set_str(op.input, "migration", "");
    ck_assert_msg(debt_run(&am, &op, &err) == 0, "%s", err.msg);
    operation_done(&op);
    ck_assert_ptr_nonnull(strstr(calls, "DELETE /v1/slivers/" A "?epoch=2;"));
    ck_assert_ptr_null(strstr(calls, "/v1/migrations/"));
    ck_assert_int_eq(look(HEALTHY, 0), 0);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM finding WHERE state = 'repaired'"), "2");
}
END_TEST

/* Our database is a copy from before the last move: it names an owner that has nothing. */
START_TEST(the_last_incarnation_stays) {
    exec("UPDATE sliver SET node = 'h2' WHERE id = '" A "'");
    const char *old = THING("domain", "jogak-aaaaaaaa-e5", A, 5, true) ","
                      THING("port", "jg9", A, 5, false);
    ck_assert_int_eq(look(old, 0), 2);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM debt"), "0");
    ck_assert_ptr_null(strstr(calls, "collect"));
    ck_assert_ptr_nonnull(strstr(ask("SELECT problem AS answer FROM finding"), "owner"));
    /* Once the owner was seen to have it, the other one goes. */
    struct err err = ERR_INIT;
    json_put(STEAL(inventory));
    inventory = inventory_of(HEALTHY, 0);
    ck_assert_int_eq(audit_node(&am, "h2", NULL, &err), 0);
    look(old, 0);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM debt"), "1");
    ck_assert_ptr_nonnull(strstr(calls, "collect"));
}
END_TEST

static void migration_begins(void) {
    exec("UPDATE sliver SET busy = 'm' WHERE id = '" A "'");
}

START_TEST(never_while_a_migration_is_open) {
    meanwhile = migration_begins; /* after the inventory was read */
    look(HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false), 0);
    meanwhile = NULL;
    look(HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false), 0);
    exec("UPDATE sliver SET busy = NULL");
    /* The row of one that an error has left open counts, too. */
    exec("INSERT INTO operation (id, kind, state, owner, created_ms, updated_ms) VALUES ('m', 'migrate',"
         " 'failed', 'o', 0, 0)");
    exec("INSERT INTO migration (id, sliver, trigger_, policy, state) VALUES ('m', '" A "', 'request',"
         " 'dynamic', 'running')");
    look(HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false), 0);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM debt"), "0");
    exec("UPDATE migration SET state = 'aborted'");
    look(HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false), 0);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM debt"), "1");
}
END_TEST

START_TEST(leftovers_are_collected_by_the_agent) {
    answer_collect = parse("{\"results\":[{\"kind\":\"flow\",\"name\":\"vni-8000\",\"removed\":true}]}");
    ck_assert_int_eq(look(HEALTHY "," FLOW(8000, false), 0), 1);
    ck_assert_ptr_nonnull(strstr(calls, "POST /v1/inventory/collect;"));
    ck_assert_int_eq(look(HEALTHY, 0), 0);
    ck_assert_str_eq(ask("SELECT state AS answer FROM finding"), "repaired");
    /* Refused: it stays open and says why. */
    json_put(answer_collect);
    answer_collect = parse("{\"results\":[{\"kind\":\"flow\",\"name\":\"vni-8000\",\"removed\":false,"
                           "\"reason\":\"it is in use\"}]}");
    ck_assert_int_eq(look(HEALTHY "," FLOW(8000, false), 0), 1);
    ck_assert_str_eq(ask("SELECT state || ': ' || problem AS answer FROM finding"), "open: it is in use");
}
END_TEST

/* Flows of a link that our slice still has are explained again, not removed. */
START_TEST(flows_of_a_known_link_are_told_again) {
    exec("INSERT INTO link (slice, name, vni, mtu) VALUES ('" SLICE "', 'lan', 5000, 1400)");
    look(HEALTHY, 0);
    exec("DELETE FROM behind");
    calls[0] = '\0';
    look(HEALTHY "," FLOW(5000, false), 0);
    ck_assert_str_eq(ask("SELECT slice || ' ' || node AS answer FROM behind"), SLICE " h1");
    ck_assert_str_eq(calls, "");
    /* While one of its slivers is worked on nothing is said at all. */
    exec("DELETE FROM behind");
    exec("UPDATE sliver SET busy = 'o' WHERE id = '" A "'");
    look(HEALTHY "," FLOW(5000, false), 0);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM behind"), "0");
    ck_assert_str_eq(calls, "");
}
END_TEST

START_TEST(foreign_and_unknown_things_are_left_alone) {
    calls[0] = '\0';
    ck_assert_int_eq(look(HEALTHY "," OF("no", "domain", "web") ","
                                  THING("domain", "jogak-cccccccc-e1", NOBODY, 1, true), 0),
                     1);
    ck_assert_str_eq(ask("SELECT state AS answer FROM finding WHERE name = 'web'"), "ignored");
    ck_assert_str_eq(ask("SELECT state AS answer FROM finding WHERE name <> 'web'"), "open");
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM debt"), "0");
    ck_assert_ptr_null(strstr(calls, "DELETE"));
    ck_assert_ptr_null(strstr(calls, "collect"));
    /* Gone by themselves: nothing of ours, so nothing was repaired. */
    ck_assert_int_eq(look(HEALTHY, 0), 0);
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM finding"), "0");
}
END_TEST

/* A source that did not answer ends no finding. */
START_TEST(silence_ends_nothing) {
    const char *old = HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false);
    ck_assert_int_eq(look(old, 0), 1);
    ck_assert_int_eq(look(ROW("own"), NO_LIBVIRT | NO_SWITCH), 1);
    ck_assert_str_eq(ask("SELECT state AS answer FROM finding WHERE what = 'old'"), "open");
    struct err err = ERR_INIT;
    json_put(STEAL(inventory));
    ck_assert_int_eq(audit_node(&am, "h1", NULL, &err), -1);
    ck_assert_str_eq(ask("SELECT state AS answer FROM finding WHERE what = 'old'"), "open");
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "ready");
    ck_assert_ptr_nonnull(strstr(ask("SELECT problem AS answer FROM audited"), "no answer"));
}
END_TEST

/* An agent that talks nonsense: nothing is concluded from it, and it does no harm. */
START_TEST(nonsense_is_no_absence) {
    static const char *const items[] = { "{}", "7", "null", "{\"kind\":\"domain\"}",
                                         "{\"kind\":\"domain\",\"name\":\"x\"}",
                                         "{\"kind\":1,\"name\":2,\"ours\":3}",
                                         "{\"kind\":\"domain\",\"name\":\"x\",\"ours\":\"yes\",\"sliver\":\"../x\"}" };
    struct err err = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(items); i++) look(items[i], 0);
    json_put(inventory);
    inventory = parse("{\"items\":7,\"sources\":\"x\"}");
    ck_assert_int_eq(audit_node(&am, "h1", NULL, &err), 0);
    json_put(inventory);
    inventory = json_object();
    ck_assert_int_eq(audit_node(&am, "h1", NULL, &err), 0);
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "ready");
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM finding"), "0");
}
END_TEST

START_TEST(a_new_agent_is_taught) {
    look(HEALTHY, 0);
    ck_assert_ptr_nonnull(strstr(calls, "POST /v1/fences;"));
    ck_assert_str_eq(ask("SELECT slice || ' ' || node AS answer FROM behind"), SLICE " h1");
    calls[0] = '\0';
    look(HEALTHY, 0);
    ck_assert_str_eq(calls, "");
    json_set_str(inventory, "start", OPEN_MIGRATION); /* another process */
    struct err err = ERR_INIT;
    ck_assert_int_eq(audit_node(&am, "h1", NULL, &err), 0);
    ck_assert_ptr_nonnull(strstr(calls, "POST /v1/fences;"));
}
END_TEST

START_TEST(reports_raise_suspicion) {
    static const struct { const char *said, *ours; int64_t epoch; bool suspicious; } tries[] = {
        { "running", "ready", 3, false }, { "failed", "ready", 3, true },
        { "stopped", "ready", 3, true },  { "stopped", "stopped", 3, false },
        { "running", "failed", 3, true }, { "failed", "ready", 2, false }, /* another incarnation */
        { "paused", "ready", 3, false },
    };
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        char sql[120], text[160];
        struct err err = ERR_INIT;
        bool suspicious = false;
        snprintf(sql, sizeof sql, "UPDATE sliver SET state = '%s' WHERE id = '" A "'", tries[i].ours);
        exec(sql);
        snprintf(text, sizeof text, "[{\"sliver\":\"" A "\",\"epoch\":%lld,\"state\":\"%s\"}]",
                 (long long)tries[i].epoch, tries[i].said);
        json *states AUTO_JSON = parse(text);
        ck_assert_int_eq(audit_db_suspicious(&am, "h1", states, &suspicious, &err), 0);
        ck_assert_msg(suspicious == tries[i].suspicious, "%s, we say %s", tries[i].said, tries[i].ours);
        exec("UPDATE sliver SET busy = 'o'");
        ck_assert_int_eq(audit_db_suspicious(&am, "h1", states, &suspicious, &err), 0);
        ck_assert_msg(!suspicious, "%s while an operation works on it", tries[i].said);
        exec("UPDATE sliver SET busy = NULL");
    }
}
END_TEST

/* --- the nth database call fails, or is the last one of the process, for all n --- */
#define TROUBLE \
    ROW("failed") "," FORWARDING "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false) "," \
    FLOW(8000, false) "," THING("domain", "jogak-bbbbbbbb-e2", B, 2, true)

static void after_all_it_is_right(const char *what, int n) {
    look(TROUBLE, 0);
    look(TROUBLE, 0); /* a state is set right by one look, and the next one finds it so */
    ck_assert_msg(!strcmp(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "failed"), "%s %d", what, n);
    ck_assert_msg(!strcmp(ask("SELECT group_concat(node || sliver || epoch) AS answer FROM (SELECT * FROM debt"
                              " ORDER BY sliver)"), "h1" A "2,h1" B "2"), "%s %d: %s", what, n,
                  ask("SELECT group_concat(node || sliver || epoch) AS answer FROM debt"));
    ck_assert_msg(!strcmp(ask("SELECT COUNT(*) || '' AS answer FROM finding"), "4"), "%s %d", what, n);
    ck_assert_msg(!strcmp(ask("SELECT COUNT(*) || '' AS answer FROM event WHERE kind = 'sliver.state'"), "1"),
                  "%s %d", what, n);
}

#define NTH_MAX 90

START_TEST(every_database_call_fails_once) {
    static const enum db_fault_point points[] = { DB_FAULT_STATEMENT, DB_FAULT_BEGIN, DB_FAULT_COMMIT };
    for (int n = 1; n <= NTH_MAX; n++) {
        struct err err = ERR_INIT;
        teardown();
        setup();
        inventory = inventory_of(TROUBLE, 0);
        db_fail_nth(points[_i], n, DB_FAULT_FULL);
        audit_node(&am, "h1", NULL, &err);
        db_fail_nth(points[_i], 0, DB_FAULT_FULL);
        after_all_it_is_right("call", n);
    }
}
END_TEST

START_TEST(killed_at_every_database_call) {
    static const enum db_fault_point points[] = { DB_FAULT_STATEMENT, DB_FAULT_COMMIT };
    int survived = 0;
    for (int n = 1; n <= NTH_MAX && !survived; n++) {
        struct err err = ERR_INIT;
        int status;
        teardown();
        setup();
        db_close(am.db);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        open_database();
        if (pid == 0) {
            inventory = inventory_of(TROUBLE, 0);
            db_fail_nth(points[_i], n, DB_FAULT_KILL);
            audit_node(&am, "h1", NULL, &err);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        after_all_it_is_right("kill", n);
    }
    ck_assert_msg(survived, "%d calls are not all of them", NTH_MAX);
}
END_TEST

/* The thread: a contradicting report is followed up at once, whatever the interval. */
START_TEST(the_auditor_follows_a_report) {
    struct err err = ERR_INIT;
    config.audit_interval_ms = 0;
    inventory = inventory_of(ROW("failed") "," FORWARDING, 0);
    ck_assert_int_eq(auditor_start(&am, &err), 0);
    json *states AUTO_JSON = parse("[{\"sliver\":\"" A "\",\"epoch\":3,\"state\":\"failed\"}]");
    audit_reported(&am, "h1", states);
    for (int i = 0; i < 500 && strcmp(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "failed"); i++)
        clock_sleep_ms(10);
    auditor_stop(&am);
    ck_assert_str_eq(ask("SELECT state AS answer FROM sliver WHERE id = '" A "'"), "failed");
}
END_TEST

START_TEST(the_auditor_goes_its_rounds) {
    struct err err = ERR_INIT;
    config.audit_interval_ms = 1;
    inventory = inventory_of(HEALTHY, 0);
    ck_assert_int_eq(auditor_start(&am, &err), 0);
    for (int i = 0; i < 500 && strcmp(ask("SELECT COUNT(*) || '' AS answer FROM audited"), "2"); i++)
        clock_sleep_ms(10);
    auditor_stop(&am);
    config.audit_interval_ms = 0;
    ck_assert_str_eq(ask("SELECT COUNT(*) || '' AS answer FROM audited"), "2");
}
END_TEST

int main(void) {
    if (!mkdtemp(dir)) return 1;
    log_set_levels("error");
    Suite *s = suite_create("audit");
    TCase *t = tcase_create("consequences");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_dead_sliver_is_failed);
    tcase_add_test(t, a_finding_of_the_past_changes_nothing);
    tcase_add_test(t, an_old_incarnation_becomes_a_debt);
    tcase_add_test(t, the_last_incarnation_stays);
    tcase_add_test(t, never_while_a_migration_is_open);
    tcase_add_test(t, leftovers_are_collected_by_the_agent);
    tcase_add_test(t, flows_of_a_known_link_are_told_again);
    tcase_add_test(t, foreign_and_unknown_things_are_left_alone);
    tcase_add_test(t, silence_ends_nothing);
    tcase_add_test(t, nonsense_is_no_absence);
    tcase_add_test(t, a_new_agent_is_taught);
    tcase_add_test(t, reports_raise_suspicion);
    tcase_add_loop_test(t, every_database_call_fails_once, 0, 3);
    tcase_add_loop_test(t, killed_at_every_database_call, 0, 2);
    tcase_add_test(t, the_auditor_follows_a_report);
    tcase_add_test(t, the_auditor_goes_its_rounds);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    remove_database();
    rmdir(dir);
    return failed ? 1 : 0;
}
