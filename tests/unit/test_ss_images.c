/*
 * /v1/images: what becomes an image, who sees it, replaces it, deletes it.
 */
#include "ss_fixture.h"

/* Puts chunks and an image of them; returns its digest in a static buffer. */
static const char *make(const char *who, const char *name, uint64_t seed) {
    static char digest[SHA256_TEXT_BYTES];
    struct ss_chunk *c = ss_chunk(70000, seed);
    ck_assert_uint_lt(ss_put_chunk(who, c, NULL), 300);
    json *body;
    unsigned status = ss_put_image(who, ss_manifest(name, (const struct ss_chunk *[]){ c, NULL }, 0),
                                   NULL, &body);
    ck_assert_msg(status == 201, "%u %s", status, json_get_str(body, "detail"));
    snprintf(digest, sizeof digest, "%s", json_get_str(body, "digest"));
    json_put(body);
    return digest;
}

static unsigned get(const char *who, const char *key) {
    AUTO_FREE char *path = xasprintf("/v1/images/%s", key);
    return ss_json("GET", path, (struct ss_call){ .who = who }, NULL);
}

static unsigned refused(json *manifest, const char *expected) {
    json *body;
    unsigned status = ss_put_image("kim", manifest, NULL, &body);
    ck_assert_msg(status >= 400 && strstr(json_get_str(body, "detail"), expected), "%u %s", status,
                  json_get_str(body, "detail"));
    json_put(body);
    return status;
}

START_TEST(an_upload_becomes_an_image) {
    struct ss_chunk *a = ss_chunk(70000, 1), *b = ss_chunk(80000, 2);
    ss_put_chunk("kim", a, NULL);
    ss_put_chunk("kim", b, NULL);
    const struct ss_chunk *const list[] = { a, b, a, NULL };
    json *body;
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("debian", list, 1 << 20), NULL, &body), 201);
    ck_assert_str_eq(json_get_str(body, "owner"), URN_OF("user", "kim"));
    ck_assert_int_eq(json_get_int(body, "size_bytes", 0), 220000 + (1 << 20));
    ck_assert_int_eq(json_get_int(body, "stored_bytes", 0), (int64_t)(a->length + b->length));
    ck_assert(!json_get_bool(body, "public", true));
    AUTO_FREE char *path = xasprintf("/v1/manifests/%s", json_get_str(body, "digest"));
    AUTO_FREE char *digest = xstrdup(json_get_str(body, "digest"));
    json_put(body);
    struct http_reply reply;
    ck_assert_uint_eq(ss_do("GET", path, (struct ss_call){ .who = "node:n1" }, &reply), 200);
    char found[SHA256_TEXT_BYTES];
    ck_assert_str_eq(sha256_text(reply.text, reply.text_length, found), digest);
    http_reply_done(&reply);
    ck_assert_uint_eq(get("kim", "debian"), 200);
    ck_assert_uint_eq(get("node:n1", digest), 200);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("debian", list, 1 << 20), NULL, NULL), 200);
}
END_TEST

START_TEST(missing_chunks_are_named) {
    struct ss_chunk *a = ss_chunk(70000, 1), *b = ss_chunk(80000, 2);
    ss_put_chunk("kim", a, NULL);
    json *m = ss_manifest("debian", (const struct ss_chunk *[]){ a, b, NULL }, 0);
    ck_assert_uint_eq(refused(m, b->digest), 409);
    ck_assert_uint_eq(get("kim", "debian"), 404);
}
END_TEST

START_TEST(the_manifest_must_fit) {
    struct ss_chunk *a = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { a, NULL };
    ss_put_chunk("kim", a, NULL);
    a->size = 60000;
    json *m = ss_manifest("debian", list, 0);
    ck_assert_uint_eq(refused(m, a->digest), 422);
    a->size = 70000;
    AUTO_FREE char *path = xasprintf("/v1/images/%s", "other");
    m = json_set(json_object(), "manifest", ss_manifest("debian", list, 0));
    ck_assert_uint_eq(ss_json("PUT", path, (struct ss_call){ .who = "kim", .body = m }, NULL), 400);
    m = json_set(json_object(), "manifest", ss_manifest("other", list, 0));
    json_set_str(m, "digest", a->digest);
    ck_assert_uint_eq(ss_json("PUT", path, (struct ss_call){ .who = "kim", .body = m }, NULL), 422);
    m = ss_manifest("debian", list, 0);
    json_set_int(m, "virtual_size_bytes", 5);
    ck_assert_uint_eq(refused(m, "virtual_size_bytes"), 422);
    ss_config.virtual_size_max_mib = 1;
    ck_assert_uint_eq(refused(ss_manifest("debian", list, 4 << 20), "MiB"), 413);
    m = ss_manifest("debian", list, 0);
    json_set_int(m, "v", 2);
    ck_assert_uint_eq(refused(m, "/v"), 400);
}
END_TEST

/* A qcow2 head in the first chunk, with a word changed. */
static json *qcow2(size_t at, uint8_t value) {
    static struct ss_chunk c;
    static const struct { uint8_t at, value; } head[] = {
        { 0, 'Q' }, { 1, 'F' }, { 2, 'I' }, { 3, 0xfb }, { 7, 3 },     { 23, 16 }, { 28, 0x10 },
        { 39, 1 },  { 45, 1 },  { 53, 1 },  { 99, 4 },   { 103, 104 },
    };
    c.size = 131072;
    memset(c.data, 0, c.size);
    for (size_t i = 0; i < COUNT_OF(head); i++) c.data[head[i].at] = head[i].value;
    if (at) c.data[at] = value;
    ss_encode(&c);
    ck_assert_uint_lt(ss_put_chunk("kim", &c, NULL), 300);
    json *m = ss_manifest("disk", (const struct ss_chunk *[]){ &c, NULL }, 0);
    return json_set_int(json_set_str(m, "format", "qcow2"), "virtual_size_bytes", 0x10000000);
}

START_TEST(a_qcow2_must_stand_on_its_own) {
    ck_assert_uint_eq(refused(qcow2(15, 104), "backing file"), 422);
    ck_assert_uint_eq(refused(qcow2(79, 4), "external data file"), 422);
    ck_assert_uint_eq(refused(qcow2(3, 0), "no qcow2"), 422);
    ck_assert_uint_eq(refused(json_set_int(qcow2(0, 0), "virtual_size_bytes", 512), "describes"),
                      422);
    json *raw = qcow2(0, 0);
    json_set_str(raw, "format", "raw");
    json_set_int(raw, "virtual_size_bytes", 131072);
    ck_assert_uint_eq(refused(raw, "begins like a qcow2"), 422);
    const struct ss_chunk *none[] = { NULL };
    json *zeros = ss_manifest("disk", none, 1 << 20);
    ck_assert_uint_eq(refused(json_set_str(zeros, "format", "qcow2"), "no qcow2"), 422);
    ck_assert_uint_eq(refused(json_set_str(ss_manifest("disk", none, 0), "format", "qcow2"),
                              "no qcow2"), 422);
    ck_assert_uint_eq(ss_put_image("kim", qcow2(0, 0), NULL, NULL), 201);
}
END_TEST

START_TEST(another_users_chunk_makes_no_image) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    ss_put_chunk("kim", c, NULL);
    const struct ss_chunk *const list[] = { c, NULL };
    json *body;
    ck_assert_uint_eq(ss_put_image("lee", ss_manifest("stolen", list, 0), NULL, &body), 409);
    json_put(body);
    ck_assert_uint_eq(ss_put_image("operator", ss_manifest("stolen", list, 0), NULL, NULL), 201);
}
END_TEST

START_TEST(users_see_their_own_and_public_ones) {
    AUTO_FREE char *digest = xstrdup(make("kim", "private", 1));
    struct ss_chunk *c = ss_chunk(70000, 1);
    AUTO_FREE char *manifest = xasprintf("/v1/manifests/%s", digest);
    ck_assert_uint_eq(get("lee", "private"), 404);
    ck_assert_uint_eq(get("lee", digest), 404);
    ck_assert_uint_eq(ss_json("GET", manifest, (struct ss_call){ .who = "lee" }, NULL), 404);
    ck_assert_uint_eq(ss_get_chunk("lee", c->digest), 404);
    ck_assert_uint_eq(get("am:one", "private"), 200);
    ck_assert_uint_eq(get("operator", "private"), 200);
    ck_assert_uint_eq(get(NULL, "private"), 401);
    json *again = json_set(json_object(), "manifest",
                           ss_manifest("private", (const struct ss_chunk *[]){ c, NULL }, 0));
    json_set_bool(again, "public", true);
    ck_assert_uint_eq(ss_json("PUT", "/v1/images/private",
                              (struct ss_call){ .who = "kim", .body = again }, NULL), 200);
    ck_assert_uint_eq(get("lee", "private"), 200);
    ck_assert_uint_eq(ss_get_chunk("lee", c->digest), 200);
    ck_assert(!ss_is_missing("lee", c->digest));
}
END_TEST

static json *list(const char *who, const char *name, const char *value) {
    json *body;
    ck_assert_uint_eq(ss_json("GET", "/v1/images", (struct ss_call){ .who = who,
                              .query_name = name, .query_value = value }, &body), 200);
    return body;
}

START_TEST(lists_have_pages) {
    make("kim", "c", 1);
    make("lee", "b", 2);
    make("kim", "a", 3);
    AUTO_JSON json *all = list("node:n1", NULL, NULL);
    ck_assert_uint_eq(json_length(json_get(all, "items")), 3);
    ck_assert_str_eq(json_get_str(json_at(json_get(all, "items"), 1), "name"), "b");
    AUTO_JSON json *own = list("kim", NULL, NULL);
    ck_assert_uint_eq(json_length(json_get(own, "items")), 2);
    AUTO_JSON json *first = list("kim", "limit", "1");
    ck_assert_uint_eq(json_length(json_get(first, "items")), 1);
    AUTO_JSON json *second = list("kim", "cursor", json_get_str(first, "next"));
    ck_assert_str_eq(json_get_str(json_at(json_get(second, "items"), 0), "name"), "c");
    ck_assert(!json_has(second, "next"));
    AUTO_JSON json *none = list("kim", "kind", "checkpoint");
    ck_assert_uint_eq(json_length(json_get(none, "items")), 0);
    static const char *const bad[][2] = { { "cursor", "%%" }, { "limit", "0" }, { "kind", "x" } };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_uint_eq(ss_json("GET", "/v1/images", (struct ss_call){ .who = "kim",
                          .query_name = bad[i][0], .query_value = bad[i][1] }, NULL), 400);
}
END_TEST

START_TEST(replacing_needs_the_old_digest) {
    AUTO_FREE char *old = xstrdup(make("kim", "debian", 1));
    struct ss_chunk *c = ss_chunk(70000, 2);
    const struct ss_chunk *const list_[] = { c, ss_chunk(70000, 1), NULL };
    ss_put_chunk("kim", c, NULL);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("debian", list_, 0), NULL, NULL), 409);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("debian", list_, 0), "\"x\"", NULL), 412);
    ck_assert_uint_eq(ss_put_image("lee", ss_manifest("debian", list_, 0), old, NULL), 409);
    AUTO_FREE char *quoted = xasprintf("\"%s\"", old);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("debian", list_, 0), quoted, NULL), 201);
    ck_assert_uint_eq(get("kim", old), 404);
    ck_assert_uint_eq(get("kim", "debian"), 200);
}
END_TEST

START_TEST(owners_and_operators_delete) {
    make("kim", "debian", 1);
    make("kim", "ubuntu", 2);
    struct ss_call call = { .who = "lee" };
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/debian", call, NULL), 404);
    call.who = "node:n1";
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/debian", call, NULL), 403);
    call.who = "kim";
    call.if_match = "\"other\"";
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/debian", call, NULL), 412);
    call.if_match = NULL;
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/debian", call, NULL), 204);
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/debian", call, NULL), 404);
    call.who = "operator";
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/ubuntu", call, NULL), 204);
}
END_TEST

START_TEST(the_quota_holds_for_images) {
    static struct ss_chunk c;
    c.size = CHUNK_MAX_BYTES;
    ss_fill(c.data, c.size, 1);
    ss_encode(&c);
    const struct ss_chunk *const one[] = { &c, NULL };
    ss_config.quota_mib = 1;
    ck_assert_uint_eq(ss_put_chunk("kim", &c, NULL), 201);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("a", one, 0), NULL, NULL), 201);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("b", one, 0), NULL, NULL), 413);
    ck_assert_uint_eq(get("kim", "b"), 404);
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/a", (struct ss_call){ .who = "kim" }, NULL),
                      204);
    ck_assert_uint_eq(ss_put_chunk("kim", &c, NULL), 200);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("b", one, 0), NULL, NULL), 201);
}
END_TEST

int main(void) {
    TCase *t = tcase_create("images");
    tcase_add_test(t, an_upload_becomes_an_image);
    tcase_add_test(t, missing_chunks_are_named);
    tcase_add_test(t, the_manifest_must_fit);
    tcase_add_test(t, a_qcow2_must_stand_on_its_own);
    tcase_add_test(t, another_users_chunk_makes_no_image);
    tcase_add_test(t, users_see_their_own_and_public_ones);
    tcase_add_test(t, lists_have_pages);
    tcase_add_test(t, replacing_needs_the_old_digest);
    tcase_add_test(t, owners_and_operators_delete);
    tcase_add_test(t, the_quota_holds_for_images);
    return ss_run(t, "sliverstore images");
}
