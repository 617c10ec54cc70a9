#include "common/json.h"

#include <check.h>
#include <stdio.h>

static int parses(const char *text) {
    struct err err = ERR_INIT;
    json *j = NULL;
    int rc = json_parse_value(text, strlen(text), &j, &err);
    json_put(j);
    if (rc) ck_assert(err.code == ERR_INVALID && err.msg[0]);
    return rc == 0;
}

/* Text in, compact text out. */
static void ck_round(const char *text, const char *expected) {
    struct err err = ERR_INIT;
    json *j AUTO_JSON = NULL;
    ck_assert_msg(json_parse_value(text, strlen(text), &j, &err) == 0, "%s: %s", text, err.msg);
    char *out AUTO_FREE = json_text(j);
    ck_assert_str_eq(out, expected);
}

START_TEST(accepts_rfc8259) {
    ck_round(" {\"a\" : [1, -2 ,3.5,true,false,null,{}] , \"b\":\"\"}\n",
             "{\"a\":[1,-2,3.5,true,false,null,{}],\"b\":\"\"}");
    ck_round("\"\\u00e9\\ud83d\\ude00\\n\\t\\/\\b\"", "\"\xc3\xa9\xf0\x9f\x98\x80\\n\\t/\\u0008\"");
    ck_round("9223372036854775807", "9223372036854775807");
    ck_round("-9223372036854775808", "-9223372036854775808");
    ck_round("1e2", "100.0");
    ck_round("0.1", "0.1");
    ck_round("1E-7", "1e-07");
    ck_round("-0", "0");
    ck_round("[]", "[]");
    ck_round("null", "null");
}
END_TEST

static const char *const refused[] = {
    "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{'a':1}", "{a:1}",
    "'a'", "\"a", "\"\\x41\"", "\"\\u12\"", "\"\\u00zz\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
    "\"\\udc00\"", "\"\\u0000\"", "\"a\nb\"", "\"\x01\"", "\"\xff\"", "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\"", "NaN", "Infinity", "-Infinity", "-",
    "+1", "01", "-01", "1.", ".5", "1.e3", "1e", "1e+", "0x10", "1e999", "9223372036854775808",
    "-9223372036854775809", "tru", "True", "nul", "1 2", "{} {}", "[1]x", "/* c */ 1", "[1] // c",
    "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "[1 2]", "{\"a\" 1}", "\xef\xbb\xbf{}",
};

START_TEST(refuses_the_rest) { ck_assert_msg(!parses(refused[_i]), "%s", refused[_i]); }
END_TEST

START_TEST(bounds_depth_and_size) {
    char text[2 * JSON_DEPTH_MAX + 3];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        ck_assert_int_eq(parses(text), depth <= JSON_DEPTH_MAX);
    }
    struct err err = ERR_INIT;
    size_t size = JSON_SIZE_MAX + 1;
    char *big AUTO_FREE = xmalloc(size);
    memset(big, ' ', size);
    big[0] = '1';
    ck_assert_ptr_null(json_parse(big, size, &err));
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    json *one AUTO_JSON = json_parse(big, 1, &err);
    ck_assert_int_eq(json_int_value(one), 1);
}
END_TEST

START_TEST(bytes_with_nul_are_no_json) {
    struct err err = ERR_INIT;
    ck_assert_ptr_null(json_parse("{}\0", 3, &err));
    ck_assert_ptr_null(json_parse("\"a\0b\"", 5, &err));
    ck_assert_ptr_null(json_parse("null", 4, &err));
}
END_TEST

START_TEST(messages_say_where) {
    struct err err = ERR_INIT;
    ck_assert_ptr_null(json_parse("{\n  \"a\": 1,\n  \"a\": 2}", 22, &err));
    ck_assert_str_eq(err.msg, "JSON: line 3, column 6: duplicate member name");
}
END_TEST

START_TEST(builds_and_reads) {
    json *o AUTO_JSON = json_object();
    json *list = json_array();
    json_add(list, json_int(7));
    json_add(list, NULL);
    json_set_int(json_set_str(json_set(o, "list", list), "name", "ring"), "n", 5);
    json_set_bool(o, "yes", true);
    json_set(o, "nothing", NULL);
    json_set_str(o, "no", NULL);
    json_set(o, "d", json_double(2.5));
    ck_assert_str_eq(json_get_str(o, "name"), "ring");
    ck_assert_int_eq(json_get_int(o, "n", 0), 5);
    ck_assert_int_eq(json_get_int(o, "name", -1), -1);
    ck_assert(json_get_bool(o, "yes", false) && !json_get_bool(o, "n", false));
    ck_assert_double_eq(json_get_double(o, "d", 0), 2.5);
    ck_assert_double_eq(json_get_double(o, "n", 0), 5);
    ck_assert(json_has(o, "nothing") && !json_get(o, "nothing") && !json_has(o, "x"));
    ck_assert_ptr_null(json_get_str(o, "n"));
    ck_assert_uint_eq(json_length(json_get(o, "list")), 2);
    ck_assert_int_eq(json_int_value(json_path(o, "list.0")), 7);
    ck_assert_ptr_null(json_path(o, "list.2"));
    ck_assert_ptr_null(json_path(o, "list.x.y"));
    ck_assert_ptr_null(json_get(NULL, "x"));
    json_del(o, "d");
    ck_assert(!json_has(o, "d"));
    size_t it = 0, n = 0;
    const char *key;
    json *value;
    while (json_next(o, &it, &key, &value)) n++;
    ck_assert_uint_eq(n, json_length(o));
}
END_TEST

START_TEST(compares_and_copies) {
    const char *text = "{\"a\":[1,2.0,{\"b\":null}],\"c\":\"x\"}";
    const char *same = "{\"c\":\"x\",\"a\":[1.0,2,{\"b\":null}]}";
    const char *other = "{\"c\":\"x\",\"a\":[1.0,2,{\"d\":null}]}";
    json *a AUTO_JSON = json_parse(text, strlen(text), NULL);
    json *b AUTO_JSON = json_parse(same, strlen(same), NULL);
    json *c AUTO_JSON = json_parse(other, strlen(other), NULL);
    json *copy AUTO_JSON = json_copy(a);
    ck_assert(json_equal(a, b) && !json_equal(a, c) && json_equal(a, copy) && copy != a);
    json *t AUTO_JSON = json_bool(true), *one AUTO_JSON = json_int(1);
    ck_assert(!json_equal(t, one) && !json_equal(NULL, one) && json_equal(NULL, NULL));
    char *pretty AUTO_FREE = json_text_pretty(a);
    ck_assert_str_eq(pretty, "{\n  \"a\": [\n    1,\n    2.0,\n    {\n      \"b\": null\n    }\n  ],\n"
                             "  \"c\": \"x\"\n}\n");
}
END_TEST

START_TEST(reads_files) {
    char path[] = "/tmp/test_json.XXXXXX";
    int fd AUTO_FD = mkstemp(path);
    ck_assert(fd >= 0 && write(fd, "[1,2]", 5) == 5);
    struct err err = ERR_INIT;
    json *j AUTO_JSON = json_parse_file(path, &err);
    unlink(path);
    ck_assert_uint_eq(json_length(j), 2);
    ck_assert_ptr_null(json_parse_file(path, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

int main(void) {
    Suite *s = suite_create("json");
    TCase *t = tcase_create("json");
    tcase_add_test(t, accepts_rfc8259);
    tcase_add_loop_test(t, refuses_the_rest, 0, (int)COUNT_OF(refused));
    tcase_add_test(t, bounds_depth_and_size);
    tcase_add_test(t, bytes_with_nul_are_no_json);
    tcase_add_test(t, messages_say_where);
    tcase_add_test(t, builds_and_reads);
    tcase_add_test(t, compares_and_copies);
    tcase_add_test(t, reads_files);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
