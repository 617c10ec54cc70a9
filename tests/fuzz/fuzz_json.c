/* What json_parse() accepts must print to text that it reads back as an equal value. */
#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    json *a AUTO_JSON = NULL, *b AUTO_JSON = NULL;
    if (json_parse_value((const char *)data, size, &a, &err)) return 0;
    char *text AUTO_FREE = json_text(a), *pretty AUTO_FREE = json_text_pretty(a);
    json *copy AUTO_JSON = json_copy(a);
    if (json_parse_value(text, strlen(text), &b, &err) || !json_equal(a, b)) abort();
    json_put(STEAL(b));
    if (json_parse_value(pretty, strlen(pretty), &b, &err) || !json_equal(a, b)) abort();
    if (!json_equal(a, copy)) abort();
    return 0;
}
