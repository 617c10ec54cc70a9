/* Projects and their members through the route table. */
#include "ch_fixture.h"

START_TEST(made_by_operators) {
    ch_populate();
    AUTO_ANSWER_CH struct answer a =
        ch_call("operator", "POST", "/v1/projects", "{\"name\":\"net\",\"description\":\"조각\"}");
    ck_assert_uint_eq(a.status, 201);
    ck_assert_str_eq(json_get_str(a.body, "urn"), URN_OF("project", "net"));
    ck_assert_str_eq(json_get_str(a.body, "description"), "조각");
    ck_assert_uint_eq(json_length(json_get(a.body, "members")), 0);
    EXPECT(403, "kim", "POST", "/v1/projects", "{\"name\":\"mine\"}");
    EXPECT(409, "operator", "POST", "/v1/projects", "{\"name\":\"DEMO\"}");
    EXPECT(422, "operator", "POST", "/v1/projects", "{\"name\":\"x\",\"lead\":\"nobody\"}");
    EXPECT(404, "operator", "GET", "/v1/projects/x", NULL); /* nothing half-made stays */
    EXPECT(400, "operator", "POST", "/v1/projects", "{\"name\":\"a:b\"}");
}
END_TEST

START_TEST(seen_by_members_alone) {
    ch_populate();
    EXPECT(200, "kim", "GET", "/v1/projects/demo", NULL);
    EXPECT(200, "lee", "GET", "/v1/projects/demo", NULL);
    EXPECT(404, "pak", "GET", "/v1/projects/demo", NULL);
    EXPECT(404, "pak", "GET", "/v1/projects/none", NULL);
    EXPECT(200, "operator", "GET", "/v1/projects/demo", NULL);
    EXPECT(403, "am:one", "GET", "/v1/projects/demo", NULL);
    AUTO_JSON json *own = OK("lee", "GET", "/v1/projects", NULL);
    ck_assert_uint_eq(json_length(json_get(own, "items")), 1);
    AUTO_JSON json *none = OK("pak", "GET", "/v1/projects", NULL);
    ck_assert_uint_eq(json_length(json_get(none, "items")), 0);
}
END_TEST

START_TEST(edited_by_leads_alone) {
    ch_populate();
    AUTO_JSON json *p = OK("kim", "PATCH", "/v1/projects/demo", "{\"description\":\"new\"}");
    ck_assert_str_eq(json_get_str(p, "description"), "new");
    EXPECT(403, "lee", "PATCH", "/v1/projects/demo", "{\"description\":\"x\"}");
    EXPECT(404, "pak", "PATCH", "/v1/projects/demo", "{\"description\":\"x\"}");
    EXPECT(403, "lee", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"member\"}");
    EXPECT(404, "pak", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"lead\"}");
    EXPECT(400, "kim", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"boss\"}");
    EXPECT(422, "kim", "PUT", "/v1/projects/demo/members/nobody", "{\"role\":\"member\"}");
    EXPECT(200, "kim", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"auditor\"}");
    EXPECT(200, "pak", "GET", "/v1/projects/demo", NULL);
    EXPECT(204, "kim", "DELETE", "/v1/projects/demo/members/pak", NULL);
    EXPECT(404, "kim", "DELETE", "/v1/projects/demo/members/pak", NULL);
    EXPECT(404, "pak", "GET", "/v1/projects/demo", NULL);
}
END_TEST

START_TEST(project_roles_reach_the_slices) {
    ch_populate();
    EXPECT(404, "lee", "GET", "/v1/slices/demo:ring", NULL); /* a member sees only own slices */
    EXPECT(200, "operator", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"auditor\"}");
    EXPECT(200, "pak", "GET", "/v1/slices/demo:ring", NULL);
    EXPECT(403, "pak", "POST", "/v1/slices/demo:ring/shutdown", NULL);
    EXPECT(200, "operator", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"lead\"}");
    EXPECT(200, "pak", "POST", "/v1/slices/demo:ring/shutdown", NULL);
}
END_TEST

START_TEST(who_leaves_the_project_leaves_its_slices) {
    ch_populate();
    EXPECT(201, "lee", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"own\"}");
    EXPECT(200, "lee", "GET", "/v1/slices/demo:own", NULL);
    EXPECT(204, "kim", "DELETE", "/v1/projects/demo/members/lee", NULL);
    EXPECT(404, "lee", "GET", "/v1/slices/demo:own", NULL);
    EXPECT(200, "kim", "GET", "/v1/slices/demo:own", NULL);
}
END_TEST

START_TEST(deleted_only_without_living_slices) {
    ch_populate();
    EXPECT(403, "kim", "DELETE", "/v1/projects/demo", NULL);
    EXPECT(409, "operator", "DELETE", "/v1/projects/demo", NULL);
    ch_shift_ms = 8 * DAY_MS;
    EXPECT(200, "operator", "GET", "/v1/slices", NULL);
    EXPECT(204, "operator", "DELETE", "/v1/projects/demo", NULL);
    EXPECT(404, "operator", "GET", "/v1/projects/demo", NULL);
    EXPECT(404, "operator", "GET", "/v1/slices/demo:ring", NULL);
}
END_TEST

START_TEST(members_bump_the_etag) {
    ch_populate();
    ch_if_match = "\"1\"";
    EXPECT(412, "kim", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"member\"}");
    ch_if_match = "\"2\"";
    EXPECT(200, "kim", "PUT", "/v1/projects/demo/members/pak", "{\"role\":\"member\"}");
    EXPECT(412, "kim", "DELETE", "/v1/projects/demo/members/pak", NULL);
    EXPECT(412, "operator", "DELETE", "/v1/projects/demo", NULL);
    ch_if_match = NULL;
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_projects");
    TCase *t = tcase_create("projects");
    tcase_add_checked_fixture(t, ch_setup, ch_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, made_by_operators);
    tcase_add_test(t, seen_by_members_alone);
    tcase_add_test(t, edited_by_leads_alone);
    tcase_add_test(t, project_roles_reach_the_slices);
    tcase_add_test(t, who_leaves_the_project_leaves_its_slices);
    tcase_add_test(t, deleted_only_without_living_slices);
    tcase_add_test(t, members_bump_the_etag);
    suite_add_tcase(s, t);
    return ch_run(s);
}
