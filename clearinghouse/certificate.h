/*
 * Certificates: first ones by a one-time secret (enrolment), later ones by the one before
 * (renewal), and what was revoked. Users' serve clients alone; those of services and nodes also
 * serve as servers, under the host names that they ask for.
 */
#ifndef JOGAK_CLEARINGHOUSE_CERTIFICATE_H
#define JOGAK_CLEARINGHOUSE_CERTIFICATE_H

#include "common/http.h"
#include "common/pki.h"

struct house;

/* Issues for `urn` over the csr in a request {csr, hosts?}: nothing is stored yet. hosts: array or
 * NULL. Returns the PEM text; the caller frees. */
char *certificate_issue(const struct house *h, const char *csr, const char *urn, const json *hosts,
                        struct pki_cert *ret_facts, struct err *err);
/* {certificate, ca, urn, expires} */
json *certificate_answer(const struct house *h, const char *pem, const struct pki_cert *facts);

int certificate_renew(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err);
int revocation_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err);
int revocation_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err);

#endif
