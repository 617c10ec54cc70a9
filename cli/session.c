#include "session.h"

#include "common/clock.h"
#include "common/config.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/pki.h"
#include "common/service.h"
#include "session_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX_BYTES 65536

#define ROW(key, help) \
    { "jogak", #key, CONFIG_STRING, offsetof(struct session_config, key), 0, 0, "", NULL, help }
static const struct config_row rows[] = {
    ROW(clearinghouse, "URL of the clearing house."),
    ROW(aggregate, "URL of the aggregate manager; empty: ask the registry."),
    ROW(aggregate_urn, "Its URN."),
    ROW(store, "URL of the sliver store; empty: ask the registry."),
    ROW(store_urn, "Its URN."),
    ROW(project, "The project of new slices, when none is named."),
    ROW(slice, "The slice of commands that name none, project:name."),
};

char *session_path(const struct session *s, const char *name) {
    return xasprintf("%s/%s", s->dir, name);
}

static char *find_dir(struct err *err) {
    const char *own = getenv("JOGAK_HOME"), *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (own && *own) return xstrdup(own);
    if (config && *config == '/') return xasprintf("%s/jogak", config);
    if (home && *home) return xasprintf("%s/.config/jogak", home);
    err_set(err, ERR_INVALID, "there is no home directory");
    err_remedy(err, "set HOME, or JOGAK_HOME to a directory for jogak's files");
    return NULL;
}

int session_begin(struct session *s, struct err *err) {
    if (s->dir) return 0;
    char *dir = find_dir(err);
    if (!dir) return -1;
    s->dir = dir;
    char *path AUTO_FREE = session_path(s, "config"), id[UUID_TEXT_BYTES];
    log_set_request_id(uuid_new(id));
    return config_load(path, rows, COUNT_OF(rows), &s->config, err);
}

int session_save(struct session *s, struct err *err) {
    char *text = NULL, *path AUTO_FREE = session_path(s, "config");
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) abort();
    config_print(out, rows, COUNT_OF(rows), &s->config);
    fclose(out);
    int rc = dir_make(s->dir, 0700, err) || file_write(path, text, length, 0600, err) ? -1 : 0;
    free(text);
    return rc;
}

void session_set(char **field, const char *value) {
    char *copy = xstrdup(value ? value : "");
    free(*field);
    *field = copy;
}

static char *load(const struct session *s, const char *name, struct err *err) {
    char *path AUTO_FREE = session_path(s, name);
    return file_read(path, FILE_MAX_BYTES, NULL, err);
}

int session_connect(struct session *s, struct err *err) {
    struct pki_cert cert;
    struct urn urn;
    if (pki_cert_read(s->cert_pem, &cert, err) || urn_parse(cert.urn, &urn, err)) return -1;
    snprintf(s->urn, sizeof s->urn, "%s", cert.urn);
    snprintf(s->authority, sizeof s->authority, "%s", urn.authority);
    s->expires_ms = cert.not_after_ms;
    if (s->expires_ms <= clock_wall_ms()) {
        err_set(err, ERR_UNAUTHENTICATED, "your certificate has expired");
        return err_remedy(err, "ask an operator for a new token, then: jogak login --token FILE");
    }
    const struct http_client_options options = {
        .key_pem = s->key_pem, .cert_pem = s->cert_pem, .ca_pem = s->ca_pem,
        .user_agent = "jogak-cli/" JOGAK_VERSION,
    };
    http_client_free(STEAL(s->client));
    s->client = http_client_new(&options, err);
    s->open = s->client != NULL;
    return s->client ? 0 : -1;
}

int session_open(struct session *s, struct err *err) {
    if (s->open) return 0;
    if (session_begin(s, err)) return -1;
    char *crt AUTO_FREE = session_path(s, "identity.crt");
    if (access(crt, F_OK)) {
        err_set(err, ERR_UNAUTHENTICATED, "you have not logged in yet (there is no %s)", crt);
        return err_remedy(err, "ask an operator for a token, then: jogak login --token FILE");
    }
    s->key_pem = load(s, "identity.key", err);
    s->cert_pem = s->key_pem ? load(s, "identity.crt", err) : NULL;
    s->ca_pem = s->cert_pem ? load(s, "identity.ca", err) : NULL;
    if (!s->ca_pem || pki_key_matches(s->key_pem, s->cert_pem, err)) {
        err_wrap(err, "the identity in %s cannot be used", s->dir);
        return err_remedy(err, "ask an operator for a token, then: jogak login --token FILE");
    }
    return session_connect(s, err);
}

void session_close(struct session *s) {
    http_client_free(s->client);
    pki_wipe(s->key_pem);
    free(s->cert_pem);
    free(s->ca_pem);
    free(s->dir);
    config_free(rows, COUNT_OF(rows), &s->config);
    struct session_transport transport = s->transport;
    *s = (struct session){ .transport = transport };
}

const char *session_slice(const struct session *s) {
    return s->config.slice && s->config.slice[0] ? s->config.slice : NULL;
}

int session_slice_valid(const char *slice, struct err *err) {
    const char *colon = strchr(slice, ':');
    char project[64];
    bool good = colon && colon - slice < (ptrdiff_t)sizeof project && name_valid_slice(colon + 1);
    if (good) {
        snprintf(project, sizeof project, "%.*s", (int)(colon - slice), slice);
        good = name_valid(project);
    }
    if (good) return 0;
    err_set(err, ERR_INVALID, "\"%.80s\" names no slice", slice);
    return err_remedy(err, "write project:name, as in the list: jogak slice list");
}
