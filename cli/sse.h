/* Server-sent events (WHATWG HTML, 9.2.6) out of the pieces in which a stream arrives. */
#ifndef JOGAK_CLI_SSE_H
#define JOGAK_CLI_SSE_H

#include "common/mem.h"

#include <stdbool.h>

#define SSE_EVENT_MAX_BYTES 65536u /* longer ones are passed over */

struct sse {
    struct buf line, data;
    char id[64]; /* of the last event: what to send as Last-Event-ID */
    char event[64];
    bool too_long, after_cr;
    void (*on_event)(void *ctx, const char *event, const char *data);
    void *ctx;
};
void sse_feed(struct sse *s, const char *data, size_t length);
void sse_reset(struct sse *s); /* the stream was cut: what is unfinished goes, the id stays */
void sse_done(struct sse *s);

#endif
