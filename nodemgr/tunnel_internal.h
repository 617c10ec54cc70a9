/* Shared by tunnel.c, tunnel_loop.c and tunnel_listen.c only. */
#ifndef JOGAK_NODEMGR_TUNNEL_INTERNAL_H
#define JOGAK_NODEMGR_TUNNEL_INTERNAL_H

#include "nodemgr/tunnel_mux.h"
#include "nodemgr/tunnel_tls.h"

#include "common/clock.h"

#define TUNNEL_WINDOW_BYTES (2u << 20)
#define TUNNEL_TX_BYTES (WIRE_HEADER_BYTES + WIRE_DATA_MAX)
#define TUNNEL_RX_BYTES (256u << 10)
#define TUNNEL_SETUP_MS 5000 /* handshake and hello, at the accepting side */

/* A message that waits for its acknowledgement; on its sender's stack. */
struct tunnel_waiter {
    uint32_t number;
    bool done, refused;
    char reason[WIRE_REASON_MAX + 1];
    struct tunnel_waiter *next;
};

struct tunnel {
    int fd;      /* TCP */
    int epoll_fd;
    int wake_fd; /* eventfd: somebody changed something */
    struct tls *tls;
    pthread_t thread;
    bool joinable;
    struct tunnel_events events;
    char migration[UUID_TEXT_BYTES];
    char peer_urn[URN_MAX_BYTES];

    atomic_bool stop; /* abort: read without the lock */
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t changed;
    struct mux mux;
    struct wire_decoder decoder;
    uint8_t *tx, *rx;
    size_t tx_from, tx_to;
    bool tcp_readable, tcp_writable;
    bool closing, goodbye_sent, goodbye_received, running, ended;
    uint32_t message_number;
    struct tunnel_waiter *waiters;
    int64_t heard_ms, pinged_ms, round_trip_us;
    struct err why; /* of the end; ERR_NONE after a graceful one */
};

/* A tunnel around a connected TCP socket (taken). */
struct tunnel *tunnel_new(int fd, struct tls_context *c, bool initiator, struct err *err);
void tunnel_destroy(struct tunnel *t); /* of one that has no thread (any more) */
int tunnel_socket_options(int fd, struct err *err);
/* The body of a tunnel's thread once both hellos were exchanged. */
void tunnel_run(struct tunnel *t);
void tunnel_wake(struct tunnel *t);

#endif
