/*
 * Manifests: one canonical text, strict reading, digests; and heads of qcow2 files.
 */
#include "common/manifest.h"
#include "common/qcow2.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CANONICAL \
    "{\"chunks\":[{\"digest\":\"" DIGEST_A "\",\"size\":70000},{\"size\":1000000000,\"zero\":true}]," \
    "\"created\":\"2026-11-22T10:00:00.000Z\",\"format\":\"raw\",\"kind\":\"image\"," \
    "\"name\":\"debian-12\",\"size_bytes\":1000070000,\"v\":1,\"virtual_size_bytes\":1000070000}"

static struct err err;

static json *parse(const char *text) {
    if (strcmp(text, "null") == 0) return NULL; /* JSON null */
    json *j = json_parse(text, strlen(text), &err);
    ck_assert_msg(j != NULL, "%s", err.msg);
    return j;
}

START_TEST(the_text_is_canonical) {
    AUTO_JSON json *j = parse(
        "{ \"v\": 1, \"virtual_size_bytes\": 1000070000, \"name\": \"debian-12\",\n"
        " \"kind\": \"image\", \"format\": \"raw\", \"size_bytes\": 1000070000,"
        " \"created\": \"2026-11-22T11:00:00+01:00\", \"chunks\": ["
        " {\"size\": 70000, \"digest\": \"" DIGEST_A "\"}, {\"zero\": true, \"size\": 1000000000}]}");
    AUTO_MANIFEST struct manifest m = { 0 };
    ck_assert_msg(!manifest_from_json(j, &m, &err), "%s", err.msg);
    ck_assert_int_eq(m.chunks[1].offset, 70000);
    ck_assert_int_eq(m.epoch, -1);
    AUTO_FREE char *text = manifest_text(&m);
    ck_assert_str_eq(text, CANONICAL);
    char digest[SHA256_TEXT_BYTES], expected[SHA256_TEXT_BYTES];
    ck_assert_str_eq(manifest_digest(&m, digest),
                     sha256_text(CANONICAL, strlen(CANONICAL), expected));
    AUTO_MANIFEST struct manifest again = { 0 };
    ck_assert_msg(!manifest_from_text(text, strlen(text), digest, &again, &err), "%s", err.msg);
    text[strlen("{\"chunks\":[{\"digest\":\"")] = 'b';
    AUTO_MANIFEST struct manifest damaged = { 0 };
    ck_assert_int_eq(manifest_from_text(text, strlen(text), digest, &damaged, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
}
END_TEST

START_TEST(a_checkpoint_keeps_its_epoch_and_parts) {
    AUTO_JSON json *j = parse(CANONICAL);
    json_set_str(j, "kind", "checkpoint");
    json_set_int(j, "epoch", 7);
    json_set(j, "parts", parse("[{\"name\":\"disk\",\"size_bytes\":1000000000},"
                               "{\"name\":\"memory\",\"size_bytes\":70000}]"));
    AUTO_MANIFEST struct manifest m = { 0 };
    ck_assert_msg(!manifest_from_json(j, &m, &err), "%s", err.msg);
    AUTO_FREE char *text = manifest_text(&m);
    ck_assert_ptr_nonnull(strstr(text, "\"epoch\":7,\"format\":\"raw\",\"kind\":\"checkpoint\""));
    ck_assert_ptr_nonnull(strstr(text, "\"parts\":[{\"name\":\"disk\",\"size_bytes\":1000000000},{"
                                       "\"name\":\"memory\",\"size_bytes\":70000}],\"size_bytes\""));
}
END_TEST

/* One broken member each; the message has to point at it. */
static const struct { const char *key, *value, *expected; } broken[] = {
    { "v", "2", "/v" },
    { "v", "\"1\"", "/v" },
    { "kind", "\"picture\"", "/kind" },
    { "kind", "null", "/kind" },
    { "format", "\"vmdk\"", "/format" },
    { "name", "\"../etc/passwd\"", "/name" },
    { "name", "\"a\\\"b\"", "/name" },
    { "name", "\"\"", "/name" },
    { "created", "\"yesterday\"", "/created" },
    { "created", "\"0230-11-22T10:00:00Z\"", "/created" },
    { "epoch", "-1", "/epoch" },
    { "epoch", "null", "/epoch" },
    { "size_bytes", "1", "/size_bytes" },
    { "size_bytes", "1000070001", "/size_bytes" },
    { "size_bytes", "-5", "/size_bytes" },
    { "virtual_size_bytes", "1.5", "/virtual_size_bytes" },
    { "extra", "1", "unknown member extra" },
    { "chunks", "{}", "/chunks" },
    { "chunks", "[5]", "/chunks/0" },
    { "chunks", "[{\"digest\":\"" DIGEST_A "\",\"size\":0}]", "/chunks/0/size" },
    { "chunks", "[{\"digest\":\"" DIGEST_A "\",\"size\":1048577}]", "/chunks/0/size" },
    { "chunks", "[{\"size\":5}]", "/chunks/0/digest" },
    { "chunks", "[{\"digest\":\"AB\",\"size\":5}]", "/chunks/0/digest" },
    { "chunks", "[{\"digest\":\"" DIGEST_A "\",\"size\":5,\"zero\":true}]", "/chunks/0/digest" },
    { "chunks", "[{\"digest\":\"" DIGEST_A "\",\"size\":5,\"zero\":false}]", "/chunks/0/zero" },
    { "chunks", "[{\"size\":99999999999999999,\"zero\":true}]", "/chunks/0/size" },
    { "chunks", "[{\"digest\":\"" DIGEST_A "\",\"size\":5,\"path\":\"x\"}]", "unknown member path" },
    { "parts", "[]", "/parts" },
    { "parts", "null", "/parts" },
    { "parts", "[{\"name\":\"disk\",\"size_bytes\":1}]", "/parts" },
    { "parts", "[{\"name\":\"/\",\"size_bytes\":1}]", "/parts/0/name" },
};

START_TEST(broken_members_are_refused_and_named) {
    AUTO_JSON json *j = parse(CANONICAL);
    json_set(j, broken[_i].key, parse(broken[_i].value));
    struct manifest m;
    ck_assert_int_eq(manifest_from_json(j, &m, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strstr(err.msg, broken[_i].expected) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(the_sum_of_sizes_cannot_overflow) {
    AUTO_JSON json *j = parse(CANONICAL);
    json *chunks = json_array();
    for (int i = 0; i < 1000; i++)
        json_add(chunks, json_set_bool(json_set_int(json_object(), "size", MANIFEST_SIZE_MAX),
                                       "zero", true));
    json_set(j, "chunks", chunks);
    struct manifest m;
    ck_assert_int_eq(manifest_from_json(j, &m, &err), -1);
}
END_TEST

static int cancel_at_once(void *ctx, int64_t done_bytes) {
    (void)done_bytes;
    ++*(int *)ctx;
    return 1;
}

START_TEST(a_file_becomes_a_manifest) {
    AUTO_FD int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, 5 << 20), 0);
    ck_assert_int_eq(pwrite(fd, "hello", 5, 0), 5);
    AUTO_MANIFEST struct manifest m = { .epoch = -1, .name = "x" };
    ck_assert_msg(!manifest_scan(&m, fd, NULL, NULL, &err), "%s", err.msg);
    ck_assert_uint_eq(m.chunk_count, 2);
    ck_assert_int_eq(m.size_bytes, 5 << 20);
    ck_assert(m.chunks[1].zero);
    char first[SHA256_TEXT_BYTES], again[SHA256_TEXT_BYTES];
    manifest_digest(&m, first);
    ck_assert_msg(!manifest_scan(&m, fd, NULL, NULL, &err), "%s", err.msg);
    ck_assert_str_eq(manifest_digest(&m, again), first);
    int calls = 0;
    ck_assert_int_eq(manifest_scan(&m, fd, cancel_at_once, &calls, &err), -1);
    ck_assert_int_eq(err.code, ERR_CANCELLED);
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* --- qcow2 --- */

static uint8_t head[65536];

static void put32(size_t at, uint32_t v) {
    for (size_t i = 0; i < 4; i++) head[at + i] = (uint8_t)(v >> (24 - 8 * i));
}
/* A good version 3 header of a 1 GiB disk with 64 KiB clusters, in a file of 256 KiB. */
static void make_head(void) {
    memset(head, 0, sizeof head);
    put32(0, 0x514649fb);
    put32(4, 3);
    put32(20, 16);
    put32(28, 1u << 30);
    put32(36, 2);       /* L1 entries */
    put32(44, 0x30000); /* L1 table */
    put32(52, 0x10000); /* refcount table */
    put32(56, 1);
    put32(96, 4);
    put32(100, 104);
}
static int check_head(size_t length) {
    struct qcow2_head h = { 0 };
    int failed = qcow2_check(head, length, 262144, &h, &err);
    if (!failed) ck_assert_int_eq(h.virtual_size_bytes, 1 << 30);
    return failed;
}

START_TEST(a_good_head_is_read) {
    make_head();
    ck_assert_msg(!check_head(sizeof head), "%s", err.msg);
    ck_assert_msg(!check_head(104), "%s", err.msg);
    put32(4, 2); /* version 2 has no features */
    put32(76, 4);
    ck_assert_msg(!check_head(sizeof head), "%s", err.msg);
}
END_TEST

static const struct { size_t at; uint32_t value; const char *expected; } bad_heads[] = {
    { 0, 0, "no qcow2" },           { 4, 1, "version" },
    { 4, 4, "version" },            { 12, 200, "backing file" },
    { 16, 9, "backing file" },      { 20, 8, "cluster size" },
    { 20, 22, "cluster size" },     { 24, 0xffffffff, "size" },
    { 32, 1, "encryption" },        { 36, 0xffffffff, "outside" },
    { 36, 0, "outside" },           { 40, 0x7fffffff, "outside" },
    { 44, 1, "outside" },           { 48, 0xffff0000, "outside" },
    { 76, 4, "external data file" },{ 76, 2, "corrupt" },
    { 76, 0x20, "features" },       { 72, 1, "features" },
    { 96, 7, "refcount" },          { 100, 0, "length" },
    { 100, 0xfffffff8, "length" },  { 104, 0x44415441, "external data file" },
    { 104, 0xe2792aca, "backing file" },
    { 108, 0, NULL },
};

START_TEST(a_bad_head_is_refused) {
    make_head();
    put32(bad_heads[_i].at, bad_heads[_i].value);
    if (!bad_heads[_i].expected) { /* an extension that claims to be longer than the file */
        put32(104, 0x11111111);
        put32(108, 0xfffffff0);
    }
    ck_assert_int_eq(check_head(sizeof head), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_msg(strstr(err.msg, bad_heads[_i].expected ? bad_heads[_i].expected : "extension"),
                  "%s", err.msg);
    ck_assert_str_ne(err.remedy, "");
}
END_TEST

START_TEST(a_truncated_head_is_refused) {
    make_head();
    for (size_t n = 0; n < 104; n++) ck_assert_int_eq(check_head(n), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("manifest");
    TCase *t = tcase_create("manifest");
    tcase_add_test(t, the_text_is_canonical);
    tcase_add_test(t, a_checkpoint_keeps_its_epoch_and_parts);
    tcase_add_loop_test(t, broken_members_are_refused_and_named, 0, COUNT_OF(broken));
    tcase_add_test(t, the_sum_of_sizes_cannot_overflow);
    tcase_add_test(t, a_file_becomes_a_manifest);
    suite_add_tcase(suite, t);
    TCase *q = tcase_create("qcow2");
    tcase_add_test(q, a_good_head_is_read);
    tcase_add_loop_test(q, a_bad_head_is_refused, 0, COUNT_OF(bad_heads));
    tcase_add_test(q, a_truncated_head_is_refused);
    suite_add_tcase(suite, q);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
