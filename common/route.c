/*
 * Dispatch. Rows are few and patterns short, so a request walks the table comparing segments;
 * this costs less than a microsecond for a table of a hundred rows.
 */
#include "route.h"

#include "log.h"
#include "schema.h"

#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

LOG_MODULE("http.route");

#define PATH_MAX_BYTES 2048

#ifdef NDEBUG
static atomic_bool check_replies = false;
#else
static atomic_bool check_replies = true;
#endif

void route_check_replies(bool on) { atomic_store(&check_replies, on); }

/* How well a path fits a pattern: 0 not at all, else greater for literal segments further left,
 * so that "/v1/slices/all" wins over "/v1/slices/{slice}". */
static unsigned fit(const char *pattern, const char *path) {
    unsigned score = 1;
    while (*pattern == '/' && *path == '/') {
        pattern++, path++;
        size_t n = strcspn(path, "/"), m = strcspn(pattern, "/");
        bool param = *pattern == '{';
        if (param ? n == 0 : n != m || memcmp(path, pattern, n) != 0) return 0;
        score = score << 1 | !param;
        path += n, pattern += m;
    }
    return *pattern || *path ? 0 : score;
}

static bool method_is(const struct route *row, const char *method) {
    if (strcmp(row->method, method) == 0) return true;
    return strcmp(method, "HEAD") == 0 && strcmp(row->method, "GET") == 0; /* the door cuts it */
}

const struct route *route_find(const struct route_table *t, const char *method,
                               const char *path) {
    const struct route *best = NULL;
    unsigned best_score = 0;
    for (size_t i = 0; i < t->count; i++) {
        unsigned score = fit(t->rows[i].pattern, path);
        if (score <= best_score || !method_is(&t->rows[i], method)) continue;
        best = &t->rows[i];
        best_score = score;
    }
    return best;
}

bool route_allow(const struct route_table *t, const char *path, char ret[ROUTE_ALLOW_BYTES]) {
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < t->count && used < ROUTE_ALLOW_BYTES; i++)
        if (fit(t->rows[i].pattern, path) && !strstr(ret, t->rows[i].method))
            used += (size_t)snprintf(ret + used, ROUTE_ALLOW_BYTES - used, "%s%s", used ? ", " : "",
                                     t->rows[i].method);
    return used > 0;
}

size_t route_body_max(const struct route_table *t, const char *method, const char *path) {
    const struct route *row = route_find(t, method, path);
    if (!row) return 0;
    return row->body_max ? row->body_max : HTTP_BODY_MAX;
}

unsigned route_roles(const struct route_table *t, const struct http_request *req) {
    static const struct { const char *type; unsigned role; } by_type[] = {
        { "user", ROLE_USER },   { "am", ROLE_AGGREGATE },     { "node", ROLE_NODE },
        { "ss", ROLE_STORE },    { "sa", ROLE_CLEARINGHOUSE },
    };
    if (t->roles_of) return t->roles_of(t->ctx, req) | ROLE_ANYONE;
    for (size_t i = 0; req->peer && i < COUNT_OF(by_type); i++)
        if (strcmp(req->peer->type, by_type[i].type) == 0) return by_type[i].role | ROLE_ANYONE;
    return ROLE_ANYONE;
}

static int authorize(const struct route *row, const struct http_request *req, struct err *err) {
    if (row->roles & req->roles) return 0;
    if (!req->peer || !req->peer->urn[0]) {
        err_set(err, ERR_UNAUTHENTICATED, "%s %s needs a client certificate", row->method,
                row->pattern);
        return err_remedy(err, "connect with the certificate that enrolment gave you");
    }
    err_set(err, ERR_FORBIDDEN, "%s may not call %s %s", req->peer->urn, row->method,
            row->pattern);
    return err_remedy(err, "ask an operator of this testbed for the role that this needs");
}

/* Cuts the path's copy at its slashes and points the params into it. */
static void take_params(const struct route *row, char *path, struct http_request *req) {
    const char *pattern = row->pattern;
    size_t count = 0;
    while (*pattern == '/') {
        pattern++, path++;
        size_t n = strcspn(path, "/");
        if (*pattern == '{' && count < HTTP_PARAMS_MAX) req->params[count++] = path;
        pattern += strcspn(pattern, "/");
        path += n;
        if (*path == '/' && *pattern == '/') *path = '\0';
    }
}

/* "application/json", with or without parameters. A request without the header passes: it
 * cannot come from a browser's form. */
static bool is_json_type(const char *type) {
    static const char json_type[] = "application/json";
    size_t n = sizeof json_type - 1;
    if (!type) return true;
    return strncasecmp(type, json_type, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

static int parse_body(const struct route *row, const struct http_request *req, json **ret,
                      struct err *err) {
    size_t max = row->body_max ? row->body_max : HTTP_BODY_MAX;
    if (req->raw_length > max)
        return err_set(err, ERR_TOO_LARGE, "body of %zu bytes; this route takes %zu",
                       req->raw_length, max);
    if (row->raw) return 0;
    if (!row->request && req->raw_length == 0) return 0;
    if (!row->request)
        return err_set(err, ERR_INVALID, "%s %s takes no body", row->method, row->pattern);
    if (req->raw_length == 0)
        return err_set(err, ERR_INVALID, "%s %s needs a JSON body", row->method, row->pattern);
    if (!is_json_type(http_header(req, "Content-Type")))
        return err_set(err, ERR_UNSUPPORTED, "the body must be of type application/json");
    const struct schema *schema = schema_find(row->request, err);
    if (!schema) return -1;
    json *body AUTO_JSON = NULL;
    if (json_parse_value(req->raw, req->raw_length, &body, err)) return -1;
    if (schema_check(schema, body, NULL, err)) return err_wrap(err, "body");
    *ret = STEAL(body);
    return 0;
}

/* Nothing serves this method at this path: is it the path, or only the method? */
static int no_route(const struct route_table *t, const struct http_request *req, struct err *err) {
    char allow[ROUTE_ALLOW_BYTES];
    if (!route_allow(t, req->path, allow))
        return err_set(err, ERR_NOT_FOUND, "there is no %s", req->path);
    return err_set(err, ERR_METHOD, "%s does not know %s", req->path, req->method);
}

int route_admit(const struct route_table *t, struct http_request *req, uint64_t length,
                struct err *err) {
    const struct route *row = route_find(t, req->method, req->path);
    if (!row) return no_route(t, req, err);
    req->roles = route_roles(t, req);
    size_t max = row->body_max ? row->body_max : HTTP_BODY_MAX;
    if (authorize(row, req, err)) return -1;
    if (length <= max) return 0;
    return err_set(err, ERR_TOO_LARGE, "body of %llu bytes; this route takes %zu",
                   (unsigned long long)length, max);
}

static int check_reply(const struct route *row, const struct http_reply *reply, struct err *err) {
    unsigned status = reply->status ? reply->status : 200;
    if (!atomic_load(&check_replies) || !row->reply || status >= 300) return 0;
    const struct schema *schema = schema_find(row->reply, err);
    if (!schema) return -1;
    if (schema_check(schema, reply->body, NULL, err) == 0) return 0;
    err->code = ERR_INTERNAL;
    return err_wrap(err, "reply of %s %s breaks %s", row->method, row->pattern, row->reply);
}

static int run(const struct route *row, const struct route_table *t, struct http_request *req,
               struct http_reply *reply, struct err *err) {
    char path[PATH_MAX_BYTES];
    json *body AUTO_JSON = NULL;
    if (authorize(row, req, err) || parse_body(row, req, &body, err)) return -1;
    if ((size_t)snprintf(path, sizeof path, "%s", req->path) >= sizeof path)
        return err_set(err, ERR_INVALID, "the path is too long");
    take_params(row, path, req);
    req->body = body;
    int rc = row->handler(t->ctx, req, reply, err);
    req->body = NULL;
    memset(req->params, 0, sizeof req->params);
    return rc ? -1 : check_reply(row, reply, err);
}

static int find_and_run(const struct route_table *t, struct http_request *req,
                        struct http_reply *reply, struct err *err) {
    const struct route *row = route_find(t, req->method, req->path);
    if (row) {
        req->roles = route_roles(t, req);
        return run(row, t, req, reply, err);
    }
    route_allow(t, req->path, reply->allow);
    return no_route(t, req, err);
}

static void log_failure(const struct http_request *req, const struct err *err) {
    const char *code = err_name(err->code);
    if (err->code == ERR_INTERNAL) /* our bug; the rest is the world's doing */
        log_warn("request failed", "method=%s path=%s code=%s detail=\"%s\"", req->method,
                 req->path, code, err->msg);
    else if (err_http_status(err->code) >= 500)
        log_info("request failed", "method=%s path=%s code=%s detail=\"%s\"", req->method,
                 req->path, code, err->msg);
}

void route_dispatch(const struct route_table *t, struct http_request *req,
                    struct http_reply *reply) {
    struct err err;
    err.code = ERR_NONE; /* not ERR_INIT: 1.5 KiB need no clearing for every request */
    err.msg[0] = err.remedy[0] = '\0';
    *reply = (struct http_reply)HTTP_REPLY_INIT;
    if (find_and_run(t, req, reply, &err) == 0) return;
    if (err.code == ERR_NONE) err_set(&err, ERR_INTERNAL, "a handler failed without saying why");
    log_failure(req, &err);
    route_problem(reply, &err);
}

/* Messages may quote what came from outside, cut anywhere; JSON text must stay UTF-8. */
static json *message(const char *text) {
    if (json_utf8_valid(text, strlen(text))) return json_string(text);
    char *clean AUTO_FREE = xstrdup(text);
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    return json_string(clean);
}

void route_problem(struct http_reply *reply, const struct err *err) {
    char allow[sizeof reply->allow], retry_after[sizeof reply->retry_after];
    memcpy(allow, reply->allow, sizeof allow);
    memcpy(retry_after, reply->retry_after, sizeof retry_after);
    json *reasons = STEAL(reply->reasons);
    http_reply_done(reply);
    memcpy(reply->allow, allow, sizeof allow);
    memcpy(reply->retry_after, retry_after, sizeof retry_after);
    char type[96];
    snprintf(type, sizeof type, "urn:jogak:problem:%s", err_name(err->code));
    reply->status = err_http_status(err->code);
    reply->content_type = "application/problem+json";
    reply->body = json_object();
    json_set_str(reply->body, "type", type);
    json_set_str(reply->body, "title", err_title(err->code));
    json_set_int(reply->body, "status", reply->status);
    json_set(reply->body, "detail", message(err->msg));
    json_set_str(reply->body, "code", err_name(err->code));
    if (err->remedy[0]) json_set(reply->body, "remedy", message(err->remedy));
    if (reasons) json_set(reply->body, "reasons", reasons);
    if (log_request_id()[0]) json_set_str(reply->body, "request_id", log_request_id());
}

void http_reply_done(struct http_reply *reply) {
    json_put(reply->body);
    json_put(reply->reasons);
    free(reply->text);
    if (reply->has_file && reply->fd >= 0) close(reply->fd);
    if (reply->stream && reply->stream_free) reply->stream_free(reply->stream_ctx);
    *reply = (struct http_reply)HTTP_REPLY_INIT;
}

static int check_schema(const struct route *row, const char *name, struct err *err) {
    if (!name || schema_find(name, err)) return 0;
    return err_wrap(err, "route %s %s", row->method, row->pattern);
}

static int check_pattern(const struct route *row, struct err *err) {
    size_t params = 0;
    const char *p = row->pattern;
    for (; *p == '/'; p += strcspn(p, "/")) {
        p++;
        size_t n = strcspn(p, "/");
        if (*p == '{' && (n < 3 || p[n - 1] != '}')) break;
        params += *p == '{';
    }
    if (*p || p == row->pattern || params > HTTP_PARAMS_MAX)
        return err_set(err, ERR_INTERNAL, "route %s %s: bad pattern", row->method, row->pattern);
    return 0;
}

/* Do two patterns have literals and params at the same places? */
static bool same_shape(const char *a, const char *b) {
    while (*a && *b) {
        size_t n = strcspn(a + 1, "/") + 1, m = strcspn(b + 1, "/") + 1;
        bool both_params = a[1] == '{' && b[1] == '{';
        if (!both_params && (n != m || memcmp(a, b, n) != 0)) return false;
        a += n, b += m;
    }
    return !*a && !*b;
}

int route_table_check(const struct route_table *t, struct err *err) {
    for (size_t i = 0; i < t->count; i++) {
        const struct route *row = &t->rows[i];
        if (check_pattern(row, err) || check_schema(row, row->request, err) ||
            check_schema(row, row->reply, err))
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->rows[k].method, row->method) == 0 &&
                same_shape(t->rows[k].pattern, row->pattern))
                return err_set(err, ERR_INTERNAL, "routes collide: %s %s and %s", row->method,
                               row->pattern, t->rows[k].pattern);
    }
    return 0;
}
