/*
 * The HTTP client door (libcurl): mutual TLS 1.3, connections kept, every call with a deadline.
 *
 * Calls block; no service makes one from an HTTP handler of a pool. An answer of 400 and above
 * becomes a struct err again (code by its wire name, message "<peer>: detail", and the remedy).
 * A deadline that passes or a connection that breaks after the request went out is ERR_TIMEOUT (the
 * outcome is unknown); a peer that cannot be reached, or is not who it should be, is
 * ERR_UNAVAILABLE (nothing was sent). Safe from any thread.
 */
#ifndef JOGAK_HTTP_CLIENT_H
#define JOGAK_HTTP_CLIENT_H

#include "json.h"

#include <stdatomic.h>

struct http_client;
struct http_client_options {
    const char *key_pem, *cert_pem; /* ours, texts; NULL: no client certificate */
    const char *ca_pem;             /* the authority to trust */
    /* When not NULL, the server's certificate must name this URN or, ending in '+', start so:
     * "urn:publicid:IDN+example.org+node+". Host names are then not compared. */
    const char *peer_urn;
    const char *user_agent;
    /* Accept any certificate. Only to fetch what is then checked by its digest (enrolment). */
    bool trust_anyone;
};
/* Copies the options. */
struct http_client *http_client_new(const struct http_client_options *options, struct err *err);
void http_client_free(struct http_client *c);

struct http_call {
    const char *method;
    const char *url;          /* "https://10.0.0.1:8404/v1/..." */
    const char *peer_urn;     /* overrides the client's; may be NULL */
    const json *body;         /* sent as JSON when not NULL */
    const void *raw;          /* or these bytes */
    size_t raw_length;
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    int64_t timeout_ms;       /* of the whole call; required */
    size_t reply_max;         /* bytes; 0: JSON_SIZE_MAX */
    /* Streaming: called with each piece of a 2xx body instead of collecting it; return 0 to go on,
     * anything else to end the call. */
    int (*on_data)(void *ctx, const void *data, size_t length);
    void *on_data_ctx;
    /* Once another thread raises it the call ends with ERR_CANCELLED, within about a second, and
     * the outcome is unknown; may be NULL. */
    const atomic_bool *cancel;
};
struct http_answer {
    unsigned status;
    json *body;     /* when the answer was JSON */
    char *raw;      /* otherwise; NUL-terminated */
    size_t raw_length;
    char location[512];
    char etag[80];
};
int http_call(struct http_client *c, const struct http_call *call, struct http_answer *ret,
              struct err *err);
void http_answer_done(struct http_answer *a);
#define AUTO_ANSWER CLEANUP(http_answer_done)

/* The short form: a JSON call that returns the JSON body. NULL when the call failed, and also when
 * the answer was empty or null: err->code, which is cleared first, tells these apart. */
json *http_json(struct http_client *c, const char *method, const char *url, const json *body,
                int64_t timeout_ms, struct err *err);

#endif
