/*
 * GET /v1/credential: what makes an operator an operator at the aggregates, which know no users.
 * Its target is the authority itself; its privileges hold for every slice.
 */
#ifndef JOGAK_CLEARINGHOUSE_OPERATOR_CREDENTIAL_H
#define JOGAK_CLEARINGHOUSE_OPERATOR_CREDENTIAL_H

#include "common/credential.h"
#include "common/http.h"

int operator_credential(void *house, const struct http_request *req, struct http_reply *reply,
                        struct err *err);

/* The answer that carries a signed credential (schema Credential). Borrows both. */
void credential_answer(const struct credential *c, const char *text, struct http_reply *reply);

#endif
