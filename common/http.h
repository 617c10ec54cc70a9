/*
 * HTTP as the rooms see it: a request, a reply, and who is asking.
 */
#ifndef JOGAK_HTTP_H
#define JOGAK_HTTP_H

#include "json.h"

#define HTTP_PARAMS_MAX 4
#define HTTP_BODY_MAX (1u << 20) /* bytes, unless the route says otherwise */

/* Who is at the other end of the connection, as the TLS layer proved it. */
struct http_peer {
    char urn[256];   /* from the certificate's subjectAltName; "" when it showed none */
    char type[32];   /* the URN's type: "user", "am", "node", "ss", "sa"; "" for none */
    char serial[64];
    char address[64];/* for logs */
};

struct http_request {
    const char *method;
    const char *path;                     /* decoded, without query */
    const char *params[HTTP_PARAMS_MAX];  /* of the route's {pattern}, in order; decoded */
    const struct http_peer *peer;
    unsigned roles;                       /* what route.c found the peer to be, see route.h */
    const json *body;                     /* validated JSON body, or NULL */
    const void *raw;                      /* the body's bytes, also when it is not JSON */
    size_t raw_length;
    const struct http_fields *fields;     /* headers and query; NULL: there are none */
    void *impl;                           /* the door's */
};
/* Where headers (any case) and query arguments come from: the server door, or a test. Both return
 * text borrowed from the request, NULL when absent. */
struct http_fields {
    const char *(*header)(const struct http_request *req, const char *name);
    const char *(*query)(const struct http_request *req, const char *name);
};
/* A header or query argument, decoded; borrowed; NULL when absent. */
const char *http_header(const struct http_request *req, const char *name);
const char *http_query(const struct http_request *req, const char *name);
/* A query argument as an integer within [min, max]; `otherwise` when absent. */
int http_query_int(const struct http_request *req, const char *name, int64_t min, int64_t max,
                   int64_t otherwise, int64_t *ret, struct err *err);

/* A streamed body: called until it returns 0 (end) or -1 (give up), always on one thread that
 * serves this stream alone, so it may block up to about a second; then it returns
 * HTTP_STREAM_AGAIN when there is nothing yet. It fills at most size bytes and returns how many.
 * What it returns is sent at once. A text/event-stream that is silent for 15 s gets a comment line
 * from the server, so that both ends notice a dead connection. stream_free is called on the same
 * thread, once, when the stream has ended, or the client has gone, or the server stops. */
#define HTTP_STREAM_AGAIN (-2)
typedef int64_t (*http_stream_fn)(void *ctx, char *buf, size_t size);

/* What a handler fills. Zero-initialised by the caller. */
struct http_reply {
    unsigned status;          /* 0 means 200 */
    json *body;               /* taken */
    json *reasons;            /* taken; an array; of a handler that fails: for programs, in the problem */
    char *text;               /* taken; instead of body, with content_type */
    size_t text_length;
    const char *content_type; /* static; for text, file and stream */
    int fd;                   /* with has_file: send this part of it; taken */
    int64_t file_offset, file_length;
    bool has_file;
    http_stream_fn stream;    /* server-sent events and console output */
    void *stream_ctx;
    void (*stream_free)(void *ctx);
    char location[512];       /* header Location when not "" */
    char etag[80];            /* header ETag (without quotes) when not "" */
    char retry_after[16];
    char allow[64];           /* header Allow when not "" (405) */
};
#define HTTP_REPLY_INIT { .fd = -1 }

#endif
