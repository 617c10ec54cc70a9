#include "digest.h"

#include "mem.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

struct sha256_stream {
    EVP_MD_CTX *ctx;
};

/* SHA-256 of the default provider fails only when OpenSSL itself is broken or out of memory. */
static void must(int ok) {
    if (ok == 1) return;
    fputs("OpenSSL: a digest or the random generator failed\n", stderr);
    abort();
}

void sha256(const void *data, size_t length, uint8_t ret[SHA256_BYTES]) {
    unsigned n = 0;
    must(EVP_Digest(data ? data : "", length, ret, &n, EVP_sha256(), NULL));
    assert(n == SHA256_BYTES);
}

char *sha256_text(const void *data, size_t length, char ret[SHA256_TEXT_BYTES]) {
    uint8_t digest[SHA256_BYTES];
    sha256(data, length, digest);
    hex_text(digest, sizeof digest, ret);
    return ret;
}

bool sha256_text_valid(const char *text) {
    return text && strlen(text) == SHA256_TEXT_BYTES - 1 &&
           strspn(text, "0123456789abcdef") == SHA256_TEXT_BYTES - 1;
}

struct sha256_stream *sha256_begin(void) {
    struct sha256_stream *s = xcalloc(1, sizeof *s);
    s->ctx = EVP_MD_CTX_new();
    must(s->ctx ? EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) : 0);
    return s;
}

void sha256_add(struct sha256_stream *s, const void *data, size_t length) {
    must(EVP_DigestUpdate(s->ctx, data, length));
}

void sha256_end(struct sha256_stream *s, uint8_t ret[SHA256_BYTES]) {
    must(EVP_DigestFinal_ex(s->ctx, ret, NULL));
    sha256_free(s);
}

void sha256_free(struct sha256_stream *s) {
    if (!s) return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

void hex_text(const uint8_t *data, size_t length, char *ret) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        ret[2 * i] = digits[data[i] >> 4];
        ret[2 * i + 1] = digits[data[i] & 15];
    }
    ret[2 * length] = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int hex_parse(const char *text, uint8_t *ret, size_t length) {
    if (!text || strlen(text) != 2 * length) return -1;
    for (size_t i = 0; i < length; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return -1;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *base64url_encode(const void *data, size_t length) {
    const uint8_t *in = data;
    char *out = xmalloc(length / 3 * 4 + 5), *p = out;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i < 3 ? length - i : 3;
        uint32_t group = (uint32_t)in[i] << 16;
        if (left > 1) group |= (uint32_t)in[i + 1] << 8;
        if (left > 2) group |= in[i + 2];
        for (size_t k = 0; k <= left; k++) /* n bytes need n + 1 digits */
            *p++ = base64url_digits[group >> (18 - 6 * k) & 63];
    }
    *p = '\0';
    return out;
}

static int base64url_digit(char c) {
    const char *p = c ? strchr(base64url_digits, c) : NULL;
    return p ? (int)(p - base64url_digits) : -1;
}

/* A text has one decoding and bytes have one text: unused bits must be zero. */
uint8_t *base64url_decode(const char *text, size_t *ret_length) {
    size_t length = strlen(text), n = 0;
    if (length % 4 == 1) return NULL;
    uint8_t *out AUTO_FREE = xmalloc(length / 4 * 3 + 4);
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = base64url_digit(text[i]);
        if (digit < 0) return NULL;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[n++] = (uint8_t)(bits >> have);
        bits &= (1u << have) - 1;
    }
    if (bits) return NULL;
    out[n] = '\0';
    *ret_length = n;
    return STEAL(out);
}

void random_bytes(void *ret, size_t length) {
    assert(length <= INT_MAX);
    must(RAND_bytes(ret, (int)length));
}

bool secret_equal(const char *a, const char *b) {
    uint8_t x[SHA256_BYTES], y[SHA256_BYTES];
    sha256(a, strlen(a), x); /* equal lengths, so that the time says nothing of the texts */
    sha256(b, strlen(b), y);
    return CRYPTO_memcmp(x, y, sizeof x) == 0;
}
