#include "nodemgr/tunnel_mux.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

LOG_MODULE("nm.tunnel");

#define RETRY_MS 2
#define LOCAL_BUFFER_BYTES (1 << 20) /* what a reader may take in one go */
#define ROOM_MIN (WIRE_HEADER_BYTES + 4096) /* below this no further DATA frame is begun */

void mux_init(struct mux *m, int epoll_fd, bool initiator, uint32_t window_ours) {
    *m = (struct mux){ .epoll_fd = epoll_fd, .initiator = initiator, .next_id = initiator ? 1 : 2,
                       .window_ours = window_ours };
}

/* --- streams --- */

static struct mux_stream *stream_find(struct mux *m, uint32_t id) {
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        if (m->streams[i] && m->streams[i]->id == id) return m->streams[i];
    return NULL;
}

static struct mux_stream *stream_new(struct mux *m, uint32_t id, enum tunnel_kind kind) {
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++) {
        if (m->streams[i]) continue;
        struct mux_stream *s = xcalloc(1, sizeof *s);
        s->id = id;
        s->kind = kind;
        s->fd = -1;
        s->credit = m->window_theirs;
        s->allowed = m->window_ours;
        m->streams[i] = s;
        m->stats[kind].streams_now++;
        m->stats[kind].streams_total++;
        return s;
    }
    return NULL;
}

static void stream_free(struct mux *m, struct mux_stream *s) {
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        if (m->streams[i] == s) m->streams[i] = NULL;
    m->stats[s->kind].streams_now--;
    if (s->fd >= 0) close(s->fd);
    buf_done(&s->queue);
    free(s);
}

static void stream_reset(struct mux *m, struct mux_stream *s, const char *reason) {
    log_info("stream reset", "kind=%s stream=%u reason=\"%s\"", tunnel_kind_name(s->kind), s->id,
             reason);
    size_t n = strlen(reason);
    wire_add(&m->control, WIRE_RESET, 0, s->id, reason, n > WIRE_REASON_MAX ? WIRE_REASON_MAX : n);
    stream_free(m, s);
}

static void stream_reset_errno(struct mux *m, struct mux_stream *s, const char *what) {
    char reason[160], text[64];
    snprintf(reason, sizeof reason, "%s: %s", what, strerror_r(errno, text, sizeof text));
    stream_reset(m, s, reason);
}

static int stream_watch(struct mux *m, struct mux_stream *s) {
    int bytes = LOCAL_BUFFER_BYTES; /* a wish: without CAP_NET_ADMIN the default stays */
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u64 = mux_tag(MUX_TAG_STREAM, s->id) };
    s->readable = s->writable = true; /* an edge that was before us is never told */
    return epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, s->fd, &e);
}

static bool stream_over(struct mux *m, struct mux_stream *s) {
    if (!s->eof_sent || !s->finished_writing) return false;
    stream_free(m, s);
    return true;
}

/* --- from the peer to the local socket --- */

static void give_back(struct mux *m, struct mux_stream *s, size_t bytes) {
    s->consumed += (uint32_t)bytes;
    m->last_progress_ms = clock_monotonic_ms();
    if (s->consumed < m->window_ours / 4 || s->eof_received) return;
    uint8_t credit[4];
    wire_put_u32(credit, s->consumed);
    wire_add(&m->control, WIRE_WINDOW, 0, s->id, credit, sizeof credit);
    s->allowed += s->consumed;
    s->consumed = 0;
}

/* Bytes written, 0 when the socket is full, -1 for a fault. */
static ssize_t local_write(struct mux *m, struct mux_stream *s, const void *bytes, size_t n) {
    if (s->fd < 0 || !s->writable) return 0;
    ssize_t done = send(s->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
        s->writable = errno == EINTR;
        return 0;
    }
    if (done > 0) give_back(m, s, (size_t)done);
    return done;
}

/* Write what waits. May free the stream. */
static void stream_flush(struct mux *m, struct mux_stream *s) {
    while (s->queue_at < s->queue.length) {
        ssize_t n = local_write(m, s, s->queue.data + s->queue_at, s->queue.length - s->queue_at);
        if (n == 0) return;
        if (n < 0) {
            stream_reset_errno(m, s, "write to the local socket");
            return;
        }
        s->queue_at += (size_t)n;
    }
    s->queue.length = s->queue_at = 0;
    if (!s->eof_received || s->finished_writing || s->fd < 0) return;
    shutdown(s->fd, SHUT_WR);
    s->finished_writing = true;
    stream_over(m, s);
}

static void queue_add(struct mux_stream *s, const uint8_t *bytes, size_t n) {
    if (s->queue_at > 0 && s->queue_at >= s->queue.length / 2) { /* keep it within its window */
        s->queue.length -= s->queue_at;
        memmove(s->queue.data, s->queue.data + s->queue_at, s->queue.length);
        s->queue_at = 0;
    }
    buf_add(&s->queue, bytes, n);
}

/* Has the peer ever opened (or we) this stream? Then it may still send to it after its end. */
static bool id_known(const struct mux *m, uint32_t id) {
    bool ours = (id & 1) == (m->initiator ? 1u : 0u);
    return id != 0 && (ours ? id < m->next_id : id <= m->peer_id_max);
}

int mux_data(struct mux *m, uint32_t id, const uint8_t *bytes, size_t length, struct err *err) {
    struct mux_stream *s = stream_find(m, id);
    if (!s && id_known(m, id)) return 0;
    if (!s) return err_set(err, ERR_INVALID, "data for stream %u, which was never opened", id);
    if (s->eof_received) return err_set(err, ERR_INVALID, "data after the end of stream %u", id);
    if (length > s->allowed)
        return err_set(err, ERR_INVALID, "stream %u: more data than its window allows", id);
    s->allowed -= (uint32_t)length;
    m->stats[s->kind].received_bytes += length;
    m->last_progress_ms = clock_monotonic_ms();
    while (s->queue.length == 0 && length > 0) {
        ssize_t n = local_write(m, s, bytes, length);
        if (n < 0) {
            stream_reset_errno(m, s, "write to the local socket");
            return 0;
        }
        if (n == 0) break;
        bytes += n;
        length -= (size_t)n;
    }
    if (length > 0) queue_add(s, bytes, length);
    return 0;
}

/* --- frames --- */

static int on_open(struct mux *m, const struct wire_frame *f, struct err *err) {
    bool theirs = f->stream != 0 && (f->stream & 1) == (m->initiator ? 0u : 1u);
    if (!theirs || f->stream <= m->peer_id_max || f->detail >= TUNNEL_HELD)
        return err_set(err, ERR_INVALID, "stream %u of kind %u cannot be opened", f->stream,
                       f->detail);
    m->peer_id_max = f->stream;
    struct mux_stream *s = stream_new(m, f->stream, (enum tunnel_kind)f->detail);
    if (!s) {
        static const char why[] = "too many streams";
        wire_add(&m->control, WIRE_RESET, 0, f->stream, why, sizeof why - 1);
        return 0;
    }
    s->connect_until_ms = clock_monotonic_ms() + m->targets[s->kind].retry_ms;
    mux_tick(m);
    return 0;
}

static int on_window(struct mux_stream *s, const uint8_t *payload, struct err *err) {
    uint32_t more = wire_get_u32(payload);
    if (more == 0 || more > WIRE_WINDOW_MAX || s->credit + more > WIRE_WINDOW_MAX)
        return err_set(err, ERR_INVALID, "stream %u: window of %u more bytes", s->id, more);
    s->credit += more;
    return 0;
}

int mux_frame(struct mux *m, const struct wire_frame *f, const uint8_t *payload,
              struct err *err) {
    if (m->control.length > MUX_CONTROL_MAX)
        return err_set(err, ERR_INVALID, "the peer asks more than it reads");
    if (f->type == WIRE_OPEN) return on_open(m, f, err);
    struct mux_stream *s = stream_find(m, f->stream);
    if (!s && id_known(m, f->stream)) return 0;
    if (!s) return err_set(err, ERR_INVALID, "frame %u for an unknown stream", f->type);
    switch (f->type) {
    case WIRE_WINDOW: return on_window(s, payload, err);
    case WIRE_CLOSE:
        s->eof_received = true;
        stream_flush(m, s);
        return 0;
    case WIRE_RESET:
        log_info("stream reset by the peer", "kind=%s stream=%u reason=\"%.*s\"",
                 tunnel_kind_name(s->kind), s->id, (int)f->length, (const char *)payload);
        stream_free(m, s);
        return 0;
    default: return err_set(err, ERR_INVALID, "frame of type %u out of place", f->type);
    }
}

/* --- from the local sockets to the peer --- */

/* One DATA (or CLOSE) frame of a stream; 0 when it has nothing. May free the stream. */
static size_t pull_stream(struct mux *m, struct mux_stream *s, uint8_t *to, size_t space) {
    if (s->fd < 0 || s->eof_sent || !s->readable || s->credit == 0) return 0;
    size_t want = space - WIRE_HEADER_BYTES;
    if (want > WIRE_DATA_MAX) want = WIRE_DATA_MAX;
    if (want > s->credit) want = s->credit;
    ssize_t n = recv(s->fd, to + WIRE_HEADER_BYTES, want, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) return 0;
    if (n < 0 && errno == EAGAIN) {
        s->readable = false;
        return 0;
    }
    if (n < 0) {
        stream_reset_errno(m, s, "read from the local socket");
        return 0;
    }
    struct wire_frame f = { n ? WIRE_DATA : WIRE_CLOSE, 0, s->id, (uint32_t)n };
    wire_put_header(to, &f);
    s->credit -= (uint32_t)n;
    m->stats[s->kind].sent_bytes += (uint64_t)n;
    m->last_progress_ms = clock_monotonic_ms();
    if (n == 0) {
        s->eof_sent = true;
        stream_over(m, s);
    }
    return WIRE_HEADER_BYTES + (size_t)n;
}

static size_t pull_control(struct mux *m, uint8_t *to, size_t space) {
    size_t n = m->control.length < space ? m->control.length : space;
    if (n == 0) return 0;
    memcpy(to, m->control.data, n);
    m->control.length -= n;
    memmove(m->control.data, m->control.data + n, m->control.length);
    return n;
}

/* One frame of each stream that has something, those of libvirt first. */
static size_t pull_round(struct mux *m, uint8_t *to, size_t space) {
    size_t used = 0;
    for (int urgent = 1; urgent >= 0; urgent--)
        for (unsigned i = 0; i < WIRE_STREAMS_MAX && space - used >= ROOM_MIN; i++) {
            struct mux_stream *s = m->streams[(m->turn + i) % WIRE_STREAMS_MAX];
            if (s && (s->kind == TUNNEL_LIBVIRT) == urgent)
                used += pull_stream(m, s, to + used, space - used);
            if (used > 0 && !urgent) { /* the next one begins the next round */
                m->turn = (m->turn + i + 1) % WIRE_STREAMS_MAX;
                return used;
            }
        }
    return used;
}

size_t mux_pull(struct mux *m, uint8_t *to, size_t space) {
    size_t used = pull_control(m, to, space);
    while (space - used >= ROOM_MIN) {
        size_t n = pull_round(m, to + used, space - used);
        if (n == 0) break;
        used += n;
    }
    if (m->control.length > 0 && used < space) /* what the round itself brought up */
        used += pull_control(m, to + used, space - used);
    return used;
}

bool mux_idle(const struct mux *m) {
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        if (m->streams[i]) return false;
    return m->control.length == 0;
}

void mux_on_stream(struct mux *m, uint32_t id, uint32_t events) {
    struct mux_stream *s = stream_find(m, id);
    if (!s) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->readable = true;
    if (!(events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) return;
    s->writable = true;
    stream_flush(m, s);
}

/* --- local sockets --- */

static int unix_address(const char *path, struct sockaddr_un *ret, struct err *err) {
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (!path || !*path || strlen(path) >= sizeof ret->sun_path)
        return err_set(err, ERR_INVALID, "socket path is empty or too long");
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

static int unix_listen(const char *path, mode_t mode, struct err *err) {
    struct sockaddr_un address;
    if (unix_address(path, &address, err)) return -1;
    int fd AUTO_FD = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "socket");
    unlink(path);
    /* Bound with no rights for others, so that the mode is never wider than asked for. */
    if (fchmod(fd, mode & 0777) || bind(fd, (struct sockaddr *)&address, sizeof address) ||
        chmod(path, mode & 0777) || listen(fd, WIRE_STREAMS_MAX))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "listen on %s", path);
    return STEAL_FD(fd);
}

int mux_serve(struct mux *m, enum tunnel_kind kind, const char *path, mode_t mode,
              struct err *err) {
    if (kind >= TUNNEL_HELD) return err_set(err, ERR_INVALID, "not a kind of stream");
    if (m->served_count == MUX_SERVED_MAX)
        return err_set(err, ERR_TOO_LARGE, "too many sockets for one tunnel");
    int fd = unix_listen(path, mode, err);
    if (fd < 0) return -1;
    struct mux_served *served = &m->served[m->served_count];
    *served = (struct mux_served){ .kind = kind, .fd = fd };
    snprintf(served->path, sizeof served->path, "%s", path);
    struct epoll_event e = { .events = EPOLLIN,
                             .data.u64 = mux_tag(MUX_TAG_SERVED, m->served_count) };
    m->served_count++;
    if (epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, fd, &e))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "epoll");
    return 0;
}

int mux_target(struct mux *m, enum tunnel_kind kind, const char *path, int retry_ms,
               struct err *err) {
    struct sockaddr_un address;
    if (kind >= TUNNEL_HELD) return err_set(err, ERR_INVALID, "not a kind of stream");
    if (unix_address(path, &address, err)) return -1;
    struct mux_target *target = &m->targets[kind];
    snprintf(target->path, sizeof target->path, "%s", path);
    target->retry_ms = retry_ms;
    return 0;
}

void mux_on_served(struct mux *m, uint32_t index) {
    if (index >= m->served_count || m->served[index].fd < 0) return;
    const struct mux_served *served = &m->served[index];
    for (;;) {
        int fd AUTO_FD = accept4(served->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        struct mux_stream *s = m->closing ? NULL : stream_new(m, m->next_id, served->kind);
        if (!s) continue; /* full: the client sees its connection closed */
        m->next_id += 2;
        s->fd = STEAL_FD(fd);
        wire_add(&m->control, WIRE_OPEN, (uint8_t)s->kind, s->id, NULL, 0);
        if (stream_watch(m, s)) stream_reset_errno(m, s, "epoll");
    }
}

/* 1 connected, 0 not yet, -1 never (errno). */
static int stream_connect(struct mux *m, struct mux_stream *s) {
    struct sockaddr_un address;
    if (unix_address(m->targets[s->kind].path, &address, NULL)) {
        errno = EDESTADDRREQ;
        return 0;
    }
    int fd AUTO_FD = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        return errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN ? 0 : -1;
    s->fd = STEAL_FD(fd);
    return stream_watch(m, s) ? -1 : 1;
}

int mux_tick(struct mux *m) {
    int next_ms = -1;
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++) {
        struct mux_stream *s = m->streams[i];
        if (!s || s->fd >= 0) continue;
        int got = stream_connect(m, s);
        if (got > 0) stream_flush(m, s);
        else if (got < 0 || clock_monotonic_ms() >= s->connect_until_ms)
            stream_reset_errno(m, s, "connect to the target's local socket");
        else next_ms = RETRY_MS;
    }
    return next_ms;
}

void mux_stop_serving(struct mux *m) {
    m->closing = true;
    for (unsigned i = 0; i < m->served_count; i++) {
        if (m->served[i].fd < 0) continue;
        close(m->served[i].fd);
        unlink(m->served[i].path);
        m->served[i].fd = -1;
    }
}

void mux_done(struct mux *m) {
    mux_stop_serving(m);
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        if (m->streams[i]) stream_free(m, m->streams[i]);
    buf_done(&m->control);
}
