#include "pki_tls.h"

#include "pki.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

static int expected_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_index(void) {
    expected_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

int pki_tls_urn_matches(const char *expected, const char *urn) {
    size_t n = strlen(expected);
    if (n && expected[n - 1] == '+') return strncmp(expected, urn, n) == 0 && urn[n];
    return strcmp(expected, urn) == 0;
}

static const char *expected_of(X509_STORE_CTX *store) {
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    return ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), expected_index) : NULL;
}

/* Called for every certificate of the chain after OpenSSL's own checks of it. */
static int verify(int ok, X509_STORE_CTX *store) {
    if (!ok || X509_STORE_CTX_get_error_depth(store) != 0) return ok;
    const char *expected = expected_of(store);
    unsigned char *der = NULL;
    int length = i2d_X509(X509_STORE_CTX_get_current_cert(store), &der);
    struct pki_cert cert;
    int named = expected && length > 0 && pki_cert_read_der(der, (size_t)length, &cert, NULL) == 0 &&
                pki_tls_urn_matches(expected, cert.urn);
    OPENSSL_free(der);
    if (!named) X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return named;
}

int pki_tls_expect_urn(void *ssl_ctx, const char *expected) {
    pthread_once(&once, make_index);
    if (expected_index < 0) return -1;
    if (!SSL_CTX_set_ex_data(ssl_ctx, expected_index, (void *)(uintptr_t)expected)) return -1;
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, verify);
    return 0;
}
