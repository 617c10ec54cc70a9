/* Lines of "name:value" as headers, the first line as the target. */
#include "common/http_gate.h"
#include "common/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct http_gate gate = HTTP_GATE_INIT;
    char path[HTTP_PATH_MAX];
    char *text AUTO_FREE = xstrndup((const char *)data, size);
    char *rest = text, *line = strsep(&rest, "\n");
    if (http_gate_path(line, path, &err) == 0 && path[0] != '/') abort();
    while ((line = strsep(&rest, "\n"))) {
        char *colon = strchr(line, ':');
        if (!colon) continue;
        if (http_gate_header(&gate, line, (size_t)(colon - line), colon + 1, strlen(colon + 1),
                             &err))
            return 0;
    }
    http_gate_finish(&gate, "GET", "HTTP/1.1", &err);
    return 0;
}
