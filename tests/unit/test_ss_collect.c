/*
 * The collection: what it takes, what it leaves, and uploads that run against it.
 */
#include "ss_fixture.h"

#include <stdatomic.h>

static json *collect(const char *who, bool dry_run, unsigned expected) {
    json *body;
    ck_assert_uint_eq(ss_json("POST", "/v1/collect",
                              (struct ss_call){ .who = who, .body = json_set_bool(
                                                    json_object(), "dry_run", dry_run) },
                              &body),
                      expected);
    return body;
}

static void check_collect(bool dry_run, int64_t chunks, int64_t orphans) {
    AUTO_JSON json *body = collect("operator", dry_run, 200);
    ck_assert_int_eq(json_get_int(body, "chunks", -1), chunks);
    ck_assert_int_eq(json_get_int(body, "orphans", -1), orphans);
    ck_assert(json_get_bool(body, "complete", false));
}

static void hours_pass(int64_t hours) { ss_shift_ms += hours * 3600000; }

START_TEST(only_operators_collect) {
    json_put(collect("kim", true, 403));
    json_put(collect("node:n1", true, 403));
    check_collect(true, 0, 0);
}
END_TEST

START_TEST(unreferenced_chunks_go_after_their_grace) {
    struct ss_chunk *kept = ss_chunk(70000, 1), *loose = ss_chunk(80000, 2);
    const struct ss_chunk *const list[] = { kept, NULL };
    ss_put_chunk("kim", kept, NULL);
    ss_put_chunk("kim", loose, NULL);
    ck_assert_uint_eq(ss_put_image("kim", ss_manifest("a", list, 0), NULL, NULL), 201);
    check_collect(false, 0, 0);
    hours_pass(2);
    check_collect(true, 1, 0);
    ck_assert(ss_file_exists(loose->digest));
    check_collect(false, 1, 0);
    ck_assert(!ss_file_exists(loose->digest));
    ck_assert(ss_is_missing("kim", loose->digest));
    ck_assert_uint_eq(ss_get_chunk("node:n1", kept->digest), 200);
    check_collect(false, 0, 0);
}
END_TEST

START_TEST(asking_keeps_an_upload_alive) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    ss_put_chunk("kim", c, NULL);
    ss_shift_ms += 50 * 60000;
    ck_assert(!ss_is_missing("kim", c->digest));
    ss_shift_ms += 50 * 60000;
    check_collect(false, 0, 0);
    hours_pass(2);
    check_collect(false, 1, 0);
}
END_TEST

START_TEST(a_deleted_images_chunks_get_their_grace) {
    struct ss_chunk *c = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { c, NULL };
    ss_put_chunk("kim", c, NULL);
    ss_put_image("kim", ss_manifest("a", list, 0), NULL, NULL);
    ss_put_image("kim", ss_manifest("b", list, 0), NULL, NULL);
    hours_pass(5);
    ss_json("DELETE", "/v1/images/a", (struct ss_call){ .who = "kim" }, NULL);
    hours_pass(5);
    check_collect(false, 0, 0); /* b needs it */
    ss_json("DELETE", "/v1/images/b", (struct ss_call){ .who = "kim" }, NULL);
    check_collect(false, 0, 0); /* somebody may be fetching it now */
    ck_assert_uint_eq(ss_get_chunk("node:n1", c->digest), 200);
    hours_pass(2);
    check_collect(false, 1, 0);
}
END_TEST

START_TEST(files_without_rows_go) {
    struct ss_chunk *c = ss_chunk(70000, 1), *orphan = ss_chunk(70000, 2);
    AUTO_FREE char *path = ss_chunk_path(orphan->digest);
    ss_put_chunk("kim", c, NULL);
    ck_assert(!file_write(path, "left by a crash", 15, 0600, &ss_err));
    check_collect(false, 0, 1);
    ck_assert(!ss_file_exists(orphan->digest));
    ck_assert(ss_file_exists(c->digest));
}
END_TEST

START_TEST(the_quota_comes_back) {
    static struct ss_chunk c;
    ss_config.quota_mib = 1;
    c.size = CHUNK_MAX_BYTES;
    ss_fill(c.data, c.size, 1);
    ss_encode(&c);
    ck_assert_uint_eq(ss_put_chunk("kim", &c, NULL), 201);
    hours_pass(2);
    check_collect(false, 1, 0);
    ss_fill(c.data, c.size, 2);
    ss_encode(&c);
    ck_assert_uint_eq(ss_put_chunk("kim", &c, NULL), 201);
}
END_TEST

START_TEST(many_chunks_go_in_batches) {
    struct ss_chunk *c;
    for (uint64_t i = 0; i < 40; i++) {
        c = ss_chunk(100, i);
        ck_assert_uint_eq(ss_put_chunk("kim", c, NULL), 201);
    }
    hours_pass(2);
    check_collect(true, 40, 0);
    check_collect(false, 40, 0);
}
END_TEST

/* Uploads with no grace at all against a collection that never rests: a commit is refused or
 * good, and a good image has all its chunks. */
static atomic_bool stop;

static void *collect_always(void *arg) {
    (void)arg;
    while (!atomic_load(&stop)) {
        struct collect_result r;
        struct err err = ERR_INIT;
        if (collect_run(ss, false, 1000, &r, &err)) return "failed";
    }
    return NULL;
}

static bool upload(uint64_t n) {
    char name[32];
    struct ss_chunk *a = ss_chunk(300, 2 * n), *b = ss_chunk(300, 2 * n + 1);
    const struct ss_chunk *const list[] = { a, b, NULL };
    snprintf(name, sizeof name, "image-%03u", (unsigned)n);
    for (int try = 0; try < 50; try++) {
        ck_assert_uint_lt(ss_put_chunk("kim", a, NULL), 300);
        ck_assert_uint_lt(ss_put_chunk("kim", b, NULL), 300);
        unsigned status = ss_put_image("kim", ss_manifest(name, list, 0), NULL, NULL);
        ck_assert(status == 201 || status == 409);
        if (status == 201) return true;
    }
    return false;
}

START_TEST(uploads_run_against_the_collection) {
    pthread_t thread;
    unsigned stored = 0;
    ss_config.grace_s = 0;
    atomic_store(&stop, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, collect_always, NULL), 0);
    for (uint64_t i = 0; i < 60; i++) stored += upload(i);
    atomic_store(&stop, true);
    void *failed;
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_uint_gt(stored, 0);
    json *body;
    ss_json("GET", "/v1/images", (struct ss_call){ .who = "kim" }, &body);
    ck_assert_uint_eq(json_length(json_get(body, "items")), stored);
    json_put(body);
    for (uint64_t i = 0; i < 60; i++) {
        char path[64];
        snprintf(path, sizeof path, "/v1/images/image-%03u", (unsigned)i);
        if (ss_json("GET", path, (struct ss_call){ .who = "kim" }, NULL) != 200) continue;
        ck_assert_uint_eq(ss_get_chunk("kim", ss_chunk(300, 2 * i)->digest), 200);
        ck_assert_uint_eq(ss_get_chunk("kim", ss_chunk(300, 2 * i + 1)->digest), 200);
    }
}
END_TEST

int main(void) {
    TCase *t = tcase_create("collect");
    tcase_add_test(t, only_operators_collect);
    tcase_add_test(t, unreferenced_chunks_go_after_their_grace);
    tcase_add_test(t, asking_keeps_an_upload_alive);
    tcase_add_test(t, a_deleted_images_chunks_get_their_grace);
    tcase_add_test(t, files_without_rows_go);
    tcase_add_test(t, the_quota_comes_back);
    tcase_add_test(t, many_chunks_go_in_batches);
    tcase_add_test(t, uploads_run_against_the_collection);
    return ss_run(t, "sliverstore collection");
}
