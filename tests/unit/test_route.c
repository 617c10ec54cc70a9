#include "common/route.h"
#include "common/schema.h"

#include <check.h>
#include <stdio.h>

static char seen[256];

static int note(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    (void)err;
    snprintf(seen, sizeof seen, "%s %s %s roles=%u", (const char *)ctx,
             req->params[0] ? req->params[0] : "-", req->params[1] ? req->params[1] : "-",
             req->roles);
    reply->body = json_set_str(json_object(), "status", "ok");
    return 0;
}
static int refuse(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err) {
    (void)ctx, (void)req;
    reply->body = json_object(); /* dropped, not leaked */
    err_set(err, ERR_NO_SPACE, "no node has 1024 MiB free \xff");
    return err_remedy(err, "release a sliver");
}
static int silent(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err) {
    (void)ctx, (void)req, (void)reply, (void)err;
    return -1;
}
static int say_length(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    (void)ctx, (void)err;
    reply->body = json_int((int64_t)req->raw_length);
    return 0;
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/v1/slices", .handler = note, .roles = ROLE_USER },
    { .method = "POST", .pattern = "/v1/slices", .handler = note, .roles = ROLE_USER,
      .request = "common#Host", .body_max = 32 },
    { .method = "GET", .pattern = "/v1/slices/all", .handler = refuse, .roles = ROLE_ANYONE },
    { .method = "GET", .pattern = "/v1/slices/{slice}", .handler = note,
      .roles = ROLE_USER | ROLE_NODE },
    { .method = "PUT", .pattern = "/v1/slices/{slice}/members/{user}", .handler = note,
      .roles = ROLE_ANYONE },
    { .method = "GET", .pattern = "/v1/silent", .handler = silent, .roles = ROLE_ANYONE },
    { .method = "PUT", .pattern = "/v1/raw", .handler = say_length, .roles = ROLE_ANYONE,
      .raw = true, .body_max = 16 },
    { .method = "GET", .pattern = "/v1/broken", .handler = note, .roles = ROLE_ANYONE,
      .reply = "common#Problem" },
};
static struct route_table table = { rows, COUNT_OF(rows), (void *)(uintptr_t)"ctx", NULL };
static const struct http_peer user = { "urn:publicid:IDN+example.org+user+ada", "user", "1", "" };
static const struct http_peer node = { "urn:publicid:IDN+example.org+node+a", "node", "2", "" };
static const struct http_peer store = { "urn:publicid:IDN+example.org+ss+s", "ss", "3", "" };
static const struct http_peer nobody = { "", "", "", "" };

static unsigned send_body(const char *method, const char *path, const struct http_peer *peer,
                          const void *raw, size_t length, struct http_reply *reply) {
    struct http_request req = { .method = method, .path = path, .peer = peer, .raw = raw,
                                .raw_length = length };
    seen[0] = '\0';
    route_dispatch(&table, &req, reply);
    return reply->status ? reply->status : 200;
}

static unsigned ask(const char *method, const char *path, const struct http_peer *peer) {
    struct http_reply reply;
    unsigned status = send_body(method, path, peer, NULL, 0, &reply);
    http_reply_done(&reply);
    return status;
}

static unsigned ask_body(const char *method, const char *path, const char *body) {
    struct http_reply reply;
    unsigned status = send_body(method, path, &user, body, strlen(body), &reply);
    http_reply_done(&reply);
    return status;
}

START_TEST(finds_rows) {
    ck_assert_uint_eq(ask("GET", "/v1/slices/ring", &user), 200);
    ck_assert_str_eq(seen, "ctx ring - roles=3");
    ck_assert_uint_eq(ask("PUT", "/v1/slices/ring/members/urn:a+b", &nobody), 200);
    ck_assert_str_eq(seen, "ctx ring urn:a+b roles=1");
    ck_assert_uint_eq(ask("GET", "/v1/slices/all", &user), 507); /* the literal wins */
    ck_assert_uint_eq(ask("HEAD", "/v1/slices/ring", &user), 200);
    static const char *const nowhere[] = { "/", "", "/v1", "/v1/slices/", "/v1/slices/a/b",
                                           "/v1/slicesx", "/v1/slices//members/u", "v1/slices" };
    for (size_t i = 0; i < COUNT_OF(nowhere); i++)
        ck_assert_uint_eq(ask("GET", nowhere[i], &user), 404);
}
END_TEST

START_TEST(knows_methods) {
    struct http_reply reply;
    ck_assert_uint_eq(send_body("DELETE", "/v1/slices", &user, NULL, 0, &reply), 405);
    ck_assert_str_eq(reply.allow, "GET, POST");
    http_reply_done(&reply);
    ck_assert_uint_eq(ask("get", "/v1/slices", &user), 405);
}
END_TEST

START_TEST(authorizes) {
    ck_assert_uint_eq(ask("GET", "/v1/slices", &nobody), 401);
    ck_assert_uint_eq(ask("GET", "/v1/slices", &node), 403);
    ck_assert_uint_eq(ask("GET", "/v1/slices/x", &node), 200);
    ck_assert_uint_eq(ask("GET", "/v1/slices/x", &store), 403);
    ck_assert_uint_eq(ask("GET", "/v1/slices", NULL), 401);
}
END_TEST

START_TEST(checks_bodies) {
    ck_assert_uint_eq(ask_body("POST", "/v1/slices", "\"10.0.0.1\""), 200);
    ck_assert_uint_eq(ask_body("POST", "/v1/slices", ""), 400);
    ck_assert_uint_eq(ask_body("POST", "/v1/slices", "{"), 400);
    ck_assert_uint_eq(ask_body("POST", "/v1/slices", "7"), 400);
    ck_assert_uint_eq(ask_body("POST", "/v1/slices", "\"0123456789012345678901234567890123\""), 413);
    ck_assert_uint_eq(ask_body("GET", "/v1/slices", "{}"), 400);
    ck_assert_uint_eq(ask_body("PUT", "/v1/raw", "bytes"), 200);
    ck_assert_uint_eq(ask_body("PUT", "/v1/raw", "01234567890123456"), 413);
}
END_TEST

START_TEST(makes_problems) {
    struct http_reply reply;
    struct err err = ERR_INIT;
    ck_assert_uint_eq(send_body("GET", "/v1/slices/all", &user, NULL, 0, &reply), 507);
    ck_assert_str_eq(reply.content_type, "application/problem+json");
    ck_assert_str_eq(json_get_str(reply.body, "code"), "no_space");
    ck_assert_str_eq(json_get_str(reply.body, "detail"), "no node has 1024 MiB free ?");
    ck_assert_str_eq(json_get_str(reply.body, "remedy"), "release a sliver");
    const struct schema *problem = schema_find("common#Problem", &err);
    ck_assert_msg(schema_check(problem, reply.body, NULL, &err) == 0, "%s", err.msg);
    http_reply_done(&reply);
    ck_assert_uint_eq(ask("GET", "/v1/silent", &user), 500);
}
END_TEST

START_TEST(checks_replies) {
    route_check_replies(true);
    ck_assert_uint_eq(ask("GET", "/v1/broken", &user), 500);
    route_check_replies(false);
    ck_assert_uint_eq(ask("GET", "/v1/broken", &user), 200);
}
END_TEST

START_TEST(admits_before_the_body) {
    struct err err = ERR_INIT;
    struct http_request req = { .method = "POST", .path = "/v1/slices", .peer = &user };
    ck_assert_int_eq(route_admit(&table, &req, 32, &err), 0);
    ck_assert_int_eq(route_admit(&table, &req, 33, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    req.peer = &nobody;
    ck_assert_int_eq(route_admit(&table, &req, 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAUTHENTICATED);
    ck_assert_uint_eq(route_body_max(&table, "PUT", "/v1/raw"), 16);
    ck_assert_uint_eq(route_body_max(&table, "GET", "/v1/slices"), HTTP_BODY_MAX);
    ck_assert_uint_eq(route_body_max(&table, "GET", "/x"), 0);
}
END_TEST

START_TEST(checks_tables) {
    struct err err = ERR_INIT;
    ck_assert_msg(route_table_check(&table, &err) == 0, "%s", err.msg);
    struct route bad[2] = { rows[3], rows[3] };
    struct route_table t = { bad, 2, NULL, NULL };
    bad[1].pattern = "/v1/slices/{other}";
    ck_assert_int_eq(route_table_check(&t, &err), -1);
    bad[1].pattern = "/v1/other";
    ck_assert_int_eq(route_table_check(&t, &err), 0);
    static const char *const patterns[] = { "", "v1", "/v1/{x", "/v1/{}", "/{a}/{b}/{c}/{d}/{e}" };
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        bad[1].pattern = patterns[i];
        ck_assert_int_eq(route_table_check(&t, &err), -1);
    }
    bad[1].pattern = "/v1/other";
    bad[1].request = "common#Nowhere";
    ck_assert_int_eq(route_table_check(&t, &err), -1);
}
END_TEST

static unsigned only_operators(void *ctx, const struct http_request *req) {
    (void)ctx, (void)req;
    return ROLE_OPERATOR;
}

START_TEST(takes_the_tables_roles) {
    struct route_table t = table;
    struct http_request req = { .method = "GET", .path = "/v1/slices", .peer = &user };
    t.roles_of = only_operators;
    ck_assert_uint_eq(route_roles(&t, &req), ROLE_OPERATOR | ROLE_ANYONE);
    ck_assert_uint_eq(route_roles(&table, &req), ROLE_USER | ROLE_ANYONE);
}
END_TEST

static void load(void) {
    struct err err = ERR_INIT;
    ck_assert_msg(schema_load(&err) == 0, "%s", err.msg);
}

int main(void) {
    Suite *s = suite_create("route");
    TCase *t = tcase_create("route");
    tcase_add_checked_fixture(t, load, schema_unload);
    tcase_add_test(t, finds_rows);
    tcase_add_test(t, knows_methods);
    tcase_add_test(t, authorizes);
    tcase_add_test(t, checks_bodies);
    tcase_add_test(t, makes_problems);
    tcase_add_test(t, checks_replies);
    tcase_add_test(t, admits_before_the_body);
    tcase_add_test(t, checks_tables);
    tcase_add_test(t, takes_the_tables_roles);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
