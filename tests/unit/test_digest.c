#include "common/digest.h"
#include "common/mem.h"

#include <check.h>

START_TEST(sha256_known_answers) {
    char text[SHA256_TEXT_BYTES]; /* FIPS 180-4's examples */
    ck_assert_str_eq(sha256_text("abc", 3, text),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_str_eq(sha256_text("", 0, text),
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ck_assert_str_eq(sha256_text(NULL, 0, text),
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

START_TEST(stream_equals_whole) {
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
    sha256("hello, slivers", 14, a);
    struct sha256_stream *s = sha256_begin();
    sha256_add(s, "hello,", 6);
    sha256_add(s, " slivers", 8);
    sha256_end(s, b);
    ck_assert_mem_eq(a, b, sizeof a);
    sha256_free(sha256_begin()); /* given up */
    sha256_free(NULL);
}
END_TEST

START_TEST(digest_text_validity) {
    char text[SHA256_TEXT_BYTES];
    sha256_text("x", 1, text);
    ck_assert(sha256_text_valid(text));
    text[3] = 'A';
    ck_assert(!sha256_text_valid(text));
    ck_assert(!sha256_text_valid("abc"));
    ck_assert(!sha256_text_valid(NULL));
}
END_TEST

START_TEST(hex_both_ways) {
    uint8_t bytes[3] = { 0x00, 0x7f, 0xff }, back[3];
    char text[7];
    hex_text(bytes, 3, text);
    ck_assert_str_eq(text, "007fff");
    ck_assert_int_eq(hex_parse("007FfF", back, 3), 0);
    ck_assert_mem_eq(bytes, back, 3);
    ck_assert_int_eq(hex_parse("007ff", back, 3), -1);
    ck_assert_int_eq(hex_parse("007ff ", back, 3), -1);
    ck_assert_int_eq(hex_parse("007fff0", back, 3), -1);
    ck_assert_int_eq(hex_parse(NULL, back, 3), -1);
}
END_TEST

START_TEST(base64url_known_answers) {
    static const struct {
        const char *plain, *text;
    } rows[] = {
        /* RFC 4648, section 10 */
        { "", "" },
        { "f", "Zg" },
        { "fo", "Zm8" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg" },
        { "fooba", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy" },
        { "\xfb\xff", "-_8" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *text AUTO_FREE = base64url_encode(rows[i].plain, strlen(rows[i].plain));
        ck_assert_str_eq(text, rows[i].text);
        size_t length;
        uint8_t *plain AUTO_FREE = base64url_decode(text, &length);
        ck_assert_ptr_nonnull(plain);
        ck_assert_uint_eq(length, strlen(rows[i].plain));
        ck_assert_mem_eq(plain, rows[i].plain, length);
    }
}
END_TEST

START_TEST(base64url_refuses) {
    static const char *const bad[] = {
        "A", "Zg==", "Zm8+", "Zm8/", "Zh", "Zm9", "Zm 9v", "Zm9v\n"
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        size_t length;
        ck_assert_msg(base64url_decode(bad[i], &length) == NULL, "accepted \"%s\"", bad[i]);
    }
}
END_TEST

START_TEST(random_round_trips) {
    for (size_t n = 0; n < 200; n++) {
        uint8_t bytes[200];
        random_bytes(bytes, n);
        char *text AUTO_FREE = base64url_encode(bytes, n);
        size_t length;
        uint8_t *back AUTO_FREE = base64url_decode(text, &length);
        ck_assert_uint_eq(length, n);
        ck_assert(memcmp(bytes, back, n) == 0);
    }
}
END_TEST

START_TEST(secrets_compare) {
    ck_assert(secret_equal("one", "one"));
    ck_assert(!secret_equal("one", "two"));
    ck_assert(!secret_equal("one", "one "));
    ck_assert(secret_equal("", ""));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("digest");
    TCase *tc = tcase_create("digest");
    tcase_add_test(tc, sha256_known_answers);
    tcase_add_test(tc, stream_equals_whole);
    tcase_add_test(tc, digest_text_validity);
    tcase_add_test(tc, hex_both_ways);
    tcase_add_test(tc, base64url_known_answers);
    tcase_add_test(tc, base64url_refuses);
    tcase_add_test(tc, random_round_trips);
    tcase_add_test(tc, secrets_compare);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
