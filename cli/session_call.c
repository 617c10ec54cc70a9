#include "session_internal.h"

#include "common/credential.h"
#include "common/ids.h"

#include <stdio.h>

#define TIMEOUT_MS 30000
#define STREAM_MS (7 * 86400000LL)
#define PAGES_MAX 1000

static const struct {
    const char *title, *type; /* of its URN */
    size_t url, urn;          /* in struct session_config; 0: not there */
} services[] = {
    [SESSION_CLEARINGHOUSE] = { "the clearing house", "sa",
                                offsetof(struct session_config, clearinghouse), 0 },
    [SESSION_AGGREGATE] = { "the aggregate", "am", offsetof(struct session_config, aggregate),
                            offsetof(struct session_config, aggregate_urn) },
    [SESSION_STORE] = { "the sliver store", "ss", offsetof(struct session_config, store),
                        offsetof(struct session_config, store_urn) },
};

static const char *text_at(const struct session *s, size_t offset) {
    return *(char *const *)((const char *)&s->config + offset);
}

/* A store that is not in the registry is known to the aggregate, which uses it. */
static int ask_aggregate_for_store(struct session *s, struct err *err) {
    json *about AUTO_JSON =
        session_json(s, SESSION_AGGREGATE, NULL, "GET", NULL, err, "/v1");
    if (!about) return -1;
    session_set(&s->config.store, json_get_str(about, "store_url"));
    return session_save(s, err);
}

int session_service(struct session *s, enum session_service which, const char **ret_url,
                    const char **ret_urn, struct err *err) {
    size_t url = services[which].url, urn = services[which].urn;
    if (!text_at(s, url)[0] && session_learn_services(s, err)) return -1;
    if (!text_at(s, url)[0] && which == SESSION_STORE && ask_aggregate_for_store(s, err)) return -1;
    if (!text_at(s, url)[0]) {
        err_set(err, ERR_UNAVAILABLE, "%s is not registered with the clearing house yet",
                services[which].title);
        return err_remedy(err, "start it; see also: jogak service list");
    }
    *ret_url = text_at(s, url);
    *ret_urn = urn && text_at(s, urn)[0] ? text_at(s, urn) : NULL;
    return 0;
}

/* --- messages for people --- */

/* "<peer>: detail" loses the peer; what says that the peer cannot be reached keeps a readable one. */
static void reword(struct err *err, const char *peer, const char *title, const char *url) {
    size_t n = strlen(peer);
    if (!err || !n || strncmp(err->msg, peer, n)) return;
    char rest[sizeof err->msg], remedy[sizeof err->remedy];
    snprintf(rest, sizeof rest, "%s", err->msg + n);
    memcpy(remedy, err->remedy, sizeof remedy);
    enum err_code code = err->code;
    if (strncmp(rest, ": ", 2) == 0 && strncmp(rest, ": no whole answer", 17))
        err_set(err, code, "%s", rest + 2);
    else err_set(err, code, "%s (%s)%s", title, url, rest);
    if (remedy[0]) err_remedy(err, "%s", remedy);
}

static void reword_error(struct err *err, const char *urn, const char *title, const char *url) {
    const char *host = strstr(url, "://");
    char *authority AUTO_FREE = xstrndup(host ? host + 3 : "", host ? strcspn(host + 3, "/?") : 0);
    if (urn) reword(err, urn, title, url);
    reword(err, authority, title, url);
}

int session_call(struct session *s, const struct http_call *call, struct http_answer *ret,
                 struct err *err) {
    if (s->transport.call) return s->transport.call(s->transport.ctx, call, ret, err);
    return http_call(s->client, call, ret, err);
}

/* --- calls to a service --- */

struct request {
    enum session_service to;
    const char *as, *method, *path;
    const json *body;
    const char *const *headers;
    int (*on_data)(void *ctx, const void *data, size_t length);
    void *ctx;
    int64_t timeout_ms; /* 0: the usual one */
};

static int send_once(struct session *s, const struct request *r, bool fresh,
                     struct http_answer *ret, struct err *err) {
    const char *base, *urn, *headers[8] = { NULL };
    char expected[URN_MAX_BYTES];
    char *credential AUTO_FREE = NULL, *line AUTO_FREE = NULL;
    size_t n = 0;
    if (session_service(s, r->to, &base, &urn, err)) return -1;
    if (r->as) {
        credential = session_credential(s, r->as, fresh, NULL, err);
        if (!credential) return -1;
        headers[n++] = line = xasprintf("%s: %s", CREDENTIAL_HEADER, credential);
    }
    for (size_t i = 0; r->headers && r->headers[i] && n + 1 < COUNT_OF(headers); i++)
        headers[n++] = r->headers[i];
    if (!urn) { /* any service of that type that the authority vouches for */
        urn_text(expected, s->authority, services[r->to].type, "");
        urn = expected;
    }
    char *url AUTO_FREE = xasprintf("%s%s", base, r->path);
    const struct http_call call = {
        .method = r->method, .url = url, .peer_urn = urn, .body = r->body, .headers = headers,
        .timeout_ms = r->timeout_ms ? r->timeout_ms : TIMEOUT_MS, .on_data = r->on_data,
        .on_data_ctx = r->ctx,
    };
    if (session_call(s, &call, ret, err) == 0) return 0;
    reword_error(err, urn, services[r->to].title, base);
    return -1;
}

/* A credential from the cache may have been overtaken: of a role that changed since. */
static int send_request(struct session *s, const struct request *r, struct http_answer *ret,
                struct err *err) {
    struct err first = ERR_INIT;
    if (send_once(s, r, false, ret, &first) == 0) return 0;
    if (r->as && (first.code == ERR_FORBIDDEN || first.code == ERR_UNAUTHENTICATED)) {
        http_answer_done(ret);
        *ret = (struct http_answer){ 0 };
        session_forget_credential(s, r->as);
        if (send_once(s, r, true, ret, &first) == 0) return 0;
    }
    if (err) *err = first;
    return -1;
}

static json *vjson(struct session *s, enum session_service to, const char *as, const char *method,
                   const json *body, struct err *err, const char *path, va_list ap)
    __attribute__((format(printf, 7, 0)));
static json *vjson(struct session *s, enum session_service to, const char *as, const char *method,
                   const json *body, struct err *err, const char *path, va_list ap) {
    char *full AUTO_FREE = xvasprintf(path, ap);
    const struct request r = { .to = to, .as = as, .method = method, .path = full, .body = body };
    struct http_answer answer AUTO_ANSWER = { 0 };
    if (send_request(s, &r, &answer, err)) return NULL;
    return answer.body ? STEAL(answer.body) : json_object();
}

json *session_json(struct session *s, enum session_service to, const char *as, const char *method,
                   json *body, struct err *err, const char *path, ...) {
    json *owned AUTO_JSON = body;
    va_list ap;
    va_start(ap, path);
    json *answer = vjson(s, to, as, method, owned, err, path, ap);
    va_end(ap);
    return answer;
}

json *session_list(struct session *s, enum session_service to, const char *as, struct err *err,
                   const char *path, ...) {
    va_list ap;
    va_start(ap, path);
    char *first AUTO_FREE = xvasprintf(path, ap);
    va_end(ap);
    json *all AUTO_JSON = json_array();
    char *cursor AUTO_FREE = NULL;
    for (int page_count = 0; page_count < PAGES_MAX; page_count++) {
        json *page AUTO_JSON =
            session_json(s, to, as, "GET", NULL, err, "%s%s%s%s", first,
                         cursor ? strchr(first, '?') ? "&" : "?" : "", cursor ? "cursor=" : "",
                         cursor ? cursor : "");
        if (!page) return NULL;
        const json *items = json_get(page, "items");
        for (size_t i = 0; i < json_length(items); i++) json_add(all, json_ref(json_at(items, i)));
        const char *next = json_get_str(page, "next");
        if (!next) return STEAL(all);
        free(cursor);
        cursor = xstrdup(next);
    }
    err_set(err, ERR_TOO_LARGE, "the list is too long");
    return NULL;
}

int session_stream(struct session *s, enum session_service to, const char *as, const char *path,
                   const char *const *headers,
                   int (*on_data)(void *ctx, const void *data, size_t length), void *ctx,
                   int64_t timeout_ms, struct err *err) {
    const struct request r = { .to = to, .as = as, .method = "GET", .path = path,
                               .headers = headers, .on_data = on_data, .ctx = ctx,
                               .timeout_ms = timeout_ms ? timeout_ms : STREAM_MS };
    struct http_answer answer AUTO_ANSWER = { 0 };
    return send_request(s, &r, &answer, err);
}
