/*
 * Enrolment and identity, against a clearing house of the test's own on the loopback.
 */
#include "common/clock.h"
#include "common/digest.h"
#include "common/enroll.h"
#include "common/http_server.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/pki.h"
#include "common/route.h"
#include "common/service.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#define NODE "urn:publicid:IDN+example.org+node+n1"
#define HOUR_MS INT64_C(3600000)

static char *ca_key, *ca, *sa_key;
static struct http_server *server;
static struct enroll_token token;
static struct err err;
static char dir[64], token_path[96], last_csr[4096];
static atomic_int enrolled;
static int64_t given_life_ms = HOUR_MS; /* of what is given out */
static const char *answer_urn;          /* what the certificates given out say */

static char *issue(const char *csr, const char *urn, unsigned uses, int64_t life_ms) {
    struct pki_issue what = { ca_key,
                              ca,
                              csr,
                              urn,
                              (const char *const[]){ "127.0.0.1", NULL },
                              uses,
                              clock_wall_ms() + life_ms };
    return pki_issue(&what, &err);
}

static int get_ca(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *e) {
    (void)ctx, (void)req, (void)e;
    reply->text = xstrdup(ca);
    reply->text_length = strlen(ca);
    reply->content_type = "application/x-pem-file";
    return 0;
}

static int post_enroll(void *ctx, const struct http_request *req, struct http_reply *reply,
                       struct err *e) {
    (void)ctx;
    json *body AUTO_JSON = json_parse(req->raw, req->raw_length, e);
    const char *secret = json_get_str(body, "secret");
    if (!secret || strcmp(secret, "sesame") != 0)
        return err_set(e, ERR_FORBIDDEN, "the secret is wrong");
    snprintf(last_csr, sizeof last_csr, "%s", json_get_str(body, "csr"));
    char *cert AUTO_FREE =
        issue(last_csr, answer_urn, PKI_USE_CLIENT | PKI_USE_SERVER, given_life_ms);
    atomic_fetch_add(&enrolled, 1);
    reply->body = json_object();
    json_set_str(reply->body, "certificate", cert);
    json_set_str(reply->body, "ca", ca);
    return 0;
}

static int post_renew(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *e) {
    (void)ctx;
    json *body AUTO_JSON = json_parse(req->raw, req->raw_length, e);
    char *cert AUTO_FREE =
        issue(json_get_str(body, "csr"), req->peer->urn, PKI_USE_CLIENT | PKI_USE_SERVER, HOUR_MS);
    reply->body = json_set_str(json_object(), "certificate", cert);
    return 0;
}

static const struct route rows[] = {
    { "POST", "/v1/renew", post_renew, ROLE_SERVICE, NULL, NULL, 0, true },
    { "GET", "/v1/ca", get_ca, ROLE_ANYONE, NULL, NULL, 0, false },
    { "POST", "/v1/enroll", post_enroll, ROLE_ANYONE, NULL, NULL, 0, true },
};
static const struct route_table routes = { rows, COUNT_OF(rows), NULL, NULL };

static void start(const char *server_urn) {
    char *csr AUTO_FREE = pki_csr_new(sa_key, NULL, &err);
    char *cert AUTO_FREE = issue(csr, server_urn, PKI_USE_CLIENT | PKI_USE_SERVER, HOUR_MS);
    struct http_server_options options = { .address = "127.0.0.1",
                                           .key_pem = sa_key,
                                           .cert_pem = cert,
                                           .ca_pem = ca,
                                           .threads = HTTP_POOL,
                                           .thread_count = 1 };
    server = http_server_start(&options, &routes, &err);
    ck_assert_msg(server != NULL, "%s", err.msg);
    snprintf(token.url, sizeof token.url, "https://127.0.0.1:%u", http_server_port(server));
}

static void setup(void) {
    log_set_levels("error");
    ca_key = pki_key_new(&err);
    sa_key = pki_key_new(&err);
    ca = pki_authority_new(ca_key, "urn:publicid:IDN+example.org+authority+ca", 10, &err);
    start("urn:publicid:IDN+example.org+sa+clearinghouse");
    struct pki_cert facts;
    ck_assert_int_eq(pki_cert_read(ca, &facts, &err), 0);
    memcpy(token.ca_fingerprint, facts.fingerprint, sizeof token.ca_fingerprint);
    snprintf(token.urn, sizeof token.urn, NODE);
    snprintf(token.secret, sizeof token.secret, "sesame");
    answer_urn = NODE;
    snprintf(dir, sizeof dir, "/tmp/jogak-test-enroll-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(token_path, sizeof token_path, "%s/token", dir);
}

static void teardown(void) {
    http_server_stop(server);
    pki_wipe(ca_key);
    pki_wipe(sa_key);
    free(ca);
    static const char *const files[] = { "token", "identity.key", "identity.crt", "identity.ca",
                                         "identity.url" };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* --- tokens --- */

START_TEST(token_both_ways) {
    char *text AUTO_FREE = enroll_token_text(&token);
    char *loose AUTO_FREE = xasprintf("  %s\r\n", text);
    struct enroll_token t;
    ck_assert_msg(enroll_token_parse(loose, &t, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(t.url, token.url);
    ck_assert_str_eq(t.urn, NODE);
    ck_assert_str_eq(t.secret, "sesame");
    ck_assert_str_eq(t.ca_fingerprint, token.ca_fingerprint);
}
END_TEST

START_TEST(token_refused) {
    struct enroll_token t, bad[5] = { token, token, token, token, token };
    snprintf(bad[0].url, sizeof bad[0].url, "http://127.0.0.1");
    bad[1].ca_fingerprint[3] = 'x';
    snprintf(bad[2].urn, sizeof bad[2].urn, "n1");
    bad[3].secret[0] = '\0';
    bad[4].url[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char *text AUTO_FREE = enroll_token_text(&bad[i]);
        ck_assert_int_eq(enroll_token_parse(text, &t, &err), -1);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_str_ne(err.remedy, "");
    }
    char *whole AUTO_FREE = enroll_token_text(&token);
    for (size_t n = 0; n < strlen(whole); n++) { /* cut short anywhere */
        char *part AUTO_FREE = xstrndup(whole, n);
        ck_assert_int_eq(enroll_token_parse(part, &t, &err), -1);
    }
    char *huge AUTO_FREE = xmalloc(100000);
    memset(huge, 'A', 99999);
    huge[99999] = '\0';
    ck_assert_int_eq(enroll_token_parse(huge, &t, &err), -1);
}
END_TEST

/* --- enroll() --- */

static int try_enroll(void) {
    char *key = pki_key_new(&err), *cert = NULL, *got_ca = NULL;
    err_clear(&err);
    int rc = enroll(&token, key, (const char *const[]){ "127.0.0.1", NULL }, &cert, &got_ca, &err);
    if (rc == 0) {
        ck_assert_int_eq(pki_key_matches(key, cert, &err), 0);
        ck_assert_str_eq(got_ca, ca);
    } else {
        ck_assert_ptr_null(cert);
    }
    pki_wipe(key);
    free(cert);
    free(got_ca);
    return rc;
}

START_TEST(enrols) { ck_assert_msg(try_enroll() == 0, "%s", err.msg); }
END_TEST

START_TEST(wrong_authority) {
    sha256_text("x", 1, token.ca_fingerprint);
    ck_assert_int_eq(try_enroll(), -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
    ck_assert_int_eq(atomic_load(&enrolled), 0); /* the secret was not even sent */
}
END_TEST

START_TEST(wrong_secret) {
    snprintf(token.secret, sizeof token.secret, "other");
    ck_assert_int_eq(try_enroll(), -1);
    ck_assert_msg(err.code == ERR_FORBIDDEN, "%s", err.msg);
    ck_assert_ptr_null(strstr(err.msg, "other")); /* secrets do not get into messages */
}
END_TEST

START_TEST(answer_for_another) {
    answer_urn = "urn:publicid:IDN+example.org+node+n2";
    ck_assert_int_eq(try_enroll(), -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
}
END_TEST

START_TEST(not_a_clearing_house) {
    http_server_stop(server);
    start("urn:publicid:IDN+example.org+am+thief"); /* has a good certificate, of another type */
    ck_assert_int_eq(try_enroll(), -1);
    ck_assert_int_eq(atomic_load(&enrolled), 0);
}
END_TEST

START_TEST(nobody_there) {
    http_server_stop(STEAL(server));
    ck_assert_int_eq(try_enroll(), -1);
    ck_assert_msg(err.code == ERR_UNAVAILABLE, "%s", err.msg);
}
END_TEST

/* --- identity --- */

static struct service_config config_for(void) {
    struct service_config c = { .listen_address = (char *)(uintptr_t) "0.0.0.0",
                                .state_dir = dir,
                                .enroll_token = token_path,
                                .advertise_host = (char *)(uintptr_t) "127.0.0.1" };
    char *text AUTO_FREE = enroll_token_text(&token);
    ck_assert_int_eq(file_write(token_path, text, strlen(text), 0600, &err), 0);
    return c;
}

START_TEST(identity_of_a_first_start) {
    struct service_config config = config_for();
    struct identity i;
    ck_assert_msg(identity_open(&config, "node", &i, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(i.urn, NODE);
    ck_assert_str_eq(i.clearinghouse_url, token.url);
    ck_assert_str_eq(i.ca_pem, ca);
    identity_done(&i);
    ck_assert_int_eq(access(token_path, F_OK), -1);
    static const char *const names[] = { "key", "crt", "ca", "url" };
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "%s/identity.%s", dir, names[k]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
    }
    http_server_stop(STEAL(server)); /* the next start needs nobody */
    ck_assert_msg(identity_open(&config, "node", &i, &err) == 0, "%s", err.msg);
    identity_done(&i);
    ck_assert_int_eq(identity_open(&config, "am", &i, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
}
END_TEST

START_TEST(identity_without_token) {
    struct service_config config = config_for();
    struct identity i;
    unlink(token_path);
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAUTHENTICATED);
    ck_assert_str_ne(err.remedy, "");
    ck_assert_int_eq(file_write(token_path, "junk", 4, 0600, &err), 0);
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), -1);
    ck_assert_int_eq(access(token_path, F_OK), 0); /* what did not work stays, to be looked at */
}
END_TEST

START_TEST(identity_token_of_another_type) {
    struct service_config config = config_for();
    struct identity i;
    ck_assert_int_eq(identity_open(&config, "am", &i, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_int_eq(atomic_load(&enrolled), 0);
}
END_TEST

/* Killed after the clearing house answered, before the certificate was kept: the same key asks. */
START_TEST(identity_goes_on_with_its_key) {
    struct service_config config = config_for();
    struct identity i;
    char path[128];
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), 0);
    char *key = xstrdup(i.key_pem);
    identity_done(&i);
    snprintf(path, sizeof path, "%s/identity.crt", dir);
    unlink(path);
    config = config_for();
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), 0);
    ck_assert_str_eq(i.key_pem, key);
    identity_done(&i);
    pki_wipe(key);
    ck_assert_int_eq(file_write(path, "junk", 4, 0600, &err), 0); /* damaged, and no token */
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), -1);
    ck_assert_str_ne(err.remedy, "");
    config = config_for(); /* a new token heals it */
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), 0);
    identity_done(&i);
}
END_TEST

/* Ends the present certificate, so that the next start enrols anew. */
static void forget_certificate(char path[static 128]) {
    snprintf(path, 128, "%s/identity.crt", dir);
    unlink(path);
}

START_TEST(identity_is_renewed) {
    struct service_config config = config_for();
    struct identity i;
    struct pki_cert facts;
    char path[128];
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), 0);
    ck_assert_int_eq(identity_renew(&config, &i, &err), 0); /* not due */
    identity_done(&i);
    forget_certificate(path);
    given_life_ms =
        60000; /* with the minutes before its issue, less than a third is left at once */
    config = config_for();
    ck_assert_msg(identity_open(&config, "node", &i, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(pki_cert_read(i.cert_pem, &facts, &err), 0);
    ck_assert_int_gt(facts.not_after_ms, clock_wall_ms() + HOUR_MS / 2); /* renewed at the start */
    char *kept AUTO_FREE = file_read(path, 65536, NULL, &err);
    ck_assert_str_eq(kept, i.cert_pem);
    identity_done(&i);
}
END_TEST

START_TEST(renewal_without_clearing_house) {
    struct service_config config = config_for();
    struct identity i;
    ck_assert_int_eq(identity_open(&config, "node", &i, &err), 0);
    char *csr AUTO_FREE = pki_csr_new(i.key_pem, NULL, &err);
    free(i.cert_pem);
    i.cert_pem = issue(csr, NODE, PKI_USE_CLIENT, 60000);
    char *before AUTO_FREE = xstrdup(i.cert_pem);
    http_server_stop(STEAL(server));
    ck_assert_int_eq(identity_renew(&config, &i, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_str_eq(i.cert_pem, before);
    identity_done(&i);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("enroll");
    TCase *tc = tcase_create("enroll");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, token_both_ways);
    tcase_add_test(tc, token_refused);
    tcase_add_test(tc, enrols);
    tcase_add_test(tc, wrong_authority);
    tcase_add_test(tc, wrong_secret);
    tcase_add_test(tc, answer_for_another);
    tcase_add_test(tc, not_a_clearing_house);
    tcase_add_test(tc, nobody_there);
    tcase_add_test(tc, identity_of_a_first_start);
    tcase_add_test(tc, identity_without_token);
    tcase_add_test(tc, identity_token_of_another_type);
    tcase_add_test(tc, identity_goes_on_with_its_key);
    tcase_add_test(tc, identity_is_renewed);
    tcase_add_test(tc, renewal_without_clearing_house);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
