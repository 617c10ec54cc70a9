#include "http_server_internal.h"

#include <stdio.h>

static void add(struct MHD_Response *m, const char *name, const char *value) {
    if (value && *value) MHD_add_response_header(m, name, value);
}

/* A service answers programs and one console; nothing of it may be framed, sniffed or kept. */
static void add_headers(struct MHD_Response *m, const struct http_request_state *r,
                        const struct http_reply *reply, const char *type, bool last) {
    add(m, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    add(m, "Jogak-Request-Id", r->id);
    add(m, "X-Content-Type-Options", "nosniff");
    add(m, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    add(m, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (r->conn->server->tls) add(m, "Strict-Transport-Security", "max-age=31536000");
    add(m, MHD_HTTP_HEADER_LOCATION, reply->location);
    add(m, MHD_HTTP_HEADER_RETRY_AFTER, reply->retry_after);
    add(m, MHD_HTTP_HEADER_ALLOW, reply->allow);
    if (reply->etag[0]) {
        char quoted[sizeof reply->etag + 2];
        snprintf(quoted, sizeof quoted, "\"%s\"", reply->etag);
        add(m, MHD_HTTP_HEADER_ETAG, quoted);
    }
    if (last) add(m, MHD_HTTP_HEADER_CONNECTION, "close");
}

static struct MHD_Response *from_text(char *text, size_t length) {
    struct MHD_Response *m = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
    if (!m) free(text);
    return m;
}

static struct MHD_Response *from_file(struct http_reply *reply) {
    int fd = STEAL_FD(reply->fd);
    reply->has_file = false;
    if (reply->file_length == 0) {
        close(fd);
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    struct MHD_Response *m = MHD_create_response_from_fd_at_offset64(
        (uint64_t)reply->file_length, fd, (uint64_t)reply->file_offset);
    if (!m) close(fd);
    return m;
}

/* The body's source; *type is what it is when the handler did not say. */
static struct MHD_Response *make_body(struct http_request_state *r, struct http_reply *reply,
                                      const char **type, struct err *err) {
    if (reply->stream) return http_stream_response(r, reply, err);
    if (reply->has_file) {
        *type = "application/octet-stream";
        return from_file(reply);
    }
    if (reply->body) {
        *type = "application/json";
        char *text = json_text(reply->body);
        return from_text(text, strlen(text));
    }
    if (reply->text) {
        *type = "text/plain; charset=utf-8";
        return from_text(STEAL(reply->text), reply->text_length);
    }
    return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
}

static bool is_head(const struct http_request_state *r) {
    return r->request.method && strcmp(r->request.method, "HEAD") == 0;
}

enum MHD_Result http_reply_send(struct http_request_state *r, struct http_reply *reply,
                                bool last) {
    struct err err;
    err.code = ERR_NONE; /* not ERR_INIT: no clearing of 1.5 KiB for every request */
    const char *type = NULL;
    if (reply->stream && is_head(r)) { /* nobody will read it */
        if (reply->stream_free) reply->stream_free(reply->stream_ctx);
        reply->stream = NULL;
    }
    struct MHD_Response *m = make_body(r, reply, &type, &err);
    if (!m && err.code != ERR_NONE) { /* no more streams */
        snprintf(reply->retry_after, sizeof reply->retry_after, "5");
        route_problem(reply, &err);
        m = make_body(r, reply, &type, &err);
    }
    if (!m) {
        http_reply_done(reply);
        return MHD_NO; /* out of memory; the connection ends */
    }
    if (reply->content_type) type = reply->content_type;
    r->status = reply->status ? reply->status : MHD_HTTP_OK;
    add_headers(m, r, reply, type, last);
    enum MHD_Result rc = MHD_queue_response(r->conn->impl, r->status, m);
    MHD_destroy_response(m);
    http_reply_done(reply);
    return rc;
}
