#include "common/clock.h"
#include "common/credential.h"
#include "common/digest.h"
#include "common/pki.h"

#include <check.h>
#include <stdio.h>

#define OWNER "urn:publicid:IDN+example.org+user+ada"
#define SLICE "urn:publicid:IDN+example.org:demo+slice+ring"
#define HOUR_MS INT64_C(3600000)

static char *ca_key, *ca, *user_key, *user;
static struct credential good;
static struct err err;

static char *issue(const char *urn, const char *key) {
    char *csr AUTO_FREE = pki_csr_new(key, urn, &err);
    struct pki_issue what = {
        ca_key, ca, csr, urn, NULL, PKI_USE_CLIENT, clock_wall_ms() + HOUR_MS
    };
    return pki_issue(&what, &err);
}

static void setup(void) {
    ca_key = pki_key_new(&err);
    ca = pki_authority_new(ca_key, "urn:publicid:IDN+example.org+authority+ca", 10, &err);
    user_key = pki_key_new(&err);
    user = issue(OWNER, user_key);
    ck_assert_msg(user != NULL, "%s", err.msg);
    good = (struct credential){ .serial = "s-1",
                                .owner = OWNER,
                                .target = SLICE,
                                .role = "member",
                                .privileges = privileges_of_role("member"),
                                .expires_ms = clock_wall_ms() + HOUR_MS,
                                .target_expires_ms = clock_wall_ms() + 2 * HOUR_MS,
                                .keys = json_array() };
    json_add(good.keys, json_string("ssh-ed25519 AAAA ada@example.org"));
}

static void teardown(void) {
    pki_wipe(ca_key);
    pki_wipe(user_key);
    free(ca);
    free(user);
    credential_done(&good);
    credential_done(&good); /* twice is fine */
}

START_TEST(roles) {
    ck_assert_uint_eq(privileges_of_role("lead"), 31);
    ck_assert_uint_eq(privileges_of_role("member"), 15);
    ck_assert_uint_eq(privileges_of_role("auditor"), PRIV_INFO);
    ck_assert_uint_eq(privileges_of_role("nobody"), 0);
    ck_assert_uint_eq(privileges_of_role(NULL), 0);
}
END_TEST

START_TEST(both_ways) {
    char *text AUTO_FREE = credential_sign(&good, ca_key, ca, &err);
    ck_assert_msg(text != NULL, "%s", err.msg);
    ck_assert_uint_lt(strlen(text), 4096); /* it travels in a header */
    struct credential c;
    ck_assert_msg(credential_verify(text, ca, OWNER, &c, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(c.serial, "s-1");
    ck_assert_str_eq(c.owner, OWNER);
    ck_assert_str_eq(c.target, SLICE);
    ck_assert_str_eq(c.role, "member");
    ck_assert_uint_eq(c.privileges, 15);
    ck_assert_int_eq(c.expires_ms, good.expires_ms);
    ck_assert_int_eq(c.target_expires_ms, good.target_expires_ms);
    ck_assert(json_equal(c.keys, good.keys));
    credential_done(&c);
}
END_TEST

static void refused(const char *key, const char *cert, enum err_code code) {
    char *text AUTO_FREE = credential_sign(&good, key, cert, &err);
    ck_assert_msg(text != NULL, "%s", err.msg);
    struct credential c;
    ck_assert_int_eq(credential_verify(text, ca, OWNER, &c, &err), -1);
    ck_assert_msg(err.code == code, "%s: %s", err_name(err.code), err.msg);
}

START_TEST(another_caller) {
    char *text AUTO_FREE = credential_sign(&good, ca_key, ca, &err);
    struct credential c;
    ck_assert_int_eq(credential_verify(text, ca, "urn:publicid:IDN+example.org+user+eve", &c, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_FORBIDDEN);
}
END_TEST

START_TEST(expired) {
    good.expires_ms = clock_wall_ms() - 1;
    refused(ca_key, ca, ERR_FORBIDDEN);
    ck_assert_str_ne(err.remedy, "");
    good.target_expires_ms = good.expires_ms;
    refused(ca_key, ca, ERR_FORBIDDEN);
    good.expires_ms = clock_wall_ms() + 3 * HOUR_MS; /* longer than the slice */
    good.target_expires_ms = clock_wall_ms() + HOUR_MS;
    refused(ca_key, ca, ERR_INTEGRITY);
}
END_TEST

START_TEST(other_signers) {
    refused(user_key, user, ERR_INTEGRITY); /* a user cannot make one for itself */
    ck_assert_ptr_nonnull(strstr(err.msg, "not by the authority"));
    char *key = pki_key_new(&err);
    char *other_ca AUTO_FREE =
        pki_authority_new(key, "urn:publicid:IDN+example.org+authority+ca", 10, &err);
    refused(key, other_ca, ERR_INTEGRITY);
    char *sa AUTO_FREE = issue("urn:publicid:IDN+example.org+sa+clearinghouse", key);
    char *text AUTO_FREE = credential_sign(&good, key, sa, &err); /* the clearing house may */
    struct credential c;
    ck_assert_msg(credential_verify(text, ca, OWNER, &c, &err) == 0, "%s", err.msg);
    credential_done(&c);
    pki_wipe(key);
}
END_TEST

START_TEST(other_authorities_slices) {
    snprintf(good.target, sizeof good.target, "urn:publicid:IDN+example.net:demo+slice+ring");
    refused(ca_key, ca, ERR_INTEGRITY);
    snprintf(good.target, sizeof good.target, "urn:publicid:IDN+example.org+user+ring");
    refused(ca_key, ca, ERR_INTEGRITY);
}
END_TEST

/* Contents that the authority has signed, but that are not a credential. */
START_TEST(bad_contents) {
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"v\":2}",
        "not json",
        "{\"v\":1,\"serial\":\"x\"}",
        "{\"v\":1,\"serial\":1,\"owner\":\"" OWNER "\",\"target\":\"" SLICE "\"}",
        "{\"v\":1,\"serial\":\"x\",\"owner\":\"" OWNER "\",\"target\":\"" SLICE
        "\",\"role\":\"lead\","
        "\"expires\":\"tomorrow\",\"target_expires\":\"2099-01-01T00:00:00Z\",\"keys\":[],"
        "\"privileges\":[\"info\"],\"authority\":\"urn:publicid:IDN+example.org+authority+ca\"}",
        "{\"v\":1,\"serial\":\"x\",\"owner\":\"" OWNER "\",\"target\":\"" SLICE
        "\",\"role\":\"lead\","
        "\"expires\":\"2098-01-01T00:00:00Z\",\"target_expires\":\"2099-01-01T00:00:00Z\",\"keys\":"
        "[1],\"privileges\":[],\"authority\":\"urn:publicid:IDN+example.org+authority+ca\"}",
        "{\"v\":1,\"serial\":\"x\",\"owner\":\"" OWNER "\",\"target\":\"" SLICE
        "\",\"role\":\"lead\","
        "\"expires\":\"2098-01-01T00:00:00Z\",\"target_expires\":\"2099-01-01T00:00:00Z\",\"keys\":"
        "[],\"privileges\":\"info\",\"authority\":\"urn:publicid:IDN+example.org+authority+ca\"}",
        "{\"v\":1,\"serial\":\"x\",\"owner\":\"" OWNER "\",\"target\":\"" SLICE
        "\",\"role\":\"lead\","
        "\"expires\":\"2098-01-01T00:00:00Z\",\"target_expires\":\"2099-01-01T00:00:00Z\",\"keys\":"
        "[],\"privileges\":[],\"authority\":\"urn:publicid:IDN+example.net+authority+ca\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char *text AUTO_FREE = pki_sign(bad[i], ca_key, ca, &err);
        struct credential c;
        ck_assert_msg(credential_verify(text, ca, OWNER, &c, &err) == -1, "accepted %s", bad[i]);
        ck_assert_msg(err.code == ERR_INTEGRITY, "%s: %s", bad[i], err.msg);
    }
}
END_TEST

START_TEST(new_privileges_are_ignored) {
    char *text AUTO_FREE = pki_sign(
        "{\"v\":1,\"serial\":\"x\",\"owner\":\"" OWNER "\",\"target\":\"" SLICE
        "\",\"role\":\"lead\","
        "\"expires\":\"2098-01-01T00:00:00Z\",\"target_expires\":\"2099-01-01T00:00:00Z\",\"keys\":"
        "[],\"privileges\":[\"info\",\"fly\"],"
        "\"authority\":\"urn:publicid:IDN+example.org+authority+ca\"}",
        ca_key, ca, &err);
    struct credential c;
    ck_assert_msg(credential_verify(text, ca, OWNER, &c, &err) == 0, "%s", err.msg);
    ck_assert_uint_eq(c.privileges, PRIV_INFO);
    credential_done(&c);
}
END_TEST

START_TEST(sizes) {
    char key[8001];
    memset(key, 'k', 8000);
    key[8000] = '\0';
    for (int i = 0; i < 3; i++) json_add(good.keys, json_string(key));
    ck_assert_ptr_null(credential_sign(&good, ca_key, ca, &err));
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_str_ne(err.remedy, "");
    char *huge AUTO_FREE = xmalloc(CREDENTIAL_MAX_BYTES + 2);
    memset(huge, 'A', CREDENTIAL_MAX_BYTES + 1);
    huge[CREDENTIAL_MAX_BYTES + 1] = '\0';
    struct credential c;
    ck_assert_int_eq(credential_verify(huge, ca, OWNER, &c, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("credential");
    TCase *tc = tcase_create("credential");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, roles);
    tcase_add_test(tc, both_ways);
    tcase_add_test(tc, another_caller);
    tcase_add_test(tc, expired);
    tcase_add_test(tc, other_signers);
    tcase_add_test(tc, other_authorities_slices);
    tcase_add_test(tc, bad_contents);
    tcase_add_test(tc, new_privileges_are_ignored);
    tcase_add_test(tc, sizes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
