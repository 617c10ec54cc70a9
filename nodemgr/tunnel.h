/*
 * The migration tunnel: one mutual-TLS 1.3 connection from the source's agent to the target's,
 * which carries every UNIX-socket conversation of a live migration, so that neither libvirt nor
 * QEMU listens on the network.
 *
 *   libvirtd, QEMU (source)                                  libvirtd, QEMU (target)
 *        | connect                                                ^ connect
 *   .../libvirt.sock .../mig.sock .../nbd.sock             libvirt-sock mig.sock nbd.sock
 *        \___ agent === one TCP connection, TLS, streams === agent ___/
 *
 * Each connection to a served socket becomes a stream; the other side connects it to its own
 * socket of that kind. Streams have windows of their own, so one that stalls (QEMU's memory) never
 * stops another (libvirt's calls). Beside the streams there are small acknowledged messages, which
 * hand over held frames and whatever the agents have to tell each other.
 *
 * Threads: each tunnel has one, which does all its work by epoll. Every function here may be
 * called from any thread, except where it says "not from a callback". Callbacks run on the
 * tunnel's thread without locks held; they should be done within a second, since the tunnel stands
 * still meanwhile (and the peer declares it dead after TUNNEL_SILENCE_MS).
 * The process must ignore SIGPIPE (services do): OpenSSL writes to sockets that may be gone.
 *
 * Life: connecting -> running -> (closing ->) ended. on_closed is called exactly once, at the end,
 * whoever brought it about; then only tunnel_stats() and tunnel_free() make sense.
 */
#ifndef JOGAK_NODEMGR_TUNNEL_H
#define JOGAK_NODEMGR_TUNNEL_H

#include "common/err.h"
#include "common/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Kinds of streams (the first three) and messages (the last two). Order is theirs in the code
 * only; on the wire of OPEN and MESSAGE the number counts: append only. */
enum tunnel_kind {
    TUNNEL_LIBVIRT, /* libvirt's RPC; goes before the others */
    TUNNEL_MEMORY,  /* QEMU's migration stream */
    TUNNEL_NBD,     /* disks, one stream each */
    TUNNEL_HELD,    /* held network frames (nodemgr/held.h) */
    TUNNEL_CONTROL, /* messages between the agents */
    TUNNEL_KINDS
};
const char *tunnel_kind_name(enum tunnel_kind kind);

#define TUNNEL_MESSAGE_MAX (256u << 10)
#define TUNNEL_LABEL_MAX 63
#define TUNNEL_SILENCE_MS 5000 /* a peer that says nothing for so long is gone */

/* This node: PEM texts, borrowed during the call only. */
struct tunnel_identity {
    const char *cert_pem;
    const char *key_pem;
    const char *ca_pem;
};

struct tunnel_hello {
    char migration[UUID_TEXT_BYTES];
    int64_t epoch;
    unsigned kinds; /* 1 << enum tunnel_kind, or-ed: what the source will use */
};

struct tunnel;

struct tunnel_events {
    void *ctx;
    /* A message came. Its sender gets the acknowledgement when this returns: 0, or -1 with *err,
     * which it sees. data is borrowed. May be NULL: messages are refused then. */
    int (*on_message)(void *ctx, struct tunnel *t, enum tunnel_kind kind, const char *label,
                      const void *data, size_t length, struct err *err);
    /* The end; why is NULL after a graceful close. All local sockets are closed by now. Do not
     * free the tunnel here. May be NULL. */
    void (*on_closed)(void *ctx, struct tunnel *t, const struct err *why);
};

/* --- the target's side --- */

struct tunnel_listener;
/* Somebody with a certificate of our authority, as node `peer_urn`, wants a tunnel. Return 0 to
 * take it (the callee owns t and must tunnel_free() it), with *ret_events filled and target
 * sockets set; or -1 with *err, which the peer is told: an unknown migration, another peer than
 * the source, an epoch that is not the expected one (ERR_STALE_EPOCH). */
typedef int tunnel_accept_fn(void *ctx, struct tunnel *t, const struct tunnel_hello *hello,
                             const char *peer_urn, struct tunnel_events *ret_events,
                             struct err *err);
/* Listen on address ("0.0.0.0", "::", ...) and port (0: any). Returns at once; the caller frees.
 * Errors: ERR_INVALID, ERR_CONFLICT (port in use), ERR_UNAVAILABLE. */
struct tunnel_listener *tunnel_listener_new(const char *address, uint16_t port,
                                            const struct tunnel_identity *identity,
                                            tunnel_accept_fn *accept, void *ctx, struct err *err);
uint16_t tunnel_listener_port(const struct tunnel_listener *l);
/* Stop listening. Tunnels that were accepted live on. Blocks until those that were just being
 * set up are gone (at most about a second). NULL is fine; not from a callback. */
void tunnel_listener_free(struct tunnel_listener *l);

/* --- the source's side --- */

/* Connect to a target's agent, which must prove to be the node peer_urn. Blocks until the target
 * has accepted, at most timeout_ms. Returns a running tunnel; the caller frees with tunnel_free().
 * Errors: ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_UNAUTHENTICATED (certificate), ERR_FORBIDDEN (another
 * node), or the target's refusal with its code. */
struct tunnel *tunnel_connect(const char *address, uint16_t port,
                              const struct tunnel_identity *identity, const char *peer_urn,
                              const struct tunnel_hello *hello, const struct tunnel_events *events,
                              int timeout_ms, struct err *err);

/* --- both sides --- */

/* Listen on a UNIX socket (a stale one is replaced; removed at the end): every connection to it
 * becomes a stream. mode is that of the socket file. */
int tunnel_serve_socket(struct tunnel *t, enum tunnel_kind kind, const char *path, mode_t mode,
                        struct err *err);
/* Where streams of this kind are connected to. The socket may appear later: connecting is tried
 * for retry_ms, then the stream is reset. */
int tunnel_target_socket(struct tunnel *t, enum tunnel_kind kind, const char *path, int retry_ms,
                         struct err *err);

/* Send a message and wait until the peer's on_message has returned. length is at most
 * TUNNEL_MESSAGE_MAX, label at most TUNNEL_LABEL_MAX characters. Not from a callback.
 * Errors: ERR_TOO_LARGE, ERR_TIMEOUT (unknown whether it arrived), ERR_UNAVAILABLE (tunnel ended),
 * ERR_UNPROCESSABLE (the peer's callback refused; its text). */
int tunnel_send_message(struct tunnel *t, enum tunnel_kind kind, const char *label,
                        const void *data, size_t length, int timeout_ms, struct err *err);
/* The same for a batch of held frames (held_batch_add()) of one tap. */
int tunnel_send_held(struct tunnel *t, const char *tap, const void *batch, size_t length,
                     int timeout_ms, struct err *err);

struct tunnel_kind_stats {
    uint64_t sent_bytes, received_bytes; /* payload */
    unsigned streams_now, streams_total;
};
struct tunnel_stats {
    struct tunnel_kind_stats kind[TUNNEL_KINDS];
    int64_t last_progress_ms; /* monotonic clock: payload moved, either way */
    int64_t round_trip_us;    /* of the last PING; 0 when there was none */
    bool ended;
};
void tunnel_stats(struct tunnel *t, struct tunnel_stats *ret_stats);

/* Graceful end: no new streams, those that are open run to their end, then both sides say goodbye.
 * Blocks, at most timeout_ms; what is not done by then is aborted. Not from a callback.
 * Errors: ERR_TIMEOUT, or why the tunnel had ended before. */
int tunnel_close(struct tunnel *t, int timeout_ms, struct err *err);
/* End at once: all local sockets and the connection are closed when it returns. Not from a
 * callback. */
void tunnel_abort(struct tunnel *t);
/* Abort when it still runs, then free. NULL is fine; not from a callback. */
void tunnel_free(struct tunnel *t);

#endif
