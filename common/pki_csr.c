/*
 * What a signing request says about its key.
 */
#include "pki.h"

#include "digest.h"
#include "pki_internal.h"

#include <openssl/err.h>

int pki_csr_key_id(const char *csr_pem, char ret[static 65], struct err *err) {
    X509_REQ *req AUTO_REQ = pki_load_csr(csr_pem, err);
    if (!req) return -1;
    unsigned char *der = NULL;
    int length = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(req), &der);
    if (length <= 0) return pki_fail(err, ERR_INVALID, "the signing request has no usable key");
    sha256_text(der, (size_t)length, ret);
    OPENSSL_free(der);
    return 0;
}
