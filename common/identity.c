/*
 * A service's identity on disk, and its making on the first start.
 *
 * Order of the files, so that a start after SIGKILL at any instant goes on: the key comes first
 * (the clearing house answers the same key again), then authority and URL, and the certificate
 * last: where it is, the identity is whole. Only then the token goes.
 */
#include "service.h"

#include "clock.h"
#include "enroll.h"
#include "ids.h"
#include "log.h"
#include "mem.h"
#include "pki.h"

#include <errno.h>
#include <stdio.h>

LOG_MODULE("identity");

#define FILE_MAX_BYTES 65536

static char *path_of(const struct service_config *config, const char *suffix) {
    return xasprintf("%s/identity.%s", config->state_dir, suffix);
}

static int keep(const struct service_config *config, const char *suffix, const char *text,
                struct err *err) {
    char *path AUTO_FREE = path_of(config, suffix);
    return file_write(path, text, strlen(text), 0600, err);
}

static char *load(const struct service_config *config, const char *suffix, struct err *err) {
    char *path AUTO_FREE = path_of(config, suffix);
    return file_read(path, FILE_MAX_BYTES, NULL, err);
}

static bool exists(const struct service_config *config) {
    char *path AUTO_FREE = path_of(config, "crt");
    return access(path, F_OK) == 0;
}

static bool has_token(const struct service_config *config) {
    return config->enroll_token[0] && access(config->enroll_token, F_OK) == 0;
}

/* --- making --- */

/* The key of an attempt that was cut short, or a new one. */
static char *own_key(const struct service_config *config, struct err *err) {
    char *key = load(config, "key", NULL);
    char *csr AUTO_FREE = key ? pki_csr_new(key, NULL, NULL) : NULL;
    if (csr) return key;
    pki_wipe(key);
    key = pki_key_new(err);
    if (key && keep(config, "key", key, err)) {
        pki_wipe(key);
        return NULL;
    }
    return key;
}

static bool is_any_address(const char *address) {
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

/* The names that others reach us by; the array ends with NULL. */
static void fill_hosts(const struct service_config *config, const char *ret[3]) {
    bool second = !is_any_address(config->listen_address) &&
                  strcmp(config->listen_address, config->advertise_host) != 0;
    ret[0] = config->advertise_host;
    ret[1] = second ? config->listen_address : NULL;
    ret[2] = NULL;
}

static int make_with(const struct service_config *config, const struct enroll_token *token,
                     const char *key, struct err *err) {
    const char *hosts[3];
    fill_hosts(config, hosts);
    char *cert AUTO_FREE = NULL, *ca AUTO_FREE = NULL;
    if (enroll(token, key, hosts, &cert, &ca, err)) return -1;
    if (keep(config, "ca", ca, err) || keep(config, "url", token->url, err)) return -1;
    return keep(config, "crt", cert, err);
}

static int make(const struct service_config *config, const char *type, struct err *err) {
    char *text AUTO_FREE = file_read(config->enroll_token, 4096, NULL, err);
    struct enroll_token token;
    if (!text || enroll_token_parse(text, &token, err))
        return err_wrap(err, "%s", config->enroll_token);
    if (!urn_is(token.urn, type, NULL)) {
        err_set(err, ERR_UNPROCESSABLE, "%s: the token is for %s, not for a service of type %s",
                config->enroll_token, token.urn, type);
        return err_remedy(err, "ask the clearing house's operator for a token of type %s", type);
    }
    char *key = own_key(config, err);
    int rc = key ? make_with(config, &token, key, err) : -1;
    pki_wipe(key);
    if (rc == 0) log_info("enrolled", "urn=%s clearinghouse=%s", token.urn, token.url);
    return rc;
}

/* --- loading --- */

static int check(const struct identity *i, const char *type, struct err *err) {
    if (!urn_is(i->urn, type, NULL))
        return err_set(err, ERR_UNPROCESSABLE, "the certificate is for %s, not of type %s", i->urn,
                       type);
    if (pki_key_matches(i->key_pem, i->cert_pem, err)) return -1;
    return pki_cert_verify(i->cert_pem, i->ca_pem, PKI_USE_CLIENT, err);
}

static int read_files(const struct service_config *config, struct identity *ret, struct err *err) {
    struct pki_cert facts;
    char *url AUTO_FREE = load(config, "url", err);
    ret->key_pem = load(config, "key", err);
    ret->cert_pem = load(config, "crt", err);
    ret->ca_pem = load(config, "ca", err);
    if (!url || !ret->key_pem || !ret->cert_pem || !ret->ca_pem) return -1;
    if (pki_cert_read(ret->cert_pem, &facts, err)) return -1;
    snprintf(ret->urn, sizeof ret->urn, "%s", facts.urn);
    snprintf(ret->clearinghouse_url, sizeof ret->clearinghouse_url, "%s", url);
    return 0;
}

static int load_identity(const struct service_config *config, const char *type,
                         struct identity *ret, struct err *err) {
    struct identity i = { .key_pem = NULL };
    if (read_files(config, &i, err) || check(&i, type, err)) {
        identity_done(&i);
        err_wrap(err, "identity in %s", config->state_dir);
        return err_remedy(err, "get a new token from the clearing house's operator and put it "
                               "where enroll_token says, then start again");
    }
    *ret = i;
    return 0;
}

/* --- renewing --- */

static bool is_due(const struct pki_cert *facts) {
    int64_t life_ms = facts->not_after_ms - facts->not_before_ms;
    return facts->not_after_ms - clock_wall_ms() < life_ms / 3;
}

int identity_renew(const struct service_config *config, struct identity *i, struct err *err) {
    struct pki_cert facts;
    if (pki_cert_read(i->cert_pem, &facts, err)) return -1;
    if (!is_due(&facts)) return 0;
    const char *hosts[3];
    char *cert AUTO_FREE = NULL;
    fill_hosts(config, hosts);
    if (enroll_renew(i->clearinghouse_url, i->key_pem, i->cert_pem, i->ca_pem, hosts, &cert, err))
        return -1;
    if (keep(config, "crt", cert, err)) return -1;
    free(i->cert_pem);
    i->cert_pem = STEAL(cert);
    log_info("certificate renewed", "urn=%s", i->urn);
    return 1;
}

static void renew_if_due(const struct service_config *config, struct identity *i) {
    struct err err = ERR_INIT;
    if (identity_renew(config, i, &err) < 0)
        log_warn("certificate not renewed", "reason=\"%s\"", err.msg);
}

/* --- opening --- */

static void remove_token(const struct service_config *config) {
    if (has_token(config) && unlink(config->enroll_token))
        log_warn("token file cannot be removed", "path=%s errno=%d", config->enroll_token, errno);
}

int identity_open(const struct service_config *config, const char *type, struct identity *ret,
                  struct err *err) {
    struct err why = ERR_INIT;
    bool loaded = exists(config) && load_identity(config, type, ret, &why) == 0;
    if (!loaded && has_token(config)) {
        if (make(config, type, err)) return -1;
        if (load_identity(config, type, ret, err)) return -1;
        loaded = true;
    }
    if (loaded) {
        remove_token(config); /* also one that a killed start has left */
        renew_if_due(config, ret);
        return 0;
    }
    if (why.code == ERR_NONE) {
        err_set(&why, ERR_UNAUTHENTICATED, "there is no identity in %s, and no token",
                config->state_dir);
        err_remedy(&why, "get a token from the clearing house's operator and name its file as "
                         "enroll_token in section [service]");
    }
    if (err) *err = why;
    return -1;
}

void identity_done(struct identity *i) {
    if (!i) return;
    pki_wipe(i->key_pem);
    free(i->cert_pem);
    free(i->ca_pem);
    memset(i, 0, sizeof *i);
}
