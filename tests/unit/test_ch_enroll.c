/* Tokens, first certificates, renewal, revocation; the first operator. */
#include "ch_fixture.h"

#include "clearinghouse/housekeeping.h"
#include "clearinghouse/operator_token.h"
#include "common/enroll.h"

#include <sys/stat.h>

#define MINUTE_MS 60000LL

/* A token for type and name, made by the operator. */
static struct enroll_token token_for(const char *type, const char *name) {
    char body[128];
    struct enroll_token t;
    struct err err = ERR_INIT;
    snprintf(body, sizeof body, "{\"type\":\"%s\",\"name\":\"%s\"}", type, name);
    AUTO_JSON json *j = OK("operator", "POST", "/v1/enrollments", body);
    ck_assert_msg(enroll_token_parse(json_get_str(j, "token"), &t, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(t.urn, json_get_str(j, "urn"));
    ck_assert_str_eq(t.url, "https://127.0.0.1:8401");
    return t;
}

static char *new_key(void) {
    struct err err = ERR_INIT;
    char *key = pki_key_new(&err);
    ck_assert_ptr_nonnull(key);
    return key;
}

/* {secret?, csr, hosts?} as text; caller frees. */
static char *request(const char *secret, const char *key, const char *host) {
    struct err err = ERR_INIT;
    AUTO_FREE char *csr = pki_csr_new(key, NULL, &err);
    ck_assert_ptr_nonnull(csr);
    AUTO_JSON json *j = json_set_str(json_object(), "csr", csr);
    if (secret) json_set_str(j, "secret", secret);
    json *hosts = json_array();
    if (host) json_add(hosts, json_string(host));
    if (host)
        json_set(j, "hosts", hosts);
    else
        json_put(hosts);
    return json_text(j);
}

static void expect_enroll(unsigned status, const char *secret, const char *key, const char *host) {
    AUTO_FREE char *body = request(secret, key, host);
    EXPECT(status, NULL, "POST", "/v1/enroll", body);
}

/* A good enrolment; facts of the certificate. */
static struct pki_cert enrolled(const char *secret, const char *key, const char *host,
                                enum pki_use use) {
    AUTO_FREE char *body = request(secret, key, host);
    AUTO_JSON json *j = OK(NULL, "POST", "/v1/enroll", body);
    struct pki_cert facts;
    struct err err = ERR_INIT;
    const char *pem = json_get_str(j, "certificate");
    ck_assert_int_eq(pki_cert_read(pem, &facts, &err), 0);
    ck_assert_msg(pki_cert_verify(pem, json_get_str(j, "ca"), use, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(pki_key_matches(key, pem, &err), 0);
    ck_assert_str_eq(facts.urn, json_get_str(j, "urn"));
    return facts;
}

static void expect_days(const struct pki_cert *facts, int64_t days) {
    int64_t left_ms = facts->not_after_ms - clock_wall_ms();
    ck_assert_int_gt(left_ms, days * DAY_MS - MINUTE_MS);
    ck_assert_int_le(left_ms, days * DAY_MS + 1000);
}

START_TEST(users_and_services_enrol) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token user = token_for("user", "kim"), node = token_for("node", "n1");
    struct pki_cert facts = enrolled(user.secret, key, NULL, PKI_USE_CLIENT);
    ck_assert_str_eq(facts.urn, URN_OF("user", "kim"));
    expect_days(&facts, 365);
    facts = enrolled(node.secret, key, "10.0.0.1", PKI_USE_SERVER);
    ck_assert_str_eq(facts.urn, URN_OF("node", "n1"));
    expect_days(&facts, 90);
}
END_TEST

START_TEST(a_user_serves_nobody) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("user", "kim");
    expect_enroll(422, t.secret, key, "www.example.org");
    AUTO_FREE char *body = request(t.secret, key, NULL);
    AUTO_JSON json *j = OK(NULL, "POST", "/v1/enroll", body);
    struct err err = ERR_INIT;
    ck_assert_int_ne(pki_cert_verify(json_get_str(j, "certificate"), json_get_str(j, "ca"),
                                     PKI_USE_SERVER, &err),
                     0);
}
END_TEST

START_TEST(once_but_repeatable_with_the_same_key) {
    ch_populate();
    AUTO_FREE char *key = new_key(), *other = new_key();
    struct enroll_token t = token_for("user", "kim");
    enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    enrolled(t.secret, key, NULL, PKI_USE_CLIENT); /* the answer was lost */
    expect_enroll(410, t.secret, other, NULL);
    ch_shift_ms = 9 * MINUTE_MS;
    enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    ch_shift_ms = 11 * MINUTE_MS;
    expect_enroll(410, t.secret, key, NULL);
}
END_TEST

START_TEST(tokens_end) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("user", "kim");
    ch_shift_ms = 24 * 60 * MINUTE_MS + 1000;
    expect_enroll(410, t.secret, key, NULL);
    struct err err = ERR_INIT;
    ch_shift_ms = 3 * DAY_MS;
    ck_assert_int_eq(housekeeping_purge(&ch, &err), 0);
    expect_enroll(403, t.secret, key, NULL); /* forgotten by now */
}
END_TEST

START_TEST(wrong_secrets_void_a_token) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("user", "kim");
    char wrong[64], address[32];
    snprintf(wrong, sizeof wrong, "%s", t.secret);
    wrong[strlen(wrong) - 1] ^= 1;
    for (int i = 0; i < 10; i++) {
        snprintf(address, sizeof address, "192.0.2.%d", i);
        ch_peer_address = address;
        expect_enroll(403, wrong, key, NULL);
    }
    expect_enroll(403, t.secret, key, NULL);
    ch_peer_address = NULL;
}
END_TEST

START_TEST(guessing_is_slowed_per_address) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("user", "kim");
    for (int i = 0; i < 10; i++) expect_enroll(403, "000000000000.guess", key, NULL);
    expect_enroll(429, "000000000000.guess", key, NULL);
    expect_enroll(429, t.secret, key, NULL);
    ch_peer_address = "192.0.2.99"; /* others are not affected */
    enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    ch_peer_address = NULL;
}
END_TEST

START_TEST(bad_requests) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("node", "n1");
    char body[256];
    EXPECT(400, NULL, "POST", "/v1/enroll", "{\"secret\":\"x\"}");
    EXPECT(400, NULL, "POST", "/v1/enroll", "{\"secret\":\"x\",\"csr\":\"y\"}");
    snprintf(body, sizeof body, "{\"secret\":\"%s\",\"csr\":\"-----BEGIN nothing\"}", t.secret);
    EXPECT(400, NULL, "POST", "/v1/enroll", body);
    expect_enroll(403, "nodot", key, NULL);
    expect_enroll(403, ".", key, NULL);
    expect_enroll(403, "0123456789012345678901234567890123.x", key, NULL);
    expect_enroll(400, t.secret, key, "no host name");
    expect_enroll(400, t.secret, key, "-bad");
    enrolled(t.secret, key, "n1.example.org", PKI_USE_SERVER); /* nothing of this used it up */
}
END_TEST

START_TEST(tokens_are_made_by_operators_for_what_exists) {
    ch_populate();
    EXPECT(403, "kim", "POST", "/v1/enrollments", "{\"type\":\"user\",\"name\":\"kim\"}");
    EXPECT(401, NULL, "POST", "/v1/enrollments", "{\"type\":\"user\",\"name\":\"kim\"}");
    EXPECT(422, "operator", "POST", "/v1/enrollments", "{\"type\":\"user\",\"name\":\"nobody\"}");
    EXPECT(400, "operator", "POST", "/v1/enrollments", "{\"type\":\"sa\",\"name\":\"x\"}");
    EXPECT(400, "operator", "POST", "/v1/enrollments", "{\"type\":\"node\",\"name\":\"a b\"}");
    EXPECT(200, "operator", "PATCH", "/v1/users/kim", "{\"disabled\":true}");
    EXPECT(403, "operator", "POST", "/v1/enrollments", "{\"type\":\"user\",\"name\":\"kim\"}");
}
END_TEST

START_TEST(a_token_dies_with_its_user) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token lee = token_for("user", "lee"), pak = token_for("user", "pak");
    EXPECT(204, "operator", "DELETE", "/v1/users/lee", NULL);
    EXPECT(200, "operator", "PATCH", "/v1/users/pak", "{\"disabled\":true}");
    expect_enroll(403, lee.secret, key, NULL);
    expect_enroll(403, pak.secret, key, NULL);
}
END_TEST

START_TEST(secrets_are_not_stored) {
    ch_populate();
    struct enroll_token t = token_for("user", "kim");
    house_close(&ch); /* everything is in the one file now */
    char path[128];
    snprintf(path, sizeof path, "%s/clearinghouse.db", ch_dir);
    struct err err = ERR_INIT;
    size_t length = 0;
    AUTO_FREE char *data = file_read(path, 64u << 20, &length, &err);
    ck_assert_ptr_nonnull(data);
    ck_assert_ptr_nonnull(memmem(data, length, t.secret, strcspn(t.secret, "."))); /* selector */
    const char *rest = strchr(t.secret, '.') + 1;
    ck_assert_ptr_null(memmem(data, length, rest, strlen(rest)));
    ch_open();
}
END_TEST

START_TEST(renewed_by_its_holder) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("node", "n1");
    struct pki_cert first = enrolled(t.secret, key, "10.0.0.1", PKI_USE_SERVER);
    AUTO_FREE char *body = request(NULL, key, NULL);
    ch_peer_serial = first.serial;
    AUTO_JSON json *j = OK("node:n1", "POST", "/v1/renew", body);
    ck_assert_str_eq(json_get_str(j, "urn"), URN_OF("node", "n1"));
    struct pki_cert second;
    struct err err = ERR_INIT;
    ck_assert_int_eq(pki_cert_read(json_get_str(j, "certificate"), &second, &err), 0);
    ck_assert_str_ne(first.serial, second.serial);
    ch_peer_serial = NULL;
    EXPECT(200, "kim", "POST", "/v1/renew", body);
    EXPECT(401, NULL, "POST", "/v1/renew", body);
    EXPECT(403, "sa:clearinghouse", "POST", "/v1/renew", body);
    EXPECT(400, "kim", "POST", "/v1/renew", "{\"csr\":\"-----BEGIN x\"}");
}
END_TEST

START_TEST(revoked_is_refused_at_once) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("user", "kim");
    struct pki_cert facts = enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    char body[128];
    snprintf(body, sizeof body, "{\"serial\":\"%s\"}", facts.serial);
    ch_peer_serial = facts.serial;
    EXPECT(200, "kim", "GET", "/v1/slices", NULL);
    EXPECT(403, "kim", "POST", "/v1/revocations", body);
    ch_peer_serial = NULL;
    EXPECT(200, "operator", "POST", "/v1/revocations", body);
    EXPECT(404, "operator", "POST", "/v1/revocations", body);
    ch_peer_serial = facts.serial;
    EXPECT(403, "kim", "GET", "/v1/slices", NULL);
    ch_peer_serial = NULL;
    EXPECT(200, "kim", "GET", "/v1/slices", NULL); /* the user's other certificates are good */
    ch_reopen();
    ch_peer_serial = facts.serial;
    EXPECT(403, "kim", "GET", "/v1/slices", NULL);
    ch_peer_serial = NULL;
    AUTO_JSON json *r = OK("am:one", "GET", "/v1/revocations", NULL);
    ck_assert_str_eq(json_str(json_path(r, "serials.0")), facts.serial);
    EXPECT(400, "operator", "POST", "/v1/revocations", "{}");
}
END_TEST

START_TEST(deleting_a_user_revokes) {
    ch_populate();
    AUTO_FREE char *key = new_key();
    struct enroll_token t = token_for("user", "kim");
    struct pki_cert facts = enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    EXPECT(204, "operator", "DELETE", "/v1/users/kim", NULL);
    EXPECT(201, "operator", "POST", "/v1/users", "{\"name\":\"kim\"}"); /* another kim */
    ch_peer_serial = facts.serial;
    EXPECT(403, "kim", "GET", "/v1/slices", NULL);
    ch_peer_serial = NULL;
    EXPECT(200, "kim", "GET", "/v1/slices", NULL);
}
END_TEST

/* --- the first operator --- */

static char token_path[128];

static struct enroll_token read_operator_token(void) {
    struct enroll_token t;
    struct err err = ERR_INIT;
    struct stat st;
    snprintf(token_path, sizeof token_path, "%s/operator.token", ch_dir);
    ck_assert_int_eq(stat(token_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    AUTO_FREE char *text = file_read(token_path, 4096, NULL, &err);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(enroll_token_parse(text, &t, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(t.urn, URN_OF("user", "operator"));
    return t;
}

START_TEST(operator_token_is_used_once) {
    AUTO_FREE char *key = new_key();
    struct enroll_token t = read_operator_token();
    ch_reopen(); /* stays the same while it is good */
    ck_assert_str_eq(read_operator_token().secret, t.secret);
    enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    ck_assert_int_ne(access(token_path, F_OK), 0);
    ch_reopen(); /* and is not made again */
    ck_assert_int_ne(access(token_path, F_OK), 0);
}
END_TEST

START_TEST(operator_token_is_made_again_when_needed) {
    struct enroll_token t = read_operator_token();
    unlink(token_path); /* a crash between the database and the file */
    ch_reopen();
    struct enroll_token second = read_operator_token();
    ck_assert_str_ne(second.secret, t.secret);
    house_close(&ch);
    ch_shift_ms = 2 * DAY_MS; /* it has expired */
    ch_open();
    AUTO_FREE char *key = new_key();
    ck_assert_str_ne(read_operator_token().secret, second.secret);
    expect_enroll(403, t.secret, key, NULL);
    expect_enroll(403, second.secret, key, NULL);
    enrolled(read_operator_token().secret, key, NULL, PKI_USE_CLIENT);
}
END_TEST

START_TEST(leftover_file_of_a_used_token_goes) {
    AUTO_FREE char *key = new_key();
    struct err err = ERR_INIT;
    struct enroll_token t = read_operator_token();
    enrolled(t.secret, key, NULL, PKI_USE_CLIENT);
    ck_assert_int_eq(file_write(token_path, "used\n", 5, 0600, &err), 0); /* as after a crash */
    ch_reopen();
    ck_assert_int_ne(access(token_path, F_OK), 0);
}
END_TEST

START_TEST(lost_key_gets_a_new_token) {
    AUTO_FREE char *key = new_key(), *other = new_key();
    struct err err = ERR_INIT;
    enrolled(read_operator_token().secret, key, NULL, PKI_USE_CLIENT);
    AUTO_FREE char *path = operator_token_renew(&ch, &err);
    ck_assert_msg(path != NULL, "%s", err.msg);
    enrolled(read_operator_token().secret, other, NULL, PKI_USE_CLIENT);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ch_enroll");
    TCase *t = tcase_create("enrolment");
    tcase_add_checked_fixture(t, ch_setup, ch_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, users_and_services_enrol);
    tcase_add_test(t, a_user_serves_nobody);
    tcase_add_test(t, once_but_repeatable_with_the_same_key);
    tcase_add_test(t, tokens_end);
    tcase_add_test(t, wrong_secrets_void_a_token);
    tcase_add_test(t, guessing_is_slowed_per_address);
    tcase_add_test(t, bad_requests);
    tcase_add_test(t, tokens_are_made_by_operators_for_what_exists);
    tcase_add_test(t, a_token_dies_with_its_user);
    tcase_add_test(t, secrets_are_not_stored);
    tcase_add_test(t, renewed_by_its_holder);
    tcase_add_test(t, revoked_is_refused_at_once);
    tcase_add_test(t, deleting_a_user_revokes);
    tcase_add_test(t, operator_token_is_used_once);
    tcase_add_test(t, operator_token_is_made_again_when_needed);
    tcase_add_test(t, leftover_file_of_a_used_token_goes);
    tcase_add_test(t, lost_key_gets_a_new_token);
    suite_add_tcase(s, t);
    return ch_run(s);
}
