/*
 * The tunnel's thread: waits, moves bytes between the connection and the streams, watches the
 * peer's pulse, and ends the tunnel. Every socket is edge-triggered: what the kernel said last is
 * remembered in flags, so a turn of the loop makes no system call in vain.
 */
#include "nodemgr/tunnel_internal.h"

#include "common/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

LOG_MODULE("nm.tunnel");

#define EVENTS 64
#define TURNS 16 /* of receiving and sending between two looks at the sockets */
#define PING_MS 1000

/* --- what the peer says --- */

static void on_ack(struct tunnel *t, const struct wire_frame *f, const uint8_t *reason) {
    for (struct tunnel_waiter *w = t->waiters; w; w = w->next) {
        if (w->number != f->stream) continue;
        w->done = true;
        w->refused = f->detail != 0;
        memcpy(w->reason, reason, f->length);
        w->reason[f->length] = '\0';
        pthread_cond_broadcast(&t->changed);
    }
}

/* The callback runs without the lock; nobody but this thread touches the decoder meanwhile. */
static int on_message(struct tunnel *t, const struct wire_frame *f, const uint8_t *payload,
                      struct err *err) {
    size_t label_length = payload[0];
    if (label_length > TUNNEL_LABEL_MAX || 1 + label_length > f->length ||
        f->length - 1 - label_length > TUNNEL_MESSAGE_MAX ||
        (f->detail != TUNNEL_HELD && f->detail != TUNNEL_CONTROL))
        return err_set(err, ERR_INVALID, "malformed message in the tunnel");
    char label[TUNNEL_LABEL_MAX + 1];
    memcpy(label, payload + 1, label_length);
    label[label_length] = '\0';
    size_t length = f->length - 1 - label_length;
    struct err why = ERR_INIT;
    int refused = 0;
    pthread_mutex_unlock(&t->lock);
    if (!t->events.on_message) refused = err_set(&why, ERR_UNSUPPORTED, "no messages are taken");
    else
        refused = t->events.on_message(t->events.ctx, t, (enum tunnel_kind)f->detail, label,
                                       payload + 1 + label_length, length, &why);
    pthread_mutex_lock(&t->lock);
    t->mux.stats[f->detail].received_bytes += length;
    t->mux.last_progress_ms = t->heard_ms = clock_monotonic_ms();
    size_t reason = refused ? strnlen(why.msg, WIRE_REASON_MAX) : 0;
    wire_add(&t->mux.control, WIRE_MESSAGE_ACK, refused ? 1 : 0, f->stream, why.msg, reason);
    return 0;
}

static void on_pong(struct tunnel *t, const uint8_t *payload) {
    int64_t sent_us;
    memcpy(&sent_us, payload, sizeof sent_us);
    int64_t us = clock_monotonic_us() - sent_us;
    if (us >= 0) t->round_trip_us = us;
}

static int on_frame(void *ctx, const struct wire_frame *f, const uint8_t *payload,
                    struct err *err) {
    struct tunnel *t = ctx;
    if (t->goodbye_received && f->type == WIRE_OPEN)
        return err_set(err, ERR_INVALID, "a stream after the goodbye");
    switch (f->type) {
    case WIRE_PING: wire_add(&t->mux.control, WIRE_PONG, 0, 0, payload, f->length); break;
    case WIRE_PONG: on_pong(t, payload); return 0;
    case WIRE_MESSAGE: if (on_message(t, f, payload, err)) return -1; break;
    case WIRE_MESSAGE_ACK: on_ack(t, f, payload); return 0;
    case WIRE_GOODBYE: t->goodbye_received = t->closing = true; return 0;
    default: return mux_frame(&t->mux, f, payload, err);
    }
    if (t->mux.control.length > MUX_CONTROL_MAX)
        return err_set(err, ERR_INVALID, "the peer asks more than it reads");
    return 0;
}

static int on_data(void *ctx, uint32_t stream, const uint8_t *bytes, size_t length,
                   struct err *err) {
    struct tunnel *t = ctx;
    if (t->goodbye_received) return err_set(err, ERR_INVALID, "data after the goodbye");
    return mux_data(&t->mux, stream, bytes, length, err);
}

/* --- moving bytes: 1 when something moved, 0 when not, -1 at the end --- */

static int receive(struct tunnel *t, struct err *err) {
    size_t have = 0;
    ssize_t n = 1;
    struct err late = ERR_INIT;
    while (t->tcp_readable && have < TUNNEL_RX_BYTES && n > 0) {
        n = tls_read(t->tls, t->rx + have, TUNNEL_RX_BYTES - have, &late);
        if (n > 0) have += (size_t)n;
        if (n == 0) t->tcp_readable = false;
    }
    if (have > 0) {
        t->heard_ms = clock_monotonic_ms();
        if (wire_feed(&t->decoder, t->rx, have, err)) return -1;
    }
    if (n < 0) { /* what came before the end counts, a goodbye above all */
        if (t->goodbye_received && t->goodbye_sent) t->tcp_readable = false;
        else {
            if (err) *err = late;
            return -1;
        }
    }
    return have > 0;
}

static void say_goodbye(struct tunnel *t) {
    if (!t->closing || t->goodbye_sent) return;
    mux_stop_serving(&t->mux);
    if (!mux_idle(&t->mux) || t->waiters) return;
    wire_add(&t->mux.control, WIRE_GOODBYE, 0, 0, NULL, 0);
    t->goodbye_sent = true;
}

static int transmit(struct tunnel *t, struct err *err) {
    int moved = 0;
    while (t->tcp_writable) {
        if (t->tx_from == t->tx_to) {
            t->tx_from = 0;
            t->tx_to = mux_pull(&t->mux, t->tx, TUNNEL_TX_BYTES);
            if (t->tx_to == 0) break;
        }
        ssize_t n = tls_write(t->tls, t->tx + t->tx_from, t->tx_to - t->tx_from, err);
        if (n < 0) return -1;
        if (n == 0) t->tcp_writable = false;
        t->tx_from += (size_t)n;
        moved = 1;
        if (t->tx_from == t->tx_to) break; /* one round, then look at what came in */
    }
    return moved;
}

static bool all_said(const struct tunnel *t) {
    return t->goodbye_sent && t->goodbye_received && t->mux.control.length == 0 &&
           t->tx_from == t->tx_to;
}

/* 1: more can be done at once; 0: wait for the sockets; -1: the end. */
static int move_bytes(struct tunnel *t, struct err *err) {
    for (int turn = 0; turn < TURNS; turn++) {
        int in = receive(t, err);
        if (in < 0) return -1;
        say_goodbye(t);
        int out = transmit(t, err);
        if (out < 0) return -1;
        if (all_said(t)) return -1; /* *err stays ERR_NONE */
        if (!in && !out) return 0;
    }
    return 1;
}

/* --- the pulse --- */

static int pulse(struct tunnel *t, struct err *err) {
    int64_t now_ms = clock_monotonic_ms(), silent_ms = now_ms - t->heard_ms;
    if (silent_ms >= TUNNEL_SILENCE_MS)
        return err_set(err, ERR_TIMEOUT, "the peer %s is silent since %lld ms", t->peer_urn,
                       (long long)silent_ms);
    if (now_ms - t->pinged_ms >= PING_MS) {
        int64_t now_us = clock_monotonic_us();
        wire_add(&t->mux.control, WIRE_PING, 0, 0, &now_us, sizeof now_us);
        t->pinged_ms = now_ms;
    }
    return 0;
}

static int wait_ms(struct tunnel *t) {
    int tick = mux_tick(&t->mux);
    int64_t ping = t->pinged_ms + PING_MS - clock_monotonic_ms();
    if (ping < 0) ping = 0;
    return tick >= 0 && tick < ping ? tick : (int)ping;
}

static void on_event(struct tunnel *t, const struct epoll_event *e) {
    uint32_t id = (uint32_t)e->data.u64;
    uint64_t count;
    switch ((enum mux_tag)(e->data.u64 >> 32)) {
    case MUX_TAG_TUNNEL:
        if (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) t->tcp_readable = true;
        if (e->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) t->tcp_writable = true;
        break;
    case MUX_TAG_WAKE: (void)!read(t->wake_fd, &count, sizeof count); break;
    case MUX_TAG_SERVED: mux_on_served(&t->mux, id); break;
    case MUX_TAG_STREAM: mux_on_stream(&t->mux, id, e->events); break;
    }
}

static void loop(struct tunnel *t, struct err *err) {
    struct epoll_event events[EVENTS];
    for (;;) {
        int more = move_bytes(t, err);
        if (more < 0 || pulse(t, err)) return; /* in this order: what waits to be read was heard */
        int timeout_ms = more ? 0 : wait_ms(t);
        /* wait_ms() may have connected a stream, whose data waits already. */
        if (t->mux.control.length > 0 && t->tcp_writable) timeout_ms = 0;
        pthread_mutex_unlock(&t->lock);
        int n = epoll_wait(t->epoll_fd, events, EVENTS, timeout_ms);
        pthread_mutex_lock(&t->lock);
        if (atomic_load(&t->stop)) {
            err_set(err, ERR_CANCELLED, "the tunnel was aborted");
            return;
        }
        for (int i = 0; i < n; i++) on_event(t, &events[i]);
    }
}

static void end(struct tunnel *t, const struct err *why) {
    if (why->code == ERR_NONE) tls_shutdown(t->tls);
    mux_done(&t->mux);
    close(t->fd);
    t->fd = -1;
    t->why = *why;
    pthread_cond_broadcast(&t->changed); /* nobody waits for an acknowledgement any more */
    if (why->code == ERR_NONE) log_info("tunnel closed", "migration=%s", t->migration);
    else
        log_info("tunnel ended", "migration=%s error=%s reason=\"%s\"", t->migration,
                 err_name(why->code), why->msg);
}

static int watch(struct tunnel *t, struct err *err) {
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u64 = mux_tag(MUX_TAG_TUNNEL, 0) };
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->fd, &e))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "epoll");
    t->tcp_readable = t->tcp_writable = true;
    t->heard_ms = t->pinged_ms = clock_monotonic_ms();
    t->pinged_ms -= PING_MS; /* the first one measures the round trip at once */
    t->decoder = (struct wire_decoder){ .ctx = t, .on_frame = on_frame, .on_data = on_data };
    return 0;
}

void tunnel_run(struct tunnel *t) {
    struct err why = ERR_INIT;
    pthread_mutex_lock(&t->lock);
    if (watch(t, &why) == 0) loop(t, &why);
    end(t, &why);
    pthread_mutex_unlock(&t->lock);
    if (t->events.on_closed)
        t->events.on_closed(t->events.ctx, t, why.code == ERR_NONE ? NULL : &why);
    pthread_mutex_lock(&t->lock);
    t->ended = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}
