/*
 * A sliver store in a directory of its own, called through its route table without a network.
 */
#ifndef JOGAK_TESTS_SS_FIXTURE_H
#define JOGAK_TESTS_SS_FIXTURE_H

#include "common/chunk.h"
#include "common/clock.h"
#include "common/credential.h"
#include "common/digest.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/pki.h"
#include "common/schema.h"
#include "sliverstore/collect.h"
#include "sliverstore/routes.h"
#include "sliverstore/store.h"

#include <check.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#define AUTHORITY "example.org"
#define URN_OF(type, name) "urn:publicid:IDN+" AUTHORITY "+" type "+" name
#define SS_UNUSED __attribute__((unused))

static char ss_dir[64];
static char ss_authority[] = "", ss_host[] = "127.0.0.1", ss_empty[] = "";
static struct store_config ss_config;
static struct identity ss_identity;
static char *ss_ca_key;
static struct store *ss;
static struct route_table ss_routes;
static struct err ss_err;

/* --- a wall clock that the test moves --- */

static _Atomic int64_t ss_shift_ms; /* added to the real wall clock */

static int64_t ss_real_us(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}
static int64_t ss_monotonic_us(void *ctx) { return (void)ctx, ss_real_us(CLOCK_MONOTONIC); }
static int64_t ss_boottime_ms(void *ctx) { return (void)ctx, ss_real_us(CLOCK_BOOTTIME) / 1000; }
static int64_t ss_wall_ms(void *ctx) {
    return (void)ctx, ss_real_us(CLOCK_REALTIME) / 1000 + ss_shift_ms;
}
static void ss_sleep_ms(void *ctx, int64_t ms) { (void)ctx, usleep((useconds_t)(ms * 1000)); }
static const struct clock_door ss_clock = { NULL, ss_monotonic_us, ss_boottime_ms, ss_wall_ms,
                                            ss_sleep_ms };

/* --- the store --- */

/* A certificate of this authority; the caller frees both. */
static void ss_certificate(const char *urn, char **ret_key, char **ret_cert) {
    const char *hosts[] = { "127.0.0.1", NULL };
    *ret_key = pki_key_new(&ss_err);
    AUTO_FREE char *csr = pki_csr_new(*ret_key, urn, &ss_err);
    *ret_cert = pki_issue(&(struct pki_issue){ .ca_key_pem = ss_ca_key,
                                               .ca_cert_pem = ss_identity.ca_pem,
                                               .csr_pem = csr,
                                               .urn = urn,
                                               .hosts = hosts,
                                               .uses = PKI_USE_CLIENT | PKI_USE_SERVER,
                                               .not_after_ms = clock_wall_ms() + 86400000 },
                          &ss_err);
    ck_assert_msg(*ret_cert != NULL, "%s", ss_err.msg);
}

static void ss_make_identity(void) {
    ss_ca_key = pki_key_new(&ss_err);
    ss_identity = (struct identity){ 0 };
    ss_identity.ca_pem = pki_authority_new(ss_ca_key, URN_OF("authority", "ca"), 30, &ss_err);
    snprintf(ss_identity.urn, sizeof ss_identity.urn, "%s", URN_OF("ss", "store"));
    ss_certificate(ss_identity.urn, &ss_identity.key_pem, &ss_identity.cert_pem);
}

static void ss_open(void) {
    ss = store_open(&ss_config, &ss_identity, &ss_err);
    ck_assert_msg(ss != NULL, "%s", ss_err.msg);
    ss_routes = routes_of(ss);
    ck_assert_msg(!route_table_check(&ss_routes, &ss_err), "%s", ss_err.msg);
}

SS_UNUSED static void ss_reopen(void) {
    store_close(ss);
    ss_open();
}

static void ss_setup(void) {
    static bool loaded;
    log_set_levels("error");
    clock_steer(&ss_clock);
    ss_shift_ms = 0;
    if (!loaded) ck_assert_msg(!schema_load(&ss_err), "%s", ss_err.msg);
    loaded = true;
    route_check_replies(true);
    snprintf(ss_dir, sizeof ss_dir, "/tmp/jogak-test-ss-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(ss_dir));
    ss_config = (struct store_config){
        .base = { .listen_address = ss_host, .listen_port = 8403, .state_dir = ss_dir,
                  .log_levels = ss_empty, .enroll_token = ss_empty, .advertise_host = ss_host },
        .authority = ss_authority, .quota_mib = 1024, .virtual_size_max_mib = 1 << 20,
        .reserve_mib = 1, .grace_s = 3600, .collect_interval_s = 3600,
    };
    ss_make_identity();
    ss_open();
}

static int ss_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void ss_teardown(void) {
    store_close(ss);
    identity_done(&ss_identity);
    pki_wipe(ss_ca_key);
    nftw(ss_dir, ss_remove, 8, FTW_DEPTH | FTW_PHYS);
    clock_steer(NULL);
}

/* --- calls --- */

struct ss_call {
    const char *who; /* "kim", "lee": users; "operator"; "node:n1", "am:one"; NULL: nobody */
    const char *encoding, *if_match, *query_name, *query_value; /* headers and one query argument */
    json *body;      /* taken */
    const void *raw;
    size_t raw_length;
    char *credential; /* filled by ss_do() */
};

static const char *ss_header(const struct http_request *req, const char *name) {
    const struct ss_call *call = req->impl;
    if (!strcasecmp(name, "Jogak-Encoding")) return call->encoding;
    if (!strcasecmp(name, "If-Match")) return call->if_match;
    if (!strcasecmp(name, "Content-Type"))
        return call->body ? "application/json" : "application/octet-stream";
    return !strcasecmp(name, CREDENTIAL_HEADER) ? call->credential : NULL;
}
static const char *ss_query(const struct http_request *req, const char *name) {
    const struct ss_call *call = req->impl;
    return call->query_name && !strcmp(name, call->query_name) ? call->query_value : NULL;
}

static char *ss_credential(const char *urn) {
    struct credential c = { .expires_ms = clock_wall_ms() + 600000,
                            .target_expires_ms = clock_wall_ms() + 600000,
                            .privileges = privileges_of_role("operator") };
    snprintf(c.serial, sizeof c.serial, "1");
    snprintf(c.owner, sizeof c.owner, "%s", urn);
    snprintf(c.target, sizeof c.target, "%s", URN_OF("authority", "ca"));
    snprintf(c.role, sizeof c.role, "operator");
    c.keys = json_array();
    char *text = credential_sign(&c, ss_ca_key, ss_identity.ca_pem, &ss_err);
    ck_assert_msg(text != NULL, "%s", ss_err.msg);
    credential_done(&c);
    return text;
}

/* The reply is the caller's to http_reply_done(). */
static unsigned ss_do(const char *method, const char *path, struct ss_call call,
                      struct http_reply *reply) {
    static const struct http_fields fields = { ss_header, ss_query };
    struct http_peer peer = { .address = "192.0.2.7", .serial = "00" };
    const char *colon = call.who ? strchr(call.who, ':') : NULL;
    if (call.who) {
        snprintf(peer.type, sizeof peer.type, "%.*s", colon ? (int)(colon - call.who) : 4,
                 colon ? call.who : "user");
        urn_text(peer.urn, AUTHORITY, peer.type, colon ? colon + 1 : call.who);
        if (!strcmp(call.who, "operator")) call.credential = ss_credential(peer.urn);
    }
    AUTO_FREE char *text = call.body ? json_text(call.body) : NULL;
    struct http_request req = { .method = method, .path = path, .peer = &peer, .fields = &fields,
                                .impl = &call, .raw = text ? text : call.raw,
                                .raw_length = text ? strlen(text) : call.raw_length };
    route_dispatch(&ss_routes, &req, reply);
    json_put(call.body);
    free(call.credential);
    return reply->status ? reply->status : 200;
}

/* Does the call; its JSON body goes to *ret_body, when wanted, for the caller to json_put(). */
static unsigned ss_json(const char *method, const char *path, struct ss_call call,
                        json **ret_body) {
    struct http_reply reply;
    unsigned status = ss_do(method, path, call, &reply);
    if (ret_body) *ret_body = STEAL(reply.body);
    http_reply_done(&reply);
    return status;
}

/* --- chunks --- */

SS_UNUSED static void ss_fill(uint8_t *to, size_t length, uint64_t seed) {
    for (size_t i = 0; i < length; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        to[i] = (uint8_t)(seed >> 56);
    }
}

/* A chunk of n reproducible bytes, half of them zero bits so that it compresses. */
struct ss_chunk {
    uint8_t data[CHUNK_MAX_BYTES], encoded[CHUNK_MAX_BYTES];
    size_t size, length;
    enum chunk_encoding encoding;
    char digest[SHA256_TEXT_BYTES];
};
SS_UNUSED static void ss_encode(struct ss_chunk *c) {
    c->length = chunk_encode(c->data, c->size, 1, c->encoded, &c->encoding);
    sha256_text(c->data, c->size, c->digest);
}
SS_UNUSED static struct ss_chunk *ss_chunk(size_t size, uint64_t seed) {
    static struct ss_chunk slots[4];
    static unsigned next;
    struct ss_chunk *c = &slots[next++ % 4];
    c->size = size;
    ss_fill(c->data, size, seed);
    for (size_t i = 0; i < size; i++) c->data[i] &= 0x0f;
    ss_encode(c);
    return c;
}

SS_UNUSED static unsigned ss_put_chunk(const char *who, const struct ss_chunk *c,
                                       json **ret_body) {
    char path[96];
    snprintf(path, sizeof path, "/v1/chunks/%s", c->digest);
    return ss_json("PUT", path,
                   (struct ss_call){ .who = who, .encoding = chunk_encoding_name(c->encoding),
                                     .raw = c->encoded, .raw_length = c->length },
                   ret_body);
}

SS_UNUSED static unsigned ss_get_chunk(const char *who, const char *digest) {
    char path[96];
    struct http_reply reply;
    snprintf(path, sizeof path, "/v1/chunks/%s", digest);
    unsigned status = ss_do("GET", path, (struct ss_call){ .who = who }, &reply);
    http_reply_done(&reply);
    return status;
}

SS_UNUSED static bool ss_is_missing(const char *who, const char *digest) {
    json *body;
    json *digests = json_array();
    json_add(digests, json_string(digest));
    unsigned status =
        ss_json("POST", "/v1/chunks/missing",
                (struct ss_call){ .who = who, .body = json_set(json_object(), "digests", digests) },
                &body);
    ck_assert_uint_eq(status, 200);
    bool missing = json_length(json_get(body, "missing")) == 1;
    json_put(body);
    return missing;
}

SS_UNUSED static char *ss_chunk_path(const char *digest) {
    return xasprintf("%s/chunks/%.2s/%s", ss_dir, digest, digest);
}
SS_UNUSED static bool ss_file_exists(const char *digest) {
    AUTO_FREE char *path = ss_chunk_path(digest);
    return access(path, F_OK) == 0;
}
SS_UNUSED static unsigned ss_count_files(const char *below) {
    AUTO_FREE char *path = xasprintf("%s/%s", ss_dir, below);
    DIR *dir = opendir(path);
    unsigned n = 0;
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* --- images --- */

/* A raw image of these chunks, in their order, with a run of zeros behind when zeros > 0. */
SS_UNUSED static json *ss_manifest(const char *name, const struct ss_chunk *const *chunks,
                                   int64_t zeros) {
    json *list = json_array();
    int64_t size = zeros;
    for (; *chunks; chunks++) {
        json_add(list, json_set_int(json_set_str(json_object(), "digest", (*chunks)->digest),
                                    "size", (int64_t)(*chunks)->size));
        size += (int64_t)(*chunks)->size;
    }
    if (zeros)
        json_add(list, json_set_bool(json_set_int(json_object(), "size", zeros), "zero", true));
    json *m = json_set_int(json_object(), "v", 1);
    json_set_str(json_set_str(json_set_str(m, "kind", "image"), "name", name), "format", "raw");
    json_set_int(json_set_int(m, "size_bytes", size), "virtual_size_bytes", size);
    return json_set(json_set_str(m, "created", "2026-11-22T10:00:00.000Z"), "chunks", list);
}

SS_UNUSED static unsigned ss_put_image(const char *who, json *manifest, const char *if_match,
                                       json **ret_body) {
    AUTO_FREE char *path = xasprintf("/v1/images/%s", json_get_str(manifest, "name"));
    return ss_json("PUT", path,
                   (struct ss_call){ .who = who, .if_match = if_match,
                                     .body = json_set(json_object(), "manifest", manifest) },
                   ret_body);
}

/* --- the runner --- */

SS_UNUSED static int ss_run(TCase *t, const char *name) {
    tcase_add_checked_fixture(t, ss_setup, ss_teardown);
    tcase_set_timeout(t, 120);
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
