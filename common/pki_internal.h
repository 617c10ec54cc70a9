/*
 * Shared by the files of the public-key door; nobody else includes it.
 */
#ifndef JOGAK_PKI_INTERNAL_H
#define JOGAK_PKI_INTERNAL_H

#include "mem.h"
#include "pki.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define PKI_PEM_MAX 65536         /* bytes of one PEM text */
#define PKI_CLOCK_SKEW_S (5 * 60) /* how far another host's clock may be ahead of ours */

static inline void pki_bio_cleanup(BIO **p) { BIO_free_all(*p); }
static inline void pki_key_cleanup(EVP_PKEY **p) { EVP_PKEY_free(*p); }
static inline void pki_x509_cleanup(X509 **p) { X509_free(*p); }
static inline void pki_req_cleanup(X509_REQ **p) { X509_REQ_free(*p); }
static inline void pki_names_cleanup(GENERAL_NAMES **p) { GENERAL_NAMES_free(*p); }
#define AUTO_BIO CLEANUP(pki_bio_cleanup)
#define AUTO_KEY CLEANUP(pki_key_cleanup)
#define AUTO_X509 CLEANUP(pki_x509_cleanup)
#define AUTO_REQ CLEANUP(pki_req_cleanup)
#define AUTO_NAMES CLEANUP(pki_names_cleanup)

/* err_set() with OpenSSL's reason appended; empties its error queue. Returns -1. */
int pki_fail(struct err *err, enum err_code code, const char *what);

/* PEM texts to objects; the caller frees. NULL with ERR_INVALID; `whose` names it in messages. */
EVP_PKEY *pki_load_key(const char *pem, struct err *err);
X509 *pki_load_cert(const char *pem, const char *whose, struct err *err);
X509_REQ *pki_load_csr(const char *pem, struct err *err);
/* What was written to a memory BIO, as a string that the caller frees. */
char *pki_bio_text(BIO *bio);

/* Is the key an EC key on P-256? */
bool pki_key_is_p256(EVP_PKEY *key);

/* Facts of a certificate; refuses one that does not carry exactly one URN. */
int pki_facts(X509 *cert, struct pki_cert *ret, struct err *err);
/* Chain, dates at the present time, and purpose (an enum pki_use; 0: any, also the authority
 * itself). Errors: ERR_UNAUTHENTICATED. */
int pki_check_chain(X509 *cert, X509 *ca, unsigned use, struct err *err);

#endif
