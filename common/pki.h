/*
 * The public-key door (OpenSSL): keys, signing requests, certificates, trust, signed documents.
 *
 * Everything is PEM text. Keys are ECDSA P-256. A certificate names its holder by one URI in
 * subjectAltName, its URN; the serial number is random. Trust is the clearing house's certificate
 * authority alone.
 */
#ifndef JOGAK_PKI_H
#define JOGAK_PKI_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

/* A new private key, PKCS#8 PEM; the caller frees (and wipes with pki_wipe()). */
char *pki_key_new(struct err *err);
void pki_wipe(char *secret); /* overwrite, then free; NULL is fine */

/* A self-signed authority certificate of this name ("urn:publicid:IDN+x+authority+ca"). */
char *pki_authority_new(const char *key_pem, const char *urn, int days, struct err *err);
/* A signing request whose subjectAltName asks for `urn` (may be NULL: the signer decides). */
char *pki_csr_new(const char *key_pem, const char *urn, struct err *err);

/* SHA-256 over the request's public key (SubjectPublicKeyInfo), hexadecimal: the same for every
 * request made with one key. Does not check the request's signature; pki_issue() does. */
int pki_csr_key_id(const char *csr_pem, char ret[65], struct err *err);

enum pki_use { PKI_USE_CLIENT = 1, PKI_USE_SERVER = 2 };
struct pki_issue {
    const char *ca_key_pem;
    const char *ca_cert_pem;
    const char *csr_pem; /* only its public key is used; its signature is checked */
    const char *urn;     /* put into subjectAltName as a URI */
    const char *const *hosts; /* DNS names and IP addresses, NULL-terminated; may be NULL */
    unsigned uses;       /* enum pki_use, or-ed */
    int64_t not_after_ms; /* the authority's own end bounds it */
};
/* Errors: ERR_INVALID, ERR_UNPROCESSABLE for a key not on P-256 or an end in the past,
 * ERR_INTEGRITY when the request's signature does not match its key. The caller frees. */
char *pki_issue(const struct pki_issue *what, struct err *err);

/* Facts of a certificate. */
struct pki_cert {
    char urn[256];
    char serial[64];             /* hexadecimal */
    char fingerprint[65];        /* SHA-256 over the DER, hexadecimal */
    int64_t not_before_ms, not_after_ms;
};
int pki_cert_read(const char *cert_pem, struct pki_cert *ret, struct err *err);
int pki_cert_read_der(const void *der, size_t length, struct pki_cert *ret, struct err *err);
/* Is it signed by this authority itself, within its dates at the present wall time (five minutes of
 * grace before not_before), good for `use`, and does it name exactly one URN? An authority's own
 * certificate is refused. Errors: ERR_INVALID for what is no certificate, ERR_UNAUTHENTICATED. */
int pki_cert_verify(const char *cert_pem, const char *ca_pem, enum pki_use use, struct err *err);
/* Errors: ERR_INTEGRITY when they do not belong together. */
int pki_key_matches(const char *key_pem, const char *cert_pem, struct err *err);

/* A signed document (CMS, attached content, DER in base64url): content is JSON text. */
char *pki_sign(const char *content, const char *key_pem, const char *cert_pem, struct err *err);
/* Verifies the signature and the signer's chain to ca_pem; returns the content (caller frees) and
 * the signer's URN. Errors: ERR_INTEGRITY. Bounded to 64 KiB. */
char *pki_verify(const char *signed_text, const char *ca_pem, char ret_signer_urn[256],
                 struct err *err);

#endif
