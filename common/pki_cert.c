/*
 * Making certificates: the authority's own, signing requests, and what the authority issues.
 */
#include "pki.h"

#include "clock.h"
#include "digest.h"
#include "ids.h"
#include "pki_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#define HOSTS_MAX 16 /* names and addresses in one certificate */

/* Takes the text's copy; 0 when there is no memory or the text is no such name. */
static int add_name(GENERAL_NAMES *names, int type, const char *text) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = type == GEN_IPADD ? a2i_IPADDRESS(text) : ASN1_IA5STRING_new();
    int ok = name && value;
    if (ok && type != GEN_IPADD) ok = ASN1_STRING_set(value, text, -1);
    if (!ok) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return 0;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0) return 1;
    GENERAL_NAME_free(name);
    return 0;
}

static bool dns_name_valid(const char *host) {
    size_t n = strnlen(host, 254);
    return n >= 1 && n <= 253 && host[0] != '.' && host[0] != '-' &&
           strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") == n;
}

static bool ip_valid(const char *host) {
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    return address != NULL;
}

static int add_hosts(GENERAL_NAMES *names, const char *const *hosts, struct err *err) {
    for (size_t i = 0; hosts && hosts[i]; i++) {
        if (i == HOSTS_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than %d host names", HOSTS_MAX);
        bool ip = ip_valid(hosts[i]);
        if (!ip && !dns_name_valid(hosts[i]))
            return err_set(err, ERR_INVALID, "\"%.255s\" is neither a host name nor an address",
                           hosts[i]);
        if (!add_name(names, ip ? GEN_IPADD : GEN_DNS, hosts[i]))
            return pki_fail(err, ERR_INTERNAL, "subjectAltName");
    }
    return 0;
}

static GENERAL_NAMES *names_new(const char *urn, const char *const *hosts, struct err *err) {
    GENERAL_NAMES *names AUTO_NAMES = sk_GENERAL_NAME_new_null();
    if (!names || !add_name(names, GEN_URI, urn)) {
        pki_fail(err, ERR_INTERNAL, "subjectAltName");
        return NULL;
    }
    if (add_hosts(names, hosts, err)) return NULL;
    return STEAL(names);
}

static int set_subject(X509_NAME *name, const struct urn *urn) {
    /* X.520 bounds an organization at 64 characters; the URN itself is in subjectAltName */
    const struct {
        const char *field, *value;
    } parts[] = {
        { "O", strlen(urn->authority) <= 64 ? urn->authority : "jogak" },
        { "OU", urn->type },
        { "CN", urn->name },
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (X509_NAME_add_entry_by_txt(name, parts[i].field, MBSTRING_ASC,
                                       (const unsigned char *)parts[i].value, -1, -1, 0) != 1)
            return 0;
    return 1;
}

static int set_serial(X509 *cert) {
    unsigned char bytes[16];
    random_bytes(bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of one length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    int ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

/* Dates, serial, subject and key; not_before lies back a little, for clocks that are behind. */
static int set_basics(X509 *cert, const struct urn *urn, EVP_PKEY *key, time_t now,
                      time_t not_after) {
    time_t not_before = now - PKI_CLOCK_SKEW_S;
    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
           X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &not_before) &&
           X509_time_adj_ex(X509_getm_notAfter(cert), 0, 0, &not_after) &&
           set_subject(X509_get_subject_name(cert), urn) && X509_set_pubkey(cert, key);
}

static int add_ext(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = ext && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

static char *cert_text(X509 *cert, struct err *err) {
    BIO *bio AUTO_BIO = BIO_new(BIO_s_mem());
    if (!bio || PEM_write_bio_X509(bio, cert) != 1) {
        pki_fail(err, ERR_INTERNAL, "write certificate");
        return NULL;
    }
    return pki_bio_text(bio);
}

static time_t now_s(void) { return (time_t)(clock_wall_ms() / 1000); }

char *pki_authority_new(const char *key_pem, const char *urn_txt, int days, struct err *err) {
    struct urn urn;
    if (urn_parse(urn_txt, &urn, err)) return NULL;
    EVP_PKEY *key AUTO_KEY = pki_load_key(key_pem, err);
    if (!key) return NULL;
    GENERAL_NAMES *names AUTO_NAMES = names_new(urn_txt, NULL, err);
    if (!names) return NULL;
    X509 *cert AUTO_X509 = X509_new();
    time_t now = now_s();
    int ok = cert && set_basics(cert, &urn, key, now, now + (time_t)days * 86400) &&
             X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
             X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
             add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
             add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature") &&
             add_ext(cert, cert, NID_subject_key_identifier, "hash") &&
             add_ext(cert, cert, NID_authority_key_identifier, "keyid:always") &&
             X509_sign(cert, key, EVP_sha256()) > 0;
    if (ok) return cert_text(cert, err);
    pki_fail(err, ERR_INTERNAL, "make the authority's certificate");
    return NULL;
}

/* Ask for the URN in subjectAltName. */
static int request_urn(X509_REQ *req, const char *urn_txt, struct err *err) {
    struct urn urn;
    if (urn_parse(urn_txt, &urn, err)) return -1;
    GENERAL_NAMES *names AUTO_NAMES = names_new(urn_txt, NULL, err);
    if (!names) return -1;
    X509_EXTENSIONS *exts = NULL;
    int ok = set_subject(X509_REQ_get_subject_name(req), &urn) &&
             X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
             X509_REQ_add_extensions(req, exts);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok ? 0 : pki_fail(err, ERR_INTERNAL, "subjectAltName of the signing request");
}

char *pki_csr_new(const char *key_pem, const char *urn, struct err *err) {
    EVP_PKEY *key AUTO_KEY = pki_load_key(key_pem, err);
    if (!key) return NULL;
    X509_REQ *req AUTO_REQ = X509_REQ_new();
    BIO *bio AUTO_BIO = BIO_new(BIO_s_mem());
    if (req && urn && request_urn(req, urn, err)) return NULL;
    if (!req || !bio || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
        !X509_REQ_set_pubkey(req, key) || X509_REQ_sign(req, key, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509_REQ(bio, req) != 1) {
        pki_fail(err, ERR_INTERNAL, "make a signing request");
        return NULL;
    }
    return pki_bio_text(bio);
}

/* The request's public key, after checking that the asker holds its private half. */
static EVP_PKEY *requested_key(const char *csr_pem, struct err *err) {
    X509_REQ *req AUTO_REQ = pki_load_csr(csr_pem, err);
    if (!req) return NULL;
    EVP_PKEY *key AUTO_KEY = X509_REQ_get_pubkey(req);
    if (!key || !pki_key_is_p256(key)) {
        ERR_clear_error();
        err_set(err, ERR_UNPROCESSABLE, "the signing request's key is not ECDSA P-256");
        err_remedy(err, "make the key on curve P-256 (prime256v1)");
        return NULL;
    }
    if (X509_REQ_verify(req, key) != 1) {
        ERR_clear_error();
        err_set(err, ERR_INTEGRITY, "the signing request's signature does not match its key");
        return NULL;
    }
    return STEAL(key);
}

static const char *uses_text(unsigned uses) {
    if (uses == PKI_USE_CLIENT) return "clientAuth";
    if (uses == PKI_USE_SERVER) return "serverAuth";
    return "clientAuth,serverAuth";
}

static int add_issued_exts(X509 *cert, X509 *ca, GENERAL_NAMES *names, unsigned uses) {
    return X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
           add_ext(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           add_ext(cert, ca, NID_key_usage, "critical,digitalSignature") &&
           add_ext(cert, ca, NID_ext_key_usage, uses_text(uses)) &&
           add_ext(cert, ca, NID_subject_key_identifier, "hash") &&
           add_ext(cert, ca, NID_authority_key_identifier, "keyid:always");
}

/* The holder's last day: as asked, never later than the authority's own. */
static int end_of(const struct pki_issue *what, X509 *ca, time_t *ret, struct err *err) {
    struct pki_cert facts;
    if (pki_facts(ca, &facts, err)) return err_wrap(err, "the authority's certificate");
    int64_t end_ms =
        what->not_after_ms < facts.not_after_ms ? what->not_after_ms : facts.not_after_ms;
    if (end_ms <= clock_wall_ms())
        return err_set(err, ERR_UNPROCESSABLE, "the certificate would have expired already");
    *ret = (time_t)(end_ms / 1000);
    return 0;
}

char *pki_issue(const struct pki_issue *what, struct err *err) {
    struct urn urn;
    if (urn_parse(what->urn, &urn, err)) return NULL;
    EVP_PKEY *holder AUTO_KEY = requested_key(what->csr_pem, err);
    if (!holder) return NULL;
    EVP_PKEY *ca_key AUTO_KEY = pki_load_key(what->ca_key_pem, err);
    if (!ca_key) return NULL;
    X509 *ca AUTO_X509 = pki_load_cert(what->ca_cert_pem, "authority's", err);
    if (!ca) return NULL;
    GENERAL_NAMES *names AUTO_NAMES = names_new(what->urn, what->hosts, err);
    if (!names) return NULL;
    time_t end = 0;
    if (end_of(what, ca, &end, err)) return NULL;
    X509 *cert AUTO_X509 = X509_new();
    int ok = cert && set_basics(cert, &urn, holder, now_s(), end) &&
             X509_set_issuer_name(cert, X509_get_subject_name(ca)) &&
             add_issued_exts(cert, ca, names, what->uses) &&
             X509_sign(cert, ca_key, EVP_sha256()) > 0;
    if (ok) return cert_text(cert, err);
    pki_fail(err, ERR_INTERNAL, "issue a certificate");
    err_wrap(err, "%s", what->urn);
    return NULL;
}
