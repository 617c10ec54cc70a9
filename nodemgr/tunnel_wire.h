/*
 * The bytes of a migration tunnel: preface, hello, frames. Pure functions, no input or output.
 * schemas/migration-tunnel.md is the contract.
 */
#ifndef JOGAK_NODEMGR_TUNNEL_WIRE_H
#define JOGAK_NODEMGR_TUNNEL_WIRE_H

#include "nodemgr/tunnel.h"

#include "common/mem.h"

#define WIRE_VERSION 1
#define WIRE_PREFACE_BYTES 12
#define WIRE_HELLO_MAX 4096
#define WIRE_HEADER_BYTES 12
#define WIRE_DATA_MAX (128u << 10)
#define WIRE_REASON_MAX 512
#define WIRE_WINDOW_MIN (64u << 10)
#define WIRE_WINDOW_MAX (16u << 20)
#define WIRE_STREAMS_MAX 64

/* On the wire; append only. */
enum wire_type {
    WIRE_OPEN = 1,    /* detail = kind */
    WIRE_DATA,
    WIRE_WINDOW,      /* u32: so many more bytes may be sent on the stream */
    WIRE_CLOSE,       /* no more data from the sender of this frame */
    WIRE_RESET,       /* the stream is gone, both ways; reason */
    WIRE_PING,        /* 8 bytes, given back */
    WIRE_PONG,
    WIRE_MESSAGE,     /* detail = kind, stream = number; u8 length of label, label, data */
    WIRE_MESSAGE_ACK, /* detail = 0 or 1 (refused), stream = number; reason */
    WIRE_GOODBYE,     /* the sender's last frame */
    WIRE_TYPES_
};

struct wire_frame {
    uint8_t type;
    uint8_t detail;
    uint32_t stream;
    uint32_t length;
};

void wire_put_u32(void *to, uint32_t v);
uint32_t wire_get_u32(const void *from);
void wire_put_header(void *to, const struct wire_frame *f);
void wire_add(struct buf *b, enum wire_type type, uint8_t detail, uint32_t stream,
              const void *payload, size_t length);

/* What one side says first. */
struct wire_hello {
    struct tunnel_hello hello;
    uint32_t window_bytes;
};
/* Preface and hello, and the acceptor's answer to it: its window, or its refusal. */
void wire_add_hello(struct buf *b, const struct wire_hello *h);
void wire_add_answer(struct buf *b, uint32_t window_bytes, const struct err *refusal);
/* The length of the JSON that follows a preface. Errors: ERR_UNSUPPORTED, ERR_INVALID. */
int wire_read_preface(const void *preface, uint32_t *ret_length, struct err *err);
int wire_read_hello(const char *text, size_t length, struct wire_hello *ret, struct err *err);
/* Errors: the peer's refusal as it was given, or ERR_INVALID. */
int wire_read_answer(const char *text, size_t length, uint32_t *ret_window, struct err *err);

/* Cuts a stream of bytes into frames. DATA is handed over in pieces as it comes; everything else
 * when it is complete. */
struct wire_decoder {
    void *ctx;
    int (*on_frame)(void *ctx, const struct wire_frame *f, const uint8_t *payload,
                    struct err *err);
    int (*on_data)(void *ctx, uint32_t stream, const uint8_t *bytes, size_t length,
                   struct err *err);
    uint8_t header[WIRE_HEADER_BYTES];
    size_t have; /* bytes of the header */
    struct wire_frame frame;
    size_t left; /* bytes of the payload */
    struct buf payload;
};
/* Errors: ERR_INVALID for what breaks the format, or what a handler returned; the decoder is not
 * usable afterwards. */
int wire_feed(struct wire_decoder *d, const uint8_t *bytes, size_t length, struct err *err);
void wire_decoder_done(struct wire_decoder *d);

#endif
