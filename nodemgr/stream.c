#include "nodemgr/stream.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define READ_CHUNK_BYTES (64u << 10)

static int peer_gone(struct stream *s, struct err *err) {
    stream_close(s);
    return err_set(err, ERR_UNAVAILABLE, "the connection was closed by the other side");
}

int stream_open(struct stream *s, const char *path, struct err *err) {
    stream_close(s);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(err, ERR_INVALID, "socket path %s is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set_errno(err, ERR_INTERNAL, errno, "socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set(err, ERR_UNAVAILABLE, "connect to %s: %s", path, strerror(errno));
    s->fd = STEAL_FD(fd);
    return 0;
}

void stream_close(struct stream *s) {
    if (s->fd >= 0) close(s->fd);
    free(s->input);
    *s = (struct stream)STREAM_INIT;
}

bool stream_is_open(const struct stream *s) { return s->fd >= 0; }

/* Make room for one more chunk behind the buffered bytes. */
static int reserve(struct stream *s, struct err *err) {
    if (s->length + READ_CHUNK_BYTES > STREAM_INPUT_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %u bytes are waiting", STREAM_INPUT_MAX);
    if (s->capacity - s->start - s->length >= READ_CHUNK_BYTES) return 0;
    if (s->start > 0) memmove(s->input, s->input + s->start, s->length);
    s->start = 0;
    if (s->capacity - s->length >= READ_CHUNK_BYTES) return 0;
    s->capacity = 2 * s->length + READ_CHUNK_BYTES;
    s->input = xrealloc_array(s->input, s->capacity, 1);
    return 0;
}

/* Read one chunk. 1: got some, 0: nothing there now, -1: failed and closed. */
static int read_chunk(struct stream *s, struct err *err) {
    if (reserve(s, err)) {
        stream_close(s);
        return -1;
    }
    ssize_t n = recv(s->fd, s->input + s->start + s->length, READ_CHUNK_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) return peer_gone(s, err);
    s->length += (size_t)n;
    return 1;
}

/* Wait for events. 0, or -1 with ERR_TIMEOUT. */
static int wait_for(const struct stream *s, short events, short *ret_events, int64_t deadline_ms,
                    struct err *err) {
    for (;;) {
        int64_t left = deadline_ms - clock_monotonic_ms();
        struct pollfd p = { .fd = s->fd, .events = events };
        int n = poll(&p, 1, left <= 0 ? 0 : left > 60000 ? 60000 : (int)left);
        if (n > 0) {
            *ret_events = p.revents;
            return 0;
        }
        if (left <= 0) return err_set(err, ERR_TIMEOUT, "no answer before the deadline");
    }
}

int stream_send(struct stream *s, const void *data, size_t length, int64_t deadline_ms,
                struct err *err) {
    const char *at = data;
    while (length > 0) {
        if (!stream_is_open(s)) return peer_gone(s, err);
        ssize_t n = send(s->fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            length -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) return peer_gone(s, err);
        short events = 0;
        if (wait_for(s, POLLIN | POLLOUT, &events, deadline_ms, err)) {
            stream_close(s);
            return -1;
        }
        if ((events & (POLLIN | POLLHUP | POLLERR)) && read_chunk(s, err) < 0) return -1;
    }
    return 0;
}

int stream_receive(struct stream *s, int64_t deadline_ms, struct err *err) {
    for (;;) {
        if (!stream_is_open(s)) return peer_gone(s, err);
        short events = 0;
        if (wait_for(s, POLLIN, &events, deadline_ms, err)) return -1;
        int got = read_chunk(s, err);
        if (got != 0) return got < 0 ? -1 : 0;
    }
}

void stream_drain(struct stream *s) {
    while (stream_is_open(s) && read_chunk(s, NULL) > 0) continue;
}

void stream_consume(struct stream *s, size_t length) {
    s->start += length;
    s->length -= length;
    if (s->length == 0) s->start = 0;
}
