/* Bytes from any wire as a frame, as a capture, and as hex digits; a good frame must come back the same. */
#include "frame/frame_text.h"
#include "frame/pcap.h"

#include "common/log.h"
#include "common/schema.h"

#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct layout own; /* of the slice type and the length that the frame has */

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    log_set_levels("error");
    return schema_load(NULL);
}

static void fuzz_frame(const uint8_t *data, size_t size) {
    static uint8_t again[FRAME_BYTES_MAX];
    struct jogak_frame f;
    struct err err = ERR_INIT;
    size_t made = 0;
    bool good = jogak_frame_decode(data, size, &f) == JOGAK_FRAME_OK;
    own = (struct layout){ .slice_type = f.type, .name = "own" };
    if (good && f.type >= JOGAK_FRAME_OWN_FIRST) {
        own.info_bytes = f.header_bytes - JOGAK_FRAME_HEADER_MIN;
        for (; own.count < own.info_bytes; own.count++) {
            struct layout_field *field = &own.fields[own.count];
            *field = (struct layout_field){ .offset = (unsigned)own.count * 8, .width = 8 };
            snprintf(field->name, sizeof field->name, "b%zu", own.count);
        }
    }
    const struct layout *l = own.slice_type >= JOGAK_FRAME_OWN_FIRST ? &own : NULL;
    json *described AUTO_JSON = frame_describe(data, size, l);
    if (!good) return;
    if (frame_compose(described, l, again, &made, &err) || made != size || memcmp(again, data, size))
        __builtin_trap();
}

static void fuzz_capture(const uint8_t *data, size_t size) {
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length;
    if (pcap_open(&r, data, size, NULL)) return;
    while (pcap_next(&r, &frame, &length, NULL) == 1) fuzz_frame(frame, length);
}

static void fuzz_text(const uint8_t *data, size_t size) {
    static uint8_t out[FRAME_BYTES_MAX];
    struct layout l;
    size_t length;
    char *text AUTO_FREE = xstrndup((const char *)data, size);
    frame_hex_parse(text, out, 64, &length);
    frame_mac_parse(text, out);
    json *document AUTO_JSON = json_parse(text, strlen(text), NULL);
    if (!document) return;
    layout_parse(document, &l, NULL);
    frame_compose(document, NULL, out, &length, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > FRAME_BYTES_MAX) return 0;
    fuzz_frame(data, size);
    fuzz_capture(data, size);
    fuzz_text(data, size);
    return 0;
}
