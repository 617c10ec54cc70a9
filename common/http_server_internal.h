/*
 * What the files of the server door share. The pieces:
 *   http_server.c          options, listener, loops, stop
 *   http_server_conn.c     one connection: who it is, how long it may take
 *   http_server_request.c  one request: gate, body, dispatch
 *   http_server_reply.c    one reply: headers, JSON, text, file
 *   http_server_stream.c   a body that has no end yet
 */
#ifndef JOGAK_HTTP_SERVER_INTERNAL_H
#define JOGAK_HTTP_SERVER_INTERNAL_H

#include "http_gate.h"
#include "http_server.h"
#include "mem.h"
#include "route.h"

#include <microhttpd.h>
#include <stdatomic.h>

#define HTTP_IDLE_MS 60000       /* between requests, and for a request's headers */
#define HTTP_BODY_MS 120000      /* for a request's body */
#define HTTP_REPLY_MS 600000     /* for the client to take a reply; streams have no such limit */
#define HTTP_STREAMS_MAX 256     /* at once, each with a thread */
#define HTTP_STREAM_QUIET_MS 15000

/* Real time, whatever clock the process was given: sockets live in real time. */
int64_t http_server_now_ms(void);

/* A thread of the pool with a libmicrohttpd daemon of its own, which runs only on this thread. */
struct http_loop {
    struct http_server *server;
    struct MHD_Daemon *daemon;
    pthread_t thread;
    bool running;
    int wake_fd;       /* eventfd: a stream of this loop has something to send */
    unsigned streams;  /* loop thread only */
    bool progress;     /* loop thread only: this turn did something that we saw */
};

enum http_phase { HTTP_PHASE_IDLE, HTTP_PHASE_BODY, HTTP_PHASE_REPLY, HTTP_PHASE_STREAM };
struct http_conn {
    struct http_server *server;
    struct http_loop *loop; /* NULL: the connection has a thread of its own */
    struct MHD_Connection *impl;
    int fd;
    bool known; /* peer was established */
    struct http_peer peer;
    atomic_int phase;
    atomic_llong since_ms; /* of the phase */
    struct http_conn *next, *previous; /* server->conns */
};

struct http_request_state {
    struct http_request request; /* first: http_fields get it back from a request */
    struct http_conn *conn;
    char *target; /* as sent */
    char path[HTTP_PATH_MAX];
    char id[64];
    struct buf body;
    size_t body_max;
    bool started, oversize;
    unsigned status;
    int64_t begin_us;
};

struct http_server {
    const struct route_table *routes;
    int listen_fd;
    uint16_t port;
    struct http_loop *loops; /* HTTP_POOL */
    unsigned loop_count;
    struct MHD_Daemon *daemon; /* HTTP_PER_CONNECTION */
    bool tls;
    atomic_bool stopping;
    pthread_mutex_t lock; /* conns, streams */
    pthread_cond_t changed; /* streams went down, or stopping */
    struct http_conn *conns;
    unsigned streams;
    pthread_t reaper;
    bool reaping;
};

/* libmicrohttpd's callbacks; `cls` is the server. */
void http_conn_notify(void *cls, struct MHD_Connection *c, void **context,
                      enum MHD_ConnectionNotificationCode code);
void *http_request_begin(void *cls, const char *uri, struct MHD_Connection *c);
enum MHD_Result http_request_continue(void *cls, struct MHD_Connection *c, const char *url,
                                      const char *method, const char *version, const char *data,
                                      size_t *data_length, void **context);
void http_request_end(void *cls, struct MHD_Connection *c, void **context,
                      enum MHD_RequestTerminationCode code);

struct http_conn *http_conn_of(struct MHD_Connection *c);
void http_conn_enter(struct http_conn *conn, enum http_phase phase);
/* Establishes conn->peer from the TLS session, once. ERR_UNAUTHENTICATED: a certificate was shown
 * that does not verify. */
int http_conn_know(struct http_conn *conn, struct err *err);
/* Ends connections that overstayed their phase. */
void *http_conn_reap(void *server);

/* Sends the reply and frees what it owns. last: the connection ends with it. */
enum MHD_Result http_reply_send(struct http_request_state *r, struct http_reply *reply, bool last);
/* A response that pulls from reply->stream, which it takes. NULL with err: too many streams. */
struct MHD_Response *http_stream_response(struct http_request_state *r, struct http_reply *reply,
                                          struct err *err);
void http_server_wake(struct http_loop *loop);

#endif
