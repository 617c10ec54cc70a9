/*
 * Chunks: how an image is cut into pieces that many images share.
 *
 * A file is cut where its *content* says so (a gear hash over the last 64 bytes), never by offset,
 * so that an insertion changes the chunks around it and no others. Runs of at least CHUNK_MIN_BYTES
 * of zeros, aligned to CHUNK_PAGE_BYTES of the file, become one zero chunk of any length; they are
 * neither stored nor sent. Every other chunk has 1 to CHUNK_MAX_BYTES bytes, is named by the
 * SHA-256 of those bytes, and travels and rests encoded: as one zstd frame, or raw where zstd
 * does not make it smaller. So a reader who knows a chunk's size knows its encoding too: as many
 * bytes as the size are raw, fewer are zstd.
 *
 * The cuts are part of the format: the same bytes must give the same chunks in every release.
 */
#ifndef JOGAK_CHUNK_H
#define JOGAK_CHUNK_H

#include "digest.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_PAGE_BYTES 4096u
#define CHUNK_MIN_BYTES (64u << 10)
#define CHUNK_AVG_BYTES (256u << 10)
#define CHUNK_MAX_BYTES (1u << 20)

/* --- cutting (chunk.c) --- */

/* How long the first chunk of these bytes is; length itself when no cut lies within them. At most
 * CHUNK_MAX_BYTES are looked at. Zeros are not treated specially here. */
size_t chunk_cut(const uint8_t *data, size_t length);
/* Are all bytes zero? True for length 0. */
bool chunk_is_zero(const void *data, size_t length);

/* --- walking a file (chunk_scan.c) --- */

struct chunk_span {
    int64_t offset, size; /* bytes; of the file */
    bool zero;            /* a run of zeros, of any size; data is NULL then */
    const uint8_t *data;  /* borrowed until the next step */
};
struct chunk_scan;
/* Walks the first size_bytes bytes of fd (borrowed until chunk_scan_free()). Holes are skipped by
 * SEEK_DATA where the file system knows them. Never fails. */
struct chunk_scan *chunk_scan_new(int fd, int64_t size_bytes);
/* Likewise from byte `from` on; offsets stay those of the file. */
struct chunk_scan *chunk_scan_from(int fd, int64_t from, int64_t size_bytes);
/* 1: *ret filled; 0: the end; -1: error (a read failed, or the file is shorter than promised).
 * Blocks on the disk. */
int chunk_scan_next(struct chunk_scan *s, struct chunk_span *ret, struct err *err);
void chunk_scan_free(struct chunk_scan *s);

/* --- encoding (chunk_codec.c) --- */

enum chunk_encoding { CHUNK_RAW, CHUNK_ZSTD };
#define CHUNK_LEVEL_DEFAULT 1
#define CHUNK_LEVEL_MAX 3

const char *chunk_encoding_name(enum chunk_encoding e); /* "raw", "zstd" */
int chunk_encoding_parse(const char *name, enum chunk_encoding *ret, struct err *err);
/* The encoding of a chunk of this size that travels in this many bytes. */
enum chunk_encoding chunk_encoding_of(size_t encoded_bytes, size_t size_bytes);

/* Encodes 1 to CHUNK_MAX_BYTES bytes into `ret` (at least size bytes long) at zstd level 1 to 3;
 * returns the encoded length, never more than size, and its encoding. */
size_t chunk_encode(const void *data, size_t size, int level, void *ret,
                    enum chunk_encoding *ret_encoding);
/* Decodes and checks: `digest` (64 hexadecimal digits) must be the SHA-256 of the result, and
 * size, when not 0, its length. Writes at most `capacity` bytes to ret, whatever the input claims.
 * Every error names the chunk. Errors: ERR_INTEGRITY (damaged, truncated, another content or
 * size), ERR_TOO_LARGE (it claims more than capacity). */
int chunk_decode(enum chunk_encoding encoding, const void *data, size_t length, const char *digest,
                 size_t size, void *ret, size_t capacity, size_t *ret_size, struct err *err);

#endif
