/*
 * The audit: the comparison by a table with a row for every rule, and what follows from it in the database,
 * with nodes whose inventories the test writes.
 */
#include "aggregate/agents.h"
#include "aggregate/audit.h"
#include "aggregate/audit_compare.h"
#include "aggregate/audit_db.h"
#include "aggregate/event.h"
#include "aggregate/migration/debt.h"
#include "aggregate/node.h"
#include "aggregate/slice.h"
#include "aggregate/sliver.h"
#include "common/clock.h"
#include "common/log.h"

#include <check.h>
#include <stdio.h>

#define A "aaaaaaaa-2222-4333-8444-555555555555"
#define B "bbbbbbbb-2222-4333-8444-555555555555"
#define NOBODY "cccccccc-2222-4333-8444-555555555555"
#define SLICE "51111111-2222-4333-8444-555555555555"
#define OPEN_MIGRATION "d1111111-2222-4333-8444-555555555555"
#define PAST_MIGRATION "d2111111-2222-4333-8444-555555555555"
#define ALL_OK \
    "\"sources\":[{\"name\":\"database\",\"ok\":true},{\"name\":\"libvirt\",\"ok\":true}," \
    "{\"name\":\"switch\",\"ok\":true},{\"name\":\"devices\",\"ok\":true}," \
    "{\"name\":\"files\",\"ok\":true}]"

static json *parse(const char *text) {
    struct err err = ERR_INIT;
    json *j = json_parse(text, strlen(text), &err);
    ck_assert_msg(j != NULL, "%s: %s", err.msg, text);
    return j;
}

/* --- the comparison --- */

/* Sliver A lives on h1 at epoch 3 (its highest is 5), with one vNIC; B was released at epoch 2. */
static struct audit_sliver a_is(const char *state) {
    struct audit_sliver s = { .id = A, .name = "a", .slice = SLICE, .allocation = "provisioned",
                              .node = "h1", .epoch = 3, .last_epoch = 5, .vnics = 1 };
    snprintf(s.state, sizeof s.state, "%s", state);
    return s;
}
static const struct audit_sliver released_b = { .id = B, .name = "b", .slice = SLICE,
                                                .allocation = "unallocated", .state = "ready",
                                                .node = "h1", .epoch = 2, .last_epoch = 2 };

#define DOMAIN(state) \
    "{\"kind\":\"domain\",\"name\":\"jogak-aaaaaaaa-e3\",\"ours\":\"yes\",\"sliver\":\"" A \
    "\",\"epoch\":3,\"known\":true,\"state\":\"" state "\"}"
#define ROW(state) \
    "{\"kind\":\"row\",\"name\":\"" A "-e3\",\"ours\":\"yes\",\"sliver\":\"" A \
    "\",\"epoch\":3,\"known\":true,\"state\":\"" state "\"}"
#define PORT \
    "{\"kind\":\"port\",\"name\":\"jg1\",\"ours\":\"yes\",\"sliver\":\"" A \
    "\",\"epoch\":3,\"known\":true}"
#define FORWARDING "{\"kind\":\"forwarding\",\"name\":\"" SLICE "\",\"ours\":\"yes\"}"
#define HEALTHY DOMAIN("running") "," ROW("own") "," PORT "," FORWARDING
#define THING(kind, name, sliver, epoch, known) \
    "{\"kind\":\"" kind "\",\"name\":\"" name "\",\"ours\":\"yes\",\"sliver\":\"" sliver \
    "\",\"epoch\":" #epoch ",\"known\":" #known ",\"state\":\"running\"}"
#define OF(ours, kind, name) \
    "{\"kind\":\"" kind "\",\"name\":\"" name "\",\"ours\":\"" ours "\"}"
#define FLOW(vni, known) \
    "{\"kind\":\"flow\",\"name\":\"vni-" #vni "\",\"ours\":\"yes\",\"vni\":" #vni \
    ",\"known\":" #known "}"

/* UNSEEN: the owner's node was not seen to have the sliver. */
enum { UNSEEN = 128, MOVING = 1, ARMED = 2, NO_LIBVIRT = 4, NO_SWITCH = 8, INCOMPLETE = 16, ELSEWHERE = 32,
       ALLOCATED = 64 };

static const struct rule_case {
    const char *title, *state, *items;
    int flags;
    const char *what; /* NULL: no finding at all */
    enum audit_repair repair;
    const char *becomes; /* REPAIR_STATE */
} cases[] = {
    { "as it should be", "ready", HEALTHY, 0, NULL, 0, NULL },
    { "stopped by a user", "stopped", ROW("stopped") "," FORWARDING, 0, NULL, 0, NULL },
    { "failed while it was made", "failed", "", 0, NULL, 0, NULL },
    { "QEMU was killed", "ready", ROW("failed") "," PORT "," FORWARDING, 0, "not-running",
      REPAIR_STATE, "failed" },
    { "shut down by its guest", "ready", ROW("stopped") "," PORT "," FORWARDING, 0, "not-running",
      REPAIR_STATE, "stopped" },
    { "ended unseen", "ready", ROW("own") "," PORT "," FORWARDING, 0, "not-running", REPAIR_STATE,
      "failed" },
    { "nothing of it is there", "ready", FORWARDING, 0, "not-running", REPAIR_STATE, "failed" },
    { "its target was never activated", "ready", ROW("incoming") "," FORWARDING, 0, "not-running",
      REPAIR_STATE, "failed" },
    { "dead, but an operation has it", "ready", FORWARDING, MOVING, NULL, 0, NULL },
    { "dead, and libvirt does not answer", "ready", FORWARDING, NO_LIBVIRT, NULL, 0, NULL },
    { "dead perhaps: the list is cut off", "ready", FORWARDING, INCOMPLETE, NULL, 0, NULL },
    { "not made yet", "notready", "", ALLOCATED, NULL, 0, NULL },
    { "its armed migration waits", "ready", ROW("failed") "," FORWARDING, ARMED, "not-running",
      REPAIR_STATE, "failed" },
    { "left in the state migrating", "migrating", HEALTHY, 0, "running", REPAIR_STATE, "ready" },
    { "called failed, and runs", "failed", HEALTHY, 0, "running", REPAIR_STATE, "ready" },
    { "called stopped, and runs", "stopped", HEALTHY, 0, "running", REPAIR_STATE, "ready" },
    { "left paused", "ready", DOMAIN("paused") "," ROW("own") "," PORT "," FORWARDING, 0, "paused",
      REPAIR_NONE, NULL },
    { "has no port", "ready", DOMAIN("running") "," ROW("own") "," FORWARDING, 0, "no-port",
      REPAIR_NONE, NULL },
    { "has no port: the switch is silent", "ready", DOMAIN("running") "," ROW("own") "," FORWARDING,
      NO_SWITCH, NULL, 0, NULL },
    { "no forwarding", "ready", DOMAIN("running") "," ROW("own") "," PORT, 0, "missing",
      REPAIR_FORWARDING, NULL },
    { "the database was lost", "ready",
      THING("domain", "jogak-aaaaaaaa-e3", A, 3, false) "," PORT "," FORWARDING, 0, "not-adopted",
      REPAIR_ADOPT, NULL },
    { "lost database, stopped sliver", "stopped",
      THING("file", "slivers/" A "/disk-e3.qcow2", A, 3, false) "," FORWARDING, 0, "not-adopted",
      REPAIR_ADOPT, NULL },
    { "an older domain here", "ready", HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false),
      0, "old", REPAIR_CLEANUP, NULL },
    { "an older row here", "ready", HEALTHY "," THING("row", A "-e1", A, 1, true), 0, "old",
      REPAIR_CLEANUP, NULL },
    { "an older port here", "ready", HEALTHY "," THING("port", "jg9", A, 2, false), 0, "old",
      REPAIR_COLLECT, NULL },
    { "an older tap here", "ready", HEALTHY "," THING("tap", "jg9", A, 2, false), 0, "old",
      REPAIR_COLLECT, NULL },
    { "an older disk here", "ready",
      HEALTHY "," THING("file", "slivers/" A "/disk-e2.qcow2", A, 2, false), 0, "old",
      REPAIR_COLLECT, NULL },
    { "a source that was not removed", "ready", THING("domain", "jogak-aaaaaaaa-e3", A, 3, true),
      ELSEWHERE, "old", REPAIR_CLEANUP, NULL },
    { "a target that was not undone", "ready", THING("domain", "jogak-aaaaaaaa-e5", A, 5, true),
      ELSEWHERE, "old", REPAIR_CLEANUP, NULL },
    { "held for the want of a lease", "ready", DOMAIN("held") "," ROW("own") "," PORT "," FORWARDING, 0,
      NULL, 0, NULL },
    { "elsewhere, and its owner has nothing: the last one", "ready",
      THING("domain", "jogak-aaaaaaaa-e2", A, 2, true), ELSEWHERE | UNSEEN, "old", REPAIR_CLEANUP, NULL },
    { "an older one, and the present one is not there", "stopped",
      THING("domain", "jogak-aaaaaaaa-e2", A, 2, true), 0, "old", REPAIR_CLEANUP, NULL },
    { "an incoming target, its migration open", "ready",
      THING("domain", "jogak-aaaaaaaa-e5", A, 5, true), ELSEWHERE | MOVING, NULL, 0, NULL },
    { "what an armed migration holds", "ready",
      THING("file", "slivers/" A "/disk-e5.qcow2", A, 5, true), ELSEWHERE | ARMED, NULL, 0, NULL },
    { "an older one, its migration open", "ready",
      HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false), MOVING, NULL, 0, NULL },
    { "newer than its owner, at its owner", "ready",
      HEALTHY "," THING("domain", "jogak-aaaaaaaa-e4", A, 4, true), 0, "ahead", REPAIR_NONE, NULL },
    { "of an epoch never given out", "ready",
      THING("domain", "jogak-aaaaaaaa-e9", A, 9, true), ELSEWHERE, "ahead", REPAIR_NONE, NULL },
    { "of a released sliver", "ready", HEALTHY "," THING("domain", "jogak-bbbbbbbb-e2", B, 2, true), 0,
      "ended", REPAIR_CLEANUP, NULL },
    { "files of a released sliver", "ready",
      HEALTHY "," THING("file", "slivers/" B "/seed-e1.iso", B, 1, false), 0, "ended",
      REPAIR_COLLECT, NULL },
    { "of a sliver that nobody knows", "ready",
      HEALTHY "," THING("domain", "jogak-cccccccc-e1", NOBODY, 1, true), 0, "unknown-sliver",
      REPAIR_NONE, NULL },
    { "a tap that nothing explains", "ready", HEALTHY "," OF("unknown", "tap", "jgdeadbeef0001"), 0,
      "unclear", REPAIR_NONE, NULL },
    { "a domain of somebody else", "ready", HEALTHY "," OF("no", "domain", "web"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "a tap of somebody else", "ready", HEALTHY "," OF("no", "tap", "vnet0"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "a bridge of somebody else", "ready", HEALTHY "," OF("no", "bridge", "br-ex"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "flows of somebody else", "ready", HEALTHY "," OF("no", "flow", "others"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "an image", "ready", HEALTHY "," OF("yes", "image", "0.qcow2"), 0, NULL, 0, NULL },
    { "flows of its links", "ready", HEALTHY "," FLOW(5000, true), 0, NULL, 0, NULL },
    { "flows of a link of its slice, no document", "ready", HEALTHY "," FLOW(5000, false), 0,
      "missing", REPAIR_FORWARDING, NULL },
    { "flows of a link that has nothing here", "ready", HEALTHY "," FLOW(6000, false), 0, "leftover",
      REPAIR_COLLECT, NULL },
    { "flows of a link that moves", "ready", HEALTHY "," FLOW(7000, false), 0, NULL, 0, NULL },
    { "flows of no link", "ready", HEALTHY "," FLOW(8000, false), 0, "leftover", REPAIR_COLLECT,
      NULL },
    { "a migration under way", "ready", HEALTHY "," OF("yes", "migration", OPEN_MIGRATION), 0, NULL,
      0, NULL },
    { "a migration that has ended", "ready", HEALTHY "," OF("yes", "migration", PAST_MIGRATION), 0,
      "leftover", REPAIR_FORGET, NULL },
    { "a migration that nobody knows", "ready", HEALTHY "," OF("yes", "migration", NOBODY), 0,
      "unclear", REPAIR_NONE, NULL },
    { "sockets of a migration that has ended", "ready",
      HEALTHY "," OF("yes", "directory", "migrate/" PAST_MIGRATION), 0, "leftover", REPAIR_COLLECT,
      NULL },
    { "sockets of a migration under way", "ready",
      HEALTHY "," OF("yes", "directory", "migrate/" OPEN_MIGRATION), 0, NULL, 0, NULL },
};

static json *inventory_of(const char *items, int flags) {
    char text[8192];
    snprintf(text, sizeof text, "{\"start\":\"%s\",\"complete\":%s," ALL_OK ",\"items\":[%s]}", NOBODY,
             flags & INCOMPLETE ? "false" : "true", items);
    json *inventory = parse(text);
    json *sources = json_get(inventory, "sources");
    if (flags & NO_LIBVIRT) json_set_bool(json_at(sources, 1), "ok", false);
    if (flags & NO_SWITCH) json_set_bool(json_at(sources, 2), "ok", false);
    return inventory;
}

static void compare(const char *state, const char *items, int flags, struct audit_findings *ret) {
    struct audit_sliver slivers[] = { a_is(state), released_b };
    struct audit_link links[] = {
        { .vni = 5000, .slice = SLICE, .here = true },
        { .vni = 6000, .slice = NOBODY },
        { .vni = 7000, .slice = NOBODY, .moving = true },
    };
    slivers[0].owner_has_it = !(flags & UNSEEN);
    slivers[0].moving = flags & MOVING;
    slivers[0].armed = flags & ARMED;
    if (flags & ALLOCATED) snprintf(slivers[0].allocation, sizeof slivers[0].allocation, "allocated");
    if (flags & ELSEWHERE) snprintf(slivers[0].node, sizeof slivers[0].node, "h2");
    json *inventory AUTO_JSON = inventory_of(items, flags);
    json *migrations AUTO_JSON = json_set_bool(json_object(), OPEN_MIGRATION, true);
    json_set_bool(migrations, PAST_MIGRATION, false);
    struct audit_view view = { .node = "h1", .slivers = slivers, .sliver_count = 2, .links = links,
                               .link_count = 3, .migrations = migrations };
    audit_compare(&view, inventory, ret);
}

START_TEST(rules) {
    const struct rule_case *c = &cases[_i];
    struct audit_findings found AUTO_FINDINGS = { NULL, 0 };
    compare(c->state, c->items, c->flags, &found);
    ck_assert_msg(found.count == (c->what ? 1 : 0), "%s: %zu findings, first %s of %s", c->title,
                  found.count, found.count ? found.rows[0].what : "", found.count ? found.rows[0].name : "");
    if (!c->what) return;
    const struct audit_finding *f = &found.rows[0];
    ck_assert_msg(!strcmp(f->what, c->what), "%s: found %s", c->title, f->what);
    ck_assert_msg(f->repair == c->repair, "%s: repair %s", c->title, audit_repair_name(f->repair));
    ck_assert_msg(f->foreign == !strcmp(c->what, "foreign"), "%s", c->title);
    bool last = strstr(c->title, "the last one") || strstr(c->title, "is not there");
    ck_assert_msg(f->withheld == last, "%s: withheld %d", c->title, f->withheld);
    if (c->becomes) ck_assert_str_eq(f->state, c->becomes);
    ck_assert_msg(f->cause[0] != '\0', "%s: says no cause", c->title);
}
END_TEST

/* Beside slivers that we do not know, flows that we do not know are not removed either: we may be the old copy. */
START_TEST(strangers_keep_their_flows) {
    struct audit_findings found AUTO_FINDINGS = { NULL, 0 };
    compare("ready", HEALTHY "," FLOW(8000, false) "," THING("domain", "jogak-cccccccc-e1", NOBODY, 1, true),
            0, &found);
    ck_assert_uint_eq(found.count, 2);
    for (size_t i = 0; i < found.count; i++) ck_assert_int_eq(found.rows[i].repair, REPAIR_NONE);
}
END_TEST

/* --- in the database, with a node whose inventory the test writes --- */
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

static void setup(void) {
    struct err err = ERR_INIT;
    char *path AUTO_FREE = xasprintf("%s/am.db", dir);
    remove_database();
    static struct agents agents = { NULL, node_call, node_free };
    am = (struct aggregate){ .config = &config, .agents = &agents, .events = events_new(),
                             .nodes = node_watch_new() };
    am.db = db_open(path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am.db != NULL, "%s", err.msg);
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
    TCase *t = tcase_create("comparison");
    tcase_add_loop_test(t, rules, 0, COUNT_OF(cases));
    tcase_add_test(t, strangers_keep_their_flows);
    suite_add_tcase(s, t);
    t = tcase_create("consequences");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_dead_sliver_is_failed);
    tcase_add_test(t, a_finding_of_the_past_changes_nothing);
    tcase_add_test(t, an_old_incarnation_becomes_a_debt);
    tcase_add_test(t, the_last_incarnation_stays);
    tcase_add_test(t, never_while_a_migration_is_open);
    tcase_add_test(t, leftovers_are_collected_by_the_agent);
    tcase_add_test(t, foreign_and_unknown_things_are_left_alone);
    tcase_add_test(t, silence_ends_nothing);
    tcase_add_test(t, a_new_agent_is_taught);
    tcase_add_test(t, reports_raise_suspicion);
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
