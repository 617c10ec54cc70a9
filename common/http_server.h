/*
 * The HTTP server door (libmicrohttpd over GnuTLS). Nothing else includes their headers.
 *
 * TLS 1.3 only. A client certificate is asked for and, when shown, must verify against the
 * authority; a connection without one is allowed to reach only routes of role ROLE_ANYONE.
 * The gate (http_gate.c) answers 400 and closes before anything else for requests that
 * libmicrohttpd would serve but should not: Content-Length with Transfer-Encoding, more than one
 * Content-Length or Host, a space before a header's colon, and methods or targets out of bounds.
 * Bounded: connections, header bytes, body bytes (per route), idle and whole-request time.
 */
#ifndef JOGAK_HTTP_SERVER_H
#define JOGAK_HTTP_SERVER_H

#include "http.h"

struct route_table;

enum http_threads {
    HTTP_POOL,           /* a few epoll threads; handlers must not wait for anything remote */
    HTTP_PER_CONNECTION, /* a thread each; handlers may block (the node agent) */
};
struct http_server_options {
    const char *address; /* numeric, "127.0.0.1" or "::" ; "0.0.0.0" */
    uint16_t port;       /* 0: any free one, see http_server_port() */
    const char *key_pem, *cert_pem, *ca_pem; /* texts, borrowed during the call; NULL key: plain
                                                HTTP, for the benchmark's and tests' sake only */
    enum http_threads threads;
    unsigned thread_count;      /* HTTP_POOL; 0: number of cores */
    unsigned connections_max;   /* 0: 512 */
};
struct http_server;
struct http_server *http_server_start(const struct http_server_options *options,
                                      const struct route_table *routes, struct err *err);
uint16_t http_server_port(const struct http_server *s);
/* Replace the certificate of new connections (renewal), by restarting the listener on the same
 * socket; running requests end first. */
void http_server_stop(struct http_server *s); /* ends the connections, joins the threads */

#endif
