/*
 * The connections under the switch door, against a peer that misbehaves on purpose: texts cut in
 * pieces, echo requests in between, refusals, silence, garbage, a peer that hangs up.
 */
#include "common/clock.h"
#include "nodemgr/openflow.h"
#include "nodemgr/ovsdb.h"
#include "nodemgr/switch.h"

#include <check.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The peer: accepts one connection and plays a script of steps, then hangs up. */
struct step {
    const char *send; /* bytes to send ... */
    size_t length;    /* 0: a string */
    int read_first;   /* ... after this many bytes at least were read */
    int sleep_ms;     /* and after this pause */
};

static char dir[64], path[80];
static int listener = -1;
static pthread_t peer_thread;
static const struct step *script;
static struct buf heard;

static void play(int fd, const struct step *s) {
    char data[4096];
    size_t wanted = heard.length + (size_t)s->read_first;
    while (s->read_first > 0 && heard.length < wanted) {
        ssize_t n = recv(fd, data, sizeof(data), 0);
        if (n <= 0) return;
        buf_add(&heard, data, (size_t)n);
    }
    clock_sleep_ms(s->sleep_ms);
    size_t length = s->length ? s->length : strlen(s->send);
    if (send(fd, s->send, length, MSG_NOSIGNAL) < 0) return;
}

static void *peer(void *arg) {
    (void)arg;
    AUTO_FD int fd = accept(listener, NULL, NULL);
    for (const struct step *s = script; fd >= 0 && s->send; s++) play(fd, s);
    return NULL;
}

static void start_peer(const struct step *steps) {
    script = steps;
    buf_done(&heard);
    heard = (struct buf)BUF_INIT;
    ck_assert_int_eq(pthread_create(&peer_thread, NULL, peer, NULL), 0);
}

static void stop_peer(void) { pthread_join(peer_thread, NULL); }

static void setup(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strcpy(dir, "/tmp/test_nm_ovsdb.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/br-int.mgmt", dir);
    memcpy(address.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 4), 0);
}

static void teardown(void) {
    close(listener);
    unlink(path);
    rmdir(dir);
    buf_done(&heard);
    heard = (struct buf)BUF_INIT;
}

static json *call(struct ovsdb *db, int timeout_ms, struct err *err) {
    if (ovsdb_open(db, path, err)) return NULL;
    return ovsdb_call(db, "list_dbs", json_array(), clock_monotonic_ms() + timeout_ms, err);
}

START_TEST(test_pieces_and_echo) {
    static const struct step steps[] = {
        { "{\"method\":\"ec", 0, 40, 0 },
        { "ho\",\"params\":[\"}]{\\\"\"],\"id\":\"echo\"}{\"id\":77,\"result\":[],\"error\":null}",
          0, 0, 20 },
        { "{\"id\":1,\"result\":[\"Open_", 0, 40, 0 },
        { "vSwitch\"],\"error\":null}", 0, 0, 20 },
        { NULL, 0, 0, 0 },
    };
    CLEANUP(ovsdb_close) struct ovsdb db = OVSDB_INIT;
    struct err err = ERR_INIT;
    start_peer(steps);
    AUTO_JSON json *result = call(&db, 3000, &err);
    ck_assert_msg(result != NULL, "%s", err.msg);
    ck_assert_str_eq(json_str(json_at(result, 0)), "Open_vSwitch");
    stop_peer();
    ck_assert_ptr_nonnull(strstr(heard.data, "\"id\":\"echo\""));
    ck_assert(!ovsdb_alive(&db, clock_monotonic_ms() + 100)); /* the peer has hung up */
}
END_TEST

static void expect_failure(const struct step *steps, enum err_code code, const char *text) {
    CLEANUP(ovsdb_close) struct ovsdb db = OVSDB_INIT;
    struct err err = ERR_INIT;
    start_peer(steps);
    AUTO_JSON json *result = call(&db, 200, &err);
    ck_assert_ptr_null(result);
    ck_assert_msg(err.code == code, "%s: %s", err_name(err.code), err.msg);
    ck_assert_msg(strstr(err.msg, text) != NULL, "%s", err.msg);
    stop_peer();
}

START_TEST(test_refused) {
    static const struct step steps[] = {
        { "{\"id\":1,\"result\":null,\"error\":\"unknown database\"}", 0, 40, 0 }, { 0 }
    };
    expect_failure(steps, ERR_UNPROCESSABLE, "unknown database");
}
END_TEST

START_TEST(test_garbage) {
    static const struct step steps[] = { { "{\"id\":1,,}", 0, 40, 0 }, { 0 } };
    expect_failure(steps, ERR_UNAVAILABLE, "malformed");
}
END_TEST

START_TEST(test_silence) {
    static const struct step steps[] = { { "{", 0, 40, 0 }, { " ", 0, 0, 400 }, { 0 } };
    int64_t start = clock_monotonic_ms();
    expect_failure(steps, ERR_TIMEOUT, "deadline");
    ck_assert_int_lt(clock_monotonic_ms() - start, 2000);
}
END_TEST

START_TEST(test_hung_up) {
    static const struct step steps[] = { { "{\"id\":1", 0, 40, 0 }, { 0 } };
    expect_failure(steps, ERR_UNAVAILABLE, "closed");
}
END_TEST

/* An error in the second operation: the transaction fails with its text. */
START_TEST(test_transaction_error) {
    static const struct step steps[] = {
        { "{\"id\":1,\"error\":null,\"result\":[{},{\"error\":\"constraint violation\","
          "\"details\":\"two rows\"},null]}",
          0, 40, 0 },
        { 0 }
    };
    CLEANUP(ovsdb_close) struct ovsdb db = OVSDB_INIT;
    struct err err = ERR_INIT;
    start_peer(steps);
    ck_assert_int_eq(ovsdb_open(&db, path, &err), 0);
    json *ops = json_array();
    json_add(ops, ovsdb_insert("Port", json_object(), "p"));
    json *results = ovsdb_transact(&db, ops, clock_monotonic_ms() + 1000, &err);
    ck_assert_ptr_null(results);
    ck_assert_ptr_nonnull(strstr(err.msg, "constraint violation: two rows"));
    stop_peer();
}
END_TEST

static int open_switch(struct openflow *of, const struct step *steps, struct err *err) {
    start_peer(steps);
    return openflow_open(of, path, clock_monotonic_ms() + 300, err);
}

#define HELLO \
    { "\5\0\0\10\0\0\0\1", 8, 16, 0 }
#define FEATURES \
    { \
        "\5\6\0\40\0\0\0\2" \
        "\0\0\0\0\0\0\0\x2a" \
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", \
            32, 8, 0 \
    }

START_TEST(test_openflow_handshake) {
    static const struct step good[] = { HELLO,
                                        FEATURES,
                                        { "\5\2\0\12\0\0\0\x63xy", 10, 0,
                                          0 }, /* an echo request with 2 bytes */
                                        { "\5\3\0\10\0\0\0\3", 8, 8, 30 },
                                        { 0 } };
    CLEANUP(openflow_close) struct openflow of = OPENFLOW_INIT;
    struct err err = ERR_INIT;
    if (open_switch(&of, good, &err)) ck_abort_msg("%s", err.msg);
    ck_assert_uint_eq(of.datapath_id, 0x2a);
    ck_assert_int_eq(openflow_echo(&of, clock_monotonic_ms() + 1000, &err), 0);
    stop_peer();
}
END_TEST

START_TEST(test_openflow_bad_peers) {
    static const struct step old[] = { { "\1\0\0\10\0\0\0\1", 8, 16, 0 }, { 0 } };
    static const struct step refused[] = { { "\5\1\0\14\0\0\0\1\0\0\0\0", 12, 16, 0 }, { 0 } };
    static const struct step short_header[] = { { "\5\0\0\4\0\0\0\1", 8, 16, 0 }, { 0 } };
    static const struct step no_features[] = { HELLO, { "", 1, 8, 0 }, { 0 } };
    static const struct step *const all[] = { old, refused, short_header, no_features };
    static const char *const why[] = { "version 1", "no common", "malformed header", "closed" };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        CLEANUP(openflow_close) struct openflow of = OPENFLOW_INIT;
        struct err err = ERR_INIT;
        ck_assert_int_eq(open_switch(&of, all[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
        ck_assert_msg(strstr(err.msg, why[i]) != NULL, "%s", err.msg);
        stop_peer();
    }
}
END_TEST

START_TEST(test_nobody_there) {
    struct switch_config config = { "br-none", "netdev", "/tmp/no/such/db.sock", dir };
    struct switch_door *door = switch_new(&config);
    struct err err = ERR_INIT;
    uint64_t generation = 0;
    ck_assert_int_eq(switch_ensure_bridge(door, 1000, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.remedy, "ovsdb-server"));
    ck_assert_int_eq(switch_barrier(door, 1000, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.remedy, "ovs-vswitchd"));
    ck_assert_int_eq(switch_settle(door, 1000, &err), -1);
    ck_assert_int_eq(switch_check(door, &generation, 1000, &err), -1);
    ck_assert_uint_eq(switch_generation(door), 0);
    switch_free(door);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("nm_ovsdb");
    TCase *tc = tcase_create("connections");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_pieces_and_echo);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_garbage);
    tcase_add_test(tc, test_silence);
    tcase_add_test(tc, test_hung_up);
    tcase_add_test(tc, test_transaction_error);
    tcase_add_test(tc, test_openflow_handshake);
    tcase_add_test(tc, test_openflow_bad_peers);
    tcase_add_test(tc, test_nobody_there);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
