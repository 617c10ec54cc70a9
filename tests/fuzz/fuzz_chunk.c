/* Cutting covers every byte within its bounds; what is encoded decodes to itself; what comes from
 * outside is never inflated beyond the room for it. */
#include "common/chunk.h"
#include "common/mem.h"

#define ROOM_BYTES 4096u

static void there_and_back(const uint8_t *data, size_t size) {
    struct err err;
    enum chunk_encoding encoding;
    char digest[SHA256_TEXT_BYTES];
    size_t n;
    uint8_t *encoded AUTO_FREE = xmalloc(size), *decoded AUTO_FREE = xmalloc(size);
    size_t length = chunk_encode(data, size, 1, encoded, &encoding);
    sha256_text(data, size, digest);
    if (length > size || chunk_encoding_of(length, size) != encoding) abort();
    if (chunk_decode(encoding, encoded, length, digest, size, decoded, size, &n, &err) ||
        n != size || memcmp(decoded, data, size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    size_t n;
    char digest[SHA256_TEXT_BYTES];
    if (size == 0 || size > CHUNK_MAX_BYTES) return 0;
    size_t cut = chunk_cut(data, size);
    if (cut == 0 || cut > size) abort();
    there_and_back(data, size);
    uint8_t *room AUTO_FREE = xmalloc(ROOM_BYTES); /* of its exact size, for the sanitizer */
    sha256_text("", 0, digest);
    if (chunk_decode(CHUNK_ZSTD, data, size, digest, 0, room, ROOM_BYTES, &n, &err) == 0) abort();
    return 0;
}
