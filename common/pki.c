/*
 * Keys and PEM texts.
 */
#include "pki.h"

#include "pki_internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

int pki_fail(struct err *err, enum err_code code, const char *what) {
    unsigned long reason = ERR_peek_last_error();
    char text[256] = "no reason given";
    if (reason) ERR_error_string_n(reason, text, sizeof text);
    ERR_clear_error();
    return err_set(err, code, "%s: %s", what, text);
}

/* Never ask a terminal for the passphrase of an encrypted key. */
static int no_passphrase(char *buf, int size, int writing, void *arg) {
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *open_text(const char *pem, const char *what, struct err *err) {
    size_t length = pem ? strnlen(pem, PKI_PEM_MAX + 1) : 0;
    if (length == 0 || length > PKI_PEM_MAX) {
        err_set(err, ERR_INVALID, "%s is %s", what, length ? "longer than 64 KiB" : "empty");
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    if (!bio) pki_fail(err, ERR_INTERNAL, what);
    return bio;
}

EVP_PKEY *pki_load_key(const char *pem, struct err *err) {
    BIO *bio AUTO_BIO = open_text(pem, "the private key", err);
    if (!bio) return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (!key) pki_fail(err, ERR_INVALID, "the private key cannot be read");
    return key;
}

X509 *pki_load_cert(const char *pem, const char *whose, struct err *err) {
    char what[64];
    snprintf(what, sizeof what, "the %s certificate", whose);
    BIO *bio AUTO_BIO = open_text(pem, what, err);
    if (!bio) return NULL;
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    if (!cert) {
        pki_fail(err, ERR_INVALID, "not a PEM certificate");
        err_wrap(err, "%s", what);
    }
    return cert;
}

X509_REQ *pki_load_csr(const char *pem, struct err *err) {
    BIO *bio AUTO_BIO = open_text(pem, "the signing request", err);
    if (!bio) return NULL;
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, no_passphrase, NULL);
    if (!req) pki_fail(err, ERR_INVALID, "the signing request cannot be read");
    return req;
}

char *pki_bio_text(BIO *bio) {
    char *data = NULL;
    long length = BIO_get_mem_data(bio, &data);
    return xstrndup(data ? data : "", length > 0 ? (size_t)length : 0);
}

char *pki_key_new(struct err *err) {
    EVP_PKEY *key AUTO_KEY = EVP_EC_gen("P-256");
    BIO *bio AUTO_BIO = BIO_new(BIO_s_secmem()); /* wiped when freed */
    if (!key || !bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        pki_fail(err, ERR_INTERNAL, "no key could be made");
        return NULL;
    }
    return pki_bio_text(bio);
}

void pki_wipe(char *secret) {
    if (!secret) return;
    OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

bool pki_key_is_p256(EVP_PKEY *key) {
    char group[64];
    size_t length = 0;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1 &&
           OBJ_txt2nid(group) == NID_X9_62_prime256v1;
}

int pki_key_matches(const char *key_pem, const char *cert_pem, struct err *err) {
    EVP_PKEY *key AUTO_KEY = pki_load_key(key_pem, err);
    if (!key) return -1;
    X509 *cert AUTO_X509 = pki_load_cert(cert_pem, "own", err);
    if (!cert) return -1;
    if (X509_check_private_key(cert, key) == 1) return 0;
    ERR_clear_error();
    return err_set(err, ERR_INTEGRITY, "the private key does not belong to the certificate");
}
