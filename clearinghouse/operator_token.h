/*
 * The first operator. On the first start there is nobody who could let anybody in: the user
 * "operator" is made, and a one-time token for it is written to <state_dir>/operator.token (0600).
 * As long as the operator has never enrolled, a start makes the token anew when it has expired or
 * its file is missing. Once used, the file is removed.
 */
#ifndef JOGAK_CLEARINGHOUSE_OPERATOR_TOKEN_H
#define JOGAK_CLEARINGHOUSE_OPERATOR_TOKEN_H

#include "common/err.h"

struct house;

#define OPERATOR_NAME "operator"

/* At each start. */
int operator_ensure(struct house *h, struct err *err);
/* A new token whatever there is, because the operator lost the key; earlier ones are void, and the
 * user is made again, enabled and an operator. Returns the file's path; the caller frees. */
char *operator_token_renew(struct house *h, struct err *err);
/* This URN has enrolled: is that the operator, the file goes. */
void operator_token_used(struct house *h, const char *urn);

#endif
