/* A disk that is full or fails: clear answers, nothing half-made, and on when it is well again. */
#include "ch_fixture.h"

#include "clearinghouse/slice.h"
#include "common/db_fault.h"
#include "common/enroll.h"

static size_t slices(const char *query) {
    AUTO_FREE char *path = xasprintf("/v1/slices?limit=1000%s", query);
    AUTO_JSON json *all = OK("operator", "GET", path, NULL);
    return json_length(json_get(all, "items"));
}

START_TEST(full_at_the_commit) {
    ch_populate();
    db_fail_nth(DB_FAULT_COMMIT, 1, DB_FAULT_FULL);
    EXPECT(507, "kim", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"x\"}");
    ck_assert_uint_eq(slices(""), 1);
    EXPECT(201, "kim", "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"x\"}");
    db_fail_nth(DB_FAULT_COMMIT, 1, DB_FAULT_FULL);
    EXPECT(507, "operator", "PATCH", "/v1/users/kim", "{\"disabled\":true}");
    EXPECT(200, "kim", "GET", "/v1/slices", NULL); /* memory says what the disk says */
}
END_TEST

START_TEST(fails_at_each_statement) {
    ch_populate();
    int failed = 0;
    for (int nth = 1; nth <= 20; nth++) {
        char body[96];
        snprintf(body, sizeof body, "{\"project\":\"demo\",\"name\":\"s%d\"}", nth);
        size_t before = slices("");
        db_fail_nth(DB_FAULT_STATEMENT, nth, DB_FAULT_FULL);
        struct answer a = ch_call("kim", "POST", "/v1/slices", body);
        db_fail_nth(DB_FAULT_STATEMENT, 0, DB_FAULT_FULL);
        ck_assert_uint_eq(slices("") - before, a.status == 201);
        ck_assert(a.status == 201 || a.status == 507);
        failed += a.status != 201;
        answer_done(&a);
    }
    ck_assert_int_gt(failed, 3);
    ck_assert_int_lt(failed, 20); /* the call has fewer statements than that */
}
END_TEST

START_TEST(standing_fails_closed) {
    struct err err = ERR_INIT;
    ch_populate();
    int failed = 0;
    for (int nth = 1; nth <= 12; nth++) {
        EXPECT(200, "operator", "PATCH", "/v1/users/kim", "{\"disabled\":false}");
        db_fail_nth(DB_FAULT_STATEMENT, nth, DB_FAULT_IOERR);
        struct answer a = ch_call("operator", "PATCH", "/v1/users/kim", "{\"disabled\":true}");
        db_fail_nth(DB_FAULT_STATEMENT, 0, DB_FAULT_IOERR);
        failed += a.status != 200;
        answer_done(&a);
        AUTO_JSON json *kim = OK("operator", "GET", "/v1/users/kim", NULL);
        bool disabled = json_get_bool(kim, "disabled", false);
        if (disabled) EXPECT(403, "kim", "GET", "/v1/slices", NULL); /* never let in */
        ck_assert_int_eq(standing_retry(&ch.standing, ch.db, &err), 0);
        EXPECT(disabled ? 403 : 200, "kim", "GET", "/v1/slices", NULL);
    }
    ck_assert_int_gt(failed, 2);
}
END_TEST

START_TEST(expiry_is_tried_again) {
    struct err err = ERR_INIT;
    ch_populate();
    ch_shift_ms = 8 * DAY_MS;
    db_fail_nth(DB_FAULT_COMMIT, 1, DB_FAULT_IOERR);
    ck_assert_int_eq(slice_settle(&ch, &err), -1);
    ck_assert_int_eq(slice_settle(&ch, &err), 0);
    ch_shift_ms = 0;
    ck_assert_uint_eq(slices("&state=expired"), 1);
}
END_TEST

START_TEST(a_token_is_not_used_up_by_a_failure) {
    struct err err = ERR_INIT;
    ch_populate();
    AUTO_JSON json *token =
        OK("operator", "POST", "/v1/enrollments", "{\"type\":\"node\",\"name\":\"n1\"}");
    struct enroll_token t;
    ck_assert_int_eq(enroll_token_parse(json_get_str(token, "token"), &t, &err), 0);
    for (int i = 0; i < 2; i++) { /* another key each time */
        AUTO_FREE char *key = pki_key_new(&err), *csr = pki_csr_new(key, NULL, &err);
        AUTO_JSON json *j = json_set_str(json_object(), "csr", csr);
        json_set_str(j, "secret", t.secret);
        AUTO_FREE char *body = json_text(j);
        if (i == 0) db_fail_nth(DB_FAULT_COMMIT, 1, DB_FAULT_LOST);
        EXPECT(i == 0 ? 507 : 200, NULL, "POST", "/v1/enroll", body);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_faults");
    TCase *t = tcase_create("disk");
    tcase_add_checked_fixture(t, ch_setup, ch_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, full_at_the_commit);
    tcase_add_test(t, fails_at_each_statement);
    tcase_add_test(t, standing_fails_closed);
    tcase_add_test(t, expiry_is_tried_again);
    tcase_add_test(t, a_token_is_not_used_up_by_a_failure);
    suite_add_tcase(s, t);
    return ch_run(s);
}
