#include "common/clock.h"
#include "common/digest.h"
#include "common/mem.h"
#include "common/pki.h"

#include <check.h>
#include <stdio.h>

#define CA_URN "urn:publicid:IDN+example.org+authority+ca"
#define NODE_URN "urn:publicid:IDN+example.org+node+n1"
#define DAY_MS INT64_C(86400000)

static int64_t now_ms = INT64_C(1795000000000);
static int64_t steered_us(void *ctx) { return (void)ctx, now_ms * 1000; }
static int64_t steered_ms(void *ctx) { return (void)ctx, now_ms; }
static void no_sleep(void *ctx, int64_t ms) { (void)ctx, (void)ms; }
static const struct clock_door steered = { NULL, steered_us, steered_ms, steered_ms, no_sleep };

static char *ca_key, *ca, *other_ca, *key, *csr, *cert;
static struct err err;

static char *issue(const char *urn, const char *const *hosts, unsigned uses) {
    struct pki_issue what = { ca_key, ca, csr, urn, hosts, uses, now_ms + DAY_MS };
    return pki_issue(&what, &err);
}

static void setup(void) {
    clock_steer(&steered);
    err_clear(&err);
    char *other_key = pki_key_new(&err);
    ca_key = pki_key_new(&err);
    ca = pki_authority_new(ca_key, CA_URN, 365, &err);
    other_ca = pki_authority_new(other_key, CA_URN, 365, &err);
    pki_wipe(other_key);
    key = pki_key_new(&err);
    csr = pki_csr_new(key, NODE_URN, &err);
    cert = issue(NODE_URN, (const char *const[]){ "n1.example.org", "10.0.0.1", "fd00::1", NULL },
                 PKI_USE_CLIENT | PKI_USE_SERVER);
    ck_assert_msg(ca && other_ca && key && csr && cert, "%s", err.msg);
}

static void teardown(void) {
    pki_wipe(ca_key);
    pki_wipe(key);
    free(ca);
    free(other_ca);
    free(csr);
    free(cert);
    clock_steer(NULL);
}

START_TEST(facts) {
    struct pki_cert f;
    ck_assert_int_eq(pki_cert_read(cert, &f, &err), 0);
    ck_assert_str_eq(f.urn, NODE_URN);
    ck_assert(sha256_text_valid(f.fingerprint));
    ck_assert_uint_eq(strlen(f.serial), 32);
    ck_assert_int_eq(f.not_after_ms, now_ms + DAY_MS);
    ck_assert_int_eq(f.not_before_ms, now_ms - 300000);
    struct pki_cert c;
    ck_assert_int_eq(pki_cert_read(ca, &c, &err), 0);
    ck_assert_str_eq(c.urn, CA_URN);
    ck_assert_str_ne(c.serial, f.serial);
}
END_TEST

START_TEST(verified_for_its_use) {
    ck_assert_int_eq(pki_cert_verify(cert, ca, PKI_USE_CLIENT, &err), 0);
    ck_assert_int_eq(pki_cert_verify(cert, ca, PKI_USE_SERVER, &err), 0);
    char *user AUTO_FREE = issue("urn:publicid:IDN+example.org+user+ada", NULL, PKI_USE_CLIENT);
    ck_assert_int_eq(pki_cert_verify(user, ca, PKI_USE_CLIENT, &err), 0);
    ck_assert_int_eq(pki_cert_verify(user, ca, PKI_USE_SERVER, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAUTHENTICATED);
    ck_assert_int_eq(pki_cert_verify(ca, ca, PKI_USE_CLIENT, &err), -1);
}
END_TEST

START_TEST(other_authority_is_refused) {
    ck_assert_int_eq(pki_cert_verify(cert, other_ca, PKI_USE_CLIENT, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAUTHENTICATED);
}
END_TEST

START_TEST(holder_cannot_issue) {
    char *sub_csr AUTO_FREE = pki_csr_new(ca_key, NULL, &err);
    struct pki_issue what = {
        key,  cert,           sub_csr,        "urn:publicid:IDN+example.org+user+eve",
        NULL, PKI_USE_CLIENT, now_ms + DAY_MS
    };
    char *forged AUTO_FREE = pki_issue(&what, &err);
    ck_assert_ptr_nonnull(forged);
    ck_assert_int_eq(pki_cert_verify(forged, ca, PKI_USE_CLIENT, &err), -1);
    char *chain AUTO_FREE = xasprintf("%s%s", forged, cert);
    ck_assert_int_eq(pki_cert_verify(chain, ca, PKI_USE_CLIENT, &err), -1);
}
END_TEST

START_TEST(dates) {
    int64_t start = now_ms;
    now_ms = start - 300000 - 299000; /* our clock is behind by the skew and not_before's own */
    ck_assert_int_eq(pki_cert_verify(cert, ca, PKI_USE_CLIENT, &err), 0);
    now_ms = start - 300000 - 301000;
    ck_assert_int_eq(pki_cert_verify(cert, ca, PKI_USE_CLIENT, &err), -1);
    now_ms = start + DAY_MS - 1000;
    ck_assert_int_eq(pki_cert_verify(cert, ca, PKI_USE_CLIENT, &err), 0);
    now_ms = start + DAY_MS + 2000;
    ck_assert_int_eq(pki_cert_verify(cert, ca, PKI_USE_CLIENT, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "expired"));
    now_ms = start;
    struct pki_issue past = { ca_key, ca, csr, NODE_URN, NULL, PKI_USE_CLIENT, start - 1 };
    ck_assert_ptr_null(pki_issue(&past, &err));
    struct pki_issue far = {
        ca_key, ca, csr, NODE_URN, NULL, PKI_USE_CLIENT, start + 9999 * DAY_MS
    };
    char *bounded AUTO_FREE = pki_issue(&far, &err);
    struct pki_cert f;
    ck_assert_int_eq(pki_cert_read(bounded, &f, &err), 0);
    ck_assert_int_eq(f.not_after_ms, start + 365 * DAY_MS); /* not beyond the authority's */
}
END_TEST

START_TEST(keys_match) {
    ck_assert_int_eq(pki_key_matches(key, cert, &err), 0);
    ck_assert_int_eq(pki_key_matches(ca_key, cert, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
}
END_TEST

/* Each byte of a certificate changed in turn: never a crash, never trusted. */
START_TEST(damaged_certificates) {
    size_t n = strlen(cert);
    for (size_t i = 0; i < n; i++) {
        char *bad AUTO_FREE = xstrdup(cert);
        /* in the digit's top bit: the lowest bits of the last digit mean nothing */
        bad[i] = (bad[i] >= 'A' && bad[i] <= 'Z') || (bad[i] >= 'a' && bad[i] <= 'f') ? 'g' : 'A';
        if (strchr("\n=-", cert[i]) || i < 28 || i > n - 28) continue; /* armour */
        ck_assert_msg(pki_cert_verify(bad, ca, PKI_USE_CLIENT, &err) == -1, "byte %zu", i);
    }
    static const char *const texts[] = {
        "", "x", "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    };
    struct pki_cert f;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        ck_assert_int_eq(pki_cert_read(texts[i], &f, &err), -1);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_int_eq(pki_cert_read_der(texts[i], strlen(texts[i]), &f, &err), -1);
    }
    ck_assert_int_eq(pki_cert_read(NULL, &f, &err), -1);
    char *huge AUTO_FREE = xmalloc(100000);
    memset(huge, 'A', 99999);
    huge[99999] = '\0';
    ck_assert_int_eq(pki_cert_read(huge, &f, &err), -1);
}
END_TEST

START_TEST(requests_are_checked) {
    struct pki_issue what = { ca_key,         ca, "nonsense", NODE_URN, NULL, PKI_USE_CLIENT,
                              now_ms + DAY_MS };
    ck_assert_ptr_null(pki_issue(&what, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    char *bad AUTO_FREE = xstrdup(csr);
    size_t at = strlen(bad) - 60; /* inside the signature */
    bad[at] = bad[at] == 'A' ? 'B' : 'A';
    what.csr_pem = bad;
    ck_assert_ptr_null(pki_issue(&what, &err));
    what.csr_pem = csr;
    what.urn = "ada";
    ck_assert_ptr_null(pki_issue(&what, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    what.urn = NODE_URN;
    static const char *const bad_hosts[] = { "", "a b", "*.example.org", "x,URI:urn:evil", "-x" };
    for (size_t i = 0; i < COUNT_OF(bad_hosts); i++) {
        what.hosts = (const char *const[]){ bad_hosts[i], NULL };
        ck_assert_ptr_null(pki_issue(&what, &err));
        ck_assert_int_eq(err.code, ERR_INVALID);
    }
}
END_TEST

/* An RSA request, made with openssl req -newkey rsa:2048 -subj /CN=x. */
static const char rsa_csr[] =
#include "pki_rsa_csr.inc"
    ;

START_TEST(other_key_types_are_refused) {
    struct pki_issue what = {
        ca_key, ca, rsa_csr, NODE_URN, NULL, PKI_USE_CLIENT, now_ms + DAY_MS
    };
    ck_assert_ptr_null(pki_issue(&what, &err));
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
}
END_TEST

/* Self-signed for a hundred years, with two URIs and with none. */
static const char two_urns[] =
#include "pki_two_urns.inc"
    ;
static const char no_urn[] =
#include "pki_no_urn.inc"
    ;

START_TEST(exactly_one_urn) {
    struct pki_cert f;
    ck_assert_int_eq(pki_cert_read(two_urns, &f, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "more than one"));
    ck_assert_int_eq(pki_cert_verify(two_urns, two_urns, PKI_USE_CLIENT, &err), -1);
    ck_assert_int_eq(pki_cert_read(no_urn, &f, &err), -1);
}
END_TEST

START_TEST(signed_documents) {
    char *text AUTO_FREE = pki_sign("{\"a\":1}", key, cert, &err);
    ck_assert_msg(text != NULL, "%s", err.msg);
    char urn[256];
    char *content AUTO_FREE = pki_verify(text, ca, urn, &err);
    ck_assert_msg(content != NULL, "%s", err.msg);
    ck_assert_str_eq(content, "{\"a\":1}");
    ck_assert_str_eq(urn, NODE_URN);
    char *by_ca AUTO_FREE = pki_sign("x", ca_key, ca, &err); /* the authority itself signs */
    char *content2 AUTO_FREE = pki_verify(by_ca, ca, urn, &err);
    ck_assert_str_eq(content2, "x");
    ck_assert_str_eq(urn, CA_URN);
}
END_TEST

START_TEST(signed_documents_refused) {
    char *text AUTO_FREE = pki_sign("{\"a\":1}", key, cert, &err);
    char urn[256];
    ck_assert_ptr_null(pki_verify(text, other_ca, urn, &err));
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
    int64_t start = now_ms;
    now_ms += 2 * DAY_MS; /* the signer's certificate has ended */
    ck_assert_ptr_null(pki_verify(text, ca, urn, &err));
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
    now_ms = start;
    ck_assert_ptr_null(pki_verify("", ca, urn, &err));
    ck_assert_ptr_null(pki_verify("AAAA", ca, urn, &err));
    char *longer AUTO_FREE = xasprintf("%sAAAA", text);
    ck_assert_ptr_null(pki_verify(longer, ca, urn, &err));
    char *huge AUTO_FREE = xmalloc(100000);
    memset(huge, 'A', 99999);
    huge[99999] = '\0';
    ck_assert_ptr_null(pki_verify(huge, ca, urn, &err));
    ck_assert_ptr_null(pki_sign(huge, key, cert, &err));
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
}
END_TEST

/* Every byte of the DER changed in turn: either refused, or the content is what was signed. */
START_TEST(damaged_documents) {
    char *text AUTO_FREE = pki_sign("{\"a\":1}", key, cert, &err);
    size_t length;
    uint8_t *der AUTO_FREE = base64url_decode(text, &length);
    for (size_t i = 0; i < length; i++) {
        der[i] ^= 0x01;
        char *bad AUTO_FREE = base64url_encode(der, length);
        char urn[256];
        char *content AUTO_FREE = pki_verify(bad, ca, urn, &err);
        if (content) {
            ck_assert_str_eq(content, "{\"a\":1}");
            ck_assert_str_eq(urn, NODE_URN);
        }
        der[i] ^= 0x01;
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pki");
    TCase *tc = tcase_create("pki");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, facts);
    tcase_add_test(tc, verified_for_its_use);
    tcase_add_test(tc, other_authority_is_refused);
    tcase_add_test(tc, holder_cannot_issue);
    tcase_add_test(tc, dates);
    tcase_add_test(tc, keys_match);
    tcase_add_test(tc, damaged_certificates);
    tcase_add_test(tc, requests_are_checked);
    tcase_add_test(tc, other_key_types_are_refused);
    tcase_add_test(tc, exactly_one_urn);
    tcase_add_test(tc, signed_documents);
    tcase_add_test(tc, signed_documents_refused);
    tcase_add_test(tc, damaged_documents);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
