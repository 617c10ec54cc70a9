/* What yaml_parse() accepts must be printable as JSON that reads back the same, with its places. */
#include "common/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct yaml_places *places = NULL;
    json *a AUTO_JSON = yaml_parse("f", (const char *)data, size, &places, &err);
    if (!a) return 0;
    char *text AUTO_FREE = json_text(a);
    json *b AUTO_JSON = json_parse(text, strlen(text), &err);
    if (!b || !json_equal(a, b) || !*yaml_place(places, "")) abort();
    yaml_places_free(places);
    return 0;
}
