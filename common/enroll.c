#include "enroll.h"

#include "clock.h"
#include "http_client.h"
#include "ids.h"
#include "pki.h"

#include <stdio.h>

#define CA_MAX_BYTES 65536
#define DEADLINE_MS 15000

static char *url_of(const char *base, const char *path) {
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/') n--;
    return xasprintf("%.*s%s", (int)n, base, path);
}

static int check_fingerprint(const struct enroll_token *t, const char *ca_pem, struct err *err) {
    struct pki_cert ca;
    if (pki_cert_read(ca_pem, &ca, err)) return err_wrap(err, "authority of %s", t->url);
    if (strcmp(ca.fingerprint, t->ca_fingerprint) == 0) return 0;
    err_set(err, ERR_INTEGRITY, "%s shows another authority than the token's", t->url);
    return err_remedy(err, "somebody may be in between: compare the address, ask for a new token");
}

static int call_once(const struct http_client_options *options, const struct http_call *call,
                     struct http_answer *ret, struct err *err) {
    struct http_client *c = http_client_new(options, err);
    if (!c) return -1;
    int rc = http_call(c, call, ret, err);
    http_client_free(c);
    return rc;
}

/* Anybody may answer this call; only the certificate that the token pins is accepted. */
static char *fetch_ca(const struct enroll_token *t, struct err *err) {
    struct http_client_options options = { .trust_anyone = true };
    struct http_answer answer AUTO_ANSWER = { .status = 0 };
    char *url AUTO_FREE = url_of(t->url, "/v1/ca");
    struct http_call get = {
        .method = "GET", .url = url, .timeout_ms = DEADLINE_MS, .reply_max = CA_MAX_BYTES
    };
    if (call_once(&options, &get, &answer, err)) return NULL;
    if (!answer.raw) {
        err_set(err, ERR_INVALID, "%s does not answer like a clearing house", t->url);
        return NULL;
    }
    return check_fingerprint(t, answer.raw, err) ? NULL : xstrdup(answer.raw);
}

/* What we ask a certificate for, and by which right: a token's secret, or the present one. */
struct asking {
    const char *base_url, *path, *urn, *key_pem, *ca_pem;
    const char *secret; /* or */
    const char *cert_pem;
    const char *const *hosts;
    int64_t timeout_ms;
};

static json *body_of(const struct asking *a, const char *csr) {
    json *body = json_object(), *list = json_array();
    for (size_t i = 0; a->hosts && a->hosts[i]; i++) json_add(list, json_string(a->hosts[i]));
    if (a->secret) json_set_str(body, "secret", a->secret);
    json_set_str(body, "csr", csr);
    return json_set(body, "hosts", list);
}

/* What we got must be ours before we keep it. */
static int check_cert(const struct asking *a, const char *cert_pem, struct err *err) {
    struct pki_cert facts;
    if (!cert_pem) return err_set(err, ERR_INVALID, "the answer holds no certificate");
    if (pki_cert_read(cert_pem, &facts, err)) return -1;
    if (strcmp(facts.urn, a->urn) != 0)
        return err_set(err, ERR_INTEGRITY, "the certificate is for %s, not %s", facts.urn, a->urn);
    if (pki_key_matches(a->key_pem, cert_pem, err)) return -1;
    return pki_cert_verify(cert_pem, a->ca_pem, PKI_USE_CLIENT, err);
}

static int post(const struct asking *a, const char *peer_urn, struct http_answer *ret,
                struct err *err) {
    char *csr AUTO_FREE = pki_csr_new(a->key_pem, a->urn, err);
    if (!csr) return -1;
    json *body AUTO_JSON = body_of(a, csr);
    char *url AUTO_FREE = url_of(a->base_url, a->path);
    struct http_client_options options = { .ca_pem = a->ca_pem,
                                           .peer_urn = peer_urn,
                                           .key_pem = a->cert_pem ? a->key_pem : NULL,
                                           .cert_pem = a->cert_pem };
    struct http_call call = {
        .method = "POST", .url = url, .body = body, .timeout_ms = a->timeout_ms
    };
    return call_once(&options, &call, ret, err);
}

static char *fetch_cert(const struct asking *a, struct err *err) {
    struct urn urn;
    char peer[URN_MAX_BYTES];
    if (urn_parse(a->urn, &urn, err)) return NULL;
    urn_text(peer, urn.authority, "sa", ""); /* ends in '+': whatever its name */
    struct http_answer answer AUTO_ANSWER = { .status = 0 };
    if (post(a, peer, &answer, err)) return NULL;
    const char *cert = json_get_str(answer.body, "certificate");
    return check_cert(a, cert, err) ? NULL : xstrdup(cert);
}

int enroll(const struct enroll_token *t, const char *key_pem, const char *const *hosts,
           char **ret_cert_pem, char **ret_ca_pem, struct err *err) {
    int64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    char *ca AUTO_FREE = fetch_ca(t, err);
    if (!ca) return err_wrap(err, "enrol %s", t->urn);
    int64_t left_ms = end_ms - clock_monotonic_ms();
    struct asking asking = { .base_url = t->url,
                             .path = "/v1/enroll",
                             .urn = t->urn,
                             .key_pem = key_pem,
                             .ca_pem = ca,
                             .secret = t->secret,
                             .hosts = hosts,
                             .timeout_ms = left_ms > 1 ? left_ms : 1 };
    char *cert = fetch_cert(&asking, err);
    if (!cert) return err_wrap(err, "enrol %s", t->urn);
    *ret_cert_pem = cert;
    *ret_ca_pem = STEAL(ca);
    return 0;
}

int enroll_renew(const char *url, const char *key_pem, const char *cert_pem, const char *ca_pem,
                 const char *const *hosts, char **ret_cert_pem, struct err *err) {
    struct pki_cert present;
    if (pki_cert_read(cert_pem, &present, err)) return -1;
    struct asking asking = { .base_url = url,
                             .path = "/v1/renew",
                             .urn = present.urn,
                             .key_pem = key_pem,
                             .ca_pem = ca_pem,
                             .cert_pem = cert_pem,
                             .hosts = hosts,
                             .timeout_ms = DEADLINE_MS };
    char *cert = fetch_cert(&asking, err);
    if (!cert) return err_wrap(err, "renew the certificate of %s", present.urn);
    *ret_cert_pem = cert;
    return 0;
}
