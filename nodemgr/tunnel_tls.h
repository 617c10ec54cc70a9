/*
 * The tunnel's TLS door (OpenSSL): TLS 1.3 only, both sides show a certificate of our authority
 * for a node, no session tickets. The file descriptor is non-blocking throughout.
 */
#ifndef JOGAK_NODEMGR_TUNNEL_TLS_H
#define JOGAK_NODEMGR_TUNNEL_TLS_H

#include "nodemgr/tunnel.h"

#include <stdatomic.h>

struct tls_context;
/* Thread-safe once made. The caller frees. Errors: ERR_INVALID (the PEM texts). */
struct tls_context *tls_context_new(const struct tunnel_identity *identity, struct err *err);
void tls_context_free(struct tls_context *c); /* NULL is fine; connections keep what they need */

struct tls;
/* Takes nothing: fd stays the caller's and must outlive the result. */
struct tls *tls_new(struct tls_context *c, int fd, bool server, struct err *err);
void tls_free(struct tls *t);

/* Blocking, until deadline_ms (monotonic clock) or until *stop (may be NULL) becomes true. */
struct tls_wait {
    int64_t deadline_ms;
    const atomic_bool *stop;
};
/* The handshake; then the peer's URN from its certificate, which must name a node.
 * Errors: ERR_UNAUTHENTICATED, ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_CANCELLED (*stop). */
int tls_handshake(struct tls *t, const struct tls_wait *wait, char ret_urn[URN_MAX_BYTES],
                  struct err *err);
int tls_read_all(struct tls *t, void *to, size_t length, const struct tls_wait *wait,
                 struct err *err);
int tls_write_all(struct tls *t, const void *from, size_t length, const struct tls_wait *wait,
                  struct err *err);

/* Non-blocking: bytes moved (> 0), 0 when the socket is not ready, -1 at the end of the connection
 * or a fault (with *err). A write that returned 0 may be repeated from another address, with the
 * same bytes. */
ssize_t tls_read(struct tls *t, void *to, size_t length, struct err *err);
ssize_t tls_write(struct tls *t, const void *from, size_t length, struct err *err);
void tls_shutdown(struct tls *t); /* say that no more comes; does not wait */

#endif
