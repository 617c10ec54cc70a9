/*
 * The first certificate, later ones, and learning where the services are.
 *
 * Order of the files at a login, so that it can be broken off at any instant: the new key waits in
 * pending.key until everything else is there, and is used again by a second try with the same
 * token (the clearing house answers the same key again). identity.crt goes first and comes last.
 */
#include "session_internal.h"

#include "common/enroll.h"
#include "common/ids.h"
#include "common/pki.h"
#include "common/service.h"

#include <stdio.h>

#define TIMEOUT_MS 15000

static int keep(const struct session *s, const char *name, const char *text, struct err *err) {
    char *path AUTO_FREE = session_path(s, name);
    return file_write(path, text, strlen(text), 0600, err);
}

static void drop(const struct session *s, const char *name) {
    char *path AUTO_FREE = session_path(s, name);
    unlink(path);
}

static char *pending_key(const struct session *s, struct err *err) {
    char *path AUTO_FREE = session_path(s, "pending.key");
    char *key = file_read(path, 65536, NULL, NULL);
    char *csr AUTO_FREE = key ? pki_csr_new(key, NULL, NULL) : NULL;
    if (csr) return key;
    pki_wipe(key);
    key = pki_key_new(err);
    if (!key || keep(s, "pending.key", key, err) == 0) return key;
    pki_wipe(key);
    return NULL;
}

/* What was cached for somebody else must not be used. */
static void forget_others(struct session *s) {
    session_set(&s->config.aggregate, NULL);
    session_set(&s->config.aggregate_urn, NULL);
    session_set(&s->config.store, NULL);
    session_set(&s->config.store_urn, NULL);
    session_set(&s->config.project, NULL);
    session_set(&s->config.slice, NULL);
}

static int store(struct session *s, const struct enroll_token *t, struct err *err) {
    drop(s, "identity.crt");
    forget_others(s);
    session_set(&s->config.clearinghouse, t->url);
    if (keep(s, "identity.key", s->key_pem, err) || keep(s, "identity.ca", s->ca_pem, err) ||
        session_save(s, err) || keep(s, "identity.crt", s->cert_pem, err))
        return -1;
    drop(s, "pending.key");
    return 0;
}

int session_login(struct session *s, const char *token, struct err *err) {
    struct enroll_token t;
    static const char *const no_hosts[] = { NULL };
    if (session_begin(s, err) || enroll_token_parse(token, &t, err)) return -1;
    if (!urn_is(t.urn, "user", NULL)) {
        err_set(err, ERR_INVALID, "the token is for %s, which is not a user", t.urn);
        return err_remedy(err, "services and nodes enrol by themselves: put it into the file that "
                               "their setting enroll_token names");
    }
    if (dir_make(s->dir, 0700, err) || !(s->key_pem = pending_key(s, err)) ||
        enroll(&t, s->key_pem, no_hosts, &s->cert_pem, &s->ca_pem, err) || store(s, &t, err))
        return -1;
    return session_connect(s, err);
}

int session_renew(struct session *s, struct err *err) {
    char *csr AUTO_FREE = pki_csr_new(s->key_pem, s->urn, err);
    if (!csr) return -1;
    json *answer AUTO_JSON = session_json(s, SESSION_CLEARINGHOUSE, NULL, "POST",
                                          json_set_str(json_object(), "csr", csr), err, "/v1/renew");
    const char *cert = json_get_str(answer, "certificate");
    if (!answer) return -1;
    if (!cert || pki_key_matches(s->key_pem, cert, err))
        return err_set(err, ERR_INTEGRITY, "the clearing house answered with a foreign certificate");
    if (keep(s, "identity.crt", cert, err)) return -1;
    free(s->cert_pem);
    s->cert_pem = xstrdup(cert);
    return session_connect(s, err);
}

/* --- the registry --- */

/* Fills URL and URN from the service of this type that was chosen before, or else from the first. */
static void choose(const json *services, const char *type, char **url, char **urn) {
    const json *chosen = NULL;
    for (size_t i = 0; i < json_length(services); i++) {
        const json *one = json_at(services, i);
        const char *is = json_get_str(one, "type"), *name = json_get_str(one, "urn");
        if (!is || !name || strcmp(is, type)) continue;
        if (!chosen || (*urn && strcmp(*urn, name) == 0)) chosen = one;
    }
    session_set(url, json_get_str(chosen, "url"));
    session_set(urn, json_get_str(chosen, "urn"));
}

int session_learn_services(struct session *s, struct err *err) {
    json *services AUTO_JSON =
        session_list(s, SESSION_CLEARINGHOUSE, NULL, err, "/v1/services?limit=1000");
    if (!services) return -1;
    choose(services, "am", &s->config.aggregate, &s->config.aggregate_urn);
    choose(services, "ss", &s->config.store, &s->config.store_urn);
    return session_save(s, err);
}
