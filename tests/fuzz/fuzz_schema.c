/* The input is a schema and a value, with a zero byte between them. */
#include "common/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    if (!zero || size > 4096) return 0;
    size_t n = (size_t)(zero - data);
    json *document AUTO_JSON = json_parse((const char *)data, n, &err);
    json *value AUTO_JSON = NULL;
    if (!document || json_parse_value((const char *)zero + 1, size - n - 1, &value, &err))
        return 0;
    struct schema *s = schema_compile(document, &err);
    char *pointer AUTO_FREE = NULL;
    if (s) schema_check(s, value, &pointer, &err);
    schema_free(s);
    return 0;
}
