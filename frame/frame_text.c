#include "frame/frame_text.h"

#include <ctype.h>
#include <stdio.h>

/* --- texts of bytes --- */

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int frame_hex_parse(const char *text, uint8_t *out, size_t room, size_t *ret_length) {
    size_t n = 0;
    for (;; n++) {
        while (*text == ':' || isspace((unsigned char)*text)) text++;
        if (!*text) break;
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0 || n == room) return -1;
        out[n] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    *ret_length = n;
    return 0;
}

int frame_mac_parse(const char *text, uint8_t ret_mac[6]) {
    uint8_t mac[6];
    if (strlen(text) != 17) return -1;
    for (size_t i = 0; i < 6; i++) {
        int high = digit(text[3 * i]), low = digit(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) return -1;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_mac, mac, sizeof mac);
    return 0;
}

char *frame_hex(const uint8_t *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    char *text = xmalloc(length * 2 + 1);
    for (size_t i = 0; i < length; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * length] = '\0';
    return text;
}

static void set_mac(json *object, const char *key, const uint8_t *mac) {
    char text[18];
    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    json_set_str(object, key, text);
}

static void set_hex(json *object, const char *key, const uint8_t *bytes, size_t length) {
    char *text AUTO_FREE = frame_hex(bytes, length);
    json_set_str(object, key, text);
}

/* --- a frame to JSON --- */

static const struct layout *layout_of(const struct jogak_frame *f, const struct layout *own) {
    const struct layout *l = own && own->slice_type == f->type ? own : layout_builtin(f->type);
    return l && l->info_bytes == f->header_bytes - JOGAK_FRAME_HEADER_MIN ? l : NULL;
}

static void describe_header(json *object, const struct jogak_frame *f, const struct layout *own) {
    char inner[8];
    snprintf(inner, sizeof inner, "0x%04x", f->inner);
    json_set_int(object, "slice_type", f->type);
    json_set_int(object, "slice", f->slice);
    json_set_str(object, "inner", inner);
    json_set_int(object, "header_bytes", f->header_bytes);
    const struct layout *l = layout_of(f, own);
    if (l) json_set(object, "fields", layout_values(l, f->info));
    set_hex(object, "info", f->info, f->header_bytes - JOGAK_FRAME_HEADER_MIN);
    json_set_int(object, "payload_bytes", (int64_t)f->payload_bytes);
    set_hex(object, "payload", f->payload, f->payload_bytes);
}

json *frame_describe(const uint8_t *frame, size_t length, const struct layout *own) {
    struct jogak_frame f;
    enum jogak_frame_status status = jogak_frame_decode(frame, length, &f);
    json *object = json_set_str(json_object(), "status", jogak_frame_status_name(status));
    json_set_int(object, "frame_bytes", (int64_t)length);
    if (length >= 6) set_mac(object, "destination", frame);
    if (length >= 12) set_mac(object, "source", frame + 6);
    if (status == JOGAK_FRAME_OK) describe_header(object, &f, own);
    return object;
}

/* --- JSON to a frame --- */

static int read_mac(const json *object, const char *key, uint8_t mac[6], struct err *err) {
    const char *text = json_get_str(object, key);
    if (text && frame_mac_parse(text, mac) == 0) return 0;
    err_set(err, ERR_INVALID, "%s: %s", key, text ? "not a MAC address" : "is missing");
    return err_remedy(err, "write it as 52:54:00:00:00:01");
}

/* A number that is a number, or a text as "0x88f7". */
static int read_number(const json *object, const char *key, uint64_t most, uint64_t *ret_number,
                       struct err *err) {
    const json *value = json_get(object, key);
    const char *text = json_str(value);
    char *end = NULL;
    if (!value) return err_set(err, ERR_INVALID, "%s: is missing", key);
    bool good = json_kind(value) == JSON_INT && json_int_value(value) >= 0;
    uint64_t number = good ? (uint64_t)json_int_value(value) : 0;
    if (text && isdigit((unsigned char)*text)) {
        number = strtoull(text, &end, 0);
        good = !*end;
    }
    if (!good || number > most)
        return err_set(err, ERR_INVALID, "%s: not a number from 0 to %llu", key,
                       (unsigned long long)most);
    *ret_number = number;
    return 0;
}

static int read_payload(const json *object, uint8_t *at, size_t room, size_t *ret_length,
                        struct err *err) {
    const char *hex = json_get_str(object, "payload");
    *ret_length = 0;
    if (!hex || frame_hex_parse(hex, at, room, ret_length) == 0) return 0;
    return err_set(err, ERR_INVALID, "payload: not pairs of hex digits, or more than %zu bytes",
                   room);
}

static const struct layout *choose_layout(const json *object, const struct layout *own) {
    if (own) return own;
    bool places = json_length(json_get(object, "fields")) > 0 ||
                  json_get_int(object, "slice_type", 0) == JOGAK_FRAME_PLACES;
    return layout_builtin(places ? JOGAK_FRAME_PLACES : JOGAK_FRAME_SLICE);
}

int frame_compose(const json *object, const struct layout *own, uint8_t *out, size_t *ret_length,
                  struct err *err) {
    const struct layout *l = choose_layout(object, own);
    uint8_t to[6], from[6], info[JOGAK_FRAME_INFO_MAX];
    uint64_t slice, inner;
    struct jogak_frame f = { .type = l->slice_type, .info = info };
    if (json_get_int(object, "slice_type", f.type) != f.type)
        return err_set(err, ERR_INVALID, "slice_type: its layout is not known here");
    if (read_mac(object, "destination", to, err) || read_mac(object, "source", from, err) ||
        read_number(object, "slice", UINT32_MAX, &slice, err) ||
        read_number(object, "inner", UINT16_MAX, &inner, err) ||
        layout_fill(l, json_get(object, "fields"), info, err))
        return -1;
    f.header_bytes = (uint8_t)(JOGAK_FRAME_HEADER_MIN + l->info_bytes);
    f.slice = (uint32_t)slice;
    f.inner = (uint16_t)inner;
    uint8_t *payload = out + JOGAK_FRAME_ETHERNET_BYTES + f.header_bytes;
    if (read_payload(object, payload, FRAME_BYTES_MAX - (size_t)(payload - out), &f.payload_bytes,
                     err))
        return -1;
    f.payload = payload;
    enum jogak_frame_status status = jogak_frame_encode(&f, to, from, out, FRAME_BYTES_MAX);
    if (status != JOGAK_FRAME_OK)
        return err_set(err, ERR_INVALID, "such a frame would be refused as %s",
                       jogak_frame_status_name(status));
    *ret_length = jogak_frame_bytes(&f);
    return 0;
}
