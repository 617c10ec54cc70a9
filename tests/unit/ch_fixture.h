/*
 * A clearing house in a directory of its own, called through its route table without a network.
 */
#ifndef JOGAK_TESTS_CH_FIXTURE_H
#define JOGAK_TESTS_CH_FIXTURE_H

#include "clearinghouse/house.h"
#include "clearinghouse/routes.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/schema.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <strings.h>

#define AUTHORITY "example.org"
#define URN_OF(type, name) "urn:publicid:IDN+" AUTHORITY "+" type "+" name
#define DAY_MS 86400000LL

static char ch_dir[64];
static char ch_authority[] = AUTHORITY, ch_host[] = "127.0.0.1", ch_empty[] = "";
static struct house_config ch_config;
static struct house ch;
static struct route_table ch_routes;

/* --- a wall clock that the test moves --- */

static int64_t ch_shift_ms; /* added to the real wall clock */

static int64_t ch_monotonic_us(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}
static int64_t ch_boottime_ms(void *ctx) { return ch_monotonic_us(ctx) / 1000; }
static int64_t ch_wall_ms(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000 + ch_shift_ms;
}
static void ch_sleep_ms(void *ctx, int64_t ms) {
    (void)ctx;
    usleep((useconds_t)(ms * 1000));
}
static const struct clock_door ch_clock = { NULL, ch_monotonic_us, ch_boottime_ms, ch_wall_ms,
                                            ch_sleep_ms };

/* --- the house --- */

static int ch_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void ch_open(void) {
    struct err err = ERR_INIT;
    ck_assert_msg(house_open(&ch, &ch_config, &err) == 0, "%s", err.msg);
    ch_routes = clearinghouse_routes(&ch);
    ck_assert_msg(route_table_check(&ch_routes, &err) == 0, "%s", err.msg);
}

static void __attribute__((unused)) ch_reopen(void) {
    house_close(&ch);
    ch_open();
}

static void ch_setup_empty(void) {
    log_set_levels("error");
    ch_shift_ms = 0;
    clock_steer(&ch_clock);
    snprintf(ch_dir, sizeof ch_dir, "/tmp/jogak-test-ch-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(ch_dir));
    ch_config = (struct house_config){
        .base = { .listen_address = ch_host,
                  .listen_port = 8401,
                  .state_dir = ch_dir,
                  .log_levels = ch_empty,
                  .enroll_token = ch_empty,
                  .advertise_host = ch_host },
        .authority = ch_authority,
        .slice_days = 7,
        .slice_days_max = 185,
        .credential_hours = 24,
        .user_days = 365,
        .service_days = 90,
        .token_hours = 24,
    };
    static bool loaded;
    struct err err = ERR_INIT;
    if (!loaded) ck_assert_msg(schema_load(&err) == 0, "%s", err.msg);
    loaded = true;
    route_check_replies(true);
}

static void __attribute__((unused)) ch_setup(void) {
    ch_setup_empty();
    ch_open();
}

static void ch_remove_dir(void) {
    nftw(ch_dir, ch_remove, 8, FTW_DEPTH | FTW_PHYS);
    clock_steer(NULL);
}

static void __attribute__((unused)) ch_teardown(void) {
    house_close(&ch);
    ch_remove_dir();
}

/* --- calls --- */

/* Who calls: "operator", "kim" (users), "am:one" (services), NULL for nobody. */
static struct http_peer ch_peer(const char *who) {
    struct http_peer p = { .address = "192.0.2.7", .serial = "00" };
    if (!who) return p;
    const char *colon = strchr(who, ':');
    snprintf(p.type, sizeof p.type, "%.*s", colon ? (int)(colon - who) : 4, colon ? who : "user");
    urn_text(p.urn, AUTHORITY, p.type, colon ? colon + 1 : who);
    return p;
}

static const char *ch_if_match;                      /* header of the next calls */
static const char *ch_peer_serial, *ch_peer_address; /* of the next calls, NULL: some */
static char ch_query[256];                           /* "a=b&c=d" of the present call */

static const char *ch_header(const struct http_request *req, const char *name) {
    (void)req;
    return strcasecmp(name, "If-Match") == 0 ? ch_if_match : NULL;
}

static const char *ch_query_of(const struct http_request *req, const char *name) {
    (void)req;
    static char values[8][256]; /* several live at once */
    static unsigned next;
    char *value = values[next++ % 8];
    size_t n = strlen(name);
    for (const char *p = ch_query; *p; p += strcspn(p, "&"), p += *p == '&')
        if (strncmp(p, name, n) == 0 && p[n] == '=') {
            snprintf(value, 256, "%.*s", (int)strcspn(p + n + 1, "&"), p + n + 1);
            return value;
        }
    return NULL;
}

struct answer {
    unsigned status;
    json *body;
    char *text;
    char etag[80], location[512];
};
static void answer_done(struct answer *a) {
    json_put(a->body);
    free(a->text);
}
#define AUTO_ANSWER_CH CLEANUP(answer_done)

/* body: JSON text, or NULL. path may have a query. */
static struct answer ch_call(const char *who, const char *method, const char *path,
                             const char *body) {
    static const struct http_fields fields = { ch_header, ch_query_of };
    struct http_peer peer = ch_peer(who);
    if (ch_peer_serial) snprintf(peer.serial, sizeof peer.serial, "%s", ch_peer_serial);
    if (ch_peer_address) snprintf(peer.address, sizeof peer.address, "%s", ch_peer_address);
    const char *question = strchr(path, '?');
    char plain[512];
    snprintf(plain, sizeof plain, "%.*s", question ? (int)(question - path) : 511, path);
    snprintf(ch_query, sizeof ch_query, "%s", question ? question + 1 : "");
    struct http_request req = {
        .method = method,
        .path = plain,
        .peer = &peer,
        .fields = &fields,
        .raw = body,
        .raw_length = body ? strlen(body) : 0,
    };
    struct http_reply reply;
    route_dispatch(&ch_routes, &req, &reply);
    struct answer a = { .status = reply.status ? reply.status : 200,
                        .body = STEAL(reply.body),
                        .text = STEAL(reply.text) };
    snprintf(a.etag, sizeof a.etag, "%s", reply.etag);
    snprintf(a.location, sizeof a.location, "%s", reply.location);
    http_reply_done(&reply);
    return a;
}

static void ch_expect_at(int line, unsigned status, const char *who, const char *method,
                         const char *path, const char *body) {
    AUTO_ANSWER_CH struct answer a = ch_call(who, method, path, body);
    AUTO_FREE char *text = a.body ? json_text(a.body) : NULL;
    ck_assert_msg(a.status == status, "line %d: %s %s by %s: %u instead of %u: %s", line, method,
                  path, who ? who : "nobody", a.status, status, text ? text : "");
    if (status >= 400) ck_assert_ptr_nonnull(json_get_str(a.body, "code"));
}
/* Only the status matters. */
#define EXPECT(status, ...) ch_expect_at(__LINE__, status, __VA_ARGS__)

/* The body of a call that must succeed; caller puts. */
static json *ch_ok_at(int line, const char *who, const char *method, const char *path,
                      const char *body) {
    AUTO_ANSWER_CH struct answer a = ch_call(who, method, path, body);
    AUTO_FREE char *text = a.body ? json_text(a.body) : NULL;
    ck_assert_msg(a.status < 300, "line %d: %s %s: %u: %s", line, method, path, a.status,
                  text ? text : "");
    return STEAL(a.body);
}
#define OK(...) ch_ok_at(__LINE__, __VA_ARGS__)

/* Users kim, lee, pak; project demo with lead kim and member lee; slice demo:ring made by kim. */
static void __attribute__((unused)) ch_populate(void) {
    EXPECT(201, "operator", "POST", "/v1/users", "{\"name\":\"kim\"}");
    EXPECT(201, "operator", "POST", "/v1/users", "{\"name\":\"lee\"}");
    EXPECT(201, "operator", "POST", "/v1/users", "{\"name\":\"pak\"}");
    EXPECT(201, "operator", "POST", "/v1/projects", "{\"name\":\"demo\",\"lead\":\"kim\"}");
    EXPECT(200, "kim", "PUT", "/v1/projects/demo/members/lee", "{\"role\":\"member\"}");
    EXPECT(201, "kim", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"ring\"}");
}

static int __attribute__((unused)) ch_run(Suite *s) {
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
