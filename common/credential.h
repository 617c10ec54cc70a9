/*
 * Credentials: what the clearing house says of one user and one slice, signed, so that an
 * aggregate verifies it without asking.
 *
 * The content is JSON {v, serial, owner, target, authority, role, privileges[], keys[], expires,
 * target_expires}: owner is the user's URN, target the slice's URN, keys the owner's ssh keys,
 * expires never later than the slice's own expiry. It is signed as a CMS document by the authority
 * and travels in the header "Jogak-Credential". Privileges: "info", "allocate", "operate",
 * "migrate", "shutdown"; a lead has all, a member all but shutdown, an auditor info alone.
 */
#ifndef JOGAK_CREDENTIAL_H
#define JOGAK_CREDENTIAL_H

#include "json.h"

#define CREDENTIAL_HEADER "Jogak-Credential"
#define CREDENTIAL_MAX_BYTES 16384
#define CREDENTIAL_KEYS_MAX 16

enum privilege { /* bits */
    PRIV_INFO = 1, PRIV_ALLOCATE = 2, PRIV_OPERATE = 4, PRIV_MIGRATE = 8, PRIV_SHUTDOWN = 16,
};
struct credential {
    char serial[64];
    char owner[256], target[256];
    char role[16]; /* lead, member, auditor, operator */
    unsigned privileges;
    int64_t expires_ms, target_expires_ms;
    json *keys; /* array of ssh public keys */
};
unsigned privileges_of_role(const char *role);
/* The caller frees. Errors: ERR_TOO_LARGE when the keys do not fit. */
char *credential_sign(const struct credential *c, const char *key_pem, const char *cert_pem,
                      struct err *err);
/* Verifies signature, chain, signer (URN of type authority or sa, and the target one of its slices),
 * and expiry at the present wall time. owner_urn: the caller at the other end of the connection;
 * must be the credential's owner. About half a millisecond of computing: a busy caller keeps what
 * it has verified. credential_done() frees ret. Errors: ERR_TOO_LARGE, ERR_INTEGRITY (not made by
 * the authority, or malformed), ERR_FORBIDDEN (another's, or expired). */
int credential_verify(const char *text, const char *ca_pem, const char *owner_urn,
                      struct credential *ret, struct err *err);
void credential_done(struct credential *c);

#endif
