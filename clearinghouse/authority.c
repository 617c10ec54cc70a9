#include "authority.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/service.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

LOG_MODULE("ch.authority");

#define CA_DAYS 3650
#define DAY_MS 86400000LL
#define PEM_MAX_BYTES 65536

bool authority_name_valid(const char *name) {
    size_t n = strlen(name);
    if (n < 1 || n > 63 || !isalnum((unsigned char)name[0])) return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '.' && name[i] != '-') return false;
    return true;
}

static char *path_in(const char *dir, const char *file) { return xasprintf("%s/%s", dir, file); }

/* 1: *ret is the text; 0: no such file; -1. */
static int load(const char *path, char **ret, struct err *err) {
    if (access(path, F_OK) != 0 && errno == ENOENT) return 0;
    *ret = file_read(path, PEM_MAX_BYTES, NULL, err);
    return *ret ? 1 : -1;
}

/* A private key: the file's, or a new one that is on disk when this returns. */
static char *key_open(const char *path, struct err *err) {
    char *key = NULL;
    int found = load(path, &key, err);
    if (found < 0) return NULL;
    if (found > 0) return key;
    key = pki_key_new(err);
    if (key && file_write(path, key, strlen(key), 0600, err) != 0) {
        pki_wipe(key);
        return NULL;
    }
    return key;
}

static int check_ca(const struct authority *a, const char *path, struct err *err) {
    struct pki_cert facts;
    if (pki_cert_read(a->ca_cert_pem, &facts, err) != 0) return err_wrap(err, "%s", path);
    if (strcmp(facts.urn, a->urn) != 0) {
        err_set(err, ERR_CONFLICT, "%s is the authority %s, the configuration says %s", path,
                facts.urn, a->urn);
        return err_remedy(err, "An authority keeps its name: set [authority] name back, or use "
                               "another state_dir for a new authority.");
    }
    if (pki_key_matches(a->ca_key_pem, a->ca_cert_pem, err) != 0)
        return err_wrap(err, "%s does not belong to the key beside it", path);
    return 0;
}

static int ca_open(struct authority *a, const char *dir, struct err *err) {
    AUTO_FREE char *key_path = path_in(dir, "ca.key");
    AUTO_FREE char *cert_path = path_in(dir, "ca.crt");
    int found = load(cert_path, &a->ca_cert_pem, err);
    if (found < 0) return -1;
    if (found > 0 && access(key_path, F_OK) != 0) {
        err_set(err, ERR_NOT_FOUND, "%s is there, but its key %s is not", cert_path, key_path);
        return err_remedy(err, "Restore ca.key from the backup; without it nothing can be issued.");
    }
    a->ca_key_pem = key_open(key_path, err);
    if (!a->ca_key_pem) return -1;
    if (found > 0) return check_ca(a, cert_path, err);
    a->ca_cert_pem = pki_authority_new(a->ca_key_pem, a->urn, CA_DAYS, err);
    if (!a->ca_cert_pem) return -1;
    if (file_write(cert_path, a->ca_cert_pem, strlen(a->ca_cert_pem), 0644, err) != 0) return -1;
    log_info("authority made", "urn=%s days=%d", a->urn, CA_DAYS);
    return 0;
}

char *authority_issue(const struct authority *a, const char *csr_pem, const char *urn,
                      const char *const *hosts, unsigned uses, int64_t not_after_ms,
                      struct pki_cert *ret_facts, struct err *err) {
    struct pki_cert ca;
    if (pki_cert_read(a->ca_cert_pem, &ca, err) != 0) return NULL;
    const struct pki_issue what = {
        .ca_key_pem = a->ca_key_pem,
        .ca_cert_pem = a->ca_cert_pem,
        .csr_pem = csr_pem,
        .urn = urn,
        .hosts = hosts,
        .uses = uses,
        .not_after_ms = not_after_ms < ca.not_after_ms ? not_after_ms : ca.not_after_ms,
    };
    AUTO_FREE char *cert = pki_issue(&what, err);
    if (!cert || pki_cert_read(cert, ret_facts, err) != 0) return NULL;
    return STEAL(cert);
}

/* Issue our own certificate, put it on disk, and only then use it. */
static int server_issue(struct authority *a, const char *path, const char *host, struct err *err) {
    AUTO_FREE char *csr = pki_csr_new(a->key_pem, a->service_urn, err);
    if (!csr) return -1;
    const char *const hosts[] = { host, NULL };
    struct pki_cert facts;
    AUTO_FREE char *cert =
        authority_issue(a, csr, a->service_urn, hosts, PKI_USE_SERVER | PKI_USE_CLIENT,
                        clock_wall_ms() + a->server_days * DAY_MS, &facts, err);
    if (!cert || file_write(path, cert, strlen(cert), 0644, err) != 0) return -1;
    free(a->cert_pem);
    a->cert_pem = STEAL(cert);
    a->server_expires_ms = facts.not_after_ms;
    char text[CLOCK_TEXT_BYTES];
    log_info("server certificate issued", "urn=%s host=%s expires=%s", a->service_urn, host,
             clock_rfc3339(facts.not_after_ms, text));
    return 0;
}

/* Keep the certificate on disk only if it is ours, of our key, and names this host. */
static bool server_usable(struct authority *a, const char *host_path, const char *host) {
    struct pki_cert facts;
    struct err ignored = ERR_INIT;
    if (pki_cert_read(a->cert_pem, &facts, &ignored) != 0) return false;
    if (pki_key_matches(a->key_pem, a->cert_pem, &ignored) != 0) return false;
    if (pki_cert_verify(a->cert_pem, a->ca_cert_pem, PKI_USE_SERVER, &ignored) != 0) return false;
    AUTO_FREE char *was = NULL;
    if (load(host_path, &was, &ignored) != 1 || strcmp(was, host) != 0) return false;
    a->server_expires_ms = facts.not_after_ms;
    return true;
}

static int server_open(struct authority *a, const char *dir, const char *host, struct err *err) {
    AUTO_FREE char *key_path = path_in(dir, "identity.key");
    AUTO_FREE char *cert_path = path_in(dir, "identity.crt");
    AUTO_FREE char *host_path = path_in(dir, "identity.host");
    a->key_pem = key_open(key_path, err);
    if (!a->key_pem) return -1;
    int found = load(cert_path, &a->cert_pem, err);
    if (found < 0) return -1;
    if (found > 0 && server_usable(a, host_path, host))
        return authority_renew_server(a, dir, host, err) < 0 ? -1 : 0;
    if (server_issue(a, cert_path, host, err) != 0) return -1;
    return file_write(host_path, host, strlen(host), 0644, err);
}

/* A life shorter than twice the margin is renewed at its half. */
bool authority_server_due(const struct authority *a) {
    int64_t margin_ms = a->server_days * DAY_MS / 2;
    if (margin_ms > AUTHORITY_RENEW_MS) margin_ms = AUTHORITY_RENEW_MS;
    return a->server_expires_ms - clock_wall_ms() < margin_ms;
}

int authority_renew_server(struct authority *a, const char *state_dir, const char *host,
                           struct err *err) {
    if (!authority_server_due(a)) return 0;
    AUTO_FREE char *cert_path = path_in(state_dir, "identity.crt");
    return server_issue(a, cert_path, host, err) == 0 ? 1 : -1;
}

int authority_open(struct authority *a, const char *state_dir, const char *name, const char *host,
                   int64_t server_days, struct err *err) {
    memset(a, 0, sizeof *a);
    if (!authority_name_valid(name)) {
        err_set(err, ERR_INVALID, "\"%s\" can not name an authority", name);
        return err_remedy(err,
                          "Set [authority] name to the testbed's domain name, as example.org.");
    }
    snprintf(a->name, sizeof a->name, "%s", name);
    urn_text(a->urn, name, "authority", "ca");
    urn_text(a->service_urn, name, "sa", "clearinghouse");
    a->server_days = server_days;
    if (ca_open(a, state_dir, err) != 0 || server_open(a, state_dir, host, err) != 0) {
        authority_close(a);
        return -1;
    }
    return 0;
}

void authority_close(struct authority *a) {
    pki_wipe(a->ca_key_pem);
    pki_wipe(a->key_pem);
    free(a->ca_cert_pem);
    free(a->cert_pem);
    a->ca_key_pem = a->ca_cert_pem = a->key_pem = a->cert_pem = NULL;
}
