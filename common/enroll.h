/*
 * Enrolment: how a user, an aggregate, a store or a node gets its first certificate.
 *
 * The clearing house makes a one-time token for a URN. The token's text is base64url(JSON
 * {v:1, url, ca: SHA-256 of the authority's certificate, urn, secret}); the clearing house keeps
 * only a hash of the secret. The holder makes its key, fetches GET <url>/v1/ca without trust,
 * accepts that certificate only if its digest is the token's, and sends POST <url>/v1/enroll
 * {secret, csr, hosts} over TLS verified with it: the answer is {certificate, ca}. The same call with
 * the same key may be repeated for ten minutes, since an answer can be lost.
 */
#ifndef JOGAK_ENROLL_H
#define JOGAK_ENROLL_H

#include "err.h"

struct enroll_token {
    char url[256];
    char ca_fingerprint[65];
    char urn[256];
    char secret[64];
};
int enroll_token_parse(const char *text, struct enroll_token *ret, struct err *err);
char *enroll_token_text(const struct enroll_token *t); /* caller frees */
/* Blocks (deadline 15 s). hosts as in struct pki_issue. The caller frees the outputs. */
int enroll(const struct enroll_token *t, const char *key_pem, const char *const *hosts,
           char **ret_cert_pem, char **ret_ca_pem, struct err *err);
/* A new certificate for the URN of the present one (POST <url>/v1/renew, shown with mutual TLS).
 * Blocks (deadline 15 s). hosts: those the new one shall have. The caller frees the output. */
int enroll_renew(const char *url, const char *key_pem, const char *cert_pem, const char *ca_pem,
                 const char *const *hosts, char **ret_cert_pem, struct err *err);

#endif
