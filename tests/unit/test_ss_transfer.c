/*
 * Uploading and fetching over real connections, broken off and resumed, with bad chunks and a bad
 * store.
 */
#include "ss_fixture.h"

#include "common/http_client.h"
#include "common/http_server.h"
#include "common/image_client.h"
#include "sliverstore/chunks.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>

#define MIB (1 << 20)
#define IMAGE_BYTES (12 * MIB + 345)

static struct http_server *server;
static struct http_client *user, *node;
static char url[64];
static char image[96], dest[96];
static struct image_result result;
static atomic_bool cancel;
static struct route rows[16];
static struct route_table table;

static struct http_client *client_of(const char *urn) {
    char *key, *cert;
    ss_certificate(urn, &key, &cert);
    struct http_client *c = http_client_new(
        &(struct http_client_options){ .key_pem = key, .cert_pem = cert,
                                       .ca_pem = ss_identity.ca_pem,
                                       .peer_urn = URN_OF("ss", "store") },
        &ss_err);
    ck_assert_msg(c != NULL, "%s", ss_err.msg);
    pki_wipe(key);
    free(cert);
    return c;
}

static void serve(void) {
    server = http_server_start(
        &(struct http_server_options){ .address = "127.0.0.1", .key_pem = ss_identity.key_pem,
                                       .cert_pem = ss_identity.cert_pem,
                                       .ca_pem = ss_identity.ca_pem, .threads = HTTP_POOL },
        &table, &ss_err);
    ck_assert_msg(server != NULL, "%s", ss_err.msg);
    snprintf(url, sizeof url, "https://127.0.0.1:%u", http_server_port(server));
}

/* Two MiB of data, two of zeros, the rest data of which one MiB occurs twice. */
static void make_image(const char *path, uint64_t seed) {
    AUTO_FREE uint8_t *data = xcalloc(1, IMAGE_BYTES);
    ss_fill(data, 2 * MIB, seed);
    ss_fill(data + 4 * MIB, IMAGE_BYTES - 4 * MIB, 7);
    for (size_t i = 0; i < IMAGE_BYTES; i++) data[i] &= 0x3f;
    memcpy(data + 9 * MIB, data + 5 * MIB, MIB);
    ck_assert(!file_write(path, data, IMAGE_BYTES, 0600, &ss_err));
}

static void setup(void) {
    ss_setup();
    memcpy(rows, ss_routes.rows, ss_routes.count * sizeof *rows);
    table = ss_routes;
    table.rows = rows;
    serve();
    user = client_of(URN_OF("user", "kim"));
    node = client_of(URN_OF("node", "n1"));
    snprintf(image, sizeof image, "%s/image.raw", ss_dir);
    snprintf(dest, sizeof dest, "%s/fetched.raw", ss_dir);
    make_image(image, 1);
    atomic_store(&cancel, false);
}

static void teardown(void) {
    http_client_free(user);
    http_client_free(node);
    http_server_stop(server);
    ss_teardown();
}

/* --- going there and back --- */

/* Raises the cancel flag once so many bytes were moved. */
static void cancel_at(void *ctx, const struct image_progress *p) {
    if (p->moved_bytes > *(int64_t *)ctx) atomic_store(&cancel, true);
    ck_assert_int_le(p->done_bytes, p->total_bytes);
}

static int upload(const char *path, const char *name, int64_t stop_at_bytes) {
    struct image_transfer t = { .client = user, .store_url = url, .cancel = &cancel };
    if (stop_at_bytes) t.progress = cancel_at, t.progress_ctx = &stop_at_bytes;
    struct image_upload what = { .path = path, .name = name };
    ss_err = (struct err)ERR_INIT;
    return image_upload(&t, &what, &result, &ss_err);
}

static int fetch_with(const char *digest, int64_t stop_at_bytes, const char *seed) {
    const char *seeds[] = { seed, NULL };
    struct image_transfer t = { .client = node, .store_url = url, .cancel = &cancel };
    if (stop_at_bytes) t.progress = cancel_at, t.progress_ctx = &stop_at_bytes;
    struct image_fetch what = { .digest = digest, .dest_path = dest, .seeds = seeds,
                                .keep_manifest = true };
    ss_err = (struct err)ERR_INIT;
    return image_fetch(&t, &what, &result, &ss_err);
}
static int fetch(const char *digest) { return fetch_with(digest, 0, NULL); }

static bool same(const char *a, const char *b) {
    size_t n, m;
    AUTO_FREE char *x = file_read(a, 64 * MIB, &n, &ss_err);
    AUTO_FREE char *y = file_read(b, 64 * MIB, &m, &ss_err);
    return x && y && n == m && memcmp(x, y, n) == 0;
}

static bool exists(const char *suffix) {
    AUTO_FREE char *path = xasprintf("%s%s", dest, suffix);
    return access(path, F_OK) == 0;
}

static const char *uploaded(void) {
    static char digest[SHA256_TEXT_BYTES];
    ck_assert_msg(!upload(image, "debian", 0), "%s", ss_err.msg);
    memcpy(digest, result.digest, sizeof digest);
    return digest;
}

START_TEST(an_image_goes_there_and_back) {
    const char *digest = uploaded();
    ck_assert_uint_gt(result.chunks_moved, 10);
    size_t all = result.chunks_moved;
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert_uint_eq(result.chunks_moved, all);
    ck_assert(same(image, dest));
    ck_assert(!exists(".part") && exists(".manifest"));
    struct stat st;
    ck_assert(!stat(dest, &st));
    ck_assert_int_lt(st.st_blocks * 512, IMAGE_BYTES - MIB); /* the zeros are a hole */
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg); /* it is there */
    ck_assert_uint_eq(result.chunks_moved, 0);
    ck_assert_msg(!upload(image, "debian", 0), "%s", ss_err.msg);
    ck_assert_uint_eq(result.chunks_moved, 0);
    ck_assert_str_eq(result.digest, digest);
}
END_TEST

START_TEST(an_upload_resumes) {
    ck_assert_int_eq(upload(image, "debian", MIB), -1);
    ck_assert_int_eq(ss_err.code, ERR_CANCELLED);
    atomic_store(&cancel, false);
    const char *digest = uploaded();
    ck_assert_uint_gt(result.chunks_reused, 0);
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert(same(image, dest));
}
END_TEST

START_TEST(a_fetch_resumes) {
    const char *digest = uploaded();
    ck_assert_int_eq(fetch_with(digest, MIB, NULL), -1);
    ck_assert_int_eq(ss_err.code, ERR_CANCELLED);
    ck_assert(exists(".part") && !exists(""));
    atomic_store(&cancel, false);
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert_uint_gt(result.chunks_reused, 0);
    ck_assert_uint_gt(result.chunks_moved, 0);
    ck_assert(same(image, dest) && !exists(".part"));
}
END_TEST

/* Whatever stands in the part, and were it of another image, only what verifies is believed. */
START_TEST(a_part_full_of_rubbish_does_no_harm) {
    const char *digest = uploaded();
    AUTO_FREE char *part = xasprintf("%s.part", dest);
    AUTO_FREE uint8_t *rubbish = xmalloc(IMAGE_BYTES + MIB);
    memset(rubbish, 0xaa, IMAGE_BYTES + MIB);
    ck_assert(!file_write(part, rubbish, IMAGE_BYTES + MIB, 0600, &ss_err));
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert_uint_eq(result.chunks_reused, 0);
    ck_assert(same(image, dest));
}
END_TEST

START_TEST(a_damaged_destination_is_fetched_again) {
    const char *digest = uploaded();
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    AUTO_FD int fd = open(dest, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "x", 1, 5 * MIB), 1);
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert(same(image, dest));
}
END_TEST

START_TEST(only_what_is_lacked_is_moved) {
    char other[96];
    snprintf(other, sizeof other, "%s/other.raw", ss_dir);
    make_image(other, 2);
    uploaded();
    size_t all = result.chunks_moved;
    ck_assert_msg(!upload(other, "other", 0), "%s", ss_err.msg);
    ck_assert_uint_lt(result.chunks_moved, all / 2);
    struct image_result up = result;
    /* A seed without a manifest beside it is read through; with one it is looked up. */
    ck_assert_msg(!fetch_with(up.digest, 0, image), "%s", ss_err.msg);
    ck_assert_uint_eq(result.chunks_moved, up.chunks_moved);
    ck_assert(same(other, dest));
    char seed[96];
    snprintf(seed, sizeof seed, "%s/seed.raw", ss_dir);
    AUTO_FREE char *from = xasprintf("%s.manifest", dest), *to = xasprintf("%s.manifest", seed);
    ck_assert(!rename(dest, seed) && !rename(from, to));
    ck_assert_msg(!fetch_with(up.digest, 0, seed), "%s", ss_err.msg);
    ck_assert_uint_eq(result.chunks_moved, 0);
    ck_assert(same(other, dest));
    /* A manifest that lies about its file costs time, nothing else. */
    ck_assert(!unlink(dest) && !truncate(seed, 5 * MIB));
    ck_assert_msg(!fetch_with(up.digest, 0, seed), "%s", ss_err.msg);
    ck_assert_uint_gt(result.chunks_moved, 0);
    ck_assert(same(other, dest));
    ck_assert_msg(!fetch_with(up.digest, 0, "/no/such/seed"), "%s", ss_err.msg);
}
END_TEST

/* --- bad days --- */

static char *some_stored_chunk(void) {
    for (unsigned i = 0; i < STORE_STRIPES; i++) {
        AUTO_FREE char *below = xasprintf("%s/chunks/%02x", ss_dir, i);
        DIR *dir = opendir(below);
        for (struct dirent *e; (e = readdir(dir));)
            if (e->d_name[0] != '.') {
                char *name = xstrdup(e->d_name);
                closedir(dir);
                return name;
            }
        closedir(dir);
    }
    return NULL;
}

START_TEST(damage_at_the_store_is_named_and_an_upload_heals_it) {
    const char *digest = uploaded();
    AUTO_FREE char *chunk = some_stored_chunk();
    AUTO_FREE char *path = ss_chunk_path(chunk);
    AUTO_FD int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "rotten", 6, 100), 6);
    ck_assert_int_eq(fetch(digest), -1);
    ck_assert_int_eq(ss_err.code, ERR_INTEGRITY);
    ck_assert_msg(strstr(ss_err.msg, chunk) != NULL, "%s", ss_err.msg);
    ck_assert(!exists(""));
    uploaded();
    ck_assert_uint_eq(result.chunks_moved, 1);
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert(same(image, dest));
}
END_TEST

/* A store that lies: other bytes, a bomb, too few, too many. */
static int lie;
static int lying_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    if (chunks_get(ctx, req, reply, err)) return -1;
    if (lie == 0) reply->text[reply->text_length / 2] ^= 1;
    if (lie == 1) reply->text_length /= 2;
    if (lie == 2) memcpy(reply->text, "\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f", 13);
    if (lie == 3) {
        free(reply->text);
        reply->text_length = 3 * MIB;
        reply->text = xcalloc(1, 3 * MIB);
    }
    return 0;
}

START_TEST(a_lying_store_is_not_believed) {
    const char *digest = uploaded();
    for (size_t i = 0; i < table.count; i++)
        if (rows[i].handler == chunks_get) rows[i].handler = lying_get;
    for (lie = 0; lie < 4; lie++) {
        ck_assert_int_eq(fetch(digest), -1);
        ck_assert_msg(ss_err.code == ERR_INTEGRITY || ss_err.code == ERR_TOO_LARGE, "%d %s", lie,
                      ss_err.msg);
        if (lie < 3) ck_assert_msg(strstr(ss_err.msg, "chunk ") != NULL, "%s", ss_err.msg);
        ck_assert(!exists(""));
    }
}
END_TEST

/* A store that falls silent: the cancellation does not wait for it. */
static atomic_bool silent;
static int silent_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    atomic_store(&silent, true);
    clock_sleep_ms(5000);
    return chunks_get(ctx, req, reply, err);
}

static void *cancel_in_the_silence(void *arg) {
    while (!atomic_load(&silent)) clock_sleep_ms(10);
    atomic_store(&cancel, true);
    return arg;
}

START_TEST(a_silent_store_does_not_hold_up_a_cancellation) {
    const char *digest = uploaded();
    pthread_t thread;
    for (size_t i = 0; i < table.count; i++)
        if (rows[i].handler == chunks_get) rows[i].handler = silent_get;
    atomic_store(&silent, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_in_the_silence, NULL), 0);
    int64_t from_ms = clock_monotonic_ms();
    ck_assert_int_eq(fetch(digest), -1);
    ck_assert_int_eq(ss_err.code, ERR_CANCELLED);
    ck_assert_int_lt(clock_monotonic_ms() - from_ms, 4000);
    pthread_join(thread, NULL);
}
END_TEST

static int lying_manifest(void *ctx, const struct http_request *req, struct http_reply *reply,
                          struct err *err) {
    (void)ctx, (void)req, (void)err;
    const struct ss_chunk *none[] = { NULL };
    reply->body = ss_manifest("debian", none, IMAGE_BYTES);
    return 0;
}

START_TEST(another_manifest_is_not_believed) {
    const char *digest = uploaded();
    for (size_t i = 0; i < table.count; i++)
        if (!strcmp(rows[i].pattern, "/v1/manifests/{digest}")) rows[i].handler = lying_manifest;
    ck_assert_int_eq(fetch(digest), -1);
    ck_assert_int_eq(ss_err.code, ERR_INTEGRITY);
    ck_assert(!exists("") && !exists(".part"));
}
END_TEST

START_TEST(what_is_not_there_is_told) {
    char digest[SHA256_TEXT_BYTES];
    sha256_text("x", 1, digest);
    ck_assert_int_eq(fetch(digest), -1);
    ck_assert_int_eq(ss_err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(fetch("debian"), -1);
    ck_assert_int_eq(ss_err.code, ERR_INVALID);
    ck_assert_int_eq(upload("/no/such/file", "debian", 0), -1);
    ck_assert_int_eq(ss_err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(upload("/tmp", "debian", 0), -1);
    ck_assert_int_eq(ss_err.code, ERR_INVALID);
    ck_assert_int_eq(upload(image, "a/b", 0), -1);
    ck_assert_int_eq(ss_err.code, ERR_INVALID);
}
END_TEST

START_TEST(the_store_restarts_meanwhile) {
    const char *digest = uploaded();
    ck_assert_int_eq(fetch_with(digest, MIB, NULL), -1);
    http_server_stop(server);
    ss_reopen();
    table.ctx = ss;
    serve();
    atomic_store(&cancel, false);
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    ck_assert(same(image, dest));
}
END_TEST

static void collect_when_moving(void *ctx, const struct image_progress *p) {
    struct collect_result r;
    if (p->phase != IMAGE_TRANSFER || *(bool *)ctx || p->done_bytes < MIB) return;
    *(bool *)ctx = true;
    ss_config.grace_s = 0;
    clock_sleep_ms(5);
    ck_assert(!collect_run(ss, false, 10000, &r, &ss_err));
    ck_assert_int_gt(r.chunks, 0);
    ss_config.grace_s = 3600;
}

START_TEST(an_upload_survives_a_collection) {
    bool done = false;
    struct image_transfer t = { .client = user, .store_url = url, .connections = 1,
                                .progress = collect_when_moving, .progress_ctx = &done };
    struct image_upload what = { .path = image, .name = "debian" };
    ck_assert_msg(!image_upload(&t, &what, &result, &ss_err), "%s", ss_err.msg);
    ck_assert(done);
    ck_assert_msg(!fetch(result.digest), "%s", ss_err.msg);
    ck_assert(same(image, dest));
}
END_TEST

START_TEST(two_fetches_to_one_path_do_not_mix) {
    const char *digest = uploaded();
    AUTO_FREE char *part = xasprintf("%s.part", dest);
    AUTO_FD int fd = open(part, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(fetch(digest), -1);
    ck_assert_int_eq(ss_err.code, ERR_BUSY);
    flock(fd, LOCK_UN);
    ck_assert_msg(!fetch(digest), "%s", ss_err.msg);
    image_fetch_forget(dest);
    ck_assert(!exists(".manifest") && exists(""));
}
END_TEST

START_TEST(an_empty_image_and_one_of_zeros) {
    static const int64_t sizes[] = { 0, 1, 3 * MIB };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char name[16];
        snprintf(name, sizeof name, "zeros-%zu", i);
        ck_assert(!truncate(image, 0) && !truncate(image, sizes[i]));
        ck_assert_msg(!upload(image, name, 0), "%s", ss_err.msg);
        ck_assert_msg(!fetch(result.digest), "%s", ss_err.msg);
        ck_assert(same(image, dest));
    }
}
END_TEST

int main(void) {
    TCase *t = tcase_create("transfer");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, an_image_goes_there_and_back);
    tcase_add_test(t, an_upload_resumes);
    tcase_add_test(t, a_fetch_resumes);
    tcase_add_test(t, a_part_full_of_rubbish_does_no_harm);
    tcase_add_test(t, a_damaged_destination_is_fetched_again);
    tcase_add_test(t, only_what_is_lacked_is_moved);
    tcase_add_test(t, damage_at_the_store_is_named_and_an_upload_heals_it);
    tcase_add_test(t, a_lying_store_is_not_believed);
    tcase_add_test(t, a_silent_store_does_not_hold_up_a_cancellation);
    tcase_add_test(t, another_manifest_is_not_believed);
    tcase_add_test(t, what_is_not_there_is_told);
    tcase_add_test(t, the_store_restarts_meanwhile);
    tcase_add_test(t, an_upload_survives_a_collection);
    tcase_add_test(t, two_fetches_to_one_path_do_not_mix);
    tcase_add_test(t, an_empty_image_and_one_of_zeros);
    Suite *suite = suite_create("image transfers");
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
