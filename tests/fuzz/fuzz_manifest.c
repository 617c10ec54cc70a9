/* What manifest_from_json() accepts must have one canonical text that reads back as itself; heads
 * of qcow2 files must never be read beyond their bytes. */
#include "common/manifest.h"
#include "common/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct qcow2_head head;
    uint8_t *exact AUTO_FREE = xmalloc(size ? size : 1);
    if (size) memcpy(exact, data, size);
    if (qcow2_check(exact, size, (int64_t)size * 4, &head, &err) == 0 &&
        (head.cluster_bits < 9 || head.virtual_size_bytes < 0))
        abort();
    json *j AUTO_JSON = NULL;
    if (json_parse_value((const char *)data, size, &j, &err)) return 0;
    struct manifest a AUTO_MANIFEST = { 0 }, b AUTO_MANIFEST = { 0 };
    if (manifest_from_json(j, &a, &err)) return 0;
    char digest[SHA256_TEXT_BYTES];
    char *text AUTO_FREE = manifest_text(&a);
    manifest_digest(&a, digest);
    if (manifest_from_text(text, strlen(text), digest, &b, &err)) abort();
    return 0;
}
