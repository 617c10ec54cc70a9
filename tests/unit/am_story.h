/*
 * One migration of one sliver over simulated nodes: an aggregate as a child process with the real
 * database file, which may be killed and goes on in another child; and the verdict, from the nodes.
 */
#ifndef JOGAK_TESTS_AM_STORY_H
#define JOGAK_TESTS_AM_STORY_H

#include "tests/lib/sim_nodes.h"

#include "aggregate/address.h"
#include "aggregate/event.h"
#include "aggregate/forwarding.h"
#include "aggregate/lease.h"
#include "aggregate/migration/debt.h"
#include "aggregate/migration/journal.h"
#include "aggregate/migration/loss.h"
#include "aggregate/migration/migration.h"
#include "aggregate/node.h"
#include "aggregate/operation_db.h"
#include "aggregate/reservation.h"
#include "aggregate/slice.h"
#include "common/clock.h"
#include "common/db_fault.h"
#include "common/log.h"

#include <check.h>
#include <stdio.h>
#include <sys/wait.h>

#define SLIVER "11111111-2222-4333-8444-555555555555"
#define RESERVATION "21111111-2222-4333-8444-555555555555"
#define RESTARTS_MAX 40

/* What the migrations of a test ask for, and the policy of their sliver. */
static const char *wanted_delivery, *wanted_signal = "request", *wanted_policy = "{}";

static char dir[] = "/tmp/jogak-engine-XXXXXX";
static char db_path[64];

/* --- an aggregate without its HTTP side --- */
static struct aggregate_config config = { .cpu_overcommit_percent = 400, .node_lost_ms = 10000, .lease_ms = 600000,
                                          .store_url = (char *)(uintptr_t)"https://store" };

/* h1 is alone at its site, h2 and h3 are at another one. */
static struct site site_rows[] = { { "east", "h1", 0xcb007111, 1 }, { "west", "h2", 0xc6336411, 1 } };
static struct sites sites = { site_rows, COUNT_OF(site_rows) };
#define EAST_ADDRESS "203.0.113.17"
#define WEST_ADDRESS "198.51.100.17"

/* The door to the simulated nodes; a test may put faults in between. */
static struct agents *(*story_agents)(struct sim *sim) = sim_agents;

static void am_open(struct aggregate *am, struct sim *sim) {
    struct err err = ERR_INIT;
    *am = (struct aggregate){ .config = &config };
    am->db = db_open(db_path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am->db != NULL, "%s", err.msg);
    am->events = events_new();
    am->nodes = node_watch_new();
    am->leases = leases_open(am->db, &config, &err);
    ck_assert_msg(am->leases != NULL, "%s", err.msg);
    am->agents = story_agents(sim);
    am->sites = &sites;
}

static void am_close(struct aggregate *am) {
    agents_free(am->agents);
    leases_close(am->leases);
    node_watch_free(am->nodes);
    events_free(am->events);
    db_close(am->db);
}

static int populate(struct db_conn *c, void *arg, struct err *err) {
    struct slice_row slice;
    char *operation = arg;
    for (int i = 1; i <= SIM_NODES; i++) {
        char urn[80];
        snprintf(urn, sizeof urn, "urn:publicid:IDN+example.org+node+h%d", i);
        if (db_exec(c, NULL, err,
                    "INSERT INTO node (name, urn, state, host, port, vtep, vcpus, memory_mib,"
                    " disk_mib, capabilities, added_ms, lease_ms, site) VALUES (?, ?, 'ready', 'h', 1,"
                    " '10.0.0.1', 4, 4096, 65536, '{\"kinds\":[\"full\"]}', 0, 600000, ?)",
                    "sss", strrchr(urn, '+') + 1, urn, i == 1 ? "east" : "west"))
            return -1;
    }
    if (slice_ensure(c, "urn:publicid:IDN+example.org:demo+slice+ring", clock_wall_ms() + 3600000,
                     &slice, err) ||
        db_exec(c, NULL, err,
                "INSERT INTO reservation (id, slice, state, owner, created_ms, expires_ms)"
                " VALUES (?, ?, 'provisioned', 'o', 0, ?)",
                "ssi", RESERVATION, slice.id, clock_wall_ms() + 3600000) ||
        db_exec(c, NULL, err, "INSERT INTO link (slice, name, vni, mtu, router)"
                " VALUES (?, 'lan', 5000, 1400, '10.1.0.254')",
                "s", slice.id) ||
        db_exec(c, NULL, err,
                "INSERT INTO sliver (id, urn, slice, reservation, name, allocation, state, node,"
                " epoch, kind, vcpus, memory_mib, disk_mib, wanted, image, created_ms) VALUES (?, 'u',"
                " ?, ?, 'a', 'provisioned', 'ready', 'h1', 1, 'full', 1, 128, 256, ?,"
                " '{\"digest\":\"d\",\"format\":\"qcow2\"}', 0)",
                "ssss", SLIVER, slice.id, RESERVATION, wanted_policy) ||
        db_exec(c, NULL, err,
                "INSERT INTO vnic (sliver, name, position, link, mac, addresses, rate_kbps, public)"
                " VALUES (?, 'eth0', 0, 'lan', '52:4a:00:00:00:01', '[\"10.1.0.1/24\"]', 0, 1)",
                "s", SLIVER))
        return -1;
    struct sliver s AUTO_SLIVER = { 0 };
    const struct migration_wish wish = { "o", wanted_signal, NULL, wanted_delivery };
    return sliver_get(c, SLIVER, &s, err) || address_take(c, &(struct aggregate){ .sites = &sites }, &s, err) ||
                   migration_add_wish(c, &s, &wish, operation, err)
               ? -1
               : 0;
}

static int get_operation(struct db_conn *c, void *arg, struct err *err) {
    struct operation *op = arg;
    char id[37];
    memcpy(id, op->id, sizeof id);
    return operation_get(c, id, op, err);
}

/* One life of the aggregate: goes on with the migration; exit status 0: done, 3: aborted. */
static void one_life(struct sim *sim, const char *operation) {
    struct aggregate am;
    struct err err = ERR_INIT;
    struct operation op AUTO_OPERATION = { 0 };
    am_open(&am, sim);
    snprintf(op.id, sizeof op.id, "%s", operation);
    if (db_read(am.db, get_operation, &op, &err)) _exit(4);
    clock_sleep_ms(3); /* longer than the lease of a lost node in these tests */
    int rc = migration_run(&am, &op, &err);
    am_close(&am);
    _exit(rc ? 3 : 0);
}

enum outcome { DONE = 0, ABORTED = 3 };

struct story {
    struct sim *sim;
    char operation[37];
    int lives;
    int outcome;
};

static void begin(struct story *t) {
    struct aggregate am;
    struct err err = ERR_INIT;
    snprintf(db_path, sizeof db_path, "%s/am.db", dir);
    char *others[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s%s", db_path, others[i]);
        unlink(path);
    }
    *t = (struct story){ .sim = sim_new(SLIVER) };
    am_open(&am, t->sim);
    ck_assert_msg(db_write(am.db, populate, t->operation, &err) == 0, "%s", err.msg);
    am_close(&am);
}

/* Runs lives until one ends by itself. `arm` is called in the first child, before it works. */
static void play(struct story *t, void (*arm)(int n), int n) {
    for (t->lives = 1; t->lives <= RESTARTS_MAX; t->lives++) {
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            if (arm && t->lives == 1) arm(n);
            one_life(t->sim, t->operation);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
            ck_assert_int_eq(WTERMSIG(status), SIGKILL);
            continue;
        }
        t->outcome = WEXITSTATUS(status);
        return;
    }
    ck_abort_msg("no end after %d lives", RESTARTS_MAX);
}

static void pay(void *ctx, const char *id, const char *state) {
    (void)state;
    struct aggregate *am = ctx;
    struct operation op AUTO_OPERATION = { 0 };
    snprintf(op.id, sizeof op.id, "%s", id);
    ck_assert_int_eq(db_read(am->db, get_operation, &op, NULL), 0);
    if (!strcmp(op.kind, "cleanup")) ck_assert_int_eq(debt_run(am, &op, NULL), 0);
}

struct open_ids {
    char ids[8][37];
    int count;
};

static void collect(void *ctx, const char *id, const char *state) {
    (void)state;
    struct open_ids *o = ctx;
    if (o->count < 8) snprintf(o->ids[o->count++], 37, "%s", id);
}

static int open_fn(struct db_conn *c, void *arg, struct err *err) {
    return operation_db_open(c, collect, arg, err);
}

/* What a ticker and its workers would do once the nodes are there again. */
static void heal(struct story *t) {
    struct aggregate am;
    struct open_ids open = { .count = 0 };
    am_open(&am, t->sim);
    debt_tick(&am);
    for (int i = 0; i < 3; i++) {
        forwarding_tick(&am);
        address_tick(&am);
    }
    ck_assert_int_eq(db_read(am.db, open_fn, &open, NULL), 0);
    for (int i = 0; i < open.count; i++) pay(&am, open.ids[i], "");
    am_close(&am);
}

struct held {
    int rows, told;
    char address[16];
};

static int held_fn(struct db_conn *c, void *arg, struct err *err) {
    struct held *h = arg;
    struct db_stmt *q AUTO_STMT = db_query(
        c, err,
        "SELECT COUNT(*) AS n, MAX(address) AS address, (SELECT COUNT(*) FROM event WHERE kind ="
        " 'sliver.address') AS told FROM public_address", "");
    if (!q || db_step(q, err) != 1) return -1;
    h->rows = (int)db_int(q, "n");
    h->told = (int)db_int(q, "told");
    snprintf(h->address, sizeof h->address, "%s", db_text(q, "address"));
    return 0;
}

/* One address, of the site where the sliver is, translated by that site's gateway alone; and told once. */
static void judge_address(struct story *t, struct aggregate *am, const char *home, const char *what, int n) {
    struct held h = { .rows = 0 };
    bool moved = strcmp(home, "h1") != 0;
    const char *address = moved ? WEST_ADDRESS : EAST_ADDRESS;
    ck_assert_int_eq(db_read(am->db, held_fn, &h, NULL), 0);
    ck_assert_msg(h.rows == 1, "%s %d: %d addresses are not free", what, n, h.rows);
    ck_assert_msg(!strcmp(h.address, address), "%s %d: %s at %s", what, n, h.address, home);
    ck_assert_msg(h.told == moved, "%s %d: %d changes told", what, n, h.told);
    if (!moved) return; /* nothing was told to any node, or it is as at the beginning */
    ck_assert_msg(!strcmp(sim_translates(t->sim, "h2"), address), "%s %d: %s", what, n, sim_translates(t->sim, "h2"));
    ck_assert_msg(!*sim_translates(t->sim, "h1"), "%s %d: %s", what, n, sim_translates(t->sim, "h1"));
    ck_assert_msg(!*sim_translates(t->sim, "h3"), "%s %d: %s", what, n, sim_translates(t->sim, "h3"));
}

/* The verdict, from the nodes; and whether the database says the same. */
static void judge(struct story *t, const char *what, int n) {
    heal(t);
    const char *home = t->outcome == DONE ? "h2" : "h1";
    if (sim_state(t->sim, "h3") == SIM_RUNNING) home = "h3";
    ck_assert_msg(sim_most_running(t->sim) == 1, "%s %d: ran twice", what, n);
    ck_assert_msg(sim_running(t->sim) == 1, "%s %d: %d run (last error: %s)", what, n,
                  sim_running(t->sim), sim_last_error(t->sim));
    ck_assert_msg(sim_state(t->sim, home) == SIM_RUNNING, "%s %d: not on %s", what, n, home);
    ck_assert_msg(sim_leaks(t->sim) == 0, "%s %d: %d leaks (outcome %d, last error: %s)", what, n,
                  sim_leaks(t->sim), t->outcome, sim_last_error(t->sim));
    ck_assert_msg(sim_forwarders(t->sim) == 1, "%s %d: %d forward", what, n, sim_forwarders(t->sim));
    struct aggregate am;
    am_open(&am, t->sim);
    struct sliver s AUTO_SLIVER = { 0 };
    ck_assert_int_eq(sliver_find(&am, SLIVER, &s, NULL), 0);
    ck_assert_str_eq(s.node, home);
    ck_assert_str_eq(s.state, "ready");
    if (t->outcome == DONE) ck_assert_int_eq(s.epoch, sim_epoch(t->sim, home));
    struct node target AUTO_NODE = { 0 };
    ck_assert_int_eq(node_find(&am, "h2", &target, NULL), 0);
    ck_assert_int_eq(target.used_memory_mib, strcmp(home, "h2") == 0 ? 128 : 0); /* no claim left */
    judge_address(t, &am, home, what, n);
    am_close(&am);
    sim_free(t->sim);
}

static void story_clean(void) {
    static const char *const names[] = { "am.db", "am.db-wal", "am.db-shm" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

#endif
