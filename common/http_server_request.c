/*
 * One request. libmicrohttpd calls in this order: http_request_begin() with the target as sent,
 * http_request_continue() once without data when the headers are in, then with pieces of the body,
 * then once more without data, and http_request_end() when the reply is out or the client gone.
 */
#include "http_server_internal.h"

#include "log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

LOG_MODULE("http.request");

#define REQUEST_ID_HEADER "Jogak-Request-Id"
#define BODY_DISCARD_MAX (4u << 20) /* read and dropped, so that the client hears "too large" */

static const char *find_header(const struct http_request *req, const char *name) {
    const struct http_request_state *r = req->impl;
    return MHD_lookup_connection_value(r->conn->impl, MHD_HEADER_KIND, name);
}
static const char *find_query(const struct http_request *req, const char *name) {
    const struct http_request_state *r = req->impl;
    return MHD_lookup_connection_value(r->conn->impl, MHD_GET_ARGUMENT_KIND, name);
}
static const struct http_fields fields = { find_header, find_query };

static int64_t now_us(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void see_progress(const struct http_conn *conn) {
    if (conn->loop) conn->loop->progress = true;
}

void *http_request_begin(void *cls, const char *uri, struct MHD_Connection *c) {
    (void)cls;
    struct http_request_state *r = xcalloc(1, sizeof *r);
    r->conn = http_conn_of(c);
    r->target = xstrndup(uri, HTTP_TARGET_MAX + 1);
    r->begin_us = now_us();
    r->request.impl = r;
    r->request.fields = &fields;
    r->request.peer = &r->conn->peer;
    r->request.path = r->path;
    return r;
}

/* A random prefix per thread and a counter: unique, and cheap for every request. */
static void make_id(char ret[64]) {
    static _Thread_local uint64_t prefix, counter;
    while (!prefix)
        if (getrandom(&prefix, sizeof prefix, 0) != sizeof prefix) prefix = 0;
    snprintf(ret, 64, "%016" PRIx64 "-%" PRIu64, prefix, ++counter);
}

static void take_id(struct http_request_state *r) {
    const char *given = find_header(&r->request, REQUEST_ID_HEADER);
    size_t n = given ? strlen(given) : 0;
    bool usable = n > 0 && n < sizeof r->id;
    for (size_t i = 0; usable && i < n; i++)
        usable = isalnum((unsigned char)given[i]) || strchr("._-", given[i]);
    if (usable) memcpy(r->id, given, n + 1);
    else make_id(r->id);
    log_set_request_id(r->id);
}

struct gate_walk {
    struct http_gate gate;
    struct err *err;
    bool refused;
};

static enum MHD_Result walk_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                   size_t key_length, const char *value, size_t value_length) {
    (void)kind;
    struct gate_walk *w = cls;
    w->refused = http_gate_header(&w->gate, key, key_length, value, value_length, w->err) != 0;
    return w->refused ? MHD_NO : MHD_YES;
}

/* An argument with a zero byte would read as a shorter one. */
static enum MHD_Result walk_argument(void *cls, enum MHD_ValueKind kind, const char *key,
                                     size_t key_length, const char *value, size_t value_length) {
    (void)kind;
    struct gate_walk *w = cls;
    bool whole = strlen(key) == key_length && (!value || strlen(value) == value_length);
    if (whole && json_utf8_valid(key, key_length) &&
        (!value || json_utf8_valid(value, value_length)))
        return MHD_YES;
    w->refused = true;
    err_set(w->err, ERR_INVALID, "bad character in the query");
    return MHD_NO;
}

static int pass_gate(struct http_request_state *r, const char *method, const char *version,
                     struct gate_walk *w, struct err *err) {
    struct MHD_Connection *c = r->conn->impl;
    MHD_get_connection_values_n(c, MHD_HEADER_KIND, walk_header, w);
    if (!w->refused) MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, walk_argument, w);
    if (w->refused || http_gate_finish(&w->gate, method, version, err)) return -1;
    return http_gate_path(r->target, r->path, err);
}

/* Everything that can be decided before the body is read. */
static int admit(struct http_request_state *r, const char *method, const char *version,
                 struct err *err) {
    struct gate_walk walk = { HTTP_GATE_INIT, err, false };
    r->request.method = method;
    take_id(r);
    if (pass_gate(r, method, version, &walk, err) || http_conn_know(r->conn, err)) return -1;
    if (!walk.gate.has_body) return 0;
    http_conn_enter(r->conn, HTTP_PHASE_BODY);
    r->body_max = route_body_max(r->conn->server->routes, method, r->path);
    return route_admit(r->conn->server->routes, &r->request, walk.gate.content_length, err);
}

static enum MHD_Result refuse(struct http_request_state *r, const struct err *err) {
    struct http_reply reply = HTTP_REPLY_INIT;
    if (err->code == ERR_METHOD) route_allow(r->conn->server->routes, r->path, reply.allow);
    route_problem(&reply, err);
    return http_reply_send(r, &reply, true);
}

static enum MHD_Result take_body(struct http_request_state *r, const char *data,
                                 size_t *length) {
    size_t n = *length;
    *length = 0;
    if (r->body.length + n <= r->body_max && !r->oversize) {
        buf_add(&r->body, data, n);
        return MHD_YES;
    }
    r->oversize = true;
    r->body.length += n; /* counted, not kept */
    if (r->body.length > r->body_max + BODY_DISCARD_MAX) return MHD_NO;
    return MHD_YES;
}

static enum MHD_Result answer(struct http_request_state *r) {
    struct http_reply reply;
    if (r->oversize) {
        struct err err;
        err_set(&err, ERR_TOO_LARGE, "the body is larger than the %zu bytes that this route takes",
                r->body_max);
        return refuse(r, &err);
    }
    http_conn_enter(r->conn, HTTP_PHASE_REPLY);
    r->request.raw = r->body.data;
    r->request.raw_length = r->body.length;
    route_dispatch(r->conn->server->routes, &r->request, &reply);
    return http_reply_send(r, &reply, false);
}

enum MHD_Result http_request_continue(void *cls, struct MHD_Connection *c, const char *url,
                                      const char *method, const char *version, const char *data,
                                      size_t *data_length, void **context) {
    (void)cls, (void)c, (void)url;
    struct http_request_state *r = *context;
    enum MHD_Result rc = MHD_YES;
    see_progress(r->conn);
    if (!r->started) {
        struct err err;
        err.code = ERR_NONE;
        r->started = true;
        if (admit(r, method, version, &err)) rc = refuse(r, &err);
    } else if (*data_length) {
        rc = take_body(r, data, data_length);
    } else if (!r->status) {
        log_set_request_id(r->id);
        rc = answer(r);
    }
    log_set_request_id(NULL);
    return rc;
}

static void log_request(const struct http_request_state *r, const char *how) {
    const char *peer = r->conn->peer.urn[0] ? r->conn->peer.urn : r->conn->peer.address;
    int64_t took_us = now_us() - r->begin_us;
    const char *method = r->request.method ? r->request.method : "?";
    log_set_request_id(r->id);
    if (r->status >= 500)
        log_info("request", "method=%s path=%s status=%u us=%" PRId64 " peer=%s end=%s", method,
                 r->path, r->status, took_us, peer, how);
    else
        log_debug("request", "method=%s path=%s status=%u us=%" PRId64 " peer=%s end=%s", method,
                  r->path, r->status, took_us, peer, how);
    log_set_request_id(NULL);
}

void http_request_end(void *cls, struct MHD_Connection *c, void **context,
                      enum MHD_RequestTerminationCode code) {
    (void)cls, (void)c;
    struct http_request_state *r = STEAL(*context);
    if (!r) return;
    see_progress(r->conn);
    log_request(r, code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "ok" : "aborted");
    http_conn_enter(r->conn, HTTP_PHASE_IDLE);
    buf_done(&r->body);
    free(r->target);
    free(r);
}
