/*
 * The streams of a tunnel: local sockets on one side, frames on the other. It owns the local
 * sockets, their windows and their order of service; tunnel.c owns the connection and the thread.
 * Not thread-safe: the tunnel's lock is held around every call.
 *
 * A window is what the peer may still send on a stream; it is given back as bytes leave for the
 * local socket. So what a stalled socket makes us keep is bounded by window x streams, and the
 * connection itself is always read.
 */
#ifndef JOGAK_NODEMGR_TUNNEL_MUX_H
#define JOGAK_NODEMGR_TUNNEL_MUX_H

#include "nodemgr/tunnel_wire.h"

#define MUX_SERVED_MAX 8
#define MUX_CONTROL_MAX (2u << 20) /* bytes of frames that wait beside the streams' data */

/* What an epoll event belongs to: the upper half of its data; the lower half is an id. */
enum mux_tag { MUX_TAG_TUNNEL, MUX_TAG_WAKE, MUX_TAG_SERVED, MUX_TAG_STREAM };
static inline uint64_t mux_tag(enum mux_tag tag, uint32_t id) { return (uint64_t)tag << 32 | id; }

struct mux_stream {
    uint32_t id;
    enum tunnel_kind kind;
    int fd; /* -1 while it is still to be connected */
    int64_t connect_until_ms;
    bool readable, writable; /* the kernel's last word (edge-triggered) */
    bool eof_sent;           /* our local side is done, and the peer was told */
    bool eof_received;       /* the peer's is done; shut down once the queue is empty */
    bool finished_writing;
    uint32_t credit;   /* bytes we may send */
    uint32_t allowed;  /* bytes the peer may send */
    uint32_t consumed; /* bytes that went out locally, not given back yet */
    struct buf queue;  /* from the peer, for the local socket */
    size_t queue_at;   /* bytes of it that went out */
};

struct mux_served {
    enum tunnel_kind kind;
    int fd;
    char path[108];
};

struct mux_target {
    char path[108];
    int retry_ms;
};

struct mux {
    int epoll_fd;
    bool initiator; /* its streams are odd */
    bool closing;   /* no new streams from here */
    uint32_t next_id, peer_id_max;
    uint32_t window_ours, window_theirs;
    struct mux_stream *streams[WIRE_STREAMS_MAX];
    unsigned turn; /* round robin */
    struct mux_served served[MUX_SERVED_MAX];
    unsigned served_count;
    struct mux_target targets[TUNNEL_KINDS];
    struct buf control; /* whole frames, before any data */
    struct tunnel_kind_stats stats[TUNNEL_KINDS];
    int64_t last_progress_ms;
};

void mux_init(struct mux *m, int epoll_fd, bool initiator, uint32_t window_ours);
void mux_done(struct mux *m); /* closes every socket and removes the served ones */
void mux_stop_serving(struct mux *m);

int mux_serve(struct mux *m, enum tunnel_kind kind, const char *path, mode_t mode,
              struct err *err);
int mux_target(struct mux *m, enum tunnel_kind kind, const char *path, int retry_ms,
               struct err *err);

/* Something happened to a served socket, or to a stream's. */
void mux_on_served(struct mux *m, uint32_t index);
void mux_on_stream(struct mux *m, uint32_t id, uint32_t epoll_events);
/* Try again to connect what could not be. Returns when to be called next, in ms; -1: no need. */
int mux_tick(struct mux *m);

/* Frames from the peer: OPEN, WINDOW, CLOSE, RESET, DATA. Errors: ERR_INVALID when the peer breaks
 * the rules; the tunnel ends then. */
int mux_frame(struct mux *m, const struct wire_frame *f, const uint8_t *payload, struct err *err);
int mux_data(struct mux *m, uint32_t stream, const uint8_t *bytes, size_t length,
             struct err *err);

/* The next bytes for the peer, at most `space` (at least WIRE_HEADER_BYTES + 4096): control first,
 * then libvirt, then the others in turn. 0: nothing to send now. */
size_t mux_pull(struct mux *m, uint8_t *to, size_t space);
/* No streams, and nothing waits. */
bool mux_idle(const struct mux *m);

#endif
