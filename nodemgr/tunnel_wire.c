#include "nodemgr/tunnel_wire.h"

#include "common/json.h"

#include <arpa/inet.h>

static const char magic[4] = { 'J', 'G', 'K', 'T' };

static const struct {
    uint32_t min, max;
} lengths[WIRE_TYPES_] = {
    [WIRE_OPEN] = { 0, 0 },
    [WIRE_DATA] = { 1, WIRE_DATA_MAX },
    [WIRE_WINDOW] = { 4, 4 },
    [WIRE_CLOSE] = { 0, 0 },
    [WIRE_RESET] = { 0, WIRE_REASON_MAX },
    [WIRE_PING] = { 8, 8 },
    [WIRE_PONG] = { 8, 8 },
    [WIRE_MESSAGE] = { 1, 1 + TUNNEL_LABEL_MAX + TUNNEL_MESSAGE_MAX },
    [WIRE_MESSAGE_ACK] = { 0, WIRE_REASON_MAX },
    [WIRE_GOODBYE] = { 0, 0 },
};

static const char *const kind_names[TUNNEL_KINDS] = { "libvirt", "memory", "nbd", "held",
                                                      "control" };

const char *tunnel_kind_name(enum tunnel_kind kind) {
    return (unsigned)kind < TUNNEL_KINDS ? kind_names[kind] : "unknown";
}

void wire_put_u32(void *to, uint32_t v) {
    v = htonl(v);
    memcpy(to, &v, sizeof v);
}

uint32_t wire_get_u32(const void *from) {
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return ntohl(v);
}

void wire_put_header(void *to, const struct wire_frame *f) {
    uint8_t *h = to;
    h[0] = f->type;
    h[1] = f->detail;
    h[2] = h[3] = 0;
    wire_put_u32(h + 4, f->stream);
    wire_put_u32(h + 8, f->length);
}

void wire_add(struct buf *b, enum wire_type type, uint8_t detail, uint32_t stream,
              const void *payload, size_t length) {
    struct wire_frame f = { (uint8_t)type, detail, stream, (uint32_t)length };
    uint8_t header[WIRE_HEADER_BYTES];
    wire_put_header(header, &f);
    buf_add(b, header, sizeof header);
    buf_add(b, payload, length);
}

/* --- hello --- */

static void add_preface(struct buf *b, json *body) {
    char *text AUTO_FREE = json_text(body);
    json_put(body);
    uint8_t preface[WIRE_PREFACE_BYTES] = { 0, 0, 0, 0, 0, WIRE_VERSION };
    memcpy(preface, magic, sizeof magic);
    wire_put_u32(preface + 8, (uint32_t)strlen(text));
    buf_add(b, preface, sizeof preface);
    buf_puts(b, text);
}

void wire_add_hello(struct buf *b, const struct wire_hello *h) {
    json *kinds = json_array();
    for (unsigned k = 0; k < TUNNEL_KINDS; k++)
        if (h->hello.kinds & 1u << k) json_add(kinds, json_string(kind_names[k]));
    json *body = json_object();
    json_set_str(body, "migration", h->hello.migration);
    json_set_int(body, "epoch", h->hello.epoch);
    json_set(body, "kinds", kinds);
    json_set_int(body, "window_bytes", h->window_bytes);
    add_preface(b, body);
}

void wire_add_answer(struct buf *b, uint32_t window_bytes, const struct err *refusal) {
    json *body = json_object();
    json_set_bool(body, "accepted", !refusal);
    json_set_int(body, "window_bytes", window_bytes);
    if (refusal) {
        json_set_str(body, "code", err_name(refusal->code));
        json_set_str(body, "reason", refusal->msg);
    }
    add_preface(b, body);
}

int wire_read_preface(const void *preface, uint32_t *ret_length, struct err *err) {
    const uint8_t *p = preface;
    if (memcmp(p, magic, sizeof magic) != 0)
        return err_set(err, ERR_INVALID, "the peer does not speak the tunnel protocol");
    unsigned version = (unsigned)p[4] << 8 | p[5];
    if (version != WIRE_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "the peer speaks version %u of the tunnel protocol, "
                                             "not %d", version, WIRE_VERSION);
    uint32_t length = wire_get_u32(p + 8);
    if (length < 2 || length > WIRE_HELLO_MAX)
        return err_set(err, ERR_INVALID, "tunnel hello of %u bytes", length);
    *ret_length = length;
    return 0;
}

static int read_window(const json *body, uint32_t *ret, struct err *err) {
    int64_t window = json_get_int(body, "window_bytes", 0);
    if (window < WIRE_WINDOW_MIN || window > WIRE_WINDOW_MAX)
        return err_set(err, ERR_INVALID, "tunnel hello: window_bytes out of range");
    *ret = (uint32_t)window;
    return 0;
}

static int read_kinds(const json *list, unsigned *ret_kinds, struct err *err) {
    unsigned kinds = 0;
    for (size_t i = 0; i < json_length(list); i++) {
        const char *name = json_str(json_at(list, i));
        for (unsigned k = 0; name && k < TUNNEL_KINDS; k++)
            if (strcmp(name, kind_names[k]) == 0) kinds |= 1u << k;
    }
    if (!kinds) return err_set(err, ERR_INVALID, "tunnel hello: no stream kind that we know");
    *ret_kinds = kinds;
    return 0;
}

int wire_read_hello(const char *text, size_t length, struct wire_hello *ret, struct err *err) {
    json *body AUTO_JSON = json_parse(text, length, err);
    if (!body) return err_wrap(err, "tunnel hello");
    const char *migration = json_get_str(body, "migration");
    int64_t epoch = json_get_int(body, "epoch", -1);
    if (!migration || !uuid_valid(migration) || epoch < 0)
        return err_set(err, ERR_INVALID, "tunnel hello: migration or epoch is missing");
    struct wire_hello h = { .hello = { .epoch = epoch } };
    memcpy(h.hello.migration, migration, UUID_TEXT_BYTES);
    json *kinds = json_get(body, "kinds");
    if (!kinds || json_kind(kinds) != JSON_ARRAY)
        return err_set(err, ERR_INVALID, "tunnel hello: kinds is missing");
    if (read_kinds(kinds, &h.hello.kinds, err) || read_window(body, &h.window_bytes, err))
        return -1;
    *ret = h;
    return 0;
}

int wire_read_answer(const char *text, size_t length, uint32_t *ret_window, struct err *err) {
    json *body AUTO_JSON = json_parse(text, length, err);
    if (!body) return err_wrap(err, "tunnel answer");
    if (json_get_bool(body, "accepted", false)) return read_window(body, ret_window, err);
    const char *code = json_get_str(body, "code"), *reason = json_get_str(body, "reason");
    return err_set(err, err_from_name(code ? code : ""), "the target refused the tunnel: %s",
                   reason ? reason : "no reason given");
}

/* --- frames --- */

static int header_read(struct wire_decoder *d, struct err *err) {
    const uint8_t *h = d->header;
    d->frame = (struct wire_frame){ h[0], h[1], wire_get_u32(h + 4), wire_get_u32(h + 8) };
    if (h[0] == 0 || h[0] >= WIRE_TYPES_ || h[2] || h[3])
        return err_set(err, ERR_INVALID, "tunnel frame of unknown type %u", h[0]);
    if (d->frame.length < lengths[h[0]].min || d->frame.length > lengths[h[0]].max)
        return err_set(err, ERR_INVALID, "tunnel frame of type %u with %u bytes", h[0],
                       d->frame.length);
    d->left = d->frame.length;
    d->payload.length = 0;
    return 0;
}

static int payload_feed(struct wire_decoder *d, const uint8_t *bytes, size_t n, struct err *err) {
    d->left -= n;
    if (d->frame.type == WIRE_DATA)
        return n ? d->on_data(d->ctx, d->frame.stream, bytes, n, err) : 0;
    if (d->left == 0 && d->payload.length == 0) /* all of it at once: no copy */
        return d->on_frame(d->ctx, &d->frame, bytes, err);
    buf_add(&d->payload, bytes, n);
    if (d->left > 0) return 0;
    return d->on_frame(d->ctx, &d->frame, (const uint8_t *)d->payload.data, err);
}

int wire_feed(struct wire_decoder *d, const uint8_t *bytes, size_t length, struct err *err) {
    while (length > 0) {
        size_t n;
        if (d->have < WIRE_HEADER_BYTES) {
            n = WIRE_HEADER_BYTES - d->have < length ? WIRE_HEADER_BYTES - d->have : length;
            memcpy(d->header + d->have, bytes, n);
            d->have += n;
            bytes += n;
            length -= n;
            if (d->have < WIRE_HEADER_BYTES) return 0;
            if (header_read(d, err)) return -1;
            if (d->left > 0 && length == 0) return 0;
        }
        n = d->left < length ? d->left : length;
        if (payload_feed(d, bytes, n, err)) return -1;
        bytes += n;
        length -= n;
        if (d->left == 0) d->have = 0;
    }
    return 0;
}

void wire_decoder_done(struct wire_decoder *d) { buf_done(&d->payload); }
