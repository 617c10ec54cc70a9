/* The life cycle of slices and the rules of their expiry, as tables. */
#include "clearinghouse/slice_state.h"
#include "common/ids.h"
#include "common/mem.h"

#include <check.h>

#define NOW 1800000000000LL
#define DAY 86400000LL

START_TEST(transitions) {
    static const struct {
        enum slice_state from, to;
        bool allowed;
    } rows[] = {
        { SLICE_ACTIVE, SLICE_EXPIRED, true },   { SLICE_ACTIVE, SLICE_SHUTDOWN, true },
        { SLICE_SHUTDOWN, SLICE_EXPIRED, true }, { SLICE_SHUTDOWN, SLICE_ACTIVE, false },
        { SLICE_EXPIRED, SLICE_ACTIVE, false },  { SLICE_EXPIRED, SLICE_SHUTDOWN, false },
        { SLICE_ACTIVE, SLICE_ACTIVE, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_int_eq(slice_state_allowed(rows[i].from, rows[i].to), rows[i].allowed);
}
END_TEST

START_TEST(names_are_stable) {
    ck_assert_str_eq(slice_state_name(SLICE_ACTIVE), "active");
    ck_assert_str_eq(slice_state_name(SLICE_EXPIRED), "expired");
    ck_assert_str_eq(slice_state_name(SLICE_SHUTDOWN), "shutdown");
    ck_assert_int_eq(slice_state_from("shutdown"), SLICE_SHUTDOWN);
}
END_TEST

START_TEST(first_expiry) {
    static const struct {
        int64_t expires, lifetime, otherwise, want; /* want 0: refused */
    } rows[] = {
        { 0, 0, 7 * DAY, NOW + 7 * DAY },
        { 0, 0, 999 * DAY, NOW + 185 * DAY }, /* the default never exceeds the limit */
        { 0, DAY, 7 * DAY, NOW + DAY },
        { NOW + 1, 0, 7 * DAY, NOW + 1 },
        { NOW + 185 * DAY, 0, 7 * DAY, NOW + 185 * DAY },
        { NOW + 185 * DAY + 1, 0, 7 * DAY, 0 },
        { 0, 186 * DAY, 7 * DAY, 0 },
        { NOW, 0, 7 * DAY, 0 },
        { NOW - DAY, 0, 7 * DAY, 0 },
        { NOW + DAY, DAY, 7 * DAY, 0 }, /* both said */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t got = 0;
        struct err err = ERR_INIT;
        int rc = slice_expiry_new(NOW, rows[i].expires, rows[i].lifetime, rows[i].otherwise,
                                  185 * DAY, &got, &err);
        ck_assert_msg((rc == 0) == (rows[i].want != 0), "row %zu: %s", i, err.msg);
        ck_assert_int_eq(got, rows[i].want);
    }
}
END_TEST

START_TEST(renewal_only_extends) {
    static const struct {
        int64_t old, new;
        bool allowed;
    } rows[] = {
        { NOW + DAY, NOW + 2 * DAY, true },
        { NOW + DAY, NOW + DAY, true },      /* asked twice */
        { NOW + DAY, NOW + DAY - 1, false }, /* shorter */
        { NOW + DAY, NOW - 1, false },
        { NOW + DAY, NOW + 185 * DAY, true },
        { NOW + DAY, NOW + 185 * DAY + 1, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        int rc = slice_expiry_renew(NOW, rows[i].old, rows[i].new, 185 * DAY, &err);
        ck_assert_msg((rc == 0) == rows[i].allowed, "row %zu: %s", i, err.msg);
        if (rc) ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_slice_state");
    TCase *t = tcase_create("rules");
    tcase_add_test(t, transitions);
    tcase_add_test(t, names_are_stable);
    tcase_add_test(t, first_expiry);
    tcase_add_test(t, renewal_only_extends);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
