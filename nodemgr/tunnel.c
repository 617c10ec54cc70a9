#include "nodemgr/tunnel_internal.h"

#include "common/log.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

LOG_MODULE("nm.tunnel");

#define UNSENT_BYTES (256 << 10) /* what the kernel may keep unsent: it would delay small frames */

/* --- birth and death --- */

struct tunnel *tunnel_new(int fd, struct tls_context *c, bool initiator, struct err *err) {
    struct tunnel *t = xcalloc(1, sizeof *t);
    t->fd = fd;
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->tx = xmalloc(TUNNEL_TX_BYTES);
    t->rx = xmalloc(TUNNEL_RX_BYTES);
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attr);
    pthread_condattr_destroy(&attr);
    mux_init(&t->mux, t->epoll_fd, initiator, TUNNEL_WINDOW_BYTES);
    t->mux.last_progress_ms = clock_monotonic_ms();
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = mux_tag(MUX_TAG_WAKE, 0) };
    t->tls = tls_new(c, fd, !initiator, err);
    if (t->tls && epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, &e) == 0) return t;
    if (t->tls) err_set_errno(err, ERR_UNAVAILABLE, errno, "epoll");
    tunnel_destroy(t);
    return NULL;
}

void tunnel_destroy(struct tunnel *t) {
    mux_done(&t->mux);
    wire_decoder_done(&t->decoder);
    tls_free(t->tls);
    if (t->fd >= 0) close(t->fd);
    if (t->epoll_fd >= 0) close(t->epoll_fd);
    if (t->wake_fd >= 0) close(t->wake_fd);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t->tx);
    free(t->rx);
    free(t);
}

/* A vanished peer is noticed by our PINGs; the kernel's own means are for a peer whose agent
 * lives but whose network does not. */
int tunnel_socket_options(int fd, struct err *err) {
    const struct {
        int level, name, value;
    } rows[] = {
        { IPPROTO_TCP, TCP_NODELAY, 1 },
        { IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, TUNNEL_SILENCE_MS },
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, 1 },
        { IPPROTO_TCP, TCP_KEEPINTVL, 1 },
        { IPPROTO_TCP, TCP_KEEPCNT, 4 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (setsockopt(fd, rows[i].level, rows[i].name, &rows[i].value, sizeof rows[i].value))
            return err_set_errno(err, ERR_UNAVAILABLE, errno, "tunnel socket option");
    return 0;
}

void tunnel_wake(struct tunnel *t) {
    uint64_t one = 1;
    (void)!write(t->wake_fd, &one, sizeof one);
}

void tunnel_abort(struct tunnel *t) {
    atomic_store(&t->stop, true);
    tunnel_wake(t);
    WITH_LOCK(&t->lock);
    while (t->running && !t->ended) pthread_cond_wait(&t->changed, &t->lock);
}

void tunnel_free(struct tunnel *t) {
    if (!t) return;
    tunnel_abort(t);
    if (t->joinable) pthread_join(t->thread, NULL);
    tunnel_destroy(t);
}

static void deadline(struct timespec *ret, int timeout_ms) {
    clock_gettime(CLOCK_MONOTONIC, ret);
    ret->tv_sec += timeout_ms / 1000;
    ret->tv_nsec += (timeout_ms % 1000) * 1000000L;
    if (ret->tv_nsec < 1000000000L) return;
    ret->tv_sec++;
    ret->tv_nsec -= 1000000000L;
}

static int end_reason(const struct tunnel *t, struct err *err) {
    if (t->why.code == ERR_NONE) return 0;
    if (err) *err = t->why;
    return -1;
}

int tunnel_close(struct tunnel *t, int timeout_ms, struct err *err) {
    struct timespec until;
    deadline(&until, timeout_ms);
    {
        WITH_LOCK(&t->lock);
        t->closing = true;
        tunnel_wake(t);
        int got = 0;
        while (!t->ended && got != ETIMEDOUT)
            got = pthread_cond_timedwait(&t->changed, &t->lock, &until);
        if (t->ended) return end_reason(t, err);
    }
    tunnel_abort(t);
    return err_set(err, ERR_TIMEOUT, "the tunnel's streams did not end within %d ms", timeout_ms);
}

/* --- connecting --- */

static int connect_one(const struct addrinfo *a, const struct tls_wait *wait, struct err *err) {
    int fd AUTO_FD = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "socket");
    if (tunnel_socket_options(fd, err)) return -1;
    int fault = connect(fd, a->ai_addr, a->ai_addrlen) ? errno : 0;
    if (fault == EINPROGRESS) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int64_t left_ms = wait->deadline_ms - clock_monotonic_ms();
        socklen_t size = sizeof fault;
        if (poll(&p, 1, left_ms > 0 ? (int)left_ms : 0) != 1)
            return err_set(err, ERR_TIMEOUT, "no answer");
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size);
    }
    if (fault) return err_set_errno(err, ERR_UNAVAILABLE, fault, "connect");
    return STEAL_FD(fd);
}

static int connect_tcp(const char *address, uint16_t port, const struct tls_wait *wait,
                       struct err *err) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hints, &found))
        return err_set(err, ERR_INVALID, "\"%s\" is no IP address", address);
    int fd = connect_one(found, wait, err);
    freeaddrinfo(found);
    return fd;
}

static int read_answer(struct tunnel *t, const struct tls_wait *wait, struct err *err) {
    uint8_t preface[WIRE_PREFACE_BYTES];
    char text[WIRE_HELLO_MAX];
    uint32_t length;
    if (tls_read_all(t->tls, preface, sizeof preface, wait, err) ||
        wire_read_preface(preface, &length, err) ||
        tls_read_all(t->tls, text, length, wait, err))
        return -1;
    return wire_read_answer(text, length, &t->mux.window_theirs, err);
}

static int introduce(struct tunnel *t, const char *peer_urn, const struct tunnel_hello *hello,
                     const struct tls_wait *wait, struct err *err) {
    if (tls_handshake(t->tls, wait, t->peer_urn, err)) return -1;
    if (strcmp(t->peer_urn, peer_urn) != 0)
        return err_set(err, ERR_FORBIDDEN, "the peer is %s, not %s", t->peer_urn, peer_urn);
    struct buf b AUTO_BUF = BUF_INIT;
    wire_add_hello(&b, &(struct wire_hello){ *hello, TUNNEL_WINDOW_BYTES });
    if (tls_write_all(t->tls, b.data, b.length, wait, err)) return -1;
    return read_answer(t, wait, err);
}

static void *run(void *arg) {
    tunnel_run(arg);
    return NULL;
}

static int start(struct tunnel *t, struct err *err) {
    t->running = true;
    int fault = pthread_create(&t->thread, NULL, run, t);
    t->joinable = t->running = fault == 0;
    return fault ? err_set_errno(err, ERR_UNAVAILABLE, fault, "tunnel thread") : 0;
}

struct tunnel *tunnel_connect(const char *address, uint16_t port,
                              const struct tunnel_identity *identity, const char *peer_urn,
                              const struct tunnel_hello *hello, const struct tunnel_events *events,
                              int timeout_ms, struct err *err) {
    struct tls_wait wait = { clock_monotonic_ms() + timeout_ms, NULL };
    struct tls_context *context = tls_context_new(identity, err);
    struct tunnel *t = NULL;
    int fd = context ? connect_tcp(address, port, &wait, err) : -1;
    if (fd >= 0) t = tunnel_new(fd, context, true, err);
    tls_context_free(context);
    if (t) {
        if (events) t->events = *events;
        memcpy(t->migration, hello->migration, sizeof t->migration);
        if (introduce(t, peer_urn, hello, &wait, err) == 0 && start(t, err) == 0) {
            log_info("tunnel up", "migration=%s epoch=%lld peer=%s", t->migration,
                     (long long)hello->epoch, t->peer_urn);
            return t;
        }
        tunnel_destroy(t);
    }
    err_wrap(err, "tunnel to %s port %u", address, port);
    return NULL;
}

/* --- use --- */

static int alive(const struct tunnel *t, struct err *err) {
    if (!t->ended && t->fd >= 0) return 0;
    return err_set(err, ERR_UNAVAILABLE, "the tunnel has ended: %s",
                   t->why.msg[0] ? t->why.msg : "closed");
}

int tunnel_serve_socket(struct tunnel *t, enum tunnel_kind kind, const char *path, mode_t mode,
                        struct err *err) {
    WITH_LOCK(&t->lock);
    if (alive(t, err)) return -1;
    return mux_serve(&t->mux, kind, path, mode, err);
}

int tunnel_target_socket(struct tunnel *t, enum tunnel_kind kind, const char *path, int retry_ms,
                         struct err *err) {
    WITH_LOCK(&t->lock);
    if (alive(t, err)) return -1;
    return mux_target(&t->mux, kind, path, retry_ms, err);
}

static void forget(struct tunnel *t, struct tunnel_waiter *w) {
    for (struct tunnel_waiter **at = &t->waiters; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            return;
        }
}

static int wait_for_ack(struct tunnel *t, struct tunnel_waiter *w, const struct timespec *until,
                        struct err *err) {
    int got = 0;
    while (!w->done && t->fd >= 0 && got != ETIMEDOUT)
        got = pthread_cond_timedwait(&t->changed, &t->lock, until);
    forget(t, w);
    if (w->done && !w->refused) return 0;
    if (w->done) return err_set(err, ERR_UNPROCESSABLE, "refused by the peer: %s", w->reason);
    if (t->fd < 0) return alive(t, err);
    return err_set(err, ERR_TIMEOUT, "the message was not acknowledged");
}

int tunnel_send_message(struct tunnel *t, enum tunnel_kind kind, const char *label,
                        const void *data, size_t length, int timeout_ms, struct err *err) {
    size_t label_length = strlen(label);
    if (kind != TUNNEL_HELD && kind != TUNNEL_CONTROL)
        return err_set(err, ERR_INVALID, "not a kind of message");
    if (length > TUNNEL_MESSAGE_MAX || label_length > TUNNEL_LABEL_MAX)
        return err_set(err, ERR_TOO_LARGE, "message of %zu bytes", length);
    struct timespec until;
    deadline(&until, timeout_ms);
    uint8_t prefix[1 + TUNNEL_LABEL_MAX] = { (uint8_t)label_length };
    memcpy(prefix + 1, label, label_length);
    WITH_LOCK(&t->lock);
    if (alive(t, err)) return -1;
    if (t->closing) return err_set(err, ERR_UNAVAILABLE, "the tunnel is being closed");
    if (t->mux.control.length > MUX_CONTROL_MAX / 2)
        return err_set(err, ERR_BUSY, "too many messages at once");
    struct tunnel_waiter w = { .number = ++t->message_number, .next = t->waiters };
    t->waiters = &w;
    uint8_t header[WIRE_HEADER_BYTES];
    wire_put_header(header, &(struct wire_frame){ WIRE_MESSAGE, (uint8_t)kind, w.number,
                                                  (uint32_t)(1 + label_length + length) });
    buf_add(&t->mux.control, header, sizeof header);
    buf_add(&t->mux.control, prefix, 1 + label_length);
    buf_add(&t->mux.control, data, length);
    t->mux.stats[kind].sent_bytes += length;
    tunnel_wake(t);
    return wait_for_ack(t, &w, &until, err);
}

int tunnel_send_held(struct tunnel *t, const char *tap, const void *batch, size_t length,
                     int timeout_ms, struct err *err) {
    return tunnel_send_message(t, TUNNEL_HELD, tap, batch, length, timeout_ms, err);
}

void tunnel_stats(struct tunnel *t, struct tunnel_stats *ret_stats) {
    WITH_LOCK(&t->lock);
    memcpy(ret_stats->kind, t->mux.stats, sizeof ret_stats->kind);
    ret_stats->last_progress_ms = t->mux.last_progress_ms;
    ret_stats->round_trip_us = t->round_trip_us;
    ret_stats->ended = t->ended;
}
