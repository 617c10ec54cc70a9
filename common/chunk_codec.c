/*
 * The zstd door. What comes from outside is decoded into a buffer of the caller's size in one call,
 * so that neither a frame's claims nor its window can make us allocate anything.
 */
#include "chunk.h"
#include "mem.h"

#include <string.h>
#include <zstd.h>

const char *chunk_encoding_name(enum chunk_encoding e) { return e == CHUNK_ZSTD ? "zstd" : "raw"; }

int chunk_encoding_parse(const char *name, enum chunk_encoding *ret, struct err *err) {
    if (name && strcmp(name, "raw") == 0) return *ret = CHUNK_RAW, 0;
    if (name && strcmp(name, "zstd") == 0) return *ret = CHUNK_ZSTD, 0;
    return err_set(err, ERR_UNSUPPORTED, "chunk encoding %.32s is not known, only zstd and raw",
                   name ? name : "(none)");
}

enum chunk_encoding chunk_encoding_of(size_t encoded_bytes, size_t size_bytes) {
    return encoded_bytes < size_bytes ? CHUNK_ZSTD : CHUNK_RAW;
}

size_t chunk_encode(const void *data, size_t size, int level, void *ret,
                    enum chunk_encoding *ret_encoding) {
    if (level < 1) level = 1;
    if (level > CHUNK_LEVEL_MAX) level = CHUNK_LEVEL_MAX;
    /* One byte less than the size: zstd gives up by itself where it would not be smaller. */
    size_t n = size > 1 ? ZSTD_compress(ret, size - 1, data, size, level) : 0;
    if (n > 0 && !ZSTD_isError(n)) {
        *ret_encoding = CHUNK_ZSTD;
        return n;
    }
    memcpy(ret, data, size);
    *ret_encoding = CHUNK_RAW;
    return size;
}

static int bad(const char *digest, const char *what, struct err *err) {
    return err_set(err, ERR_INTEGRITY, "chunk %.64s is damaged: %s", digest, what);
}

static int too_large(const char *digest, unsigned long long claimed, size_t capacity,
                     struct err *err) {
    return err_set(err, ERR_TOO_LARGE, "chunk %.64s claims %llu bytes, more than the %zu allowed",
                   digest, claimed, capacity);
}

static int inflate(const void *data, size_t length, const char *digest, void *ret, size_t capacity,
                   size_t *ret_size, struct err *err) {
    unsigned long long claimed = ZSTD_getFrameContentSize(data, length);
    if (claimed == ZSTD_CONTENTSIZE_ERROR) return bad(digest, "this is no zstd frame", err);
    if (claimed == ZSTD_CONTENTSIZE_UNKNOWN) return bad(digest, "its size is not given", err);
    if (claimed > capacity) return too_large(digest, claimed, capacity, err);
    /* Exactly one frame: nothing may hide behind it. */
    if (ZSTD_findFrameCompressedSize(data, length) != length)
        return bad(digest, "it is truncated, or more than one zstd frame", err);
    if (length >= claimed) return bad(digest, "zstd does not make it smaller, send it raw", err);
    size_t n = ZSTD_decompress(ret, capacity, data, length);
    if (ZSTD_isError(n)) return bad(digest, ZSTD_getErrorName(n), err);
    *ret_size = n;
    return 0;
}

int chunk_decode(enum chunk_encoding encoding, const void *data, size_t length, const char *digest,
                 size_t size, void *ret, size_t capacity, size_t *ret_size, struct err *err) {
    size_t n = length;
    if (length == 0) return bad(digest, "it is empty", err);
    if (encoding == CHUNK_ZSTD) {
        if (inflate(data, length, digest, ret, capacity, &n, err)) return -1;
    } else {
        if (length > capacity) return too_large(digest, length, capacity, err);
        memcpy(ret, data, length);
    }
    if (size > 0 && n != size) return bad(digest, "its size is not the promised one", err);
    char found[SHA256_TEXT_BYTES];
    if (strcmp(sha256_text(ret, n, found), digest) != 0)
        return err_set(err, ERR_INTEGRITY, "chunk %.64s is damaged: its content has digest %s",
                       digest, found);
    *ret_size = n;
    return 0;
}
