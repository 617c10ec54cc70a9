/*
 * States over real connections: parts that stand behind something else, what is moved again, a bad store.
 */
#include "ss_fixture.h"

#include "common/http_client.h"
#include "common/http_server.h"
#include "common/state_client.h"
#include "sliverstore/chunks.h"

#include <fcntl.h>
#include <stdatomic.h>

#define MIB (1 << 20)
#define SLIVER "0f9c2a44-1d2b-4c3d-8e4f-5a6b7c8d9e0f"
#define HEAD 68661 /* bytes before the memory, of no round number */
#define MEMORY_BYTES (6 * MIB + 345)
#define DISK_BYTES (5 * MIB)

static struct http_server *server;
static struct http_client *node;
static char url[64], about[96], memory[96], disk[96], dest[96];
static uint8_t memory_data[HEAD + MEMORY_BYTES], disk_data[DISK_BYTES];
static struct route rows[24];
static struct route_table table;
static struct state_result result;
static atomic_bool cancel;

static void write_files(void) {
    ck_assert(!file_write(about, "{\"v\":1}", 7, 0600, &ss_err));
    ck_assert(!file_write(memory, memory_data, sizeof memory_data, 0600, &ss_err));
    ck_assert(!file_write(disk, disk_data, sizeof disk_data, 0600, &ss_err));
}

static void connect_to_store(void) {
    char *key, *cert;
    memcpy(rows, ss_routes.rows, ss_routes.count * sizeof *rows);
    table = ss_routes;
    table.rows = rows;
    server = http_server_start(
        &(struct http_server_options){ .address = "127.0.0.1", .key_pem = ss_identity.key_pem,
                                       .cert_pem = ss_identity.cert_pem,
                                       .ca_pem = ss_identity.ca_pem, .threads = HTTP_POOL },
        &table, &ss_err);
    ck_assert_msg(server != NULL, "%s", ss_err.msg);
    snprintf(url, sizeof url, "https://127.0.0.1:%u", http_server_port(server));
    ss_certificate(URN_OF("node", "n1"), &key, &cert);
    node = http_client_new(&(struct http_client_options){ .key_pem = key, .cert_pem = cert,
                                                          .ca_pem = ss_identity.ca_pem,
                                                          .peer_urn = URN_OF("ss", "store") },
                           &ss_err);
    ck_assert_msg(node != NULL, "%s", ss_err.msg);
    pki_wipe(key);
    free(cert);
}

static void setup(void) {
    ss_setup();
    connect_to_store();
    snprintf(about, sizeof about, "%s/about", ss_dir);
    snprintf(memory, sizeof memory, "%s/memory", ss_dir);
    snprintf(disk, sizeof disk, "%s/disk", ss_dir);
    snprintf(dest, sizeof dest, "%s/dest", ss_dir);
    ss_fill(memory_data, sizeof memory_data, 1);
    memset(disk_data, 0, sizeof disk_data);
    ss_fill(disk_data, MIB, 2);
    ss_fill(disk_data + 3 * MIB, MIB, 3); /* 2 MiB of zeros before, one behind */
    write_files();
    atomic_store(&cancel, false);
}

static void teardown(void) {
    http_client_free(node);
    http_server_stop(server);
    ss_teardown();
}

static struct image_transfer transfer(void) {
    return (struct image_transfer){ .client = node, .store_url = url, .cancel = &cancel };
}

static int upload(bool chunks_only) {
    struct image_transfer t = transfer();
    const struct state_part parts[] = { { "about", about, 0 }, { "memory", memory, HEAD },
                                        { "disk", disk, 0 } };
    struct state_upload what = { .parts = parts, .part_count = 3, .sliver = SLIVER, .epoch = 3,
                                 .taken_ms = 1000, .virtual_size_bytes = 256 * MIB,
                                 .owner = URN_OF("slice", "ring"), .chunks_only = chunks_only };
    ss_err = (struct err)ERR_INIT;
    return state_upload(&t, &what, &result, &ss_err);
}

static void check_part(struct state *s, const char *part, const uint8_t *data, size_t length,
                       size_t before) {
    AUTO_FD int fd = open(dest, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_msg(!state_fetch(s, part, fd, (int64_t)before, &ss_err), "%s", ss_err.msg);
    ck_assert_int_eq(state_part_bytes(s, part), (int64_t)length);
    size_t n;
    AUTO_FREE char *got = file_read(dest, 64 * MIB, &n, &ss_err);
    ck_assert_uint_eq(n, before + length);
    ck_assert(!memcmp(got + before, data, length));
}

START_TEST(a_state_goes_there_and_back) {
    struct image_transfer t = transfer();
    ck_assert_msg(!upload(false), "%s", ss_err.msg);
    ck_assert_int_eq(result.bytes_total, 7 + MEMORY_BYTES + 2 * MIB);
    ck_assert_int_eq(result.bytes_new, result.bytes_total);
    struct state *s = state_open(&t, result.digest, &ss_err);
    ck_assert_msg(s != NULL, "%s", ss_err.msg);
    AUTO_FREE char *text = state_text(s, "about", 100, &ss_err);
    ck_assert_str_eq(text, "{\"v\":1}");
    ck_assert_ptr_null(state_text(s, "memory", 100, &ss_err));
    ck_assert_int_eq(ss_err.code, ERR_TOO_LARGE);
    check_part(s, "memory", memory_data + HEAD, MEMORY_BYTES, 0);
    check_part(s, "memory", memory_data + HEAD, MEMORY_BYTES, 12345); /* behind another head */
    check_part(s, "disk", disk_data, DISK_BYTES, 0);
    struct stat st;
    ck_assert(!stat(dest, &st));
    ck_assert_int_lt(st.st_blocks * 512, 3 * MIB); /* zeros are holes */
    ck_assert_int_eq(state_fetch(s, "nothing", 1, 0, &ss_err), -1);
    ck_assert_int_eq(ss_err.code, ERR_UNPROCESSABLE);
    state_close(s);
}
END_TEST

START_TEST(only_what_has_changed_is_sent_again) {
    ck_assert_msg(!upload(false), "%s", ss_err.msg);
    struct state_result first = result;
    ck_assert_msg(!upload(false), "%s", ss_err.msg);
    ck_assert_str_eq(result.digest, first.digest);
    ck_assert_int_eq(result.bytes_new, 0);
    memory_data[HEAD + 2 * MIB] ^= 1;
    write_files();
    ck_assert_msg(!upload(false), "%s", ss_err.msg);
    ck_assert_int_gt(result.bytes_new, 0);
    ck_assert_int_le(result.bytes_new, CHUNK_MAX_BYTES);
    ck_assert_str_ne(result.digest, first.digest);
}
END_TEST

START_TEST(chunks_may_go_ahead_of_their_manifest) {
    struct image_transfer t = transfer();
    ck_assert_msg(!upload(true), "%s", ss_err.msg);
    ck_assert_ptr_null(state_open(&t, result.digest, &ss_err));
    ck_assert_int_eq(ss_err.code, ERR_NOT_FOUND);
    ck_assert_msg(!upload(false), "%s", ss_err.msg);
    ck_assert_int_eq(result.bytes_new, 0);
    struct state *s = state_open(&t, result.digest, &ss_err);
    ck_assert_msg(s != NULL, "%s", ss_err.msg);
    state_close(s);
}
END_TEST

START_TEST(a_cancelled_upload_leaves_no_state) {
    json *body;
    atomic_store(&cancel, true);
    ck_assert_int_eq(upload(false), -1);
    ck_assert_int_eq(ss_err.code, ERR_CANCELLED);
    ck_assert_uint_eq(ss_json("GET", "/v1/states", (struct ss_call){ .who = "am:one" }, &body), 200);
    ck_assert_uint_eq(json_length(json_get(body, "items")), 0);
    json_put(body);
}
END_TEST

static int lying_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    if (chunks_get(ctx, req, reply, err)) return -1;
    reply->text[reply->text_length / 2] ^= 1;
    return 0;
}

START_TEST(a_lying_store_is_not_believed) {
    struct image_transfer t = transfer();
    ck_assert_msg(!upload(false), "%s", ss_err.msg);
    for (size_t i = 0; i < table.count; i++)
        if (rows[i].handler == chunks_get) rows[i].handler = lying_get;
    struct state *s = state_open(&t, result.digest, &ss_err);
    AUTO_FD int fd = open(dest, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(state_fetch(s, "memory", fd, 0, &ss_err), -1);
    ck_assert_int_eq(ss_err.code, ERR_INTEGRITY);
    ck_assert_ptr_null(state_text(s, "about", 100, &ss_err));
    state_close(s);
    ck_assert_ptr_null(state_open(&t, "nothing", &ss_err));
    ck_assert_int_eq(ss_err.code, ERR_INVALID);
}
END_TEST

/* Parts whose edges lie within a chunk: a store or another node made that up. */
START_TEST(parts_end_where_chunks_end) {
    struct image_transfer t = transfer();
    struct ss_chunk *c = ss_chunk(70000, 1);
    const struct ss_chunk *const list[] = { c, NULL };
    char digest[SHA256_TEXT_BYTES];
    ss_put_chunk("node:n1", c, NULL);
    json *m = ss_manifest(SLIVER, list, 0), *parts = json_array();
    json_add(parts, json_set_int(json_set_str(json_object(), "name", "about"), "size_bytes", 10));
    json_add(parts, json_set_int(json_set_str(json_object(), "name", "disk"), "size_bytes", 69990));
    json_set_int(json_set(json_set_str(m, "kind", "checkpoint"), "parts", parts), "epoch", 3);
    AUTO_MANIFEST struct manifest read = { 0 };
    ck_assert(!manifest_from_json(m, &read, &ss_err));
    manifest_digest(&read, digest);
    AUTO_FREE char *path = xasprintf("/v1/states/%s", digest);
    json *body = json_set(json_object(), "manifest", m);
    ck_assert_uint_eq(ss_json("PUT", path, (struct ss_call){ .who = "node:n1", .body = body }, NULL),
                      201);
    ck_assert_ptr_null(state_open(&t, digest, &ss_err));
    ck_assert_int_eq(ss_err.code, ERR_UNPROCESSABLE);
}
END_TEST

int main(void) {
    TCase *t = tcase_create("states");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_state_goes_there_and_back);
    tcase_add_test(t, only_what_has_changed_is_sent_again);
    tcase_add_test(t, chunks_may_go_ahead_of_their_manifest);
    tcase_add_test(t, a_cancelled_upload_leaves_no_state);
    tcase_add_test(t, a_lying_store_is_not_believed);
    tcase_add_test(t, parts_end_where_chunks_end);
    Suite *suite = suite_create("state transfers");
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
