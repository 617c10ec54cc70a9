/*
 * Reading certificates and deciding whether to trust them.
 */
#include "pki.h"

#include "clock.h"
#include "digest.h"
#include "ids.h"
#include "pki_internal.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <time.h>

static int time_ms(const ASN1_TIME *t, int64_t *ret_ms) {
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) return -1;
    *ret_ms = (int64_t)timegm(&tm) * 1000;
    return 0;
}

/* The one URI among the names; a second one would let a holder be two things at once. */
static int read_urn(X509 *cert, char ret[static 256], struct err *err) {
    int critical = 0;
    GENERAL_NAMES *names AUTO_NAMES = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    if (!names) {
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "the certificate has no single subjectAltName");
    }
    const ASN1_IA5STRING *uri = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        if (uri) return err_set(err, ERR_INVALID, "the certificate names more than one URN");
        uri = name->d.uniformResourceIdentifier;
    }
    if (!uri) return err_set(err, ERR_INVALID, "the certificate names no URN");
    size_t length = (size_t)ASN1_STRING_length(uri);
    if (length >= 256) return err_set(err, ERR_INVALID, "the certificate's URN is too long");
    char text[256] = "";
    memcpy(text, ASN1_STRING_get0_data(uri), length);
    struct urn urn;
    if (strlen(text) != length || urn_parse(text, &urn, err))
        return err_set(err, ERR_INVALID, "the certificate's URI is not a URN of ours");
    memcpy(ret, text, sizeof text);
    return 0;
}

static int read_serial(X509 *cert, char *ret, size_t size, struct err *err) {
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    size_t length = (size_t)ASN1_STRING_length(serial);
    if (length == 0 || 2 * length + 1 > size)
        return err_set(err, ERR_INVALID, "the certificate's serial number is out of bounds");
    hex_text(ASN1_STRING_get0_data(serial), length, ret);
    return 0;
}

static int read_fingerprint(X509 *cert, char ret[static SHA256_TEXT_BYTES], struct err *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &length) != 1)
        return pki_fail(err, ERR_INTERNAL, "digest of a certificate");
    hex_text(digest, length, ret);
    return 0;
}

int pki_facts(X509 *cert, struct pki_cert *ret, struct err *err) {
    struct pki_cert facts = { .urn = "" };
    if (read_urn(cert, facts.urn, err)) return -1;
    if (read_serial(cert, facts.serial, sizeof facts.serial, err)) return -1;
    if (read_fingerprint(cert, facts.fingerprint, err)) return -1;
    if (time_ms(X509_get0_notBefore(cert), &facts.not_before_ms) ||
        time_ms(X509_get0_notAfter(cert), &facts.not_after_ms))
        return err_set(err, ERR_INVALID, "the certificate's dates cannot be read");
    *ret = facts;
    return 0;
}

int pki_cert_read(const char *cert_pem, struct pki_cert *ret, struct err *err) {
    X509 *cert AUTO_X509 = pki_load_cert(cert_pem, "given", err);
    return cert ? pki_facts(cert, ret, err) : -1;
}

int pki_cert_read_der(const void *der, size_t length, struct pki_cert *ret, struct err *err) {
    if (length == 0 || length > PKI_PEM_MAX)
        return err_set(err, ERR_INVALID, "a certificate of %zu bytes", length);
    const unsigned char *at = der;
    X509 *cert AUTO_X509 = d2i_X509(NULL, &at, (long)length);
    if (!cert) return pki_fail(err, ERR_INVALID, "not a certificate");
    if (at != (const unsigned char *)der + length)
        return err_set(err, ERR_INVALID, "bytes follow the certificate");
    return pki_facts(cert, ret, err);
}

/* Forgives a certificate that is valid soon: its maker's clock may be ahead of ours. */
static int on_verify(int ok, X509_STORE_CTX *ctx) {
    if (ok || X509_STORE_CTX_get_error(ctx) != X509_V_ERR_CERT_NOT_YET_VALID) return ok;
    time_t limit = (time_t)(clock_wall_ms() / 1000) + PKI_CLOCK_SKEW_S;
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    return X509_cmp_time(X509_get0_notBefore(cert), &limit) < 0;
}

static int set_up(X509_STORE_CTX *ctx, X509_STORE *store, X509 *cert, X509 *ca, unsigned use) {
    if (X509_STORE_add_cert(store, ca) != 1) return 0;
    if (X509_STORE_CTX_init(ctx, store, cert, NULL) != 1) return 0;
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_time(ctx, 0, (time_t)(clock_wall_ms() / 1000));
    X509_STORE_CTX_set_verify_cb(ctx, on_verify);
    if (use == PKI_USE_CLIENT) return X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
    if (use == PKI_USE_SERVER) return X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    return 1;
}

int pki_check_chain(X509 *cert, X509 *ca, unsigned use, struct err *err) {
    if (use && X509_check_ca(cert))
        return err_set(err, ERR_UNAUTHENTICATED,
                       "an authority's certificate is not one for connections");
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc;
    if (!store || !ctx || set_up(ctx, store, cert, ca, use) != 1)
        rc = pki_fail(err, ERR_INTERNAL, "certificate check");
    else if (X509_verify_cert(ctx) == 1)
        rc = 0;
    else
        rc = err_set(err, ERR_UNAUTHENTICATED, "the certificate is refused: %s",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

int pki_cert_verify(const char *cert_pem, const char *ca_pem, enum pki_use use, struct err *err) {
    X509 *cert AUTO_X509 = pki_load_cert(cert_pem, "given", err);
    if (!cert) return -1;
    X509 *ca AUTO_X509 = pki_load_cert(ca_pem, "authority's", err);
    if (!ca) return -1;
    struct pki_cert facts;
    if (pki_facts(cert, &facts, err)) return -1;
    return pki_check_chain(cert, ca, use, err) ? err_wrap(err, "%s", facts.urn) : 0;
}
