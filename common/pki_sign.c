/*
 * Signed documents: CMS SignedData (RFC 5652) with the content and the signer's certificate inside.
 */
#include "pki.h"

#include "digest.h"
#include "pki_internal.h"

#include <openssl/cms.h>
#include <openssl/err.h>

#define SIGNED_MAX_BYTES 65536 /* of the text, and so of the content */

static inline void cms_cleanup(CMS_ContentInfo **p) { CMS_ContentInfo_free(*p); }
#define AUTO_CMS CLEANUP(cms_cleanup)

static char *cms_text(CMS_ContentInfo *cms, struct err *err) {
    unsigned char *der = NULL;
    int length = i2d_CMS_ContentInfo(cms, &der);
    if (length <= 0) {
        pki_fail(err, ERR_INTERNAL, "write a signed document");
        return NULL;
    }
    char *text = base64url_encode(der, (size_t)length);
    OPENSSL_free(der);
    return text;
}

char *pki_sign(const char *content, const char *key_pem, const char *cert_pem, struct err *err) {
    size_t length = strlen(content);
    if (length > SIGNED_MAX_BYTES / 2) {
        err_set(err, ERR_TOO_LARGE, "a document of %zu bytes is too long to sign", length);
        return NULL;
    }
    EVP_PKEY *key AUTO_KEY = pki_load_key(key_pem, err);
    if (!key) return NULL;
    X509 *cert AUTO_X509 = pki_load_cert(cert_pem, "signer's", err);
    if (!cert) return NULL;
    BIO *in AUTO_BIO = BIO_new_mem_buf(content, (int)length);
    CMS_ContentInfo *cms AUTO_CMS =
        in ? CMS_sign(cert, key, NULL, in, CMS_BINARY | CMS_NOSMIMECAP) : NULL;
    if (!cms) {
        pki_fail(err, ERR_INTERNAL, "sign a document");
        return NULL;
    }
    return cms_text(cms, err);
}

/* Parses; the whole text must be one SignedData with one signer. */
static CMS_ContentInfo *cms_parse(const char *text, struct err *err) {
    size_t text_length = strnlen(text, SIGNED_MAX_BYTES + 1), length = 0;
    if (text_length > SIGNED_MAX_BYTES) {
        err_set(err, ERR_INTEGRITY, "the signed document is longer than 64 KiB");
        return NULL;
    }
    uint8_t *der AUTO_FREE = base64url_decode(text, &length);
    const unsigned char *at = der;
    CMS_ContentInfo *cms AUTO_CMS = der ? d2i_CMS_ContentInfo(NULL, &at, (long)length) : NULL;
    ERR_clear_error();
    if (!cms || at != der + length || OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed ||
        sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)) != 1) {
        err_set(err, ERR_INTEGRITY, "this is not a document with one signature");
        return NULL;
    }
    return STEAL(cms);
}

/* The signer of a document whose signature has been verified. */
static int check_signer(CMS_ContentInfo *cms, X509 *ca, char ret_urn[static 256], struct err *err) {
    STACK_OF(X509) *signers = CMS_get0_signers(cms);
    X509 *signer = signers && sk_X509_num(signers) == 1 ? sk_X509_value(signers, 0) : NULL;
    struct pki_cert facts;
    int rc = signer ? pki_facts(signer, &facts, err)
                    : err_set(err, ERR_INTEGRITY, "the document names no signer");
    if (rc == 0) rc = pki_check_chain(signer, ca, 0, err);
    if (rc == 0) memcpy(ret_urn, facts.urn, sizeof facts.urn);
    sk_X509_free(signers);
    return rc;
}

static char *content_text(BIO *out, struct err *err) {
    char *data = NULL;
    long length = BIO_get_mem_data(out, &data);
    if (length > 0 && memchr(data, '\0', (size_t)length)) {
        err_set(err, ERR_INTEGRITY, "the signed content is not text");
        return NULL;
    }
    return pki_bio_text(out);
}

char *pki_verify(const char *signed_text, const char *ca_pem, char ret_signer_urn[256],
                 struct err *err) {
    X509 *ca AUTO_X509 = pki_load_cert(ca_pem, "authority's", err);
    if (!ca) return NULL;
    CMS_ContentInfo *cms AUTO_CMS = cms_parse(signed_text, err);
    if (!cms) return NULL;
    BIO *out AUTO_BIO = BIO_new(BIO_s_mem());
    /* CMS_verify() would judge the signer as one of e-mail; check_signer() judges it as ours. */
    if (!out ||
        CMS_verify(cms, NULL, NULL, NULL, out, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY) != 1) {
        pki_fail(err, ERR_INTEGRITY, "the signature does not match");
        return NULL;
    }
    char urn[256];
    if (check_signer(cms, ca, urn, err)) {
        err_set(err, ERR_INTEGRITY, "the signer is not trusted: %s", err ? err->msg : "");
        return NULL;
    }
    char *content = content_text(out, err);
    if (content) memcpy(ret_signer_urn, urn, sizeof urn);
    return content;
}
