/* Users through the route table. */
#include "ch_fixture.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJr5 kim@host"

START_TEST(first_start_makes_the_operator) {
    AUTO_JSON json *u = OK("operator", "GET", "/v1/users/self", NULL);
    ck_assert_str_eq(json_get_str(u, "name"), "operator");
    ck_assert_str_eq(json_get_str(u, "role"), "operator");
    ck_assert_str_eq(json_get_str(u, "urn"), URN_OF("user", "operator"));
}
END_TEST

START_TEST(made_and_read) {
    AUTO_ANSWER_CH struct answer a =
        ch_call("operator", "POST", "/v1/users",
                "{\"name\":\"kim\",\"email\":\"kim@example.org\",\"ssh_keys\":[\"" KEY "\"]}");
    ck_assert_uint_eq(a.status, 201);
    ck_assert_str_eq(a.location, "/v1/users/kim");
    ck_assert_str_eq(a.etag, "1");
    AUTO_JSON json *u = OK("kim", "GET", "/v1/users/kim", NULL);
    ck_assert(json_equal(u, a.body));
    ck_assert_str_eq(json_str(json_at(json_get(u, "ssh_keys"), 0)), KEY);
    AUTO_JSON json *self = OK("kim", "GET", "/v1/users/self", NULL);
    ck_assert(json_equal(self, u));
}
END_TEST

START_TEST(bad_input) {
    static const char *const bodies[] = {
        "{}",
        "[]",
        "{",
        "null",
        "{\"name\":\"\"}",
        "{\"name\":\"a b\"}",
        "{\"name\":\"-a\"}",
        "{\"name\":\"a/b\"}",
        "{\"name\":\"a+b\"}",
        "{\"name\":7}",
        "{\"name\":\"x\",\"y\":1}",
        "{\"name\":\"x\",\"role\":\"king\"}",
        "{\"name\":\"x\",\"email\":\"no at\"}",
        "{\"name\":\"x\",\"ssh_keys\":[\"not a key\"]}",
        "{\"name\":\"x\",\"ssh_keys\":[\"ssh-rsa AAAA x\\nssh-rsa BBBB y\"]}",
        "{\"name\":\"x\",\"ssh_keys\":\"" KEY "\"}",
        "{\"name\":\"x\",\"name\":\"y\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        EXPECT(400, "operator", "POST", "/v1/users", bodies[i]);
    EXPECT(422, "operator", "POST", "/v1/users", "{\"name\":\"self\"}");
    EXPECT(400, "operator", "POST", "/v1/users", NULL);
    AUTO_JSON json *list = OK("operator", "GET", "/v1/users", NULL);
    ck_assert_uint_eq(json_length(json_get(list, "items")), 1);
}
END_TEST

START_TEST(names_are_taken_once) {
    EXPECT(201, "operator", "POST", "/v1/users", "{\"name\":\"kim\"}");
    EXPECT(409, "operator", "POST", "/v1/users", "{\"name\":\"kim\"}");
    EXPECT(409, "operator", "POST", "/v1/users", "{\"name\":\"Kim\"}");
}
END_TEST

START_TEST(others_are_not_yours) {
    ch_populate();
    EXPECT(403, "kim", "GET", "/v1/users/lee", NULL);
    EXPECT(403, "kim", "PATCH", "/v1/users/lee", "{\"email\":\"a@b\"}");
    EXPECT(403, "kim", "DELETE", "/v1/users/kim", NULL);
    EXPECT(403, "kim", "GET", "/v1/users", NULL);
    EXPECT(403, "kim", "POST", "/v1/users", "{\"name\":\"new\"}");
    EXPECT(403, "am:one", "GET", "/v1/users/kim", NULL);
    EXPECT(401, NULL, "GET", "/v1/users/kim", NULL);
    EXPECT(403, "stranger", "GET", "/v1/users/self", NULL);
    EXPECT(404, "operator", "GET", "/v1/users/nobody", NULL);
}
END_TEST

START_TEST(own_keys_may_change_but_not_the_role) {
    ch_populate();
    AUTO_JSON json *u = OK("kim", "PATCH", "/v1/users/self",
                           "{\"email\":\"k@example.org\",\"ssh_keys\":[\"" KEY "\"]}");
    ck_assert_str_eq(json_get_str(u, "email"), "k@example.org");
    EXPECT(403, "kim", "PATCH", "/v1/users/kim", "{\"role\":\"operator\"}");
    EXPECT(403, "kim", "PATCH", "/v1/users/kim", "{\"disabled\":false}");
    AUTO_JSON json *cleared = OK("kim", "PATCH", "/v1/users/kim", "{\"email\":\"\"}");
    ck_assert(!json_has(cleared, "email"));
    ck_assert_uint_eq(json_length(json_get(cleared, "ssh_keys")), 1);
}
END_TEST

START_TEST(if_match_guards_changes) {
    ch_populate();
    ch_if_match = "\"7\"";
    EXPECT(412, "kim", "PATCH", "/v1/users/kim", "{\"email\":\"a@b\"}");
    EXPECT(412, "operator", "DELETE", "/v1/users/kim", NULL);
    ch_if_match = "\"1\"";
    AUTO_ANSWER_CH struct answer a = ch_call("kim", "PATCH", "/v1/users/kim", "{}");
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.etag, "2");
    EXPECT(412, "kim", "PATCH", "/v1/users/kim", "{}");
    ch_if_match = "*";
    EXPECT(200, "kim", "PATCH", "/v1/users/kim", "{}");
    ch_if_match = NULL;
}
END_TEST

START_TEST(disabled_users_are_refused_at_once) {
    ch_populate();
    EXPECT(200, "kim", "GET", "/v1/slices", NULL);
    EXPECT(200, "operator", "PATCH", "/v1/users/kim", "{\"disabled\":true}");
    EXPECT(403, "kim", "GET", "/v1/slices", NULL);
    EXPECT(403, "kim", "GET", "/v1/users/self", NULL);
    AUTO_JSON json *r = OK("am:one", "GET", "/v1/revocations", NULL);
    ck_assert_str_eq(json_str(json_path(r, "users.0")), URN_OF("user", "kim"));
    ch_reopen(); /* and after a restart */
    EXPECT(403, "kim", "GET", "/v1/slices", NULL);
    EXPECT(200, "operator", "PATCH", "/v1/users/kim", "{\"disabled\":false}");
    EXPECT(200, "kim", "GET", "/v1/slices", NULL);
}
END_TEST

START_TEST(roles_change_at_once) {
    ch_populate();
    EXPECT(403, "kim", "GET", "/v1/users", NULL);
    EXPECT(200, "operator", "PATCH", "/v1/users/kim", "{\"role\":\"operator\"}");
    EXPECT(200, "kim", "GET", "/v1/users", NULL);
    EXPECT(200, "kim", "PATCH", "/v1/users/kim", "{\"role\":\"user\"}");
    EXPECT(403, "kim", "GET", "/v1/users", NULL);
}
END_TEST

START_TEST(an_operator_is_left) {
    ch_populate();
    EXPECT(409, "operator", "PATCH", "/v1/users/operator", "{\"disabled\":true}");
    EXPECT(409, "operator", "PATCH", "/v1/users/operator", "{\"role\":\"user\"}");
    EXPECT(409, "operator", "DELETE", "/v1/users/operator", NULL);
    EXPECT(200, "operator", "PATCH", "/v1/users/kim", "{\"role\":\"operator\"}");
    EXPECT(204, "operator", "DELETE", "/v1/users/operator", NULL);
    EXPECT(403, "operator", "GET", "/v1/users", NULL);
    ch_reopen(); /* nobody makes the user again while another operator is there */
    EXPECT(404, "kim", "GET", "/v1/users/operator", NULL);
}
END_TEST

START_TEST(deleted_with_memberships) {
    ch_populate();
    EXPECT(204, "operator", "DELETE", "/v1/users/lee", NULL);
    EXPECT(403, "lee", "GET", "/v1/slices", NULL);
    EXPECT(404, "operator", "DELETE", "/v1/users/lee", NULL);
    AUTO_JSON json *p = OK("kim", "GET", "/v1/projects/demo", NULL);
    ck_assert_uint_eq(json_length(json_get(p, "members")), 1);
}
END_TEST

START_TEST(in_pages) {
    char body[64], path[256] = "/v1/users?limit=4", seen[32] = "";
    for (int i = 0; i < 10; i++) {
        snprintf(body, sizeof body, "{\"name\":\"u%c\"}", 'a' + i);
        EXPECT(201, "operator", "POST", "/v1/users", body);
    }
    for (int pages = 1;; pages++) {
        AUTO_JSON json *page = OK("operator", "GET", path, NULL);
        const json *items = json_get(page, "items");
        for (size_t i = 0; i < json_length(items); i++)
            strncat(seen, json_get_str(json_at(items, i), "name") + 1, 1);
        const char *next = json_get_str(page, "next");
        if (!next) {
            ck_assert_int_eq(pages, 3);
            break;
        }
        snprintf(path, sizeof path, "/v1/users?limit=4&cursor=%s", next);
    }
    ck_assert_str_eq(seen, "pabcdefghij"); /* operator, ua .. uj */
    EXPECT(400, "operator", "GET", "/v1/users?limit=0", NULL);
    EXPECT(400, "operator", "GET", "/v1/users?limit=1001", NULL);
    EXPECT(400, "operator", "GET", "/v1/users?limit=x", NULL);
    EXPECT(400, "operator", "GET", "/v1/users?cursor=%21", NULL);
}
END_TEST

START_TEST(many_users_keep_their_standing) {
    char body[64], name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(body, sizeof body, "{\"name\":\"u%d\"}", i);
        EXPECT(201, "operator", "POST", "/v1/users", body);
    }
    for (int i = 0; i < 200; i += 2) {
        snprintf(body, sizeof body, "/v1/users/u%d", i);
        EXPECT(204, "operator", "DELETE", body, NULL);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "u%d", i);
        EXPECT(i % 2 ? 200 : 403, name, "GET", "/v1/users/self", NULL);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_users");
    TCase *t = tcase_create("users");
    tcase_add_checked_fixture(t, ch_setup, ch_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, first_start_makes_the_operator);
    tcase_add_test(t, made_and_read);
    tcase_add_test(t, bad_input);
    tcase_add_test(t, names_are_taken_once);
    tcase_add_test(t, others_are_not_yours);
    tcase_add_test(t, own_keys_may_change_but_not_the_role);
    tcase_add_test(t, if_match_guards_changes);
    tcase_add_test(t, disabled_users_are_refused_at_once);
    tcase_add_test(t, roles_change_at_once);
    tcase_add_test(t, an_operator_is_left);
    tcase_add_test(t, deleted_with_memberships);
    tcase_add_test(t, in_pages);
    tcase_add_test(t, many_users_keep_their_standing);
    suite_add_tcase(s, t);
    return ch_run(s);
}
