#include "common/schema.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>

#define SUITE "/usr/share/json-schema-test-suite/tests/draft7"

static json *parse(const char *text) {
    json *j = NULL;
    struct err err = ERR_INIT;
    ck_assert_msg(json_parse_value(text, strlen(text), &j, &err) == 0, "%s: %s", text, err.msg);
    return j;
}

/* The message of checking a value, "" when it is valid. */
static const char *judge(const char *schema_text, const char *value_text) {
    static struct err err;
    json *document AUTO_JSON = parse(schema_text), *value AUTO_JSON = parse(value_text);
    err_clear(&err);
    struct schema *s = schema_compile(document, &err);
    ck_assert_msg(s != NULL, "%s: %s", schema_text, err.msg);
    int rc = schema_check(s, value, NULL, &err);
    ck_assert_int_eq(rc != 0, err.code == ERR_INVALID);
    schema_free(s);
    return err.msg;
}

START_TEST(says_what_is_wrong) {
    static const char sliver[] =
        "{\"type\":\"object\",\"required\":[\"name\"],\"additionalProperties\":false,"
        "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":3},"
        "\"memory_mib\":{\"type\":[\"integer\",\"null\"],\"minimum\":16},"
        "\"mac\":{\"format\":\"mac\"},\"kind\":{\"enum\":[\"vm\",\"lxc\"]},"
        "\"list\":{\"items\":{\"type\":\"integer\"},\"uniqueItems\":true,\"maxItems\":3}}}";
    static const struct { const char *value, *message; } rows[] = {
        { "{\"name\":\"ab\"}", "" },
        { "{\"name\":\"ab\",\"memory_mib\":null}", "" },
        { "{\"name\":\"ab\",\"memory_mib\":16.0}", "" },
        { "{}", "/: member \"name\" is missing" },
        { "[]", "/: the list is not of type object" },
        { "{\"name\":\"a\"}", "/name: \"a\" is shorter than 2 characters" },
        { "{\"name\":\"\xc3\xa9\xc3\xa9\xc3\xa9\"}", "" },
        { "{\"name\":\"abcd\"}", "/name: \"abcd\" is longer than 3 characters" },
        { "{\"name\":\"ab\",\"memory_mib\":4}", "/memory_mib: 4 is less than the minimum 16" },
        { "{\"name\":\"ab\",\"memory_mib\":\"4\"}",
          "/memory_mib: \"4\" is not of type null or integer" },
        { "{\"name\":\"ab\",\"x/y\":4}", "/x~1y: no such member here" },
        { "{\"name\":\"ab\",\"mac\":\"02:00:00:00:00\"}",
          "/mac: \"02:00:00:00:00\" is no mac" },
        { "{\"name\":\"ab\",\"kind\":\"xen\"}", "/kind: \"xen\" is none of [\"vm\",\"lxc\"]" },
        { "{\"name\":\"ab\",\"list\":[1,\"2\"]}", "/list/1: \"2\" is not of type integer" },
        { "{\"name\":\"ab\",\"list\":[1,2,1.0]}", "/list: items 0 and 2 are the same" },
        { "{\"name\":\"ab\",\"list\":[1,2,3,4]}", "/list: 4 items; at most 3 are accepted" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_str_eq(judge(sliver, rows[i].value), rows[i].message);
}
END_TEST

START_TEST(gives_the_pointer) {
    json *document AUTO_JSON = parse("{\"items\":{\"properties\":{\"a\":{\"type\":\"null\"}}}}");
    json *value AUTO_JSON = parse("[{},{\"a\":1}]");
    struct schema *s = schema_compile(document, NULL);
    char *pointer AUTO_FREE = NULL;
    ck_assert_int_eq(schema_check(s, value, &pointer, NULL), -1);
    ck_assert_str_eq(pointer, "/1/a");
    schema_free(s);
}
END_TEST

static const char *const refused[] = {
    "{\"tpye\":\"object\"}", "{\"properties\":{\"a\":{\"minimun\":1}}}", "{\"type\":\"strnig\"}",
    "{\"$ref\":\"#/nowhere\"}", "{\"$ref\":\"other#Thing\"}", "{\"pattern\":\"(\"}",
    "{\"pattern\":\"(?=a)\"}", "{\"pattern\":\"\\\\bword\"}", "{\"pattern\":\"(a)\\\\1\"}",
    "{\"pattern\":\"((a{200}){200}){200}\"}", "{\"minLength\":-1}", "{\"minLength\":1.5}",
    "{\"multipleOf\":0}", "{\"format\":\"telephone\"}", "{\"enum\":[]}", "{\"required\":[1]}",
    "{\"allOf\":[]}", "{\"items\":[{}]}", "{\"additionalProperties\":1}", "[]", "3",
    "{\"unevaluatedProperties\":false}", "{\"$defs\":{\"x\":{\"type\":\"nul\"}}}",
    "{\"pattern\":\"[[:alpha:]]\"}", "{\"pattern\":\"a+?\"}",
};

START_TEST(refuses_what_it_does_not_know) {
    struct err err = ERR_INIT;
    json *document AUTO_JSON = parse(refused[_i]);
    ck_assert_msg(!schema_compile(document, &err), "%s", refused[_i]);
    ck_assert_msg(err.msg[0], "%s", refused[_i]);
}
END_TEST

START_TEST(self_reference_ends) {
    ck_assert_str_ne(judge("{\"$ref\":\"#\"}", "1"), "");
    ck_assert_str_ne(judge("{\"allOf\":[{\"$ref\":\"#\"}]}", "{}"), "");
}
END_TEST

START_TEST(translates_patterns) {
    static const struct { const char *pattern, *text; int fits; } rows[] = {
        { "^\\\\d{3}$", "123", 1 },      { "^\\\\d{3}$", "12a", 0 },
        { "^[\\\\w.-]+$", "a_1.-", 1 },  { "^[\\\\w.-]+$", "a b", 0 },
        { "^[^\\\\s]+$", "ab", 1 },      { "^[^\\\\s]+$", "a b", 0 },
        { "^[\\\\]x]+$", "]x", 1 },      { "^[a\\\\-z]$", "-", 1 },
        { "^[a\\\\-z]$", "b", 0 },       { "^a\\\\.b$", "axb", 0 },
        { "^(?:ab|cd)+$", "abcd", 1 },   { "b", "abc", 1 },
        { "^\\\\S\\\\D\\\\W$", "ab ", 1 },  { "^[ -~]*$", "plain ascii", 1 },
        { "^\\\\[x\\\\]$", "[x]", 1 },    { "^[\\\\\\\\]$", "\\\\", 1 },
        { "^[x\\\\^]$", "^", 1 },        { "^a/b\\\\/c$", "a/b/c", 1 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char schema[128], value[64];
        snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", rows[i].pattern);
        snprintf(value, sizeof value, "\"%s\"", rows[i].text);
        ck_assert_msg((judge(schema, value)[0] == '\0') == rows[i].fits, "%s %s", schema, value);
    }
}
END_TEST

START_TEST(knows_formats) {
    static const struct { const char *format, *good, *bad; } rows[] = {
        { "date-time", "2026-11-22T10:00:00.123Z", "2026-02-29T10:00:00Z" },
        { "date-time", "1990-12-31T15:59:60-08:00", "1990-12-31 15:59:60" },
        { "uuid", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b810-9dad-41d1-80b4-00c04fd430c" },
        { "uri", "https://10.0.0.1:8404/v1?x=%20", "https://a b" },
        { "uri", "urn:x:y", "//relative" },
        { "ipv4", "10.0.0.1", "10.0.0.256" },
        { "ipv6", "fe80::1", "fe80:::1" },
        { "cidr", "10.0.0.0/8", "10.0.0.0/33" },
        { "cidr", "fd00::/64", "10.0.0.0" },
        { "mac", "02:00:5e:00:53:af", "02-00-5e-00-53-af" },
        { "urn", "urn:publicid:IDN+example.org+node+a1", "urn:publicid:IDN+example.org" },
        { "name", "node-1.a_b", "-node" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char schema[64], value[96];
        snprintf(schema, sizeof schema, "{\"format\":\"%s\"}", rows[i].format);
        snprintf(value, sizeof value, "\"%s\"", rows[i].good);
        ck_assert_msg(!judge(schema, value)[0], "%s %s", schema, value);
        snprintf(value, sizeof value, "\"%s\"", rows[i].bad);
        ck_assert_msg(judge(schema, value)[0], "%s %s", schema, value);
    }
    ck_assert_str_eq(judge("{\"format\":\"ipv4\"}", "7"), ""); /* of strings only */
}
END_TEST

START_TEST(follows_2020_12) {
    static const struct { const char *schema, *value; int fits; } rows[] = {
        { "{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"string\"}}", "[1,\"a\"]", 1 },
        { "{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"string\"}}", "[1,2]", 0 },
        { "{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":false}", "[1,2]", 0 },
        { "{\"$ref\":\"#/$defs/n\",\"maximum\":5,\"$defs\":{\"n\":{\"minimum\":3}}}", "4", 1 },
        { "{\"$ref\":\"#/$defs/n\",\"maximum\":5,\"$defs\":{\"n\":{\"minimum\":3}}}", "6", 0 },
        { "{\"$ref\":\"#/$defs/n\",\"maximum\":5,\"$defs\":{\"n\":{\"minimum\":3}}}", "2", 0 },
        { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", 0 },
        { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1,\"b\":1}", 1 },
        { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{}", 1 },
        { "{\"contains\":{\"const\":1},\"minContains\":2,\"maxContains\":3}", "[1,2]", 0 },
        { "{\"contains\":{\"const\":1},\"minContains\":2,\"maxContains\":3}", "[1,1,2]", 1 },
        { "{\"contains\":{\"const\":1},\"minContains\":2,\"maxContains\":3}", "[1,1,1,1]", 0 },
        { "{\"contains\":{\"const\":1},\"minContains\":0}", "[]", 1 },
        { "{\"minimum\":9007199254740993}", "9007199254740992", 0 }, /* beyond a double's 53 bits */
        { "{\"const\":null}", "null", 1 },
        { "{\"const\":null}", "0", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg((judge(rows[i].schema, rows[i].value)[0] == '\0') == rows[i].fits, "%s %s",
                      rows[i].schema, rows[i].value);
}
END_TEST

/* --- the community's suite, as far as our vocabulary goes --- */

struct tally { size_t run, failed, groups_refused; };

static void run_group(const char *file, const json *group, struct tally *t) {
    struct err err = ERR_INIT;
    struct schema *s = schema_compile(json_get(group, "schema"), &err);
    if (!s) {
        t->groups_refused++;
        printf("refused: %s: %s: %s\n", file, json_get_str(group, "description"), err.msg);
        return;
    }
    const json *tests = json_get(group, "tests");
    for (size_t i = 0; i < json_length(tests); i++) {
        const json *one = json_at(tests, i);
        bool valid = schema_check(s, json_get(one, "data"), NULL, &err) == 0;
        t->run++;
        if (valid == json_get_bool(one, "valid", false)) continue;
        t->failed++;
        printf("wrong: %s: %s: %s\n", file, json_get_str(group, "description"),
               json_get_str(one, "description"));
    }
    schema_free(s);
}

/* Debian's suite ends at draft 7. These are its files whose keywords mean the same in 2020-12;
 * groups that use a keyword we refuse ($id, definitions, tuples in items, unknown formats) are
 * counted as refused. */
static const struct { const char *file; size_t refused; } files[] = {
    { "additionalProperties", 0 },
    { "allOf", 0 },
    { "anyOf", 0 },
    { "boolean_schema", 0 },
    { "const", 0 },
    { "contains", 0 },
    { "default", 0 },
    { "enum", 0 },
    { "exclusiveMaximum", 0 },
    { "exclusiveMinimum", 0 },
    { "if-then-else", 0 },
    { "items", 2 },
    { "maximum", 0 },
    { "maxItems", 0 },
    { "maxLength", 0 },
    { "maxProperties", 0 },
    { "minimum", 0 },
    { "minItems", 0 },
    { "minLength", 0 },
    { "minProperties", 0 },
    { "multipleOf", 0 },
    { "not", 0 },
    { "oneOf", 0 },
    { "pattern", 0 },
    { "patternProperties", 0 },
    { "properties", 0 },
    { "propertyNames", 0 },
    { "ref", 8 },
    { "required", 0 },
    { "type", 0 },
    { "uniqueItems", 0 },
};

START_TEST(passes_the_suite) {
    struct tally all = { 0, 0, 0 };
    size_t surprises = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[256];
        struct err err = ERR_INIT;
        struct tally t = { 0, 0, 0 };
        snprintf(path, sizeof path, SUITE "/%s.json", files[i].file);
        json *groups AUTO_JSON = json_parse_file(path, &err);
        ck_assert_msg(groups != NULL, "%s", err.msg);
        for (size_t k = 0; k < json_length(groups); k++)
            run_group(files[i].file, json_at(groups, k), &t);
        printf("%s: %zu tests, %zu wrong, %zu groups refused\n", files[i].file, t.run, t.failed,
               t.groups_refused);
        if (t.groups_refused != files[i].refused) surprises++;
        all.run += t.run, all.failed += t.failed, all.groups_refused += t.groups_refused;
    }
    printf("suite: %zu tests, %zu wrong, %zu groups refused\n", all.run, all.failed,
           all.groups_refused);
    ck_assert_uint_eq(all.failed, 0);
    ck_assert_uint_eq(surprises, 0);
}
END_TEST

START_TEST(embedded_documents_load) {
    struct err err = ERR_INIT;
    ck_assert_ptr_null(schema_find("common#Problem", &err));
    ck_assert_msg(schema_load(&err) == 0, "%s", err.msg);
    ck_assert_int_eq(schema_load(&err), 0);
    const struct schema *s = schema_find("common#Problem", &err);
    ck_assert_ptr_nonnull(s);
    ck_assert_ptr_eq(s, schema_find("common.yaml#/components/schemas/Problem", &err));
    ck_assert_ptr_nonnull(schema_document("common"));
    ck_assert_ptr_null(schema_document("nothing"));
    ck_assert_ptr_null(schema_find("common#Nothing", &err));
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    schema_unload();
}
END_TEST

START_TEST(long_lists_stay_quick) {
    json *document AUTO_JSON = parse("{\"uniqueItems\":true}");
    json *list AUTO_JSON = json_array();
    for (int i = 0; i < 100000; i++) json_add(list, json_int(i));
    struct schema *s = schema_compile(document, NULL);
    ck_assert_int_eq(schema_check(s, list, NULL, NULL), 0);
    json_add(list, json_int(4711));
    ck_assert_int_eq(schema_check(s, list, NULL, NULL), -1);
    schema_free(s);
}
END_TEST

int main(void) {
    Suite *s = suite_create("schema");
    TCase *t = tcase_create("schema");
    tcase_add_test(t, says_what_is_wrong);
    tcase_add_test(t, gives_the_pointer);
    tcase_add_loop_test(t, refuses_what_it_does_not_know, 0, (int)COUNT_OF(refused));
    tcase_add_test(t, self_reference_ends);
    tcase_add_test(t, translates_patterns);
    tcase_add_test(t, knows_formats);
    tcase_add_test(t, follows_2020_12);
    tcase_add_test(t, passes_the_suite);
    tcase_add_test(t, embedded_documents_load);
    tcase_add_test(t, long_lists_stay_quick);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
