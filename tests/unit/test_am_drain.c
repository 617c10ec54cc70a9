/*
 * Drains and moves of whole slices against simulated nodes, the aggregate killed at random instants.
 *
 * Each sliver has a simulated testbed of its own (tests/lib/sim_nodes.h), and a switchboard hands each
 * call to the testbeds that it concerns. The aggregate, with its real workers, is a child process, killed at the
 * nth call, at the nth commit or at a random moment; then another one goes on. Slivers of h2 and h3 stand
 * still: a call of a migration for one of them is a fault. The verdict comes from the simulated nodes.
 */
#include "tests/lib/sim_nodes.h"

#include "aggregate/event.h"
#include "aggregate/forwarding.h"
#include "aggregate/migration/debt.h"
#include "aggregate/migration/migration.h"
#include "aggregate/migration/moves.h"
#include "aggregate/node.h"
#include "aggregate/operation_db.h"
#include "aggregate/slice.h"
#include "common/clock.h"
#include "common/db_fault.h"
#include "common/log.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SLIVERS 12
#define ON_H1 8 /* the first ones; the others are on h2 and h3 in turn */
#define SLICES 3
#define LIVES_MAX 60
#define LIFE_MS 20000
#define CALL_US 1000

static char dir[] = "/tmp/jogak-drain-XXXXXX";
static char db_path[64];
static struct aggregate_config config = { .cpu_overcommit_percent = 400, .node_lost_ms = 600000,
                                          .store_url = (char *)(uintptr_t)"https://store",
                                          .drain_parallel = 3 };

static const char *sliver_id(int i) {
    static char ids[SLIVERS][37];
    snprintf(ids[i], 37, "11111111-2222-4333-8444-%012d", i);
    return ids[i];
}

/* --- the switchboard: which testbed a call is for --- */

enum kill_at { KILL_NEVER, KILL_BEFORE_CALL, KILL_AFTER_CALL };
struct board {
    struct sim *sims[SLIVERS];
    char slices[SLICES][37];
    struct { char migration[37]; int sliver; } known[256]; /* told by PUT */
    int known_count, calls, kill_nth, moved_others, most_at_once;
    enum kill_at kill_at;
    int pushes_to_h1, push_us; /* forwarding documents; how long one takes */
    int64_t max_kbps, min_kbps; /* caps that copies were given */
};
static struct board *board;
static pthread_mutex_t board_lock = PTHREAD_MUTEX_INITIALIZER;

static void board_new(void) {
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(board, MAP_FAILED);
    for (int i = 0; i < SLIVERS; i++) board->sims[i] = sim_new(sliver_id(i));
}

static void board_free(void) {
    for (int i = 0; i < SLIVERS; i++) sim_free(board->sims[i]);
    munmap(board, sizeof *board);
}

static int sliver_numbered(const char *id) {
    for (int i = 0; id && i < SLIVERS; i++)
        if (!strncmp(id, sliver_id(i), 36)) return i;
    return -1;
}

static int sliver_of_migration(const char *id, const json *body) {
    for (int i = 0; i < board->known_count; i++)
        if (!strncmp(board->known[i].migration, id, 36)) return board->known[i].sliver;
    int sliver = sliver_numbered(json_get_str(body, "sliver"));
    if (sliver < 0) return -1;
    ck_assert_int_lt(board->known_count, (int)COUNT_OF(board->known));
    snprintf(board->known[board->known_count].migration, 37, "%.36s", id);
    board->known[board->known_count++].sliver = sliver;
    return sliver;
}

static json *call_one(int i, const struct node *to, const char *method, const char *path,
                      const json *body, struct err *err) {
    struct agents *one = sim_agents(board->sims[i]);
    json *answer = one->call(one->ctx, to, method, path, body, 0, err);
    free(one);
    return answer;
}

/* Forwarding, to those of its slice. */
static json *call_slice(const struct node *to, const char *method, const char *path, const json *body,
                      struct err *err) {
    json *answer = NULL;
    for (int i = 0; i < ON_H1; i++) {
        if (strncmp(path + 11, board->slices[i % SLICES], 36)) continue;
        json_put(answer);
        if (!(answer = call_one(i, to, method, path, body, err))) return NULL;
    }
    return answer;
}

/* Copies that are under way, over all testbeds. */
static void count_copies(void) {
    int n = 0;
    for (int i = 0; i < ON_H1; i++)
        n += sim_state(board->sims[i], "h2") == SIM_INCOMING || sim_state(board->sims[i], "h3") == SIM_INCOMING;
    if (n > board->most_at_once) board->most_at_once = n;
}

static void note_cap(int64_t kbps) {
    if (kbps > board->max_kbps) board->max_kbps = kbps;
    if (!board->min_kbps || kbps < board->min_kbps) board->min_kbps = kbps;
}

static json *hand_on(const struct node *to, const char *method, const char *path, const json *body,
                     struct err *err) {
    static const char migrations[] = "/v1/migrations/";
    if (!strncmp(path, "/v1/slices/", 11)) return call_slice(to, method, path, body, err);
    if (!strncmp(path, "/v1/images/", 11)) return json_set_str(json_object(), "state", "present");
    if (!strncmp(path, "/v1/slivers/", 12)) return call_one(sliver_numbered(path + 12), to, method, path, body, err);
    int i = sliver_of_migration(path + sizeof migrations - 1, body);
    if (i < 0) return json_object(); /* forgets what nobody was told of */
    if (i >= ON_H1) board->moved_others++;
    if (json_has(body, "max_kbps")) note_cap(json_get_int(body, "max_kbps", 0));
    json *answer = call_one(i, to, method, path, body, err);
    count_copies();
    return answer;
}

/* What a node does it does wholly: only the aggregate is killed. */
static json *board_call(void *ctx, const struct node *to, const char *method, const char *path,
                        const json *body, int64_t timeout_ms, struct err *err) {
    (void)ctx;
    (void)timeout_ms;
    if (board->push_us && !strncmp(path, "/v1/slices/", 11)) usleep((useconds_t)board->push_us);
    usleep(CALL_US); /* so that migrations meet */
    WITH_LOCK(&board_lock);
    board->pushes_to_h1 += !strncmp(path, "/v1/slices/", 11) && !strcmp(to->name, "h1");
    bool now = board->kill_at != KILL_NEVER && ++board->calls == board->kill_nth;
    if (now && board->kill_at == KILL_BEFORE_CALL) kill(getpid(), SIGKILL);
    json *answer = hand_on(to, method, path, body, err);
    if (now) kill(getpid(), SIGKILL);
    return answer;
}

static void free_nothing(void *ctx) { (void)ctx; }

/* --- an aggregate without its HTTP side --- */

static const struct operation_kind kinds[] = {
    { "migrate", migration_run, migration_may_cancel },
    { "drain", moves_run, NULL },
    { "move", moves_run, NULL },
    { "cleanup", debt_run, NULL },
};

static void am_open(struct aggregate *am) {
    struct err err = ERR_INIT;
    *am = (struct aggregate){ .config = &config };
    am->db = db_open(db_path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am->db != NULL, "%s", err.msg);
    am->events = events_new();
    am->nodes = node_watch_new();
    am->agents = xcalloc(1, sizeof *am->agents);
    *am->agents = (struct agents){ NULL, board_call, free_nothing };
}

static void am_close(struct aggregate *am) {
    agents_free(am->agents);
    node_watch_free(am->nodes);
    events_free(am->events);
    db_close(am->db);
}

static int add_node(struct db_conn *c, int i, struct err *err) {
    char urn[80];
    snprintf(urn, sizeof urn, "urn:publicid:IDN+example.org+node+h%d", i);
    return db_exec(c, NULL, err,
                   "INSERT INTO node (name, urn, state, host, port, vtep, vcpus, memory_mib, disk_mib,"
                   " capabilities, added_ms) VALUES (?, ?, 'ready', 'h', 1, '10.0.0.1', 8, 2048, 65536,"
                   " '{\"kinds\":[\"full\"]}', 0)",
                   "ss", strrchr(urn, '+') + 1, urn);
}

static int add_slice(struct db_conn *c, int i, struct slice_row *ret, struct err *err) {
    char urn[100], id[40];
    snprintf(urn, sizeof urn, "urn:publicid:IDN+example.org:demo+slice+s%d", i);
    snprintf(id, sizeof id, "21111111-2222-4333-8444-%012d", i);
    return slice_ensure(c, urn, clock_wall_ms() + 3600000, ret, err) ||
                   db_exec(c, NULL, err,
                           "INSERT INTO reservation (id, slice, state, owner, created_ms, expires_ms)"
                           " VALUES (?, ?, 'provisioned', 'o', 0, ?)",
                           "ssi", id, ret->id, clock_wall_ms() + 3600000) ||
                   db_exec(c, NULL, err,
                           "INSERT INTO link (slice, name, vni, mtu) VALUES (?, 'lan', ?, 1400)", "si",
                           ret->id, (int64_t)(5000 + i))
               ? -1
               : 0;
}

static int add_sliver(struct db_conn *c, int i, const struct slice_row *slice, struct err *err) {
    char reservation[40], name[8], mac[18];
    snprintf(reservation, sizeof reservation, "21111111-2222-4333-8444-%012d", i % SLICES);
    snprintf(name, sizeof name, "v%u", (unsigned char)(i / SLICES)); /* the same names in each slice */
    snprintf(mac, sizeof mac, "52:4a:00:00:00:%02x", i);
    const char *node = i < ON_H1 ? "h1" : i % 2 ? "h2" : "h3";
    return db_exec(c, NULL, err,
                   "INSERT INTO sliver (id, urn, slice, reservation, name, allocation, state, node,"
                   " epoch, kind, vcpus, memory_mib, disk_mib, wanted, image, created_ms) VALUES (?, 'u',"
                   " ?, ?, ?, 'provisioned', 'ready', ?, 1, 'full', 1, 128, 256, '{}',"
                   " '{\"digest\":\"d\",\"format\":\"qcow2\"}', 0)",
                   "sssss", sliver_id(i), slice->id, reservation, name, node) ||
                   db_exec(c, NULL, err,
                           "INSERT INTO vnic (sliver, name, position, link, mac, addresses, rate_kbps)"
                           " VALUES (?, 'eth0', 0, 'lan', ?, '[]', 0)",
                           "ss", sliver_id(i), mac)
               ? -1
               : 0;
}

static int populate(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    struct slice_row slices[SLICES];
    for (int i = 1; i <= SIM_NODES; i++)
        if (add_node(c, i, err)) return -1;
    for (int i = 0; i < SLICES; i++)
        if (add_slice(c, i, &slices[i], err)) return -1;
    for (int i = 0; i < SLICES; i++) memcpy(board->slices[i], slices[i].id, 37);
    for (int i = 0; i < SLIVERS; i++)
        if (add_sliver(c, i, &slices[i % SLICES], err)) return -1;
    return 0;
}

static void begin(void) {
    struct aggregate am;
    struct err err = ERR_INIT;
    static const char *const others[] = { "", "-wal", "-shm" };
    snprintf(db_path, sizeof db_path, "%s/am.db", dir);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s%s", db_path, others[i]);
        unlink(path);
    }
    board_new();
    am_open(&am);
    ck_assert_msg(db_write(am.db, populate, NULL, &err) == 0, "%s", err.msg);
    am_close(&am);
}

static int exec_fn(struct db_conn *c, void *arg, struct err *err) {
    return db_exec(c, NULL, err, arg, "");
}

static void change_db(const char *sql) {
    struct aggregate am;
    struct err err = ERR_INIT;
    am_open(&am);
    ck_assert_msg(db_write(am.db, exec_fn, (void *)(uintptr_t)sql, &err) == 0, "%s", err.msg);
    am_close(&am);
}

struct number {
    const char *sql;
    int64_t value;
};
static int number_fn(struct db_conn *c, void *arg, struct err *err) {
    struct number *n = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, n->sql, "");
    if (!q || db_step(q, err) != 1) return -1;
    return n->value = db_int(q, "n"), 0;
}

static int64_t number(const char *sql) {
    struct aggregate am;
    struct number n = { sql, -1 };
    am_open(&am);
    ck_assert_int_eq(db_read(am.db, number_fn, &n, NULL), 0);
    am_close(&am);
    return n.value;
}

/* --- asking for a drain, as its route does --- */

struct asked {
    unsigned status;
    json *body, *reasons;
    struct err err;
    char operation[37];
};
static void asked_done(struct asked *a) { json_put(a->body), json_put(a->reasons); }

static struct asked ask_drain(const char *node, const char *body_text) {
    struct aggregate am;
    struct asked a = { .err = ERR_INIT };
    struct http_peer peer = { .urn = "urn:publicid:IDN+example.org+user+op", .type = "user" };
    json *body AUTO_JSON = json_parse(body_text, strlen(body_text), NULL);
    struct http_request req = { .params = { node }, .peer = &peer, .body = body };
    struct http_reply reply = HTTP_REPLY_INIT;
    am_open(&am);
    int rc = drain_start(&am, &req, &reply, &a.err);
    am_close(&am);
    a.status = rc ? err_http_status(a.err.code) : reply.status ? reply.status : 200;
    a.body = reply.body;
    a.reasons = reply.reasons;
    const char *id = json_get_str(a.body, "id");
    snprintf(a.operation, sizeof a.operation, "%s", id ? id : "");
    return a;
}

/* --- lives --- */

static int get_operation(struct db_conn *c, void *arg, struct err *err) {
    json **ret = arg;
    char id[37];
    snprintf(id, sizeof id, "%s", json_str(*ret));
    json_put(*ret);
    *ret = operation_db_show(c, id, err);
    return *ret ? 0 : -1;
}

static json *operation_now(struct aggregate *am, const char *id) {
    json *op = json_string(id);
    ck_assert_int_eq(db_read(am->db, get_operation, &op, NULL), 0);
    return op;
}

static bool ended(struct aggregate *am, const char *id) {
    json *op AUTO_JSON = operation_now(am, id);
    const char *state = json_get_str(op, "state");
    return !strcmp(state, "done") || !strcmp(state, "failed") || !strcmp(state, "cancelled");
}

static void *killer(void *arg) {
    usleep(*(useconds_t *)arg);
    WITH_LOCK(&board_lock); /* not while a simulated node is at it */
    kill(getpid(), SIGKILL);
    return NULL;
}

struct life {
    const char *operation;
    void (*arm)(int n); /* in the child, before it works; may be NULL */
    int n;
    useconds_t kill_after_us; /* 0: not by time */
    int64_t cancel_after_ms;  /* 0: never */
    unsigned workers;         /* 0: 6 */
};

/* One life of the aggregate: works until the operation has ended, then pays what is owed. */
static void live(const struct life *l) {
    struct aggregate am;
    struct err err = ERR_INIT;
    pthread_t thread;
    useconds_t after = l->kill_after_us;
    am_open(&am);
    if (l->arm) l->arm(l->n);
    if (after && pthread_create(&thread, NULL, killer, &after)) _exit(9);
    if (!work_start(&am, kinds, COUNT_OF(kinds), l->workers ? l->workers : 6, &err)) _exit(4);
    int64_t begun = clock_monotonic_ms();
    for (bool cancelled = false; !ended(&am, l->operation); clock_sleep_ms(10)) {
        int64_t lived = clock_monotonic_ms() - begun;
        if (lived > LIFE_MS) _exit(5);
        if (l->cancel_after_ms && lived > l->cancel_after_ms && !cancelled)
            cancelled = !work_cancel(&am, l->operation, &err);
        forwarding_tick(&am);
        debt_tick(&am);
    }
    for (int i = 0; i < 10; i++, clock_sleep_ms(10)) forwarding_tick(&am), debt_tick(&am);
    am.stopping = true;
    work_stop(am.work);
    am_close(&am);
    _exit(0);
}

/* Returns how many lives it took. Only the first `killed` ones are killed. */
static int play(struct life l, int killed, unsigned *seed) {
    for (int lives = 1; lives <= LIVES_MAX; lives++) {
        if (seed) l.kill_after_us = lives <= killed ? 1000 + (useconds_t)rand_r(seed) % 250000 : 0;
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            if (!seed && lives > killed) l.arm = NULL;
            live(&l);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
            ck_assert_int_eq(WTERMSIG(status), SIGKILL);
            continue;
        }
        ck_assert_msg(WEXITSTATUS(status) == 0, "a life ended with %d", WEXITSTATUS(status));
        return lives;
    }
    ck_abort_msg("no end after %d lives", LIVES_MAX);
    return 0;
}

/* --- the verdict --- */

static void judge_sliver(int i, const char *what, int n) {
    const struct sim *s = board->sims[i];
    struct aggregate am;
    struct sliver row AUTO_SLIVER = { 0 };
    am_open(&am);
    ck_assert_int_eq(sliver_find(&am, sliver_id(i), &row, NULL), 0);
    am_close(&am);
    ck_assert_str_eq(row.state, "ready");
    ck_assert_str_eq(row.busy, "");
    if (i >= ON_H1) return;
    ck_assert_msg(sim_most_running(s) == 1, "%s %d: sliver %d ran twice", what, n, i);
    ck_assert_msg(sim_running(s) == 1, "%s %d: sliver %d runs %d times", what, n, i, sim_running(s));
    ck_assert_msg(sim_state(s, row.node) == SIM_RUNNING, "%s %d: sliver %d is not on %s", what, n, i, row.node);
    ck_assert_int_eq(sim_epoch(s, row.node), row.epoch);
    ck_assert_msg(sim_leaks(s) == 0, "%s %d: sliver %d leaks (%s)", what, n, i, sim_last_error(s));
    ck_assert_msg(sim_forwarders(s) == 1, "%s %d: %d forward for sliver %d", what, n, sim_forwarders(s), i);
}

static void judge(const char *what, int n) {
    for (int i = 0; i < SLIVERS; i++) judge_sliver(i, what, n);
    ck_assert_int_eq(board->moved_others, 0);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM claim"), 0);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM operation WHERE state IN ('pending', 'running', 'cancelling')"), 0);
    ck_assert_int_le(board->most_at_once, (int)config.drain_parallel);
}

/* Drained: nothing left on h1, one migration for each sliver that was there, all done. */
static void judge_drained(const char *what, int n) {
    judge(what, n);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM sliver WHERE node = 'h1'"), 0);
    ck_assert_msg(number("SELECT COUNT(*) AS n FROM migration") == ON_H1, "%s %d: %lld migrations", what, n,
                  (long long)number("SELECT COUNT(*) AS n FROM migration"));
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM migration WHERE state = 'done'"), ON_H1);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM operation WHERE kind = 'drain' AND state = 'done'"), 1);
}

START_TEST(drains) {
    begin();
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
    ck_assert_msg(a.status == 202, "%s", a.err.msg);
    /* Before anything moves: all room is claimed, once. */
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM claim WHERE node IN ('h2', 'h3')"), ON_H1);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM migration"), 0);
    ck_assert_int_eq(play((struct life){ .operation = a.operation }, 0, NULL), 1);
    judge_drained("plain", 0);
    ck_assert_int_gt(board->most_at_once, 1); /* at the same time, within the limit */
    ck_assert_int_eq(board->max_kbps, 0); /* none was configured, none was told */
    board_free();
}
END_TEST

/* The budget is divided among those at work: at no moment is more given away than there is. */
START_TEST(copies_share_the_bandwidth) {
    begin();
    config.migration_kbps = 90000;
    config.node_migration_kbps = 60000;
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
    play((struct life){ .operation = a.operation }, 0, NULL);
    config.migration_kbps = config.node_migration_kbps = 0;
    judge_drained("with a budget", 0);
    ck_assert_int_le(board->max_kbps, 60000); /* one alone: what h1 may use */
    ck_assert(board->min_kbps == 30000 || board->min_kbps == 20000); /* two or three: an even part of it */
    board_free();
}
END_TEST

static void arm_commit(int n) { db_fail_nth(DB_FAULT_COMMIT, n, DB_FAULT_KILL); }

START_TEST(killed_at_commits) {
    for (int n = 1; n < 260; n += 1 + n / 4) {
        begin();
        struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
        int lives = play((struct life){ .operation = a.operation, .arm = arm_commit, .n = n }, 3, NULL);
        judge_drained("killed at commit", n);
        board_free();
        if (lives == 1) break;
    }
}
END_TEST

static void arm_call(int n) {
    board->kill_nth = n, board->calls = 0;
    board->kill_at = n % 2 ? KILL_BEFORE_CALL : KILL_AFTER_CALL;
}

START_TEST(killed_at_calls) {
    for (int n = 1; n < 240; n += 1 + n / 4) {
        begin();
        struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
        play((struct life){ .operation = a.operation, .arm = arm_call, .n = n }, 2, NULL);
        judge_drained("killed at call", n);
        board_free();
    }
}
END_TEST

START_TEST(killed_at_random_instants) {
    for (unsigned n = 1; n <= 12; n++) {
        unsigned seed = n;
        begin();
        struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
        play((struct life){ .operation = a.operation }, 4, &seed);
        judge_drained("killed at random, seed", (int)n);
        board_free();
    }
}
END_TEST

/* Cancelled at some moment: what has begun ends well or is taken back, the others never begin. */
START_TEST(cancelled) {
    for (int n = 1; n <= 8; n++) {
        begin();
        struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
        play((struct life){ .operation = a.operation, .cancel_after_ms = 1 + n * n * 4 }, 0, NULL);
        judge("cancelled", n);
        int64_t left = number("SELECT COUNT(*) AS n FROM sliver WHERE node = 'h1'");
        ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM migration WHERE state = 'done'"), ON_H1 - left);
        if (left) ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM operation WHERE kind = 'drain' AND state = 'cancelled'"), 1);
        if (n == 1) ck_assert_int_gt(left, 0);
        board_free();
    }
}
END_TEST

START_TEST(time_is_bounded) {
    begin();
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{\"timeout_s\": 1}");
    change_db("UPDATE sliver SET busy = 'somebody else' WHERE name = 'v0' AND node = 'h1'"); /* for ever */
    play((struct life){ .operation = a.operation }, 0, NULL);
    struct aggregate am;
    am_open(&am);
    json *op AUTO_JSON = operation_now(&am, a.operation);
    am_close(&am);
    ck_assert_str_eq(json_get_str(op, "state"), "failed");
    ck_assert_str_eq(json_get_str(json_get(op, "error"), "code"), "timeout");
    ck_assert_ptr_nonnull(strstr(json_get_str(json_get(op, "error"), "message"), "v0 of demo:s0 on h1: not begun"));
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM sliver WHERE node = 'h1'"), 3);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM claim"), 0);
    board_free();
}
END_TEST

START_TEST(those_that_may_not_move_stay) {
    begin();
    change_db("UPDATE sliver SET wanted = '{\"migration\":{\"movable\":false}}' WHERE id LIKE '%00000001'");
    change_db("UPDATE sliver SET state = 'stopped' WHERE id LIKE '%00000002'");
    struct asked plan CLEANUP(asked_done) = ask_drain("h1", "{\"dry_run\": true}");
    ck_assert_int_eq(plan.status, 200);
    ck_assert(json_get_bool(plan.body, "possible", false));
    int named = 0;
    const json *moves = json_get(plan.body, "moves");
    ck_assert_int_eq((int)json_length(moves), ON_H1);
    for (size_t i = 0; i < json_length(moves); i++) {
        const char *reason = json_get_str(json_at(moves, i), "reason");
        ck_assert_ptr_nonnull(strstr(json_get_str(json_at(moves, i), "slice"), "demo:s"));
        named += reason && (!strcmp(reason, "not_movable") || !strcmp(reason, "sliver_state"));
        ck_assert(!reason == json_has(json_at(moves, i), "target"));
    }
    ck_assert_int_eq(named, 2);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM claim"), 0); /* a dry run */
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
    play((struct life){ .operation = a.operation }, 0, NULL);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM sliver WHERE node = 'h1'"), 2);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM migration"), ON_H1 - 2);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM operation WHERE kind = 'drain' AND state = 'failed'"), 1);
    board_free();
}
END_TEST

START_TEST(impossible_is_said_before_anything_moves) {
    begin();
    change_db("UPDATE sliver SET memory_mib = 5000 WHERE id LIKE '%00000004'");
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
    ck_assert_int_eq(a.status, 507);
    ck_assert_ptr_nonnull(strstr(a.err.msg, "v1 of demo:s1: no node can take it"));
    ck_assert_ptr_nonnull(strstr(a.err.msg, "h2: memory_mib 5000 needed"));
    bool found = false;
    for (size_t i = 0; i < json_length(a.reasons); i++) {
        const json *r = json_at(a.reasons, i);
        found |= !strcmp(json_get_str(r, "reason"), "memory_mib") && json_get_int(r, "need", 0) == 5000 &&
                 !strcmp(json_get_str(r, "sliver"), "v1") && !strcmp(json_get_str(r, "slice"), "demo:s1");
    }
    ck_assert(found);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM claim"), 0);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM operation"), 0);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM node WHERE state = 'ready'"), 3);
    board_free();
}
END_TEST

/* Each alone would fit, all together do not. */
START_TEST(all_are_placed_together) {
    begin();
    change_db("UPDATE node SET memory_mib = 800 WHERE name IN ('h2', 'h3')"); /* room for 4 and 4 */
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{\"dry_run\": true}");
    ck_assert(json_get_bool(a.body, "possible", false));
    change_db("UPDATE node SET memory_mib = 700 WHERE name = 'h3'"); /* 4 and 3 */
    struct asked b CLEANUP(asked_done) = ask_drain("h1", "{\"dry_run\": true}");
    ck_assert(!json_get_bool(b.body, "possible", true));
    struct asked c CLEANUP(asked_done) = ask_drain("h1", "{}");
    ck_assert_int_eq(c.status, 507);
    change_db("UPDATE node SET memory_mib = 800 WHERE name = 'h3'");
    struct asked d CLEANUP(asked_done) = ask_drain("h1", "{}");
    ck_assert_int_eq(d.status, 202);
    struct asked e CLEANUP(asked_done) = ask_drain("h1", "{}"); /* once at a time */
    ck_assert_int_eq(e.status, 409);
    play((struct life){ .operation = d.operation }, 0, NULL);
    judge_drained("a tight fit", 0);
    board_free();
}
END_TEST

/* Two operations that wait for others, and two workers: one of them is always left to do the work. */
START_TEST(those_that_wait_leave_a_worker) {
    begin();
    change_db("UPDATE sliver SET wanted = '{\"migration\":{\"movable\":false}}' WHERE id LIKE '%00000007'");
    struct asked a CLEANUP(asked_done) = ask_drain("h1", "{}");
    change_db("UPDATE sliver SET wanted = '{}' WHERE id LIKE '%00000007'");
    change_db("INSERT INTO operation (id, kind, state, owner, input, progress, created_ms, updated_ms)"
              " SELECT '31111111-2222-4333-8444-555555555555', 'move', 'pending', 'o', '{\"avoid\":\"h1\"}',"
              " json_object('slivers', json_array(json_object('sliver', id, 'name', name, 'slice', 'demo:s1',"
              " 'source', 'h1', 'state', 'blocked'))), 1, 1 FROM sliver WHERE id LIKE '%00000007'");
    play((struct life){ .operation = a.operation, .workers = 2 }, 0, NULL);
    judge("two workers", 0);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM migration WHERE state = 'done'"), ON_H1);
    ck_assert_int_eq(number("SELECT COUNT(*) AS n FROM operation WHERE kind = 'move' AND state = 'done'"), 1);
    board_free();
}
END_TEST

/* --- moves that end at the same time tell the nodes once --- */

static void *push(void *am) {
    size_t nodes = 0;
    ck_assert_int_eq(forwarding_push_moved(am, board->slices[0], "h1", &nodes, NULL), 0);
    ck_assert_int_eq((int)nodes, 1); /* beside h1, which is told last */
    return NULL;
}

START_TEST(moves_share_a_push) {
    begin();
    struct aggregate am;
    pthread_t threads[5];
    am_open(&am);
    board->push_us = 100000;
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, push, &am), 0);
        usleep(5000); /* all of them while the first one is at it */
    }
    for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
    am_close(&am);
    ck_assert_int_eq(board->pushes_to_h1, 2); /* the first, and one for the four others */
    board_free();
}
END_TEST

int main(void) {
    if (!mkdtemp(dir)) return 2;
    log_set_levels("error");
    Suite *suite = suite_create("drain");
    TCase *tc = tcase_create("moves");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, drains);
    tcase_add_test(tc, copies_share_the_bandwidth);
    tcase_add_test(tc, killed_at_commits);
    tcase_add_test(tc, killed_at_calls);
    tcase_add_test(tc, killed_at_random_instants);
    tcase_add_test(tc, cancelled);
    tcase_add_test(tc, time_is_bounded);
    tcase_add_test(tc, those_that_wait_leave_a_worker);
    tcase_add_test(tc, moves_share_a_push);
    tcase_add_test(tc, those_that_may_not_move_stay);
    tcase_add_test(tc, impossible_is_said_before_anything_moves);
    tcase_add_test(tc, all_are_placed_together);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    static const char *const names[] = { "am.db", "am.db-wal", "am.db-shm" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    return failed ? 1 : 0;
}
