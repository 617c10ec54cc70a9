/*
 * States: who may put and take them, what is refused, and how long their chunks stay.
 */
#include "ss_fixture.h"

#define SLIVER "0f9c2a44-1d2b-4c3d-8e4f-5a6b7c8d9e0f"
#define OTHER "1f9c2a44-1d2b-4c3d-8e4f-5a6b7c8d9e0f"

/* A state of these chunks, in a part each. */
static json *state_of(const char *sliver, int64_t epoch, const struct ss_chunk *const *chunks) {
    json *m = ss_manifest(sliver, chunks, 0);
    json *parts = json_array();
    char name[32];
    for (size_t i = 0; chunks[i]; i++) {
        snprintf(name, sizeof name, "part%zu", i);
        json_add(parts, json_set_int(json_set_str(json_object(), "name", name), "size_bytes",
                                     (int64_t)chunks[i]->size));
    }
    json_set(json_set_str(m, "kind", "checkpoint"), "parts", parts);
    return json_set_int(m, "epoch", epoch);
}

static json *list_of(json *item) {
    json *list = json_array();
    json_add(list, item);
    return list;
}

static char *digest_of(const json *manifest, char ret[SHA256_TEXT_BYTES]) {
    AUTO_MANIFEST struct manifest m = { 0 };
    ck_assert_msg(!manifest_from_json(manifest, &m, &ss_err), "%s", ss_err.msg);
    return manifest_digest(&m, ret);
}

static unsigned put_at(const char *who, const char *digest, json *manifest, const char *owner) {
    AUTO_FREE char *path = xasprintf("/v1/states/%s", digest);
    json *body = json_set(json_object(), "manifest", manifest);
    if (owner) json_set_str(body, "owner", owner);
    return ss_json("PUT", path, (struct ss_call){ .who = who, .body = body }, NULL);
}

static unsigned put(const char *who, json *manifest) {
    char digest[SHA256_TEXT_BYTES];
    digest_of(manifest, digest);
    return put_at(who, digest, manifest, NULL);
}

static unsigned of_state(const char *method, const char *who, const char *digest) {
    AUTO_FREE char *path = xasprintf("/v1/states/%s", digest);
    return ss_json(method, path, (struct ss_call){ .who = who }, NULL);
}

static size_t listed(const char *sliver) {
    json *body;
    ck_assert_uint_eq(ss_json("GET", "/v1/states",
                              (struct ss_call){ .who = "am:one", .query_name = "sliver",
                                                .query_value = sliver },
                              &body),
                      200);
    size_t n = json_length(json_get(body, "items"));
    json_put(body);
    return n;
}

static void collect(int64_t expected) {
    json *body;
    ck_assert_uint_eq(ss_json("POST", "/v1/collect",
                              (struct ss_call){ .who = "operator", .body = json_object() }, &body),
                      200);
    ck_assert_int_eq(json_get_int(body, "chunks", -1), expected);
    json_put(body);
}

START_TEST(nodes_put_and_get_the_aggregate_deletes) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { c, NULL };
    AUTO_JSON json *m = state_of(SLIVER, 3, list);
    char digest[SHA256_TEXT_BYTES];
    digest_of(m, digest);
    ck_assert_uint_eq(put("node:n1", json_copy(m)), 409); /* the chunk is missing */
    ck_assert_uint_eq(ss_put_chunk("node:n1", c, NULL), 201);
    ck_assert_uint_eq(put("kim", json_copy(m)), 403);
    ck_assert_uint_eq(put("am:one", json_copy(m)), 403);
    ck_assert_uint_eq(put("node:n1", json_copy(m)), 201);
    ck_assert_uint_eq(put("node:n2", json_copy(m)), 200);
    ck_assert_uint_eq(listed(SLIVER), 1);
    ck_assert_uint_eq(listed(OTHER), 0);
    ck_assert_uint_eq(of_state("GET", "kim", digest), 403);
    ck_assert_uint_eq(ss_get_chunk("kim", c->digest), 404); /* a guest's memory */
    ck_assert_uint_eq(of_state("GET", "node:n2", digest), 200);
    ck_assert_uint_eq(ss_get_chunk("node:n2", c->digest), 200);
    ck_assert_uint_eq(of_state("DELETE", "node:n1", digest), 403);
    ck_assert_uint_eq(of_state("DELETE", "kim", digest), 403);
    ck_assert_uint_eq(of_state("DELETE", "am:one", digest), 204);
    ck_assert_uint_eq(of_state("DELETE", "am:one", digest), 204);
    ck_assert_uint_eq(of_state("GET", "node:n2", digest), 404);
}
END_TEST

START_TEST(a_state_is_what_its_digest_says) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { c, NULL };
    ck_assert_uint_eq(ss_put_chunk("node:n1", c, NULL), 201);
    AUTO_JSON json *m = state_of(SLIVER, 3, list);
    char digest[SHA256_TEXT_BYTES];
    digest_of(m, digest);
    ck_assert_uint_eq(put_at("node:n1", digest, state_of(SLIVER, 4, list), NULL), 422);
    ck_assert_uint_eq(put("node:n1", state_of("no-uuid", 3, list)), 422);
    ck_assert_uint_eq(put("node:n1", state_of(SLIVER, 0, list)), 422);
    json *image = ss_manifest(SLIVER, list, 0);
    ck_assert_uint_eq(put("node:n1", image), 422);
    json *longer = json_copy(m);
    json *chunk = json_object();
    json_set_int(json_set_str(chunk, "digest", c->digest), "size", 70001);
    json_set(longer, "chunks", list_of(chunk));
    json_set_int(json_set_int(longer, "size_bytes", 70001), "virtual_size_bytes", 70001);
    json *part = json_set_int(json_set_str(json_object(), "name", "about"), "size_bytes", 70001);
    json_set(longer, "parts", list_of(part));
    ck_assert_uint_eq(put("node:n1", longer), 422);
    ck_assert_uint_eq(listed(SLIVER), 0);
}
END_TEST

/* Two states of the same sliver share most; what only the older one needs goes with it. */
START_TEST(chunks_stay_as_long_as_a_state_needs_them) {
    struct ss_chunk *shared = ss_chunk(70000, 1), *old = ss_chunk(80000, 2), *new = ss_chunk(90000, 3);
    const struct ss_chunk *const first[] = { shared, old, NULL }, *const second[] = { shared, new, NULL };
    AUTO_JSON json *a = state_of(SLIVER, 3, first), *b = state_of(SLIVER, 3, second);
    char digest[SHA256_TEXT_BYTES];
    ss_put_chunk("node:n1", shared, NULL);
    ss_put_chunk("node:n1", old, NULL);
    ss_put_chunk("node:n1", new, NULL);
    ck_assert_uint_eq(put("node:n1", json_copy(a)), 201);
    ck_assert_uint_eq(put("node:n1", json_copy(b)), 201);
    ss_shift_ms += 2 * 3600000;
    collect(0);
    ck_assert_uint_eq(of_state("DELETE", "am:one", digest_of(a, digest)), 204);
    collect(0); /* its grace begins now */
    ss_shift_ms += 2 * 3600000;
    collect(1);
    ck_assert(!ss_file_exists(old->digest));
    ck_assert(ss_file_exists(shared->digest) && ss_file_exists(new->digest));
    ck_assert_uint_eq(of_state("DELETE", "am:one", digest_of(b, digest)), 204);
    ss_shift_ms += 2 * 3600000;
    collect(2);
}
END_TEST

START_TEST(a_chunk_of_an_image_serves_a_state) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { c, NULL };
    ss_put_chunk("kim", c, NULL);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("a", list, 0), NULL, NULL), 201);
    ck_assert(!ss_is_missing("node:n1", c->digest));
    ck_assert_uint_eq(put("node:n1", state_of(SLIVER, 3, list)), 201);
    ck_assert_uint_eq(ss_json("DELETE", "/v1/images/a", (struct ss_call){ .who = "kim" }, NULL), 204);
    ss_shift_ms += 2 * 3600000;
    collect(0);
    ck_assert_uint_eq(ss_get_chunk("node:n2", c->digest), 200);
}
END_TEST

static void fill_random(struct ss_chunk *c, uint64_t seed) {
    ss_fill(c->data, c->size, seed); /* does not compress */
    ss_encode(c);
}

START_TEST(a_slice_has_a_quota) {
    struct ss_chunk *c = ss_chunk(CHUNK_MAX_BYTES, 1), *d = ss_chunk(CHUNK_MAX_BYTES, 2);
    const struct ss_chunk *const first[] = { c, NULL }, *const second[] = { d, NULL };
    char digest[SHA256_TEXT_BYTES];
    fill_random(c, 1);
    fill_random(d, 2);
    ss_config.quota_mib = 1;
    AUTO_JSON json *a = state_of(SLIVER, 3, first), *b = state_of(SLIVER, 3, second);
    ck_assert_uint_eq(ss_put_chunk("node:n1", c, NULL), 201);
    ck_assert_uint_eq(put_at("node:n1", digest_of(a, digest), json_copy(a), URN_OF("slice", "s1")), 201);
    ck_assert_uint_eq(ss_put_chunk("node:n1", d, NULL), 201); /* the claim of the first has ended */
    ck_assert_uint_eq(put_at("node:n1", digest_of(b, digest), json_copy(b), URN_OF("slice", "s1")), 413);
    ck_assert_uint_eq(put_at("node:n1", digest_of(b, digest), json_copy(b), URN_OF("slice", "s2")), 201);
}
END_TEST

START_TEST(states_outlive_a_restart) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { c, NULL };
    ss_put_chunk("node:n1", c, NULL);
    ck_assert_uint_eq(put("node:n1", state_of(SLIVER, 3, list)), 201);
    ss_reopen();
    ck_assert_uint_eq(listed(SLIVER), 1);
    ck_assert_uint_eq(ss_get_chunk("node:n2", c->digest), 200);
}
END_TEST

int main(void) {
    TCase *t = tcase_create("states");
    tcase_add_test(t, nodes_put_and_get_the_aggregate_deletes);
    tcase_add_test(t, a_state_is_what_its_digest_says);
    tcase_add_test(t, chunks_stay_as_long_as_a_state_needs_them);
    tcase_add_test(t, a_chunk_of_an_image_serves_a_state);
    tcase_add_test(t, a_slice_has_a_quota);
    tcase_add_test(t, states_outlive_a_restart);
    return ss_run(t, "store: states");
}
