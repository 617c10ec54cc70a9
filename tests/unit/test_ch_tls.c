/* The whole way over real TLS: a server, enrolment by the token's file, calls by certificate. */
#include "ch_fixture.h"

#include "clearinghouse/housekeeping.h"
#include "clearinghouse/operator_token.h"
#include "common/credential.h"
#include "common/enroll.h"
#include "common/http_client.h"
#include "common/http_server.h"

#define TIMEOUT_MS 10000

static struct http_server *server;
static char base_url[64];

static void start_server(uint16_t port) {
    struct err err = ERR_INIT;
    const struct http_server_options options = {
        .address = "127.0.0.1",
        .port = port,
        .threads = HTTP_POOL,
        .key_pem = ch.authority.key_pem,
        .cert_pem = ch.authority.cert_pem,
        .ca_pem = ch.authority.ca_cert_pem,
    };
    server = http_server_start(&options, &ch_routes, &err);
    ck_assert_msg(server != NULL, "%s", err.msg);
    ch_config.base.listen_port = http_server_port(server); /* tokens name it */
    snprintf(base_url, sizeof base_url, "https://127.0.0.1:%u", http_server_port(server));
}

static void setup(void) {
    ch_setup();
    start_server(0);
}

static void teardown(void) {
    http_server_stop(server);
    ch_teardown();
}

/* A client with its first certificate, by the token's text. */
static struct http_client *client_by_token(const char *text) {
    struct err err = ERR_INIT;
    struct enroll_token token;
    AUTO_FREE char *key = pki_key_new(&err), *cert = NULL, *ca = NULL;
    ck_assert_int_eq(enroll_token_parse(text, &token, &err), 0);
    ck_assert_msg(enroll(&token, key, NULL, &cert, &ca, &err) == 0, "%s", err.msg);
    const struct http_client_options options = {
        .key_pem = key,
        .cert_pem = cert,
        .ca_pem = ca,
        .peer_urn = URN_OF("sa", "clearinghouse"),
    };
    struct http_client *c = http_client_new(&options, &err);
    ck_assert_msg(c != NULL, "%s", err.msg);
    return c;
}

static json *call(struct http_client *c, const char *method, const char *path, const char *body,
                  struct err *err) {
    AUTO_FREE char *url = xasprintf("%s%s", base_url, path);
    AUTO_JSON json *j = body ? json_parse(body, strlen(body), err) : NULL;
    return http_json(c, method, url, j, TIMEOUT_MS, err);
}

static json *must(struct http_client *c, const char *method, const char *path, const char *body) {
    struct err err = ERR_INIT;
    json *j = call(c, method, path, body, &err);
    ck_assert_msg(j != NULL, "%s %s: %s", method, path, err.msg);
    return j;
}

static void must_fail(struct http_client *c, enum err_code code, const char *method,
                      const char *path, const char *body) {
    struct err err = ERR_INIT;
    ck_assert_ptr_null(call(c, method, path, body, &err));
    ck_assert_msg(err.code == code, "%s %s: %s", method, path, err.msg);
}

static struct http_client *operator_client(void) {
    struct err err = ERR_INIT;
    AUTO_FREE char *path = operator_token_renew(&ch, &err); /* it names the real port */
    ck_assert_msg(path != NULL, "%s", err.msg);
    AUTO_FREE char *text = file_read(path, 4096, NULL, &err);
    struct http_client *c = client_by_token(text);
    ck_assert_int_ne(access(path, F_OK), 0);
    return c;
}

static struct http_client *user_client(struct http_client *op, const char *name) {
    char body[128];
    snprintf(body, sizeof body, "{\"type\":\"user\",\"name\":\"%s\"}", name);
    AUTO_JSON json *t = must(op, "POST", "/v1/enrollments", body);
    return client_by_token(json_get_str(t, "token"));
}

START_TEST(from_the_token_to_a_credential) {
    struct http_client *op = operator_client();
    json_put(must(op, "POST", "/v1/users", "{\"name\":\"kim\"}"));
    json_put(must(op, "POST", "/v1/projects", "{\"name\":\"demo\",\"lead\":\"kim\"}"));
    struct http_client *kim = user_client(op, "kim");
    json_put(must(kim, "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"ring\"}"));
    must_fail(kim, ERR_CONFLICT, "POST", "/v1/slices", "{\"project\":\"demo\",\"name\":\"ring\"}");
    must_fail(kim, ERR_FORBIDDEN, "GET", "/v1/users", NULL);
    AUTO_JSON json *j = must(kim, "GET", "/v1/slices/demo:ring/credential", NULL);
    struct credential c = { .serial = "" };
    struct err err = ERR_INIT;
    ck_assert_msg(credential_verify(json_get_str(j, "credential"), ch.authority.ca_cert_pem,
                                    URN_OF("user", "kim"), &c, &err) == 0,
                  "%s", err.msg);
    ck_assert_str_eq(c.role, "lead");
    credential_done(&c);
    AUTO_JSON json *page = must(kim, "GET", "/v1/slices?state=active&limit=1", NULL);
    ck_assert_uint_eq(json_length(json_get(page, "items")), 1);
    /* refused at once, on the connection that is already open */
    json_put(must(op, "PATCH", "/v1/users/kim", "{\"disabled\":true}"));
    must_fail(kim, ERR_FORBIDDEN, "GET", "/v1/slices", NULL);
    json_put(must(op, "PATCH", "/v1/users/kim", "{\"disabled\":false}"));
    json_put(must(kim, "GET", "/v1/slices", NULL));
    /* the certificate itself, by its serial as TLS shows it */
    json_put(must(op, "POST", "/v1/revocations", "{\"urn\":\"" URN_OF("user", "kim") "\"}"));
    must_fail(kim, ERR_FORBIDDEN, "GET", "/v1/slices", NULL);
    http_client_free(kim);
    http_client_free(op);
}
END_TEST

START_TEST(without_a_certificate) {
    struct err err = ERR_INIT;
    const struct http_client_options options = { .ca_pem = ch.authority.ca_cert_pem };
    struct http_client *c = http_client_new(&options, &err);
    json_put(must(c, "GET", "/v1", NULL));
    must_fail(c, ERR_UNAUTHENTICATED, "GET", "/v1/slices", NULL);
    must_fail(c, ERR_FORBIDDEN, "POST", "/v1/enroll",
              "{\"secret\":\"000000000000.x\",\"csr\":\"-----BEGIN CERTIFICATE REQUEST-----\"}");
    must_fail(c, ERR_NOT_FOUND, "GET", "/v2", NULL);
    http_client_free(c);
}
END_TEST

START_TEST(if_match_over_the_wire) {
    struct http_client *op = operator_client();
    AUTO_FREE char *url = xasprintf("%s/v1/users/operator", base_url);
    struct err err = ERR_INIT;
    struct http_answer first AUTO_ANSWER = { .status = 0 }, second AUTO_ANSWER = { .status = 0 };
    struct http_call get = { .method = "GET", .url = url, .timeout_ms = TIMEOUT_MS };
    ck_assert_msg(http_call(op, &get, &first, &err) == 0, "%s", err.msg);
    AUTO_FREE char *match = xasprintf("If-Match: \"%s\"", first.etag);
    const char *const headers[] = { match, NULL };
    AUTO_JSON json *change = json_set_str(json_object(), "email", "op@example.org");
    struct http_call patch = {
        .method = "PATCH", .url = url, .timeout_ms = TIMEOUT_MS, .body = change, .headers = headers
    };
    ck_assert_msg(http_call(op, &patch, &second, &err) == 0, "%s", err.msg);
    ck_assert_str_ne(first.etag, second.etag);
    struct http_answer third AUTO_ANSWER = { .status = 0 };
    ck_assert_int_eq(http_call(op, &patch, &third, &err), -1);
    ck_assert_int_eq(err.code, ERR_PRECONDITION);
    http_client_free(op);
}
END_TEST

START_TEST(serves_again_on_the_same_port) {
    struct http_client *op = operator_client();
    json_put(must(op, "GET", "/v1/users", NULL));
    uint16_t port = http_server_port(server);
    http_server_stop(server); /* as for the renewal of our certificate, with a client connected */
    start_server(port);
    json_put(must(op, "GET", "/v1/users", NULL));
    http_client_free(op);
}
END_TEST

START_TEST(housekeeping_expires_by_itself) {
    struct housekeeping keeping;
    struct err err = ERR_INIT;
    ch_populate();
    ck_assert_int_eq(housekeeping_start(&keeping, &ch, NULL, NULL, &err), 0);
    ch_shift_ms = 8 * DAY_MS;
    for (int i = 0; i < 50 && atomic_load(&ch.next_expiry_ms) != INT64_MAX; i++)
        clock_sleep_ms(100);
    ch_shift_ms = 0;
    housekeeping_stop(&keeping);
    AUTO_JSON json *s = OK("kim", "GET", "/v1/slices/demo:ring", NULL);
    ck_assert_str_eq(json_get_str(s, "state"), "expired");
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_tls");
    TCase *t = tcase_create("tls");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, from_the_token_to_a_credential);
    tcase_add_test(t, without_a_certificate);
    tcase_add_test(t, if_match_over_the_wire);
    tcase_add_test(t, serves_again_on_the_same_port);
    tcase_add_test(t, housekeeping_expires_by_itself);
    suite_add_tcase(s, t);
    return ch_run(s);
}
