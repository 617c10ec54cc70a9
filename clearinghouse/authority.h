/*
 * The authority: the testbed's certificate authority and our own server certificate.
 *
 * Both live in the state directory: ca.key and ca.crt (made on the first start, good for ten
 * years), identity.key and identity.crt (issued by ourselves, renewed while the service runs or
 * starts with less than 30 days left). Keys have mode 0600. A key is written before the
 * certificate that needs it, so that a start after a crash finds the key and goes on from there.
 */
#ifndef JOGAK_CLEARINGHOUSE_AUTHORITY_H
#define JOGAK_CLEARINGHOUSE_AUTHORITY_H

#include "common/err.h"
#include "common/ids.h"
#include "common/pki.h"

#define AUTHORITY_RENEW_MS (30 * 86400000LL)
#define AUTHORITY_HOSTS_MAX 8

struct authority {
    char name[128];                  /* "example.org" */
    char urn[URN_MAX_BYTES];         /* urn:publicid:IDN+example.org+authority+ca */
    char service_urn[URN_MAX_BYTES]; /* urn:publicid:IDN+example.org+sa+clearinghouse */
    char *ca_key_pem, *ca_cert_pem;
    char *key_pem, *cert_pem; /* of our server */
    int64_t server_days;      /* life of the server's certificate */
    int64_t server_expires_ms;
};

/* Loads, or makes on the first start. name is the authority's ("example.org"), host what goes into
 * the server's certificate. Errors: ERR_CONFLICT when the files belong to an authority of another
 * name, ERR_INVALID for a bad name, or the disk's. */
int authority_open(struct authority *a, const char *state_dir, const char *name, const char *host,
                   int64_t server_days, struct err *err);
void authority_close(struct authority *a);

bool authority_server_due(const struct authority *a);
/* Is the server's certificate due? Then make a new one (and its key stays): 1 when it was renewed,
 * 0 when not due, -1. Only for a moment in which nothing reads cert_pem. */
int authority_renew_server(struct authority *a, const char *state_dir, const char *host,
                           struct err *err);

/* Issues a certificate for `urn` over the key in csr_pem; the caller frees it. hosts may be NULL;
 * facts of the new certificate go to ret_facts. Errors: ERR_INVALID for a bad request. */
char *authority_issue(const struct authority *a, const char *csr_pem, const char *urn,
                      const char *const *hosts, unsigned uses, int64_t not_after_ms,
                      struct pki_cert *ret_facts, struct err *err);

/* Is this an authority's name: 1 to 63 of a-z A-Z 0-9 . -, starting with a letter or digit? */
bool authority_name_valid(const char *name);

#endif
