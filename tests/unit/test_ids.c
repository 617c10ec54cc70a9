#include "common/ids.h"
#include "common/mem.h"

#include <check.h>

START_TEST(uuids) {
    char a[UUID_TEXT_BYTES], b[UUID_TEXT_BYTES];
    ck_assert(uuid_valid(uuid_new(a)));
    ck_assert(uuid_valid(uuid_new(b)));
    ck_assert_str_ne(a, b);
    ck_assert_int_eq(a[14], '4');
    ck_assert(strchr("89ab", a[19]) != NULL);
    ck_assert(!uuid_valid(""));
    ck_assert(!uuid_valid(NULL));
    ck_assert(!uuid_valid("00000000-0000-0000-0000-00000000000"));
    ck_assert(!uuid_valid("00000000-0000-0000-0000-00000000000G"));
    ck_assert(!uuid_valid("00000000-0000-0000-0000-0000000000001"));
    ck_assert(!uuid_valid("000000000-000-0000-0000-000000000000"));
}
END_TEST

START_TEST(urn_parts) {
    struct urn urn;
    struct err err = ERR_INIT;
    ck_assert_int_eq(urn_parse("urn:publicid:IDN+example.org:demo+slice+ring", &urn, &err), 0);
    ck_assert_str_eq(urn.authority, "example.org:demo");
    ck_assert_str_eq(urn.type, "slice");
    ck_assert_str_eq(urn.name, "ring");
    char text[URN_MAX_BYTES];
    ck_assert_str_eq(urn_text(text, "example.org", "user", "ada"),
                     "urn:publicid:IDN+example.org+user+ada");
    ck_assert_str_eq(urn_name(text), "ada");
    ck_assert_str_eq(urn_name("ada"), "");
    ck_assert_str_eq(urn_name(NULL), "");
    ck_assert(urn_is(text, "user", NULL));
    ck_assert(urn_is(text, "user", "example.org"));
    ck_assert(!urn_is(text, "user", "example.net"));
    ck_assert(!urn_is(text, "node", NULL));
    ck_assert(!urn_is(NULL, "node", NULL));
}
END_TEST

START_TEST(urn_refuses) {
    static const char *const bad[] = {
        "",
        "urn",
        "urn:publicid:IDN+",
        "urn:publicid:IDN+a",
        "urn:publicid:IDN+a+user",
        "urn:publicid:IDN+a+user+",
        "urn:publicid:IDN++user+x",
        "urn:publicid:IDN+a++x",
        "urn:publicid:IDN+a+user+x+y",
        "urn:publicid:idn+a+user+x",
        "urn:publicid:IDN+a+user+x y",
        "urn:publicid:IDN+a b+user+x",
        "urn:publicid:IDN+a+us_er+x",
        "urn:publicid:IDN+a+user+x\n",
        "urn:publicid:IDN+a:+user+x",
        "urn:publicid:IDN+:a+user+x",
        "urn:publicid:IDN+a::b+user+x",
        "urn:publicid:IDN+a+user+\xc3\xa9",
        " urn:publicid:IDN+a+user+x",
        "urn:publicid:IDN+a+user+0123456789012345678901234567890123456789012345678901234567890123",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct urn urn;
        struct err err = ERR_INIT;
        ck_assert_msg(urn_parse(bad[i], &urn, &err) == -1, "accepted \"%s\"", bad[i]);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_str_ne(err.remedy, "");
    }
    ck_assert_int_eq(urn_parse(NULL, &(struct urn){ .name = "" }, NULL), -1);
    char *huge AUTO_FREE = xmalloc(70000);
    memset(huge, 'a', 69999);
    huge[69999] = '\0';
    memcpy(huge, "urn:publicid:IDN+", 17);
    ck_assert_int_eq(urn_parse(huge, &(struct urn){ .name = "" }, NULL), -1);
}
END_TEST

START_TEST(names) {
    ck_assert(name_valid_slice("ring"));
    ck_assert(name_valid_slice("0123456789012345678"));
    ck_assert(!name_valid_slice("01234567890123456789"));
    ck_assert(!name_valid_slice("-ring"));
    ck_assert(!name_valid_slice("ri_ng"));
    ck_assert(!name_valid_slice(""));
    ck_assert(!name_valid_slice(NULL));
    ck_assert(name_valid("node-1.rack_2"));
    ck_assert(!name_valid(".hidden"));
    ck_assert(!name_valid("_x"));
    ck_assert(!name_valid("a/b"));
    ck_assert(!name_valid(""));
    ck_assert(!name_valid(NULL));
    ck_assert(!name_valid("0123456789012345678901234567890123456789012345678901234567890123"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("ids");
    TCase *tc = tcase_create("ids");
    tcase_add_test(tc, uuids);
    tcase_add_test(tc, urn_parts);
    tcase_add_test(tc, urn_refuses);
    tcase_add_test(tc, names);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
