/*
 * The client. Each kept connection belongs to one curl handle, and handles wait in a list under
 * the key "origin expected-URN": libcurl's sharing of connections between handles is not safe for
 * threads, and a connection whose peer was verified as one URN must not serve a call to another.
 */
#include "http_client.h"

#include "log.h"
#include "pki_tls.h"

#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>

LOG_MODULE("http.client");

#define IDLE_MAX 256           /* handles kept, over all peers */
#define CONNECTION_AGE_S 45L   /* servers drop idle connections after 60 s */
#define CONNECT_TIMEOUT_MS 10000

struct handle {
    CURL *curl;
    char key[640];
    char expected_urn[256];
    char message[CURL_ERROR_SIZE];
    struct handle *next;
};

struct http_client {
    char *key_pem, *cert_pem, *ca_pem, *peer_urn, *user_agent;
    bool trust_anyone;
    pthread_mutex_t lock;
    struct handle *idle; /* the latest used first */
    unsigned idle_count;
};

/* One call under way. */
struct exchange {
    const struct http_call *call;
    struct handle *handle;
    struct buf body;
    size_t max;
    struct http_answer *answer;
    bool too_large, stopped;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void init_curl(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) abort();
}

struct http_client *http_client_new(const struct http_client_options *o, struct err *err) {
    if (!o->key_pem != !o->cert_pem) {
        err_set(err, ERR_INVALID, "a client certificate needs its key, and a key its certificate");
        return NULL;
    }
    pthread_once(&once, init_curl);
    struct http_client *c = xcalloc(1, sizeof *c);
    c->key_pem = xstrdup(o->key_pem);
    c->cert_pem = xstrdup(o->cert_pem);
    c->ca_pem = xstrdup(o->ca_pem);
    c->peer_urn = xstrdup(o->peer_urn);
    c->user_agent = xstrdup(o->user_agent ? o->user_agent : "jogak/" JOGAK_VERSION);
    c->trust_anyone = o->trust_anyone;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void handle_free(struct handle *h) {
    if (!h) return;
    curl_easy_cleanup(h->curl);
    free(h);
}

static void wipe(char *secret) {
    if (secret) explicit_bzero(secret, strlen(secret));
    free(secret);
}

void http_client_free(struct http_client *c) {
    if (!c) return;
    while (c->idle) {
        struct handle *h = c->idle;
        c->idle = h->next;
        handle_free(h);
    }
    wipe(c->key_pem);
    free(c->cert_pem);
    free(c->ca_pem);
    free(c->peer_urn);
    free(c->user_agent);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* --- handles --- */

static struct handle *take_idle(struct http_client *c, const char *key) {
    WITH_LOCK(&c->lock);
    for (struct handle **at = &c->idle; *at; at = &(*at)->next) {
        struct handle *h = *at;
        if (strcmp(h->key, key) != 0) continue;
        *at = h->next;
        c->idle_count--;
        return h;
    }
    return NULL;
}

/* Puts the handle first and returns the one that is now too many, or NULL. */
static struct handle *put_idle(struct http_client *c, struct handle *h) {
    WITH_LOCK(&c->lock);
    h->next = c->idle;
    c->idle = h;
    if (++c->idle_count <= IDLE_MAX) return NULL;
    struct handle **last = &c->idle;
    while ((*last)->next) last = &(*last)->next;
    c->idle_count--;
    return STEAL(*last);
}

static CURLcode on_ssl_ctx(CURL *curl, void *ssl_ctx, void *arg) {
    (void)curl;
    struct handle *h = arg;
    return pki_tls_expect_urn(ssl_ctx, h->expected_urn) ? CURLE_OUT_OF_MEMORY : CURLE_OK;
}

/* curl copies nothing here: the texts live as long as the client. */
static void set_blob(CURL *curl, CURLoption option, char *text) {
    if (!text) return;
    struct curl_blob blob = { text, strlen(text), CURL_BLOB_NOCOPY };
    curl_easy_setopt(curl, option, &blob);
}

static void set_trust(struct http_client *c, struct handle *h) {
    CURL *curl = h->curl;
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* each handshake is verified */
    curl_easy_setopt(curl, CURLOPT_CAINFO, NULL); /* not the system's authorities */
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    set_blob(curl, CURLOPT_CAINFO_BLOB, c->ca_pem);
    set_blob(curl, CURLOPT_SSLCERT_BLOB, c->cert_pem);
    set_blob(curl, CURLOPT_SSLKEY_BLOB, c->key_pem);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, c->trust_anyone ? 0L : 1L);
    bool by_name = !h->expected_urn[0] && !c->trust_anyone;
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, by_name ? 2L : 0L);
    if (!h->expected_urn[0] || c->trust_anyone) return;
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, h);
}

/* "https://10.0.0.1:8404 urn:..." of a call. */
static int make_key(const char *url, const char *urn, char *ret, size_t size, struct err *err) {
    const char *scheme_end = strstr(url, "://");
    if (!scheme_end) return err_set(err, ERR_INVALID, "%s is no URL", url);
    size_t origin = (size_t)(scheme_end - url) + 3;
    origin += strcspn(url + origin, "/?#");
    int n = snprintf(ret, size, "%.*s %s", (int)(origin < 512 ? origin : 512), url, urn);
    if (origin > 512 || n < 0 || (size_t)n >= size)
        return err_set(err, ERR_INVALID, "the URL's host is too long");
    return 0;
}

static struct handle *handle_for(struct http_client *c, const struct http_call *call,
                                 struct err *err) {
    const char *urn = call->peer_urn ? call->peer_urn : c->peer_urn ? c->peer_urn : "";
    char key[sizeof ((struct handle *)0)->key];
    if (strlen(urn) >= sizeof ((struct handle *)0)->expected_urn)
        return err_set(err, ERR_INVALID, "URN too long"), NULL;
    if (make_key(call->url, urn, key, sizeof key, err)) return NULL;
    struct handle *h = take_idle(c, key);
    if (h) {
        curl_easy_reset(h->curl); /* options; its connection stays */
        return h;
    }
    h = xcalloc(1, sizeof *h);
    memcpy(h->key, key, sizeof key);
    snprintf(h->expected_urn, sizeof h->expected_urn, "%s", urn);
    h->curl = curl_easy_init();
    if (!h->curl) abort();
    return h;
}

/* --- one call --- */

static size_t on_header(char *line, size_t size, size_t count, void *arg) {
    struct exchange *x = arg;
    size_t n = size * count, end = n;
    const char *colon = memchr(line, ':', n);
    if (!colon) return n;
    size_t name = (size_t)(colon - line), at = name + 1;
    while (at < end && (line[at] == ' ' || line[at] == '\t')) at++;
    while (end > at && strchr("\r\n \t", line[end - 1])) end--;
    if (name == 8 && strncasecmp(line, "Location", 8) == 0)
        snprintf(x->answer->location, sizeof x->answer->location, "%.*s", (int)(end - at),
                 line + at);
    if (name == 4 && strncasecmp(line, "ETag", 4) == 0) {
        if (end - at >= 2 && line[at] == '"' && line[end - 1] == '"') at++, end--;
        snprintf(x->answer->etag, sizeof x->answer->etag, "%.*s", (int)(end - at), line + at);
    }
    return n;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg) {
    struct exchange *x = arg;
    size_t n = size * count;
    long status = 0;
    curl_easy_getinfo(x->handle->curl, CURLINFO_RESPONSE_CODE, &status);
    if (x->call->on_data && status / 100 == 2) {
        x->stopped = x->call->on_data(x->call->on_data_ctx, data, n) != 0;
        return x->stopped ? 0 : n;
    }
    x->too_large = x->body.length + n > x->max;
    if (x->too_large) return 0;
    buf_add(&x->body, data, n);
    return n;
}

static struct curl_slist *add_line(struct curl_slist *list, const char *line) {
    struct curl_slist *longer = curl_slist_append(list, line);
    if (!longer) abort();
    return longer;
}

static struct curl_slist *make_headers(const struct http_call *call) {
    struct curl_slist *list = add_line(NULL, "Expect:"); /* no waiting for 100 */
    bool typed = false;
    for (const char *const *h = call->headers; h && *h; h++) {
        typed |= strncasecmp(*h, "Content-Type:", 13) == 0;
        list = add_line(list, *h);
    }
    if (!typed && (call->body || call->raw))
        list = add_line(list, call->body ? "Content-Type: application/json"
                                         : "Content-Type: application/octet-stream");
    if (log_request_id()[0]) {
        char line[96];
        snprintf(line, sizeof line, "Jogak-Request-Id: %s", log_request_id());
        list = add_line(list, line);
    }
    return list;
}

static void set_body(CURL *curl, const struct http_call *call, const char *text) {
    bool plain_get = strcmp(call->method, "GET") == 0 && !text && !call->raw;
    if (plain_get) {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (text || call->raw || strcmp(call->method, "DELETE") != 0) {
        size_t n = text ? strlen(text) : call->raw ? call->raw_length : 0;
        const char *data = text ? text : call->raw ? call->raw : "";
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, data);
    }
    if (!plain_get) curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

/* libcurl asks at each piece of data, and about once a second when there is none. */
static int on_progress(void *cancel, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load((const atomic_bool *)cancel);
}

static void set_cancel(CURL *curl, const atomic_bool *cancel) {
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, cancel ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, cancel ? on_progress : NULL);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)cancel);
}

static void set_options(struct http_client *c, struct exchange *x) {
    CURL *curl = x->handle->curl;
    int64_t timeout_ms = x->call->timeout_ms > 0 ? x->call->timeout_ms : 1;
    int64_t connect_ms = timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS;
    curl_easy_setopt(curl, CURLOPT_URL, x->call->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* the environment is not read */
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, CONNECTION_AGE_S);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, c->user_agent);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, x->handle->message);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    set_trust(c, x->handle);
    set_cancel(curl, x->call->cancel);
}

/* Who an error came from: the URN when we know whom we wanted, else "host:port". */
static void describe_peer(const struct handle *h, char *ret, size_t size) {
    size_t n = strlen(h->expected_urn);
    if (n && h->expected_urn[n - 1] != '+') {
        snprintf(ret, size, "%s", h->expected_urn);
        return;
    }
    const char *host = strstr(h->key, "://") + 3;
    snprintf(ret, size, "%.*s", (int)strcspn(host, " "), host);
}

static int transport_error(struct exchange *x, CURLcode rc, struct err *err) {
    char peer[256];
    long sent = 0;
    const char *why = x->handle->message[0] ? x->handle->message : curl_easy_strerror(rc);
    describe_peer(x->handle, peer, sizeof peer);
    if (rc == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ERR_CANCELLED, "%s: the call was cancelled", peer);
    curl_easy_getinfo(x->handle->curl, CURLINFO_REQUEST_SIZE, &sent);
    if (x->too_large)
        return err_set(err, ERR_TOO_LARGE, "%s: the answer is larger than %zu bytes", peer, x->max);
    if (sent > 0) {
        err_set(err, ERR_TIMEOUT, "%s: no whole answer: %s", peer, why);
        return err_remedy(err, "the call may have been carried out: look before trying again");
    }
    err_set(err, ERR_UNAVAILABLE, "%s cannot be reached: %s", peer, why);
    if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CONNECT_ERROR)
        return err_remedy(err, "check that this address belongs to %s, and both certificates",
                          x->handle->expected_urn[0] ? x->handle->expected_urn : "that service");
    return err_remedy(err, "check that the service runs and that the address is right");
}

static enum err_code code_of_status(unsigned status) {
    for (int code = ERR_INVALID; code < ERR_MAX_; code++)
        if (err_http_status((enum err_code)code) == status) return (enum err_code)code;
    return status < 500 ? ERR_INVALID : ERR_INTERNAL;
}

static int refused(struct exchange *x, struct err *err) {
    char peer[256];
    const json *problem = x->answer->body;
    const char *name = json_get_str(problem, "code"), *detail = json_get_str(problem, "detail");
    const char *remedy = json_get_str(problem, "remedy");
    enum err_code code = name ? err_from_name(name) : code_of_status(x->answer->status);
    if (code == ERR_NONE) code = ERR_INTERNAL;
    describe_peer(x->handle, peer, sizeof peer);
    if (detail) err_set(err, code, "%s: %s", peer, detail);
    else err_set(err, code, "%s: answered %u", peer, x->answer->status);
    if (remedy) err_remedy(err, "%s", remedy);
    return -1;
}

static bool is_json(const char *type) {
    if (!type) return false;
    size_t n = strcspn(type, "; \t");
    bool suffixed = n > 5 && strncasecmp(type + n - 5, "+json", 5) == 0;
    return suffixed || (n == 16 && strncasecmp(type, "application/json", 16) == 0);
}

static int read_answer(struct exchange *x, struct err *err) {
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(x->handle->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->handle->curl, CURLINFO_CONTENT_TYPE, &type);
    x->answer->status = (unsigned)status;
    if (is_json(type) && x->body.length) {
        int rc = json_parse_value(x->body.data, x->body.length, &x->answer->body, err);
        if (rc && status < 400) {
            err->code = ERR_INTERNAL;
            return err_wrap(err, "answer of %s", x->call->url);
        }
    } else {
        x->answer->raw_length = x->body.length;
        x->answer->raw = buf_steal(&x->body);
    }
    return status >= 400 ? refused(x, err) : 0;
}

static int perform(struct http_client *c, struct exchange *x, struct err *err) {
    char *text AUTO_FREE = x->call->body ? json_text(x->call->body) : NULL;
    struct curl_slist *headers = make_headers(x->call);
    CURL *curl = x->handle->curl;
    x->handle->message[0] = '\0';
    set_options(c, x);
    set_body(curl, x->call, text);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode rc = curl_easy_perform(curl);
    int result = rc == CURLE_OK || x->stopped ? read_answer(x, err) : transport_error(x, rc, err);
    curl_slist_free_all(headers);
    log_debug("call", "method=%s url=%s status=%u result=%d", x->call->method, x->call->url,
              x->answer->status, (int)rc);
    return result;
}

int http_call(struct http_client *c, const struct http_call *call, struct http_answer *ret,
              struct err *err) {
    struct err own = ERR_INIT; /* the code is needed also when the caller does not care */
    if (!err) err = &own;
    memset(ret, 0, sizeof *ret);
    struct exchange x = { .call = call, .answer = ret,
                          .max = call->reply_max ? call->reply_max : JSON_SIZE_MAX };
    x.handle = handle_for(c, call, err);
    if (!x.handle) return -1;
    int rc = perform(c, &x, err);
    buf_done(&x.body);
    handle_free(put_idle(c, x.handle));
    if (rc == 0) return 0;
    unsigned status = ret->status;
    http_answer_done(ret);
    ret->status = status;
    return -1;
}

void http_answer_done(struct http_answer *a) {
    json_put(a->body);
    free(a->raw);
    memset(a, 0, sizeof *a);
}

json *http_json(struct http_client *c, const char *method, const char *url, const json *body,
                int64_t timeout_ms, struct err *err) {
    struct http_call call = { .method = method, .url = url, .body = body,
                              .timeout_ms = timeout_ms };
    struct http_answer answer AUTO_ANSWER;
    err_clear(err);
    if (http_call(c, &call, &answer, err)) return NULL;
    return STEAL(answer.body);
}
