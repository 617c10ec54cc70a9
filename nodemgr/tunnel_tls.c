#include "nodemgr/tunnel_tls.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/pki.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>

#define POLL_SLICE_MS 100 /* how late a stop is noticed */
#define READ_AHEAD_BYTES (128 << 10)

struct tls_context {
    SSL_CTX *ctx;
};

struct tls {
    SSL *ssl;
    int fd;
};

static int ssl_fault(struct err *err, enum err_code code, const char *what) {
    unsigned long e = ERR_peek_error();
    const char *reason = ERR_reason_error_string(e);
    ERR_clear_error();
    return err_set(err, code, "%s: %s", what, reason ? reason : "TLS failed");
}

static X509 *read_cert(const char *pem) {
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    return cert;
}

static int use_identity(SSL_CTX *ctx, const struct tunnel_identity *id, struct err *err) {
    BIO *in = BIO_new_mem_buf(id->key_pem, -1);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    X509 *cert = read_cert(id->cert_pem), *ca = read_cert(id->ca_pem);
    int ok = key && cert && ca && SSL_CTX_use_certificate(ctx, cert) == 1 &&
             SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1 &&
             X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1 &&
             SSL_CTX_add_client_CA(ctx, ca) == 1;
    BIO_free(in);
    EVP_PKEY_free(key);
    X509_free(cert);
    X509_free(ca);
    return ok ? 0 : ssl_fault(err, ERR_INVALID, "key, certificate or authority of this node");
}

struct tls_context *tls_context_new(const struct tunnel_identity *id, struct err *err) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx) abort();
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                  "TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD_BYTES);
    if (use_identity(ctx, id, err)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    struct tls_context *c = xcalloc(1, sizeof *c);
    c->ctx = ctx;
    return c;
}

void tls_context_free(struct tls_context *c) {
    if (!c) return;
    SSL_CTX_free(c->ctx);
    free(c);
}

struct tls *tls_new(struct tls_context *c, int fd, bool server, struct err *err) {
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ssl_fault(err, ERR_UNAVAILABLE, "TLS");
        return NULL;
    }
    if (server) SSL_set_accept_state(ssl);
    else SSL_set_connect_state(ssl);
    struct tls *t = xcalloc(1, sizeof *t);
    t->ssl = ssl;
    t->fd = fd;
    return t;
}

void tls_free(struct tls *t) {
    if (!t) return;
    SSL_free(t->ssl);
    free(t);
}

void tls_shutdown(struct tls *t) {
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

/* Judge what an OpenSSL call returned: 0 when the socket is not ready (*ret_events says for what),
 * -1 for a fault. */
static int not_done(struct tls *t, int result, short *ret_events, struct err *err) {
    int saved = errno;
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ: *ret_events = POLLIN; return 0;
    case SSL_ERROR_WANT_WRITE: *ret_events = POLLOUT; return 0;
    case SSL_ERROR_ZERO_RETURN:
        return err_set(err, ERR_UNAVAILABLE, "the peer closed the tunnel");
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        if (saved) return err_set_errno(err, ERR_UNAVAILABLE, saved, "tunnel connection");
        return err_set(err, ERR_UNAVAILABLE, "the peer broke the tunnel off");
    default: break;
    }
    long verdict = SSL_get_verify_result(t->ssl);
    if (verdict != X509_V_OK) {
        ERR_clear_error();
        return err_set(err, ERR_UNAUTHENTICATED, "the peer's certificate: %s",
                       X509_verify_cert_error_string(verdict));
    }
    unsigned long e = ERR_peek_error();
    bool alert = ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET;
    bool eof = ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    return ssl_fault(err, eof ? ERR_UNAVAILABLE : alert ? ERR_UNAUTHENTICATED : ERR_INTEGRITY,
                     "tunnel");
}

ssize_t tls_read(struct tls *t, void *to, size_t length, struct err *err) {
    short events;
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(t->ssl, to, length > INT_MAX ? INT_MAX : (int)length);
    return n > 0 ? n : not_done(t, n, &events, err);
}

ssize_t tls_write(struct tls *t, const void *from, size_t length, struct err *err) {
    short events;
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(t->ssl, from, length > INT_MAX ? INT_MAX : (int)length);
    return n > 0 ? n : not_done(t, n, &events, err);
}

static int wait_ready(struct tls *t, short events, const struct tls_wait *wait, struct err *err) {
    struct pollfd p = { .fd = t->fd, .events = events };
    for (;;) {
        if (wait->stop && atomic_load(wait->stop))
            return err_set(err, ERR_CANCELLED, "the tunnel was given up");
        int64_t left_ms = wait->deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0) return err_set(err, ERR_TIMEOUT, "the peer does not answer");
        int n = poll(&p, 1, left_ms < POLL_SLICE_MS ? (int)left_ms : POLL_SLICE_MS);
        if (n > 0) return 0;
        if (n < 0 && errno != EINTR) return err_set_errno(err, ERR_UNAVAILABLE, errno, "poll");
    }
}

static int peer_urn(struct tls *t, char ret_urn[URN_MAX_BYTES], struct err *err) {
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    unsigned char *der = NULL;
    int n = cert ? i2d_X509(cert, &der) : -1;
    if (n <= 0) return err_set(err, ERR_UNAUTHENTICATED, "the peer shows no certificate");
    struct pki_cert facts;
    int failed = pki_cert_read_der(der, (size_t)n, &facts, err);
    OPENSSL_free(der);
    if (failed || !urn_is(facts.urn, "node", NULL))
        return err_set(err, ERR_UNAUTHENTICATED, "the peer's certificate names no node");
    memcpy(ret_urn, facts.urn, URN_MAX_BYTES);
    return 0;
}

int tls_handshake(struct tls *t, const struct tls_wait *wait, char ret_urn[URN_MAX_BYTES],
                  struct err *err) {
    for (;;) {
        short events;
        ERR_clear_error();
        errno = 0;
        int n = SSL_do_handshake(t->ssl);
        if (n == 1) return peer_urn(t, ret_urn, err);
        if (not_done(t, n, &events, err) || wait_ready(t, events, wait, err)) return -1;
    }
}

int tls_read_all(struct tls *t, void *to, size_t length, const struct tls_wait *wait,
                 struct err *err) {
    while (length > 0) {
        ssize_t n = tls_read(t, to, length, err);
        if (n < 0 || (n == 0 && wait_ready(t, POLLIN, wait, err))) return -1;
        to = (char *)to + n;
        length -= (size_t)n;
    }
    return 0;
}

int tls_write_all(struct tls *t, const void *from, size_t length, const struct tls_wait *wait,
                  struct err *err) {
    while (length > 0) {
        ssize_t n = tls_write(t, from, length, err);
        if (n < 0 || (n == 0 && wait_ready(t, POLLOUT, wait, err))) return -1;
        from = (const char *)from + n;
        length -= (size_t)n;
    }
    return 0;
}
