#include "nodemgr/forgotten.h"

#include <check.h>
#include <stdio.h>

START_TEST(an_older_attempt_is_refused_a_newer_one_is_not) {
    struct forgotten f = { .next = 0 };
    ck_assert(!forgotten_has(&f, "a", 1));
    forgotten_note(&f, "a", 3);
    ck_assert(forgotten_has(&f, "a", 2) && forgotten_has(&f, "a", 3));
    ck_assert(!forgotten_has(&f, "a", 4) && !forgotten_has(&f, "b", 1));
    forgotten_note(&f, "a", 2); /* never less than before */
    ck_assert(forgotten_has(&f, "a", 3));
}
END_TEST

START_TEST(the_oldest_goes_when_it_is_full) {
    struct forgotten f = { .next = 0 };
    char id[37];
    for (int i = 0; i <= FORGOTTEN_MAX; i++) {
        snprintf(id, sizeof id, "m%d", i);
        forgotten_note(&f, id, 2);
    }
    ck_assert(!forgotten_has(&f, "m0", 1));
    ck_assert(forgotten_has(&f, "m1", 2) && forgotten_has(&f, id, 2));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("forgotten");
    TCase *tc = tcase_create("ring");
    tcase_add_test(tc, an_older_attempt_is_refused_a_newer_one_is_not);
    tcase_add_test(tc, the_oldest_goes_when_it_is_full);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
