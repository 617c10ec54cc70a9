#include "enroll.h"

#include "clock.h"
#include "http_client.h"
#include "ids.h"
#include "pki.h"

#include <stdio.h>

#define CA_MAX_BYTES 65536
#define DEADLINE_MS 15000

static char *url_of(const struct enroll_token *t, const char *path) {
    size_t n = strlen(t->url);
    while (n > 0 && t->url[n - 1] == '/') n--;
    return xasprintf("%.*s%s", (int)n, t->url, path);
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
    char *url AUTO_FREE = url_of(t, "/v1/ca");
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

static json *request_body(const struct enroll_token *t, const char *csr, const char *const *hosts) {
    json *body = json_object(), *list = json_array();
    for (size_t i = 0; hosts && hosts[i]; i++) json_add(list, json_string(hosts[i]));
    json_set_str(body, "secret", t->secret);
    json_set_str(body, "csr", csr);
    json_set(body, "hosts", list);
    return body;
}

/* What we got must be ours before we keep it. */
static int check_cert(const struct enroll_token *t, const char *cert_pem, const char *key_pem,
                      const char *ca_pem, struct err *err) {
    struct pki_cert facts;
    if (!cert_pem) return err_set(err, ERR_INVALID, "the answer holds no certificate");
    if (pki_cert_read(cert_pem, &facts, err)) return -1;
    if (strcmp(facts.urn, t->urn) != 0)
        return err_set(err, ERR_INTEGRITY, "the certificate is for %s, not %s", facts.urn, t->urn);
    if (pki_key_matches(key_pem, cert_pem, err)) return -1;
    return pki_cert_verify(cert_pem, ca_pem, PKI_USE_CLIENT, err);
}

static char *fetch_cert(const struct enroll_token *t, const char *key_pem, const char *ca_pem,
                        const char *const *hosts, int64_t timeout_ms, struct err *err) {
    struct urn urn;
    char peer[URN_MAX_BYTES + 8];
    if (urn_parse(t->urn, &urn, err)) return NULL;
    urn_text(peer, urn.authority, "sa", ""); /* ends in '+': whatever its name */
    char *csr AUTO_FREE = pki_csr_new(key_pem, t->urn, err);
    if (!csr) return NULL;
    struct http_client_options options = { .ca_pem = ca_pem, .peer_urn = peer };
    json *body AUTO_JSON = request_body(t, csr, hosts);
    struct http_answer answer AUTO_ANSWER = { .status = 0 };
    char *url AUTO_FREE = url_of(t, "/v1/enroll");
    struct http_call post = {
        .method = "POST", .url = url, .body = body, .timeout_ms = timeout_ms
    };
    if (call_once(&options, &post, &answer, err)) return NULL;
    const char *cert = json_get_str(answer.body, "certificate");
    return check_cert(t, cert, key_pem, ca_pem, err) ? NULL : xstrdup(cert);
}

int enroll(const struct enroll_token *t, const char *key_pem, const char *const *hosts,
           char **ret_cert_pem, char **ret_ca_pem, struct err *err) {
    int64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    char *ca AUTO_FREE = fetch_ca(t, err);
    if (!ca) return err_wrap(err, "enrol %s", t->urn);
    int64_t left_ms = end_ms - clock_monotonic_ms();
    char *cert = fetch_cert(t, key_pem, ca, hosts, left_ms > 1 ? left_ms : 1, err);
    if (!cert) return err_wrap(err, "enrol %s", t->urn);
    *ret_cert_pem = cert;
    *ret_ca_pem = STEAL(ca);
    return 0;
}
