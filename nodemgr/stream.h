/*
 * A UNIX stream socket with deadlines: what the OVSDB and the OpenFlow connection both stand on.
 *
 * Input is buffered here, also while sending, so that a peer which answers before it has read
 * everything cannot block us. Deadlines are points of clock_monotonic_ms().
 */
#ifndef JOGAK_NODEMGR_STREAM_H
#define JOGAK_NODEMGR_STREAM_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_INPUT_MAX (64u << 20) /* bytes that may wait unread before the peer is given up */

struct stream {
    int fd; /* -1: closed */
    char *input;
    size_t start;    /* the first byte that was not consumed */
    size_t length;   /* bytes after start */
    size_t capacity; /* bytes allocated */
};
#define STREAM_INIT \
    { -1, NULL, 0, 0, 0 }

/* Connect (does not wait: a UNIX socket answers at once). An open stream is closed first.
 * Errors: ERR_UNAVAILABLE when nobody listens. */
int stream_open(struct stream *s, const char *path, struct err *err);
/* Close and free; the stream can be opened again. */
void stream_close(struct stream *s);
bool stream_is_open(const struct stream *s);

/* Send all bytes (borrows). Errors: ERR_UNAVAILABLE (peer gone; the stream is then closed),
 * ERR_TIMEOUT (the stream is closed as well, since half a message may have left). */
int stream_send(struct stream *s, const void *data, size_t length, int64_t deadline_ms,
                struct err *err);
/* Wait until at least one more byte has been buffered. Errors as stream_send(), but on
 * ERR_TIMEOUT the stream stays open. */
int stream_receive(struct stream *s, int64_t deadline_ms, struct err *err);
/* Take in what has arrived, without waiting. Closes the stream when the peer has gone. */
void stream_drain(struct stream *s);

/* The buffered bytes, valid until the next call; stream_consume() drops the first ones. */
static inline const char *stream_peek(const struct stream *s) { return s->input + s->start; }
void stream_consume(struct stream *s, size_t length);

#endif
