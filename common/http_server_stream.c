/*
 * Streams: bodies made while they are sent (server-sent events, console output).
 *
 * In the pool a pump thread runs the stream's function, which may block for a second, and leaves
 * what it gets in a small buffer; the loop thread only ever takes from that buffer. With a thread
 * per connection there is no pump: the function runs on the connection's own thread.
 */
#include "http_server_internal.h"

#include "log.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

LOG_MODULE("http.stream");

#define BLOCK_BYTES 16384
#define BUFFER_BYTES 65536
#define EMPTY_MS 20 /* pause after a function that came back empty at once */

static const char keep_alive[] = ": keep-alive\n\n";

struct stream {
    http_stream_fn fn;
    void *ctx;
    void (*ctx_free)(void *ctx);
    bool events; /* text/event-stream */
    struct http_server *server;
    struct http_loop *loop; /* NULL: no pump */
    struct MHD_Connection *impl;
    int fd;
    int64_t quiet_since_ms;
    char request_id[64];
    /* the pump's */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buf buffer;
    size_t taken; /* bytes of buffer already sent */
    bool ended;   /* the function has said so */
    bool gone;    /* the connection has */
    bool starving;/* the loop found the buffer empty and wants to be woken */
    unsigned owners;
};

static void stream_unref(struct stream *st) {
    pthread_mutex_lock(&st->lock);
    bool last = --st->owners == 0;
    pthread_mutex_unlock(&st->lock);
    if (!last) return;
    pthread_cond_destroy(&st->changed);
    pthread_mutex_destroy(&st->lock);
    buf_done(&st->buffer);
    free(st);
}

static int count_in(struct http_server *s, struct err *err) {
    WITH_LOCK(&s->lock);
    if (s->streams >= HTTP_STREAMS_MAX || atomic_load(&s->stopping)) {
        err_set(err, ERR_BUSY, "already %u streams are open", s->streams);
        return err_remedy(err, "close another one, or ask without streaming");
    }
    s->streams++;
    return 0;
}

static void count_out(struct http_server *s) {
    WITH_LOCK(&s->lock);
    s->streams--;
    pthread_cond_broadcast(&s->changed);
}

static void finish(struct stream *st) {
    if (st->ctx_free) st->ctx_free(st->ctx);
}

static void pause_ms(struct stream *st, int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    WITH_LOCK(&st->lock);
    if (!st->gone) pthread_cond_timedwait(&st->changed, &st->lock, &until);
}

/* Calls the function once; what it gave, or a keep-alive line after a long silence. */
static int64_t pull(struct stream *st, char *buf, size_t size) {
    int64_t before_ms = http_server_now_ms();
    int64_t n = st->fn(st->ctx, buf, size);
    int64_t now_ms = http_server_now_ms();
    if (n != HTTP_STREAM_AGAIN) {
        st->quiet_since_ms = now_ms;
        return n;
    }
    if (st->events && now_ms - st->quiet_since_ms >= HTTP_STREAM_QUIET_MS &&
        size >= sizeof keep_alive) {
        st->quiet_since_ms = now_ms;
        memcpy(buf, keep_alive, sizeof keep_alive - 1);
        return sizeof keep_alive - 1;
    }
    if (now_ms - before_ms < EMPTY_MS) pause_ms(st, EMPTY_MS);
    return HTTP_STREAM_AGAIN;
}

/* --- the pump --- */

static bool is_over(struct stream *st) {
    WITH_LOCK(&st->lock);
    return st->gone || atomic_load(&st->server->stopping);
}

/* Waits for room, then appends. */
static void push(struct stream *st, const char *data, size_t n) {
    WITH_LOCK(&st->lock);
    while (st->buffer.length - st->taken + n > BUFFER_BYTES && !st->gone)
        pthread_cond_wait(&st->changed, &st->lock);
    if (st->taken == st->buffer.length) st->taken = st->buffer.length = 0;
    if (!st->gone) buf_add(&st->buffer, data, n);
    if (st->starving) http_server_wake(st->loop);
    st->starving = false;
}

static void end(struct stream *st) {
    WITH_LOCK(&st->lock);
    st->ended = true;
    http_server_wake(st->loop);
}

static void *pump(void *arg) {
    struct stream *st = arg;
    struct http_server *s = st->server;
    char *block AUTO_FREE = xmalloc(BLOCK_BYTES);
    log_set_request_id(st->request_id);
    while (!is_over(st)) {
        int64_t n = pull(st, block, BLOCK_BYTES);
        if (n > 0) push(st, block, (size_t)n);
        else if (n != HTTP_STREAM_AGAIN) break;
    }
    end(st);
    finish(st);
    stream_unref(st);
    count_out(s); /* last: the server may be freed from here on */
    return NULL;
}

static bool client_has_gone(const struct stream *st) {
    struct pollfd p = { st->fd, POLLRDHUP, 0 };
    return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static ssize_t take(void *cls, uint64_t position, char *buf, size_t max) {
    (void)position;
    struct stream *st = cls;
    WITH_LOCK(&st->lock);
    size_t n = st->buffer.length - st->taken;
    if (n > max) n = max;
    if (n == 0 && (st->ended || client_has_gone(st))) return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        st->starving = true;
        return 0;
    }
    memcpy(buf, st->buffer.data + st->taken, n);
    st->taken += n;
    if (st->taken == st->buffer.length) st->taken = st->buffer.length = 0;
    pthread_cond_signal(&st->changed);
    st->loop->progress = true;
    return (ssize_t)n;
}

static void leave(void *cls) {
    struct stream *st = cls;
    {
        WITH_LOCK(&st->lock);
        st->gone = true;
        pthread_cond_broadcast(&st->changed);
    }
    st->loop->streams--;
    stream_unref(st);
}

static int start_pump(struct stream *st, struct err *err) {
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, (size_t)512 * 1024);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attr, pump, st);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc ? err_set_errno(err, ERR_UNAVAILABLE, rc, "start a stream's thread") : 0;
}

/* --- a thread per connection --- */

static ssize_t pull_here(void *cls, uint64_t position, char *buf, size_t max) {
    (void)position;
    struct stream *st = cls;
    while (!atomic_load(&st->server->stopping) && !client_has_gone(st)) {
        int64_t n = pull(st, buf, max);
        if (n > 0) return (ssize_t)n;
        if (n != HTTP_STREAM_AGAIN) break;
    }
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static void leave_here(void *cls) {
    struct stream *st = cls;
    struct http_server *s = st->server;
    finish(st);
    stream_unref(st);
    count_out(s);
}

static struct stream *stream_new(struct http_request_state *r, struct http_reply *reply) {
    struct stream *st = xcalloc(1, sizeof *st);
    st->fn = reply->stream;
    st->ctx = reply->stream_ctx;
    st->ctx_free = reply->stream_free;
    st->events = reply->content_type && strcmp(reply->content_type, "text/event-stream") == 0;
    st->server = r->conn->server;
    st->loop = r->conn->loop;
    st->impl = r->conn->impl;
    st->fd = r->conn->fd;
    st->quiet_since_ms = http_server_now_ms();
    st->owners = st->loop ? 2 : 1;
    memcpy(st->request_id, r->id, sizeof st->request_id);
    pthread_mutex_init(&st->lock, NULL);
    pthread_cond_init(&st->changed, NULL);
    return st;
}

struct MHD_Response *http_stream_response(struct http_request_state *r, struct http_reply *reply,
                                          struct err *err) {
    struct http_server *s = r->conn->server;
    if (count_in(s, err)) return NULL;
    struct stream *st = stream_new(r, reply);
    if (st->loop && start_pump(st, err)) {
        st->owners = 1;
        stream_unref(st);
        count_out(s);
        return NULL;
    }
    reply->stream = NULL; /* taken */
    if (st->loop) st->loop->streams++;
    http_conn_enter(r->conn, HTTP_PHASE_STREAM);
    struct MHD_Response *m = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, st->loop ? take : pull_here, st,
        st->loop ? leave : leave_here);
    if (!m) (st->loop ? leave : leave_here)(st);
    return m;
}
