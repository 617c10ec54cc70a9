/*
 * Who I am and whom I talk to: the user's identity, what is configured, and calls to the services.
 *
 * Everything is in one directory ($JOGAK_HOME, or ~/.config/jogak): identity.key, .crt and .ca,
 * `config` (INI), and credentials/, which can always be fetched anew. Files are 0600 and are written
 * whole or not at all; where identity.crt is, the identity is whole.
 *
 * Calls block. A service is known by its URN, not by its host's name.
 */
#ifndef JOGAK_CLI_SESSION_H
#define JOGAK_CLI_SESSION_H

#include "common/http_client.h"

enum session_service { SESSION_CLEARINGHOUSE, SESSION_AGGREGATE, SESSION_STORE };

/* Instead of a slice's name: the credential of an operator, for the whole aggregate. */
#define SESSION_AS_OPERATOR "operator"

struct session_config {
    char *clearinghouse;            /* URLs */
    char *aggregate, *aggregate_urn;
    char *store, *store_urn;
    char *project, *slice;          /* defaults; "" for none */
};
/* How calls are carried out; tests put their own in. */
struct session_transport {
    void *ctx;
    int (*call)(void *ctx, const struct http_call *call, struct http_answer *ret, struct err *err);
};
struct session {
    bool open;
    struct session_transport transport; /* all zero: the network */
    char *dir;
    struct session_config config;
    char *key_pem, *cert_pem, *ca_pem;
    char urn[256], authority[128];
    int64_t expires_ms; /* of the certificate, wall clock */
    struct http_client *client;
};

/* Loads the identity; nothing on later calls. Errors: ERR_UNAUTHENTICATED without an identity. */
int session_open(struct session *s, struct err *err);
void session_close(struct session *s);

/* Enrols with a one-time token and stores the identity, replacing an earlier one, and opens the
 * session. After a failure the same token may be tried again. */
int session_login(struct session *s, const char *token, struct err *err);
/* A new certificate for the same key. */
int session_renew(struct session *s, struct err *err);
/* Asks the registry where aggregate and store are, and keeps that in the configuration. A choice
 * that was made and is still there stays. */
int session_learn_services(struct session *s, struct err *err);
/* Writes the configuration. */
int session_save(struct session *s, struct err *err);
/* Replaces one configured text; borrows value. */
void session_set(char **field, const char *value);

/* The configured slice, or NULL; is "project:name" well formed? */
const char *session_slice(const struct session *s);
int session_slice_valid(const char *slice, struct err *err);

/* The URL and URN (NULL: not known) of a service; looked up in the registry when not known.
 * Borrowed. */
int session_service(struct session *s, enum session_service which, const char **ret_url,
                    const char **ret_urn, struct err *err);

/* The credential for a slice ("project:name") or SESSION_AS_OPERATOR, from the cache or the clearing
 * house. Returns its text; the caller frees. ret_facts (may be NULL) gets the clearing house's whole
 * answer, the caller's to json_put(). */
char *session_credential(struct session *s, const char *of, bool fresh, json **ret_facts,
                         struct err *err);

/* The next call fetches a new one. */
void session_forget_credential(struct session *s, const char *of);

/* One call. body is taken (may be NULL), as: the slice whose credential goes with it,
 * SESSION_AS_OPERATOR, or NULL for none. Returns the JSON answer, an empty object for an empty one;
 * NULL with *err, its message without the peer's URN in front. */
json *session_json(struct session *s, enum session_service to, const char *as, const char *method,
                   json *body, struct err *err, const char *path, ...)
    __attribute__((format(printf, 7, 8)));
/* The items of a list, of all its pages. */
json *session_list(struct session *s, enum session_service to, const char *as, struct err *err,
                   const char *path, ...) __attribute__((format(printf, 5, 6)));
/* A streamed GET: on_data gets each piece and ends it by returning non-zero. headers as in
 * http_call, may be NULL. timeout_ms ends it with ERR_TIMEOUT; 0: never (a week). */
int session_stream(struct session *s, enum session_service to, const char *as, const char *path,
                   const char *const *headers,
                   int (*on_data)(void *ctx, const void *data, size_t length), void *ctx,
                   int64_t timeout_ms, struct err *err);
/* To any URL: for the console, which is at the node. */
int session_call(struct session *s, const struct http_call *call, struct http_answer *ret,
                 struct err *err);

#endif
