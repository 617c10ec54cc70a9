/*
 * /v1/chunks: verified before acknowledged, whole or not at all, and whose they are.
 */
#include "ss_fixture.h"

#include "common/db_fault.h"

static void check_problem(json *body, const char *code, const char *names) {
    ck_assert_str_eq(json_get_str(body, "code"), code);
    ck_assert_msg(strstr(json_get_str(body, "detail"), names) != NULL, "%s",
                  json_get_str(body, "detail"));
    json_put(body);
}

START_TEST(anyone_may_ask_who_this_is) {
    json *body;
    ck_assert_uint_eq(ss_json("GET", "/v1", (struct ss_call){ 0 }, &body), 200);
    ck_assert_str_eq(json_get_str(body, "urn"), URN_OF("ss", "store"));
    json_put(body);
}
END_TEST

START_TEST(a_chunk_is_put_once_and_read) {
    struct ss_chunk *c = ss_chunk(200000, 1);
    json *body;
    ck_assert(ss_is_missing("kim", c->digest));
    ck_assert_uint_eq(ss_put_chunk("kim", c, &body), 201);
    ck_assert_int_eq(json_get_int(body, "size", 0), 200000);
    ck_assert_int_eq(json_get_int(body, "stored_bytes", 0), (int64_t)c->length);
    ck_assert_str_eq(json_get_str(body, "encoding"), "zstd");
    json_put(body);
    ck_assert(!ss_is_missing("kim", c->digest));
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 200);
    ck_assert_uint_eq(ss_count_files("tmp"), 0);
    struct http_reply reply;
    AUTO_FREE char *path = xasprintf("/v1/chunks/%s", c->digest);
    ck_assert_uint_eq(ss_do("GET", path, (struct ss_call){ .who = "node:n1" }, &reply), 200);
    ck_assert_str_eq(reply.content_type, "application/zstd");
    ck_assert_uint_eq(reply.text_length, c->length);
    ck_assert_int_eq(memcmp(reply.text, c->encoded, c->length), 0);
    http_reply_done(&reply);
}
END_TEST

START_TEST(it_survives_a_restart) {
    struct ss_chunk *c = ss_chunk(5000, 2);
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 201);
    AUTO_FREE char *left = xasprintf("%s/tmp/%s", ss_dir, c->digest);
    ck_assert(!file_write(left, "half", 4, 0600, &ss_err));
    ss_reopen();
    ck_assert_uint_eq(ss_count_files("tmp"), 0);
    ck_assert_uint_eq(ss_get_chunk("node:n1", c->digest), 200);
}
END_TEST

START_TEST(bytes_that_do_not_compress_are_raw) {
    static struct ss_chunk c;
    c.size = 70000;
    ss_fill(c.data, c.size, 3);
    ss_encode(&c);
    json *body;
    ck_assert_uint_eq(ss_put_chunk("kim", &c, &body), 201);
    ck_assert_str_eq(json_get_str(body, "encoding"), "raw");
    json_put(body);
    ck_assert_uint_eq(ss_get_chunk("am:one", c.digest), 200);
}
END_TEST

START_TEST(a_bad_chunk_is_refused_and_named) {
    struct ss_chunk *c = ss_chunk(100000, 4);
    json *body;
    c->encoded[c->length / 2] ^= 1;
    unsigned status = ss_put_chunk("kim", c, &body);
    ck_assert_uint_eq(status, 422);
    check_problem(body, "integrity", c->digest);
    c->encoded[c->length / 2] ^= 1;
    c->length -= 7;
    ck_assert_uint_eq(ss_put_chunk("kim", c, &body), 422);
    check_problem(body, "integrity", c->digest);
    c->length = 0;
    ck_assert_uint_eq(ss_put_chunk("kim", c, &body), 422);
    check_problem(body, "integrity", c->digest);
    ck_assert(!ss_file_exists(c->digest));
    ck_assert(ss_is_missing("kim", c->digest));
}
END_TEST

START_TEST(another_content_is_refused) {
    struct ss_chunk *c = ss_chunk(100000, 5), *other = ss_chunk(100000, 6);
    json *body;
    memcpy(c->digest, other->digest, sizeof c->digest);
    ck_assert_uint_eq(ss_put_chunk("kim", c, &body), 422);
    check_problem(body, "integrity", other->digest);
    ck_assert(!ss_file_exists(other->digest));
}
END_TEST

START_TEST(nonsense_is_refused) {
    struct ss_chunk *c = ss_chunk(1000, 7);
    AUTO_FREE char *path = xasprintf("/v1/chunks/%s", c->digest);
    struct ss_call call = { .who = "kim", .raw = c->encoded, .raw_length = c->length };
    ck_assert_uint_eq(ss_json("PUT", path, call, NULL), 415);
    call.encoding = "gzip";
    ck_assert_uint_eq(ss_json("PUT", path, call, NULL), 415);
    call.encoding = "zstd";
    ck_assert_uint_eq(ss_json("PUT", "/v1/chunks/../../etc", call, NULL), 404);
    ck_assert_uint_eq(ss_json("PUT", "/v1/chunks/ABCD", call, NULL), 400);
    ck_assert_uint_eq(ss_json("DELETE", path, call, NULL), 405);
    path[strlen(path) - 1] = 'G';
    ck_assert_uint_eq(ss_json("PUT", path, call, NULL), 400);
    json *digests = json_array();
    for (int i = 0; i < 4097; i++) json_add(digests, json_string(c->digest));
    ck_assert_uint_eq(ss_json("POST", "/v1/chunks/missing",
                              (struct ss_call){ .who = "kim", .body = json_set(json_object(),
                                                                              "digests", digests) },
                              NULL),
                      400);
}
END_TEST

START_TEST(users_and_nodes_put) {
    struct ss_chunk *c = ss_chunk(1000, 8);
    ck_assert_uint_eq(ss_put_chunk(NULL, c, NULL), 401);
    ck_assert_uint_eq(ss_put_chunk("am:one", c, NULL), 403);
    ck_assert_uint_eq(ss_put_chunk("node:n1", c, NULL), 201);
    ck_assert_uint_eq(ss_get_chunk(NULL, c->digest), 401);
    ck_assert_uint_eq(ss_put_chunk("operator", c, NULL), 200);
}
END_TEST

/* Knowing a digest gives nobody the chunk; having its bytes does. */
START_TEST(another_users_chunk_must_be_shown_to_be_had) {
    struct ss_chunk *c = ss_chunk(9000, 9);
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 201);
    ck_assert(ss_is_missing("lee", c->digest));
    ck_assert_uint_eq(ss_get_chunk("lee", c->digest), 404);
    ck_assert(!ss_is_missing("operator", c->digest));
    ck_assert_uint_eq(ss_put_chunk("lee", c, NULL), 200);
    ck_assert(!ss_is_missing("lee", c->digest));
    ck_assert_uint_eq(ss_get_chunk("lee", c->digest), 200);
}
END_TEST

START_TEST(damage_on_disk_is_found_named_and_healed) {
    struct ss_chunk *c = ss_chunk(90000, 10);
    json *body;
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 201);
    AUTO_FREE char *path = ss_chunk_path(c->digest);
    if (_i == 0) ck_assert(!file_write(path, "short", 5, 0600, &ss_err));
    if (_i == 1) ck_assert_int_eq(unlink(path), 0);
    if (_i == 2) {
        AUTO_FREE uint8_t *same_length = xcalloc(1, c->length);
        ck_assert(!file_write(path, same_length, c->length, 0600, &ss_err));
    }
    AUTO_FREE char *url = xasprintf("/v1/chunks/%s", c->digest);
    ck_assert_uint_eq(ss_json("GET", url, (struct ss_call){ .who = "node:n1" }, &body), 422);
    check_problem(body, "integrity", c->digest);
    ck_assert(ss_is_missing("kim", c->digest));
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 200);
    ck_assert_uint_eq(ss_get_chunk("node:n1", c->digest), 200);
}
END_TEST

START_TEST(a_full_disk_leaves_nothing) {
    struct ss_chunk *c = ss_chunk(90000, 11);
    json *body;
    ss_config.reserve_mib = 1 << 30;
    ck_assert_uint_eq(ss_put_chunk("kim", c, &body), 507);
    ck_assert_ptr_nonnull(json_get_str(body, "remedy"));
    check_problem(body, "no_space", "disk is full");
    ss_config.reserve_mib = 1;
    ck_assert(!ss_file_exists(c->digest));
    ck_assert_uint_eq(ss_count_files("tmp"), 0);
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 201);
}
END_TEST

START_TEST(a_failing_database_leaves_nothing) {
    struct ss_chunk *c = ss_chunk(90000, 12);
    db_fail_nth(DB_FAULT_COMMIT, 1, DB_FAULT_FULL);
    ck_assert_uint_ge(ss_put_chunk("kim", c, NULL), 500);
    db_fail_nth(DB_FAULT_COMMIT, 0, DB_FAULT_FULL);
    ck_assert(!ss_file_exists(c->digest));
    ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 201);
}
END_TEST

START_TEST(the_quota_holds_for_uploads) {
    static struct ss_chunk c;
    json *body;
    ss_config.quota_mib = 2;
    c.size = CHUNK_MAX_BYTES;
    unsigned status[3];
    for (uint64_t i = 0; i < 3; i++) {
        ss_fill(c.data, c.size, 100 + i);
        ss_encode(&c);
        status[i] = ss_put_chunk("kim", &c, &body);
        if (i < 2) json_put(body);
    }
    ck_assert_uint_eq(status[0], 201);
    ck_assert_uint_eq(status[1], 201);
    ck_assert_uint_eq(status[2], 413);
    check_problem(body, "too_large", "quota");
    ck_assert(!ss_file_exists(c.digest));
    ck_assert_uint_eq(ss_put_chunk("lee", &c, NULL), 201); /* each has their own */
}
END_TEST

int main(void) {
    TCase *t = tcase_create("chunks");
    tcase_add_test(t, anyone_may_ask_who_this_is);
    tcase_add_test(t, a_chunk_is_put_once_and_read);
    tcase_add_test(t, it_survives_a_restart);
    tcase_add_test(t, bytes_that_do_not_compress_are_raw);
    tcase_add_test(t, a_bad_chunk_is_refused_and_named);
    tcase_add_test(t, another_content_is_refused);
    tcase_add_test(t, nonsense_is_refused);
    tcase_add_test(t, users_and_nodes_put);
    tcase_add_test(t, another_users_chunk_must_be_shown_to_be_had);
    tcase_add_loop_test(t, damage_on_disk_is_found_named_and_healed, 0, 3);
    tcase_add_test(t, a_full_disk_leaves_nothing);
    tcase_add_test(t, a_failing_database_leaves_nothing);
    tcase_add_test(t, the_quota_holds_for_uploads);
    return ss_run(t, "sliverstore chunks");
}
