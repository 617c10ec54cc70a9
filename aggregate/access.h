/*
 * Who may do what with a slice: the one place that decides.
 *
 * A caller shows who it is by its certificate and what it may do by a credential in the header
 * Jogak-Credential (common/credential.h). Verified credentials are remembered for a minute, so
 * that a busy client costs one signature check, not one each.
 */
#ifndef JOGAK_AGGREGATE_ACCESS_H
#define JOGAK_AGGREGATE_ACCESS_H

#include "aggregate.h"
#include "common/credential.h"
#include "common/route.h"

struct credential_cache *credential_cache_new(void);
void credential_cache_free(struct credential_cache *c);

/* For struct route_table.roles_of: adds ROLE_OPERATOR to a user with an operator's credential. */
unsigned access_roles(void *am, const struct http_request *req);

/* May the caller do this with the slice of that URN? On success *ret (may be NULL) holds the
 * credential (credential_done() it). Errors: ERR_UNAUTHENTICATED, ERR_FORBIDDEN, ERR_GONE. */
int access_slice(struct aggregate *am, const struct http_request *req, const char *slice_urn,
                 enum privilege need, struct credential *ret, struct err *err);
/* "project:name" or a URN, as it stands in a path, to the slice's URN. */
int access_slice_urn(struct aggregate *am, const char *param, char ret_urn[256], struct err *err);

#endif
