/*
 * The request gate: what libmicrohttpd 0.9.75 would serve but should not, since two readers of the
 * same bytes (a proxy and us) could take them for different requests.
 *
 * The server door feeds it method, target and every header; it knows no library. Refused:
 * Content-Length with Transfer-Encoding, more than one Content-Length, Transfer-Encoding or Host,
 * a length that is no plain number, any coding but "chunked", a header name that is no token (a
 * space before the colon), control characters, methods and targets out of bounds.
 * Source: RFC 9112 sections 2.2, 3.2, 5.1, 6.1 and 6.3.
 */
#ifndef JOGAK_HTTP_GATE_H
#define JOGAK_HTTP_GATE_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_TARGET_MAX 4096  /* bytes of path and query, as sent */
#define HTTP_PATH_MAX 1024    /* bytes of the decoded path */
#define HTTP_HEADERS_MAX 64

struct http_gate {
    unsigned headers, hosts, lengths, codings;
    uint64_t content_length;
    bool has_body;
};
#define HTTP_GATE_INIT { 0, 0, 0, 0, 0, false }

/* Each returns 0, or -1 with ERR_INVALID. value may hold any bytes. */
int http_gate_header(struct http_gate *g, const char *name, size_t name_length, const char *value,
                     size_t value_length, struct err *err);
/* After all headers; version as in "HTTP/1.1". */
int http_gate_finish(const struct http_gate *g, const char *method, const char *version,
                     struct err *err);
/* Decodes the path of a target as sent ("/v1/a%20b?x=y") into ret. Refused: no leading slash, bad
 * or encoded-slash escapes, U+0000 and other controls, "." and ".." segments, what is no UTF-8. */
int http_gate_path(const char *target, char ret[HTTP_PATH_MAX], struct err *err);

#endif
