/* The registry, the authority's files, and the table against the document. */
#include "ch_fixture.h"

#include <sys/stat.h>

/* --- registry --- */

START_TEST(services_report_themselves) {
    AUTO_JSON json *s =
        OK("am:one", "PUT", "/v1/services/self", "{\"url\":\"https://10.0.0.1:8402\"}");
    ck_assert_str_eq(json_get_str(s, "urn"), URN_OF("am", "one"));
    ck_assert_str_eq(json_get_str(s, "type"), "am");
    ck_assert(json_has(s, "seen"));
    AUTO_ANSWER_CH struct answer again =
        ch_call("am:one", "PUT", "/v1/services/self", "{\"url\":\"https://[::1]:8402\"}");
    ck_assert_str_eq(json_get_str(again.body, "url"), "https://[::1]:8402");
    ck_assert_str_eq(json_get_str(again.body, "created"), json_get_str(s, "created"));
    ck_assert_str_eq(again.etag, "2");
    EXPECT(403, "node:n1", "PUT", "/v1/services/self", "{\"url\":\"https://10.0.0.1:8402\"}");
    EXPECT(403, "operator", "PUT", "/v1/services/self", "{\"url\":\"https://10.0.0.1:8402\"}");
    EXPECT(400, "am:one", "PUT", "/v1/services/self", "{\"url\":\"http://10.0.0.1:8402\"}");
    EXPECT(400, "am:one", "PUT", "/v1/services/self", "{\"url\":\"https://h/?a=b\"}");
}
END_TEST

START_TEST(operators_register_and_remove) {
    EXPECT(201, "operator", "POST", "/v1/services",
           "{\"type\":\"ss\",\"name\":\"store\",\"url\":\"https://store.example.org:8403\"}");
    EXPECT(409, "operator", "POST", "/v1/services",
           "{\"type\":\"ss\",\"name\":\"store\",\"url\":\"https://store.example.org:8403\"}");
    EXPECT(400, "operator", "POST", "/v1/services",
           "{\"type\":\"node\",\"name\":\"n\",\"url\":\"https://h:1\"}");
    EXPECT(200, "node:n1", "GET", "/v1/services/ss:store", NULL);
    EXPECT(200, "node:n1", "GET", "/v1/services/" URN_OF("ss", "store"), NULL);
    EXPECT(404, "node:n1", "GET", "/v1/services/am:store", NULL);
    EXPECT(404, "node:n1", "GET", "/v1/services/store", NULL);
    EXPECT(403, "ss:store", "DELETE", "/v1/services/ss:store", NULL);
    ch_if_match = "\"9\"";
    EXPECT(412, "operator", "DELETE", "/v1/services/ss:store", NULL);
    ch_if_match = NULL;
    EXPECT(204, "operator", "DELETE", "/v1/services/ss:store", NULL);
    EXPECT(404, "operator", "DELETE", "/v1/services/ss:store", NULL);
}
END_TEST

START_TEST(listed_by_type) {
    EXPECT(200, "am:one", "PUT", "/v1/services/self", "{\"url\":\"https://10.0.0.1:8402\"}");
    EXPECT(200, "am:two", "PUT", "/v1/services/self", "{\"url\":\"https://10.0.0.2:8402\"}");
    EXPECT(200, "ss:store", "PUT", "/v1/services/self", "{\"url\":\"https://10.0.0.3:8403\"}");
    AUTO_JSON json *all = OK("node:n1", "GET", "/v1/services", NULL);
    ck_assert_uint_eq(json_length(json_get(all, "items")), 3);
    AUTO_JSON json *stores = OK("node:n1", "GET", "/v1/services?type=ss", NULL);
    ck_assert_str_eq(json_str(json_path(stores, "items.0.name")), "store");
    ck_assert_uint_eq(json_length(json_get(stores, "items")), 1);
    AUTO_JSON json *page = OK("node:n1", "GET", "/v1/services?type=am&limit=1", NULL);
    ck_assert(json_has(page, "next"));
    EXPECT(400, "node:n1", "GET", "/v1/services?type=node", NULL);
    EXPECT(401, NULL, "GET", "/v1/services", NULL);
}
END_TEST

/* --- who we are --- */

START_TEST(anyone_may_ask_who_we_are) {
    AUTO_JSON json *i = OK(NULL, "GET", "/v1", NULL);
    ck_assert_str_eq(json_get_str(i, "urn"), URN_OF("sa", "clearinghouse"));
    ck_assert_str_eq(json_get_str(i, "authority"), URN_OF("authority", "ca"));
    AUTO_ANSWER_CH struct answer ca = ch_call(NULL, "GET", "/v1/ca", NULL);
    ck_assert_str_eq(ca.text, ch.authority.ca_cert_pem);
}
END_TEST

START_TEST(strangers_are_nobody) {
    static const struct http_peer peers[] = {
        { .urn = "urn:publicid:IDN+other.org+user+operator", .type = "user" },
        { .urn = "urn:publicid:IDN+example.org:demo+user+operator", .type = "user" },
        { .urn = URN_OF("user", "operator"), .type = "am" },
        { .urn = URN_OF("slice", "operator"), .type = "slice" },
        { .urn = "operator", .type = "user" },
    };
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        struct http_request req = { .method = "GET", .path = "/v1/users", .peer = &peers[i] };
        ck_assert_uint_eq(route_roles(&ch_routes, &req), ROLE_ANYONE);
    }
}
END_TEST

/* --- the authority's files --- */

static char *state_file(const char *name) {
    struct err err = ERR_INIT;
    AUTO_FREE char *path = xasprintf("%s/%s", ch_dir, name);
    return file_read(path, 65536, NULL, &err);
}

START_TEST(authority_survives_restarts) {
    AUTO_FREE char *ca = state_file("ca.crt"), *own = state_file("identity.crt");
    static const char *const secret[] = { "ca.key", "identity.key", "clearinghouse.db",
                                          "operator.token" };
    for (size_t i = 0; i < COUNT_OF(secret); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", ch_dir, secret[i]);
        struct stat st;
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0077, 0);
    }
    ch_reopen();
    AUTO_FREE char *ca2 = state_file("ca.crt"), *own2 = state_file("identity.crt");
    ck_assert_str_eq(ca, ca2);
    ck_assert_str_eq(own, own2);
    struct pki_cert facts;
    struct err err = ERR_INIT;
    ck_assert_int_eq(pki_cert_read(ca, &facts, &err), 0);
    ck_assert_int_gt(facts.not_after_ms, clock_wall_ms() + 3649 * DAY_MS);
}
END_TEST

START_TEST(own_certificate_is_renewed_in_time) {
    AUTO_FREE char *first = state_file("identity.crt");
    house_close(&ch);
    ch_shift_ms = 59 * DAY_MS;
    ch_open();
    AUTO_FREE char *same = state_file("identity.crt");
    ck_assert_str_eq(first, same);
    house_close(&ch);
    ch_shift_ms = 61 * DAY_MS;
    ch_open();
    AUTO_FREE char *second = state_file("identity.crt");
    ck_assert_str_ne(first, second);
    ck_assert_str_eq(second, ch.authority.cert_pem);
    ck_assert(!authority_server_due(&ch.authority));
}
END_TEST

START_TEST(own_certificate_follows_the_host) {
    static char other[] = "10.9.8.7";
    AUTO_FREE char *first = state_file("identity.crt");
    ch_config.base.advertise_host = other;
    ch_reopen();
    AUTO_FREE char *second = state_file("identity.crt");
    ck_assert_str_ne(first, second);
}
END_TEST

/* Opening must fail with this code and leave nothing open. */
static void expect_refused(enum err_code code) {
    struct err err = ERR_INIT;
    house_close(&ch);
    ck_assert_int_eq(house_open(&ch, &ch_config, &err), -1);
    ck_assert_msg(err.code == code, "%s", err.msg);
}

static void state_remove(const char *name) {
    AUTO_FREE char *path = xasprintf("%s/%s", ch_dir, name);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(authority_keeps_its_name) {
    static char other[] = "other.org";
    ch_config.authority = other;
    expect_refused(ERR_CONFLICT);
    ch_config.authority = ch_authority;
    ch_open();
}
END_TEST

START_TEST(bad_names_and_broken_files_are_refused) {
    static char bad[] = "a+b";
    struct err err = ERR_INIT;
    ch_config.authority = bad;
    expect_refused(ERR_INVALID);
    ch_config.authority = ch_authority;
    ch_open();
    AUTO_FREE char *key = state_file("ca.key");
    AUTO_FREE char *path = xasprintf("%s/ca.key", ch_dir);
    state_remove("ca.key");
    expect_refused(ERR_NOT_FOUND);
    AUTO_FREE char *foreign = pki_key_new(&err);
    ck_assert_int_eq(file_write(path, foreign, strlen(foreign), 0600, &err), 0);
    expect_refused(ERR_INTEGRITY);
    ck_assert_int_eq(file_write(path, key, strlen(key), 0600, &err), 0);
    ch_open();
}
END_TEST

START_TEST(a_crash_while_being_made_goes_on) {
    AUTO_FREE char *key = state_file("ca.key");
    house_close(&ch);
    state_remove("ca.crt"); /* killed after the key was written */
    ch_open();
    AUTO_FREE char *same = state_file("ca.key");
    ck_assert_str_eq(key, same);
    house_close(&ch);
    state_remove("identity.crt");
    ch_open();
}
END_TEST

/* --- the table against the document --- */

static void upper(char *s) {
    for (; *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s - 32);
}

START_TEST(every_row_has_its_operation) {
    const json *document = schema_document("clearinghouse");
    ck_assert_ptr_nonnull(document);
    const json *paths = json_get(document, "paths");
    for (size_t i = 0; i < ch_routes.count; i++) {
        const struct route *row = &ch_routes.rows[i];
        char method[16];
        snprintf(method, sizeof method, "%s", row->method);
        for (char *c = method; *c; c++) *c = (char)(*c + 32);
        const json *op = json_get(json_get(paths, row->pattern), method);
        ck_assert_msg(op != NULL, "%s %s is not in the document", row->method, row->pattern);
        ck_assert_msg((row->request != NULL) == json_has(op, "requestBody"), "%s %s: body",
                      row->method, row->pattern);
        if (!row->request) continue;
        AUTO_FREE char *ref = xasprintf("#/components/schemas/%s", strchr(row->request, '#') + 1);
        const json *body =
            json_get(json_get(json_get(op, "requestBody"), "content"), "application/json");
        ck_assert_str_eq(json_get_str(json_get(body, "schema"), "$ref"), ref);
    }
}
END_TEST

START_TEST(every_operation_has_its_row) {
    const char *path, *key;
    json *operations, *op;
    size_t it = 0;
    const json *paths = json_get(schema_document("clearinghouse"), "paths");
    while (json_next(paths, &it, &path, &operations)) {
        size_t inner = 0;
        while (json_next(operations, &inner, &key, &op)) {
            char method[16];
            if (strcmp(key, "parameters") == 0) continue;
            snprintf(method, sizeof method, "%s", key);
            upper(method);
            size_t i = 0;
            while (i < ch_routes.count && (strcmp(ch_routes.rows[i].method, method) != 0 ||
                                           strcmp(ch_routes.rows[i].pattern, path) != 0))
                i++;
            ck_assert_msg(i < ch_routes.count, "%s %s has no row", method, path);
        }
    }
}
END_TEST

START_TEST(nobody_gets_anywhere) {
    for (size_t i = 0; i < ch_routes.count; i++) {
        const struct route *row = &ch_routes.rows[i];
        if (row->roles & ROLE_ANYONE) continue;
        EXPECT(401, NULL, row->method, row->pattern, NULL);
        EXPECT(403, "stranger", row->method, row->pattern, NULL);
    }
    EXPECT(404, "operator", "GET", "/v1/nothing", NULL);
    EXPECT(405, "operator", "PUT", "/v1/users", "{}");
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_registry");
    TCase *t = tcase_create("registry");
    tcase_add_checked_fixture(t, ch_setup, ch_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, services_report_themselves);
    tcase_add_test(t, operators_register_and_remove);
    tcase_add_test(t, listed_by_type);
    tcase_add_test(t, anyone_may_ask_who_we_are);
    tcase_add_test(t, strangers_are_nobody);
    tcase_add_test(t, authority_survives_restarts);
    tcase_add_test(t, own_certificate_is_renewed_in_time);
    tcase_add_test(t, own_certificate_follows_the_host);
    tcase_add_test(t, authority_keeps_its_name);
    tcase_add_test(t, bad_names_and_broken_files_are_refused);
    tcase_add_test(t, a_crash_while_being_made_goes_on);
    tcase_add_test(t, every_row_has_its_operation);
    tcase_add_test(t, every_operation_has_its_row);
    tcase_add_test(t, nobody_gets_anywhere);
    suite_add_tcase(s, t);
    return ch_run(s);
}
