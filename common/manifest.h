/*
 * Manifests: the list of chunks that an image is. Images, snapshots and checkpoints are the same.
 *
 * The canonical text is JSON without white space, members sorted by name (RFC 8785 for the values
 * that occur here):
 *   {"chunks":[{"digest":"<64 hex>","size":N},{"size":N,"zero":true},...],
 *    "created":"2026-11-22T10:00:00.000Z","epoch":N,"format":"qcow2","kind":"image","name":"debian",
 *    "parts":[{"name":"memory","size_bytes":N},...],"size_bytes":N,"v":1,"virtual_size_bytes":N}
 * "epoch" and "parts" are left out when there are none. Its SHA-256 is the image's digest, its id:
 * whoever holds the digest can verify the manifest, and by it every chunk, at whoever's hands.
 *
 * Chunks follow each other without gaps; a zero chunk is a run of zeros of any length and has no
 * digest. Parts, when given, name consecutive pieces that make up the whole (a checkpoint's disk,
 * memory and vNIC state).
 */
#ifndef JOGAK_MANIFEST_H
#define JOGAK_MANIFEST_H

#include "chunk.h"
#include "json.h"

#define MANIFEST_VERSION 1
#define MANIFEST_CHUNKS_MAX 65536u /* about 16 GiB of data; zeros do not count by size */
#define MANIFEST_PARTS_MAX 16u
#define MANIFEST_CREATED_MAX_MS INT64_C(253402300799999) /* the end of 9999; the least is 1970 */
#define MANIFEST_SIZE_MAX (INT64_C(1) << 44) /* 16 TiB, bytes of an image */

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_SNAPSHOT, MANIFEST_CHECKPOINT };
enum manifest_format { MANIFEST_QCOW2, MANIFEST_RAW };

struct manifest_chunk {
    uint8_t digest[SHA256_BYTES]; /* all zero for a zero chunk */
    bool zero;
    int64_t size, offset; /* bytes; offset is derived */
};
struct manifest_part {
    char name[64];
    int64_t size_bytes;
};
struct manifest {
    enum manifest_kind kind;
    enum manifest_format format;
    char name[64];
    int64_t virtual_size_bytes; /* what a guest sees as its disk */
    int64_t size_bytes;         /* of the file, the sum of its chunks */
    int64_t created_ms;         /* wall clock */
    int64_t epoch;              /* -1: none */
    struct manifest_chunk *chunks;
    size_t chunk_count;
    struct manifest_part parts[MANIFEST_PARTS_MAX];
    size_t part_count;
};

const char *manifest_kind_name(enum manifest_kind k);
const char *manifest_format_name(enum manifest_format f);
int manifest_kind_parse(const char *name, enum manifest_kind *ret, struct err *err);
int manifest_format_parse(const char *name, enum manifest_format *ret, struct err *err);

/* Reads and checks everything said above; unknown members are refused. On success *ret is the
 * caller's to manifest_done(). Errors: ERR_INVALID with the member's JSON pointer. */
int manifest_from_json(const json *j, struct manifest *ret, struct err *err);
/* As manifest_from_json(), from text that must have this digest (64 hexadecimal digits) once
 * made canonical. Errors: also ERR_INTEGRITY. */
int manifest_from_text(const char *text, size_t length, const char *digest, struct manifest *ret,
                       struct err *err);
/* Cuts an open file (borrowed) into chunks and fills chunks, chunk_count and size_bytes of *m; the
 * other members are the caller's. `step` (may be NULL) is told the bytes read so far and ends the
 * walk with ERR_CANCELLED by returning non-zero. Blocks on the disk. Errors: ERR_TOO_LARGE. */
int manifest_scan(struct manifest *m, int fd, int (*step)(void *ctx, int64_t done_bytes), void *ctx,
                  struct err *err);

/* Appends what stands in an open file from byte `from` on as a part of this name; size_bytes grows by
 * it, and no chunk reaches over the parts' edges. `step` and errors as above. */
int manifest_scan_part(struct manifest *m, const char *name, int fd, int64_t from,
                       int (*step)(void *ctx, int64_t done_bytes), void *ctx, struct err *err);

char *manifest_text(const struct manifest *m); /* canonical; caller frees */
char *manifest_digest(const struct manifest *m, char ret[SHA256_TEXT_BYTES]);
void manifest_done(struct manifest *m); /* leaves it empty; an all-zero one is fine */
#define AUTO_MANIFEST CLEANUP(manifest_done)

#endif
