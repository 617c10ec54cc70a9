/*
 * The accepting side. One thread accepts; each connection then gets its tunnel's thread at once,
 * which does the handshake and hello there, so a slow or hostile caller delays nobody. Those that
 * are still being set up are counted and limited.
 */
#include "nodemgr/tunnel_internal.h"

#include "common/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

LOG_MODULE("nm.tunnel");

#define SETUPS_MAX 16
#define POLL_MS 100

struct tunnel_listener {
    int fd;
    uint16_t port;
    struct tls_context *context;
    tunnel_accept_fn *accept;
    void *ctx;
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    unsigned setups;
};

struct setup {
    struct tunnel_listener *l;
    struct tunnel *t;
};

static int read_hello(struct tunnel *t, const struct tls_wait *wait, struct wire_hello *ret,
                      struct err *err) {
    uint8_t preface[WIRE_PREFACE_BYTES];
    char text[WIRE_HELLO_MAX];
    uint32_t length;
    if (tls_handshake(t->tls, wait, t->peer_urn, err) ||
        tls_read_all(t->tls, preface, sizeof preface, wait, err) ||
        wire_read_preface(preface, &length, err) || tls_read_all(t->tls, text, length, wait, err))
        return -1;
    return wire_read_hello(text, length, ret, err);
}

static void answer(struct tunnel *t, const struct tls_wait *wait, const struct err *refusal) {
    struct buf b AUTO_BUF = BUF_INIT;
    wire_add_answer(&b, TUNNEL_WINDOW_BYTES, refusal);
    tls_write_all(t->tls, b.data, b.length, wait, NULL); /* if it fails, the loop notices */
    if (refusal) tls_shutdown(t->tls);
}

/* 0: accepted, the agent owns the tunnel now. */
static int set_up(struct tunnel_listener *l, struct tunnel *t) {
    struct tls_wait wait = { clock_monotonic_ms() + TUNNEL_SETUP_MS, &l->stop };
    struct wire_hello h;
    struct err err = ERR_INIT;
    if (read_hello(t, &wait, &h, &err)) {
        log_warn("tunnel not set up", "peer=%s reason=\"%s\"", t->peer_urn, err.msg);
        return -1;
    }
    memcpy(t->migration, h.hello.migration, sizeof t->migration);
    t->mux.window_theirs = h.window_bytes;
    if (l->accept(l->ctx, t, &h.hello, t->peer_urn, &t->events, &err)) {
        log_warn("tunnel refused", "migration=%s epoch=%lld peer=%s reason=\"%s\"",
                 h.hello.migration, (long long)h.hello.epoch, t->peer_urn, err.msg);
        answer(t, &wait, &err);
        return -1;
    }
    log_info("tunnel accepted", "migration=%s epoch=%lld peer=%s", h.hello.migration,
             (long long)h.hello.epoch, t->peer_urn);
    answer(t, &wait, NULL);
    return 0;
}

static void setup_over(struct tunnel_listener *l) {
    WITH_LOCK(&l->lock);
    l->setups--;
    pthread_cond_signal(&l->fewer);
}

static void *setup_run(void *arg) {
    struct setup s = *(struct setup *)arg;
    free(arg);
    int refused = set_up(s.l, s.t);
    if (refused) { /* nobody will join this thread */
        pthread_detach(pthread_self());
        tunnel_destroy(s.t);
    }
    setup_over(s.l);
    if (!refused) tunnel_run(s.t);
    return NULL;
}

static void begin_setup(struct tunnel_listener *l, int fd) {
    struct err err = ERR_INIT;
    struct tunnel *t = tunnel_socket_options(fd, &err) ? NULL : tunnel_new(fd, l->context, false,
                                                                           &err);
    if (!t) {
        log_warn("tunnel not set up", "reason=\"%s\"", err.msg);
        return;
    }
    struct setup *s = xmalloc(sizeof *s);
    *s = (struct setup){ l, t };
    t->running = t->joinable = true;
    pthread_mutex_lock(&l->lock);
    l->setups++;
    pthread_mutex_unlock(&l->lock);
    if (pthread_create(&t->thread, NULL, setup_run, s) == 0) return;
    log_error("tunnel not set up", "reason=\"no thread\"");
    free(s);
    tunnel_destroy(t);
    setup_over(l);
}

static bool room(struct tunnel_listener *l) {
    WITH_LOCK(&l->lock);
    return l->setups < SETUPS_MAX;
}

static void *listen_run(void *arg) {
    struct tunnel_listener *l = arg;
    while (!atomic_load(&l->stop)) {
        struct pollfd p = { .fd = l->fd, .events = POLLIN };
        if (!room(l)) {
            clock_sleep_ms(10); /* the others wait in the kernel's queue */
            continue;
        }
        if (poll(&p, 1, POLL_MS) != 1) continue;
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) begin_setup(l, fd);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            clock_sleep_ms(10); /* out of descriptors: no use in hurrying */
    }
    return NULL;
}

static int listen_tcp(const char *address, uint16_t port, uint16_t *ret_port, struct err *err) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hints, &found))
        return err_set(err, ERR_INVALID, "\"%s\" is no IP address", address);
    int fd AUTO_FD = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, fault = fd < 0 ? errno : 0;
    if (!fault && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
                   bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 64)))
        fault = errno;
    freeaddrinfo(found);
    if (fault)
        return err_set_errno(err, fault == EADDRINUSE ? ERR_CONFLICT : ERR_UNAVAILABLE, fault,
                             "listen on %s port %u", address, port);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &size);
    /* The port is at the same place in both families. */
    *ret_port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
    return STEAL_FD(fd);
}

struct tunnel_listener *tunnel_listener_new(const char *address, uint16_t port,
                                            const struct tunnel_identity *identity,
                                            tunnel_accept_fn *accept, void *ctx,
                                            struct err *err) {
    uint16_t bound = 0;
    struct tls_context *context = tls_context_new(identity, err);
    int fd = context ? listen_tcp(address, port, &bound, err) : -1;
    if (fd < 0) {
        tls_context_free(context);
        return NULL;
    }
    struct tunnel_listener *l = xcalloc(1, sizeof *l);
    l->fd = fd;
    l->port = bound;
    l->context = context;
    l->accept = accept;
    l->ctx = ctx;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->fewer, NULL);
    if (pthread_create(&l->thread, NULL, listen_run, l) == 0) return l;
    err_set(err, ERR_UNAVAILABLE, "no thread for the tunnel listener");
    close(fd);
    tls_context_free(context);
    free(l);
    return NULL;
}

uint16_t tunnel_listener_port(const struct tunnel_listener *l) { return l->port; }

void tunnel_listener_free(struct tunnel_listener *l) {
    if (!l) return;
    atomic_store(&l->stop, true);
    pthread_join(l->thread, NULL);
    pthread_mutex_lock(&l->lock);
    while (l->setups > 0) pthread_cond_wait(&l->fewer, &l->lock);
    pthread_mutex_unlock(&l->lock);
    close(l->fd);
    tls_context_free(l->context);
    pthread_cond_destroy(&l->fewer);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
