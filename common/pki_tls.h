/*
 * Who a TLS server must be: its certificate's URN is compared during the handshake, before any
 * byte of a request is sent.
 */
#ifndef JOGAK_PKI_TLS_H
#define JOGAK_PKI_TLS_H

/* Is `urn` the expected one, or, when `expected` ends in '+', does it start so? */
int pki_tls_urn_matches(const char *expected, const char *urn);

/* ssl_ctx: an OpenSSL SSL_CTX (void *, so that callers need no OpenSSL header). The chain is
 * verified by its store as before; in addition the peer's certificate must name `expected`, which
 * is borrowed for as long as the SSL_CTX lives. 0, or -1 when OpenSSL has no memory. */
int pki_tls_expect_urn(void *ssl_ctx, const char *expected);

#endif
