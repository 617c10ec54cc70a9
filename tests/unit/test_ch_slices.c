/* Slices, their members, expiry and credentials through the route table. */
#include "ch_fixture.h"

#include "common/credential.h"
#include "clearinghouse/slice.h"

static int64_t time_of(const json *slice, const char *key) {
    int64_t ms = 0;
    ck_assert_int_eq(clock_parse_rfc3339(json_get_str(slice, key), &ms), 0);
    return ms;
}

/* {"expires": now + days} */
static const char *renewal(double days) {
    static char body[80];
    char text[CLOCK_TEXT_BYTES];
    snprintf(body, sizeof body, "{\"expires\":\"%s\"}",
             clock_rfc3339(clock_wall_ms() + (int64_t)(days * (double)DAY_MS), text));
    return body;
}

static void expect_state(const char *path, const char *state) {
    AUTO_JSON json *s = OK("operator", "GET", path, NULL);
    ck_assert_str_eq(json_get_str(s, "state"), state);
}

START_TEST(made_by_members_of_the_project) {
    ch_populate();
    AUTO_ANSWER_CH struct answer a =
        ch_call("lee", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"line\"}");
    ck_assert_uint_eq(a.status, 201);
    ck_assert_str_eq(json_get_str(a.body, "urn"), "urn:publicid:IDN+example.org:demo+slice+line");
    ck_assert_str_eq(json_get_str(a.body, "state"), "active");
    ck_assert_str_eq(json_get_str(a.body, "creator"), URN_OF("user", "lee"));
    ck_assert_str_eq(json_str(json_path(a.body, "members.0.user")), "lee");
    ck_assert_str_eq(json_str(json_path(a.body, "members.0.role")), "lead");
    ck_assert_int_eq(time_of(a.body, "expires") - time_of(a.body, "created"), 7 * DAY_MS);
    AUTO_JSON json *by_uuid = OK("lee", "GET", a.location, NULL);
    AUTO_JSON json *by_name = OK("lee", "GET", "/v1/slices/demo:line", NULL);
    ck_assert(json_equal(by_uuid, a.body) && json_equal(by_name, a.body));
    EXPECT(404, "pak", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"mine\"}");
    EXPECT(404, "kim", "POST", "/v1/slices", "{\"project\":\"none\",\"name\":\"mine\"}");
    EXPECT(403, "am:one", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"mine\"}");
    EXPECT(200, "kim", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"auditor\"}");
    EXPECT(403, "pak", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"mine\"}");
    EXPECT(201, "operator", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"ops\"}");
}
END_TEST

START_TEST(bad_input) {
    ch_populate();
    static const char *const bodies[] = {
        "{\"project\":\"demo\"}",
        "{\"name\":\"x\"}",
        "{\"project\":\"demo\",\"name\":\"\"}",
        "{\"project\":\"demo\",\"name\":\"-x\"}",
        "{\"project\":\"demo\",\"name\":\"a_b\"}",
        "{\"project\":\"demo\",\"name\":\"12345678901234567890\"}",
        "{\"project\":\"demo\",\"name\":\"x\",\"expires\":\"tomorrow, perhaps at noon\"}",
        "{\"project\":\"demo\",\"name\":\"x\",\"lifetime_s\":0}",
        "{\"project\":\"demo\",\"name\":\"x\",\"lifetime_s\":1.5}",
        "{\"project\":\"demo\",\"name\":\"x\",\"state\":\"active\"}",
        "{\"project\":\"demo\",\"name\":\"x\",\"lifetime_s\":60,\"expires\":\"2099-01-01T00:00:"
        "00Z\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        EXPECT(400, "kim", "POST", "/v1/slices", bodies[i]);
    EXPECT(422, "kim", "POST", "/v1/slices",
           "{\"project\":\"demo\",\"name\":\"x\",\"expires\":\"2001-01-01T00:00:00Z\"}");
    EXPECT(422, "kim", "POST", "/v1/slices",
           "{\"project\":\"demo\",\"name\":\"x\",\"lifetime_s\":15984001}");
    EXPECT(201, "kim", "POST", "/v1/slices",
           "{\"project\":\"demo\",\"name\":\"x\",\"lifetime_s\":15984000}");
    static const char *const paths[] = {
        "/v1/slices/ring",     "/v1/slices/demo:",
        "/v1/slices/:ring",    "/v1/slices/demo:ring:x",
        "/v1/slices/demo:a b", "/v1/slices/00000000-0000-4000-8000-000000000000"
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++) EXPECT(404, "kim", "GET", paths[i], NULL);
    EXPECT(400, "kim", "GET", "/v1/slices?state=lost", NULL);
    EXPECT(400, "kim", "GET", "/v1/slices?cursor=YWJj", NULL);
}
END_TEST

START_TEST(other_peoples_slices) {
    ch_populate();
    static const struct {
        const char *method, *path, *body;
    } calls[] = {
        { "GET", "/v1/slices/demo:ring", NULL },
        { "PATCH", "/v1/slices/demo:ring", "{\"description\":\"x\"}" },
        { "POST", "/v1/slices/demo:ring/renew", "{\"expires\":\"2099-01-01T00:00:00Z\"}" },
        { "POST", "/v1/slices/demo:ring/shutdown", NULL },
        { "PUT", "/v1/slices/demo:ring/members/pak", "{\"role\":\"lead\"}" },
        { "DELETE", "/v1/slices/demo:ring/members/kim", NULL },
        { "GET", "/v1/slices/demo:ring/credential", NULL },
    };
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        EXPECT(404, "pak", calls[i].method, calls[i].path, calls[i].body);
        EXPECT(404, "lee", calls[i].method, calls[i].path, calls[i].body);
        EXPECT(401, NULL, calls[i].method, calls[i].path, calls[i].body);
        EXPECT(403, "node:n1", calls[i].method, calls[i].path, calls[i].body);
    }
    AUTO_JSON json *none = OK("pak", "GET", "/v1/slices", NULL);
    ck_assert_uint_eq(json_length(json_get(none, "items")), 0);
    AUTO_JSON json *all = OK("am:one", "GET", "/v1/slices", NULL);
    ck_assert_uint_eq(json_length(json_get(all, "items")), 1);
    EXPECT(200, "am:one", "GET", "/v1/slices/demo:ring", NULL);
    expect_state("/v1/slices/demo:ring", "active");
}
END_TEST

START_TEST(member_roles) {
    ch_populate();
    EXPECT(200, "kim", "PUT", "/v1/slices/demo:ring/members/lee", "{\"role\":\"member\"}");
    EXPECT(200, "kim", "PUT", "/v1/slices/demo:ring/members/pak", "{\"role\":\"auditor\"}");
    EXPECT(422, "kim", "PUT", "/v1/slices/demo:ring/members/nobody", "{\"role\":\"member\"}");
    EXPECT(200, "lee", "POST", "/v1/slices/demo:ring/renew", renewal(8));
    EXPECT(403, "pak", "POST", "/v1/slices/demo:ring/renew", renewal(9));
    EXPECT(403, "lee", "POST", "/v1/slices/demo:ring/shutdown", NULL);
    EXPECT(403, "lee", "PUT", "/v1/slices/demo:ring/members/lee", "{\"role\":\"lead\"}");
    EXPECT(403, "lee", "DELETE", "/v1/slices/demo:ring/members/kim", NULL);
    EXPECT(200, "kim", "PATCH", "/v1/slices/demo:ring", "{\"description\":\"d\"}");
    EXPECT(403, "lee", "PATCH", "/v1/slices/demo:ring", "{\"description\":\"e\"}");
    EXPECT(204, "kim", "DELETE", "/v1/slices/demo:ring/members/lee", NULL);
    EXPECT(404, "kim", "DELETE", "/v1/slices/demo:ring/members/lee", NULL);
    EXPECT(404, "lee", "GET", "/v1/slices/demo:ring", NULL);
}
END_TEST

START_TEST(renewal_extends_only) {
    ch_populate();
    EXPECT(422, "kim", "POST", "/v1/slices/demo:ring/renew", renewal(6));
    EXPECT(422, "kim", "POST", "/v1/slices/demo:ring/renew", renewal(186));
    EXPECT(400, "kim", "POST", "/v1/slices/demo:ring/renew", "{}");
    AUTO_JSON json *s = OK("kim", "POST", "/v1/slices/demo:ring/renew", renewal(30));
    ck_assert_int_gt(time_of(s, "expires"), clock_wall_ms() + 29 * DAY_MS);
    ch_shift_ms = 8 * DAY_MS; /* beyond the first expiry */
    expect_state("/v1/slices/demo:ring", "active");
}
END_TEST

START_TEST(expired_stays_expired) {
    ch_populate();
    AUTO_JSON json *first = OK("kim", "GET", "/v1/slices/demo:ring", NULL);
    ch_shift_ms = 7 * DAY_MS + 1000;
    AUTO_JSON json *late = OK("kim", "GET", "/v1/slices/demo:ring", NULL);
    ck_assert_str_eq(json_get_str(late, "state"), "expired");
    EXPECT(410, "kim", "POST", "/v1/slices/demo:ring/renew", renewal(7));
    EXPECT(410, "kim", "POST", "/v1/slices/demo:ring/shutdown", NULL);
    EXPECT(410, "kim", "GET", "/v1/slices/demo:ring/credential", NULL);
    EXPECT(410, "kim", "PUT", "/v1/slices/demo:ring/members/lee", "{\"role\":\"member\"}");
    ch_shift_ms = 0; /* the clock jumps back */
    expect_state("/v1/slices/demo:ring", "expired");
    EXPECT(410, "kim", "POST", "/v1/slices/demo:ring/renew", renewal(9));
    EXPECT(410, "kim", "GET", "/v1/slices/demo:ring/credential", NULL);
    ch_reopen();
    expect_state("/v1/slices/demo:ring", "expired");
    /* the name is free again, the short form means the living one, the UUID the old one */
    EXPECT(201, "kim", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"ring\"}");
    expect_state("/v1/slices/demo:ring", "active");
    char path[128];
    snprintf(path, sizeof path, "/v1/slices/%s", json_get_str(first, "uuid"));
    expect_state(path, "expired");
    EXPECT(409, "kim", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"RING\"}");
}
END_TEST

START_TEST(expires_while_nobody_looks) {
    ch_populate();
    struct err err = ERR_INIT;
    char body[96];
    for (int i = 0; i < 150; i++) { /* more than one batch */
        snprintf(body, sizeof body, "{\"project\":\"demo\",\"name\":\"s%d\",\"lifetime_s\":%d}", i,
                 100 + i);
        EXPECT(201, "kim", "POST", "/v1/slices", body);
    }
    ck_assert_int_eq(slice_settle(&ch, &err), 0);
    ch_shift_ms = 300 * 1000;
    ck_assert_int_eq(slice_settle(&ch, &err), 0);
    ch_shift_ms = 0;
    AUTO_JSON json *old = OK("kim", "GET", "/v1/slices?state=expired&limit=1000", NULL);
    ck_assert_uint_eq(json_length(json_get(old, "items")), 150);
    AUTO_JSON json *active = OK("kim", "GET", "/v1/slices?state=active&project=demo", NULL);
    ck_assert_uint_eq(json_length(json_get(active, "items")), 1);
    /* a shorter-lived slice made later is not overlooked */
    EXPECT(201, "kim", "POST", "/v1/slices",
           "{\"project\":\"demo\",\"name\":\"brief\",\"lifetime_s\":5}");
    ch_shift_ms = 6000;
    expect_state("/v1/slices/demo:brief", "expired");
}
END_TEST

START_TEST(expires_while_we_are_down) {
    ch_populate();
    house_close(&ch);
    ch_shift_ms = 8 * DAY_MS;
    ch_open();
    ch_shift_ms = 0;
    expect_state("/v1/slices/demo:ring", "expired");
}
END_TEST

START_TEST(shut_down_is_kept) {
    ch_populate();
    EXPECT(200, "kim", "POST", "/v1/slices/demo:ring/shutdown", NULL);
    EXPECT(200, "kim", "POST", "/v1/slices/demo:ring/shutdown", NULL);
    expect_state("/v1/slices/demo:ring", "shutdown");
    EXPECT(409, "kim", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"ring\"}");
    EXPECT(409, "kim", "POST", "/v1/slices/demo:ring/renew", renewal(30));
    EXPECT(200, "operator", "POST", "/v1/slices/demo:ring/renew", renewal(30));
    expect_state("/v1/slices/demo:ring", "shutdown");
    ch_shift_ms = 31 * DAY_MS;
    expect_state("/v1/slices/demo:ring", "expired");
}
END_TEST

static void expect_credential(const char *who, const char *role, unsigned privileges) {
    AUTO_JSON json *j = OK(who, "GET", "/v1/slices/demo:ring/credential", NULL);
    struct credential c = { .serial = "" };
    struct err err = ERR_INIT;
    char urn[URN_MAX_BYTES];
    urn_text(urn, AUTHORITY, "user", who);
    ck_assert_msg(credential_verify(json_get_str(j, "credential"), ch.authority.ca_cert_pem, urn,
                                    &c, &err) == 0,
                  "%s", err.msg);
    ck_assert_str_eq(c.role, role);
    ck_assert_str_eq(c.role, json_get_str(j, "role"));
    ck_assert_str_eq(c.target, "urn:publicid:IDN+example.org:demo+slice+ring");
    ck_assert_uint_eq(c.privileges, privileges);
    ck_assert_int_le(c.expires_ms, clock_wall_ms() + DAY_MS);
    ck_assert_int_le(c.expires_ms, c.target_expires_ms);
    credential_done(&c);
    ck_assert_int_ne(credential_verify(json_get_str(j, "credential"), ch.authority.ca_cert_pem,
                                       URN_OF("user", "mallory"), &c, &err),
                     0);
}

START_TEST(credentials_say_the_role) {
    const unsigned all = PRIV_INFO | PRIV_ALLOCATE | PRIV_OPERATE | PRIV_MIGRATE | PRIV_SHUTDOWN;
    ch_populate();
    EXPECT(200, "kim", "PUT", "/v1/slices/demo:ring/members/lee", "{\"role\":\"member\"}");
    EXPECT(200, "kim", "PUT", "/v1/slices/demo:ring/members/pak", "{\"role\":\"auditor\"}");
    expect_credential("kim", "lead", all);
    expect_credential("lee", "member", all & ~(unsigned)PRIV_SHUTDOWN);
    expect_credential("pak", "auditor", PRIV_INFO);
    expect_credential("operator", "operator", all);
    EXPECT(200, "kim", "POST", "/v1/slices/demo:ring/shutdown", NULL);
    expect_credential("kim", "lead", PRIV_INFO);
    expect_credential("operator", "operator", all);
    EXPECT(403, "am:one", "GET", "/v1/slices/demo:ring/credential", NULL);
}
END_TEST

START_TEST(credentials_end_with_the_slice) {
    ch_populate();
    EXPECT(201, "kim", "POST", "/v1/slices",
           "{\"project\":\"demo\",\"name\":\"brief\",\"lifetime_s\":600}");
    AUTO_JSON json *j = OK("kim", "GET", "/v1/slices/demo:brief/credential", NULL);
    AUTO_JSON json *s = OK("kim", "GET", "/v1/slices/demo:brief", NULL);
    ck_assert_int_eq(time_of(j, "expires"), time_of(s, "expires"));
}
END_TEST

START_TEST(operators_have_one_for_the_aggregates) {
    ch_populate();
    AUTO_JSON json *j = OK("operator", "GET", "/v1/credential", NULL);
    struct credential c = { .serial = "" };
    struct err err = ERR_INIT;
    ck_assert_msg(credential_verify(json_get_str(j, "credential"), ch.authority.ca_cert_pem,
                                    URN_OF("user", "operator"), &c, &err) == 0,
                  "%s", err.msg);
    ck_assert_str_eq(c.target, ch.authority.urn);
    ck_assert_str_eq(c.role, "operator");
    credential_done(&c);
    EXPECT(403, "kim", "GET", "/v1/credential", NULL);
    EXPECT(403, "am:one", "GET", "/v1/credential", NULL);
}
END_TEST

/* --- many at once --- */

static void *make_many(void *arg) {
    const char *prefix = arg;
    unsigned long made = 0;
    for (int i = 0; i < 25; i++) { /* half of the names are those of the other threads */
        char body[96];
        snprintf(body, sizeof body, "{\"project\":\"demo\",\"name\":\"%s%d\"}",
                 i % 2 ? "shared" : prefix, i);
        struct http_peer peer = ch_peer("kim");
        struct http_request req = { .method = "POST", .path = "/v1/slices", .peer = &peer,
                                    .raw = body, .raw_length = strlen(body) };
        struct http_reply reply;
        route_dispatch(&ch_routes, &req, &reply);
        if (reply.status == 201) made++;
        else if (reply.status != 409) made += 1000;
        http_reply_done(&reply);
    }
    return (void *)made;
}

START_TEST(many_at_once) {
    static const char *const prefixes[] = { "a", "b", "c", "d", "e", "f" };
    pthread_t threads[COUNT_OF(prefixes)];
    unsigned long made = 0;
    ch_populate();
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_create(&threads[i], NULL, make_many, (void *)(uintptr_t)prefixes[i]);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *one;
        pthread_join(threads[i], &one);
        made += (unsigned long)one;
    }
    ck_assert_uint_eq(made, 6 * 13 + 12);
    AUTO_JSON json *all = OK("kim", "GET", "/v1/slices?limit=1000", NULL);
    ck_assert_uint_eq(json_length(json_get(all, "items")), made + 1);
}
END_TEST

START_TEST(in_pages) {
    ch_populate();
    char body[96], path[256] = "/v1/slices?limit=3";
    for (int i = 0; i < 6; i++) {
        snprintf(body, sizeof body, "{\"project\":\"demo\",\"name\":\"s%d\"}", i);
        EXPECT(201, "kim", "POST", "/v1/slices", body);
    }
    size_t seen = 0;
    for (int pages = 0; pages < 3; pages++) {
        AUTO_JSON json *page = OK("kim", "GET", path, NULL);
        seen += json_length(json_get(page, "items"));
        ck_assert_int_eq(json_has(page, "next"), pages < 2);
        if (json_has(page, "next"))
            snprintf(path, sizeof path, "/v1/slices?limit=3&cursor=%s", json_get_str(page, "next"));
    }
    ck_assert_uint_eq(seen, 7);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_slices");
    TCase *t = tcase_create("slices");
    tcase_add_checked_fixture(t, ch_setup, ch_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, made_by_members_of_the_project);
    tcase_add_test(t, bad_input);
    tcase_add_test(t, other_peoples_slices);
    tcase_add_test(t, member_roles);
    tcase_add_test(t, renewal_extends_only);
    tcase_add_test(t, expired_stays_expired);
    tcase_add_test(t, expires_while_nobody_looks);
    tcase_add_test(t, expires_while_we_are_down);
    tcase_add_test(t, shut_down_is_kept);
    tcase_add_test(t, credentials_say_the_role);
    tcase_add_test(t, credentials_end_with_the_slice);
    tcase_add_test(t, operators_have_one_for_the_aggregates);
    tcase_add_test(t, many_at_once);
    tcase_add_test(t, in_pages);
    suite_add_tcase(s, t);
    return ch_run(s);
}
