/*
 * Digests, random bytes and text encodings (OpenSSL).
 */
#ifndef JOGAK_DIGEST_H
#define JOGAK_DIGEST_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_TEXT_BYTES 65 /* hexadecimal, NUL */

void sha256(const void *data, size_t length, uint8_t ret[SHA256_BYTES]);
char *sha256_text(const void *data, size_t length, char ret[SHA256_TEXT_BYTES]);
bool sha256_text_valid(const char *text); /* 64 lower-case hexadecimal digits */

struct sha256_stream;
struct sha256_stream *sha256_begin(void);
void sha256_add(struct sha256_stream *s, const void *data, size_t length);
void sha256_end(struct sha256_stream *s, uint8_t ret[SHA256_BYTES]); /* takes s */
void sha256_free(struct sha256_stream *s);

void hex_text(const uint8_t *data, size_t length, char *ret); /* ret: 2 * length + 1 bytes */
int hex_parse(const char *text, uint8_t *ret, size_t length); /* exactly length bytes; 0 or -1 */

/* base64url without padding. The caller frees. base64url_decode returns NULL when malformed. */
char *base64url_encode(const void *data, size_t length);
uint8_t *base64url_decode(const char *text, size_t *ret_length);

void random_bytes(void *ret, size_t length); /* cryptographic; never fails (aborts) */
bool secret_equal(const char *a, const char *b); /* in constant time */

#endif
