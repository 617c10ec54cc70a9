#include "common/yaml.h"

#include <check.h>

static json *parse(const char *text, struct err *err) {
    return yaml_parse("t.yaml", text, strlen(text), NULL, err);
}

static void ck_yaml(const char *text, const char *expected) {
    struct err err = ERR_INIT;
    json *j AUTO_JSON = parse(text, &err);
    ck_assert_msg(j != NULL, "%s: %s", text, err.msg);
    char *out AUTO_FREE = json_text(j);
    ck_assert_str_eq(out, expected);
}

START_TEST(reads_plain_data) {
    ck_yaml("a: 1\nb: [x, 'y', \"z\\n\"]\nc:\n  d: true\n  e: ~\n  f: null\n  g:\n",
            "{\"a\":1,\"b\":[\"x\",\"y\",\"z\\n\"],\"c\":{\"d\":true,\"e\":null,\"f\":null,\"g\":null}}");
    ck_yaml("- 0x1F\n- -7\n- +7\n- 1.5\n- 1e3\n- .5\n- 007\n", "[31,-7,7,1.5,1000.0,0.5,7]");
    ck_yaml("[yes, on, No, '1', \"true\", 1.2.3, 0o17, 12:30:45, 2026-11-22]",
            "[\"yes\",\"on\",\"No\",\"1\",\"true\",\"1.2.3\",\"0o17\",\"12:30:45\",\"2026-11-22\"]");
    ck_yaml("200: ok\ntrue: t\n", "{\"200\":\"ok\",\"true\":\"t\"}");
    ck_yaml("text: |\n  one\n  two\nfolded: >-\n  one\n  two\n",
            "{\"text\":\"one\\ntwo\\n\",\"folded\":\"one two\"}");
    ck_yaml("# c\n---\n{}\n...\n", "{}");
    ck_yaml("hello", "\"hello\"");
}
END_TEST

static const struct { const char *text, *message; } refused[] = {
    { "a: &x 1\n", "t.yaml:1:4: anchors are not accepted" },
    { "a: *x\n", "t.yaml:1:4: aliases are not accepted" },
    { "a: !!str 1\n", "t.yaml:1:4: tags are not accepted" },
    { "a: &x [1]\n", "t.yaml:1:4: anchors are not accepted" },
    { "a: !t {}\n", "t.yaml:1:4: tags are not accepted" },
    { "a: 1\nb: 2\na: 3\n", "t.yaml:3:1: duplicate key" },
    { "<<: {a: 1}\n", "t.yaml:1:1: merge keys are not accepted" },
    { "a: 1\n---\nb: 2\n", "t.yaml:2:1: only one document is accepted" },
    { "", "t.yaml:1:1: the document is empty" },
    { "a: .nan\n", "t.yaml:1:4: there are no infinities and no NaN here" },
    { "a: 9223372036854775808\n", "t.yaml:1:4: integer beyond 64 bits" },
    { "a: 1e999\n", "t.yaml:1:4: number too large" },
    { "a: \"x\\0y\"\n", "t.yaml:1:4: U+0000 is not accepted in a string" },
    { "{[a]: 1}\n", "t.yaml:1:2: a key must be a plain word or string" },
    { "%YAML 1.1\n---\na: 1\n", "t.yaml:1:1: directives are not accepted" },
    { "null\n", "t.yaml: the document is null" },
};

START_TEST(refuses_the_rest) {
    struct err err = ERR_INIT;
    ck_assert_ptr_null(parse(refused[_i].text, &err));
    ck_assert_str_eq(err.msg, refused[_i].message);
    ck_assert_int_eq(err.code, ERR_INVALID);
}
END_TEST

START_TEST(refuses_broken_text) {
    static const char *const texts[] = { "a: [1", "a: 'x", "\ta: 1", "a: b: c", "a: \xff\xfe", "]",
                                         "a: \"\\q\"", "- a\nb: 1" };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = ERR_INIT;
        ck_assert_ptr_null(parse(texts[i], &err));
        ck_assert_msg(strncmp(err.msg, "t.yaml:", 7) == 0, "%s", err.msg);
    }
}
END_TEST

START_TEST(bounds_depth) {
    char text[2 * JSON_DEPTH_MAX + 3];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        json *j AUTO_JSON = parse(text, NULL);
        ck_assert_int_eq(j != NULL, depth <= JSON_DEPTH_MAX);
    }
}
END_TEST

START_TEST(keeps_places) {
    const char *text = "kind: x\nslivers:\n  - name: a\n    image: b\n  - name: c\na/b~c: 1\n";
    struct yaml_places *places = NULL;
    json *j AUTO_JSON = yaml_parse("t.yaml", text, strlen(text), &places, NULL);
    ck_assert_ptr_nonnull(j);
    ck_assert_str_eq(yaml_place(places, ""), "t.yaml:1:1");
    ck_assert_str_eq(yaml_place(places, "/slivers/0/image"), "t.yaml:4:12");
    ck_assert_str_eq(yaml_place(places, "/slivers/1"), "t.yaml:5:5");
    ck_assert_str_eq(yaml_place(places, "/slivers/1/image"), "t.yaml:5:5");
    ck_assert_str_eq(yaml_place(places, "/a~1b~0c"), "t.yaml:6:8");
    ck_assert_str_eq(yaml_place(places, "/nowhere/at/all"), "t.yaml:1:1");
    yaml_places_free(places);
    yaml_places_free(NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("yaml");
    tcase_add_test(t, reads_plain_data);
    tcase_add_loop_test(t, refuses_the_rest, 0, (int)COUNT_OF(refused));
    tcase_add_test(t, refuses_broken_text);
    tcase_add_test(t, bounds_depth);
    tcase_add_test(t, keeps_places);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
