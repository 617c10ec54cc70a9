#include "nodemgr/ofmsg.h"

#include <assert.h>
#include <stdio.h>

/* --- encoding --- */

/* Write a header; the length is filled in by end(). */
static size_t begin(struct buf *out, enum ofp_type type, uint32_t xid) {
    size_t start = out->length;
    wire_u8(out, OFP14_VERSION);
    wire_u8(out, (uint8_t)type);
    wire_u16(out, 0);
    wire_u32(out, xid);
    return start;
}

static void end(struct buf *out, size_t start) {
    size_t length = out->length - start;
    assert(length <= UINT16_MAX);
    out->data[start + 2] = (char)(length >> 8);
    out->data[start + 3] = (char)length;
}

void ofmsg_hello(struct buf *out, uint32_t xid) {
    size_t start = begin(out, OFPT_HELLO, xid);
    wire_u16(out, 1); /* OFPHET_VERSIONBITMAP */
    wire_u16(out, 8);
    wire_u32(out, 1u << OFP14_VERSION);
    end(out, start);
}

void ofmsg_bare(struct buf *out, enum ofp_type type, uint32_t xid) {
    end(out, begin(out, type, xid));
}

void ofmsg_echo_reply(struct buf *out, const struct ofmsg *request) {
    size_t start = begin(out, OFPT_ECHO_REPLY, request->xid);
    buf_add(out, request->data + OFP_HEADER_BYTES, request->length - (size_t)OFP_HEADER_BYTES);
    end(out, start);
}

static void put_match(struct buf *out, const struct buf *oxm) {
    size_t length = 4 + oxm->length;
    wire_u16(out, 1); /* OFPMT_OXM */
    wire_u16(out, (uint16_t)length);
    buf_add(out, oxm->data, oxm->length);
    wire_zeros(out, (length + 7) / 8 * 8 - length);
}

void ofmsg_flow_mod(struct buf *out, uint32_t xid, enum ofp_flow_mod_command command,
                    const struct of_flow *flow) {
    bool add = command == OFPFC_ADD;
    size_t start = begin(out, OFPT_FLOW_MOD, xid);
    wire_u64(out, flow->cookie);
    wire_u64(out, add ? 0 : UINT64_MAX); /* cookie_mask */
    wire_u8(out, flow->table);
    wire_u8(out, (uint8_t)command);
    wire_zeros(out, 4); /* idle and hard timeout: none */
    wire_u16(out, flow->priority);
    wire_u32(out, OFP_NO_BUFFER);
    wire_u32(out, OF_PORT_ANY);
    wire_u32(out, OFPG_ANY);
    wire_zeros(out, 4); /* flags, importance */
    put_match(out, &flow->match);
    if (add) buf_add(out, flow->instructions.data, flow->instructions.length);
    end(out, start);
}

void ofmsg_meter_mod(struct buf *out, uint32_t xid, enum of_meter_command command,
                     const struct of_meter_config *meter) {
    size_t start = begin(out, OFPT_METER_MOD, xid);
    wire_u16(out, (uint16_t)command);
    wire_u16(out, OFPMF_KBPS | OFPMF_BURST);
    wire_u32(out, meter->id);
    if (command != OFMC_DELETE) {
        wire_u16(out, OFPMBT_DROP);
        wire_u16(out, 16);
        wire_u32(out, meter->rate_kbps);
        wire_u32(out, meter->burst_kbit);
        wire_zeros(out, 4);
    }
    end(out, start);
}

void ofmsg_bundle_control(struct buf *out, uint32_t xid, uint32_t bundle,
                          enum ofp_bundle_control type) {
    size_t start = begin(out, OFPT_BUNDLE_CONTROL, xid);
    wire_u32(out, bundle);
    wire_u16(out, (uint16_t)type);
    wire_u16(out, OFPBF_ATOMIC | OFPBF_ORDERED);
    end(out, start);
}

void ofmsg_bundle_add(struct buf *out, uint32_t xid, uint32_t bundle, const struct buf *inner) {
    size_t start = begin(out, OFPT_BUNDLE_ADD_MESSAGE, xid);
    wire_u32(out, bundle);
    wire_zeros(out, 2);
    wire_u16(out, OFPBF_ATOMIC | OFPBF_ORDERED);
    buf_add(out, inner->data, inner->length);
    end(out, start);
}

void ofmsg_packet_out(struct buf *out, uint32_t xid, uint32_t in_port, const struct buf *actions,
                      const void *frame, size_t length) {
    size_t start = begin(out, OFPT_PACKET_OUT, xid);
    wire_u32(out, OFP_NO_BUFFER);
    wire_u32(out, in_port);
    wire_u16(out, (uint16_t)actions->length);
    wire_zeros(out, 6);
    buf_add(out, actions->data, actions->length);
    buf_add(out, frame, length);
    end(out, start);
}

static size_t begin_multipart(struct buf *out, uint32_t xid, enum ofp_multipart type) {
    size_t start = begin(out, OFPT_MULTIPART_REQUEST, xid);
    wire_u16(out, (uint16_t)type);
    wire_zeros(out, 6); /* flags, padding */
    return start;
}

void ofmsg_flow_request(struct buf *out, uint32_t xid, uint64_t cookie, uint64_t mask) {
    static const struct buf any = BUF_INIT;
    size_t start = begin_multipart(out, xid, OFPMP_FLOW);
    wire_u8(out, OFPTT_ALL);
    wire_zeros(out, 3);
    wire_u32(out, OF_PORT_ANY);
    wire_u32(out, OFPG_ANY);
    wire_zeros(out, 4);
    wire_u64(out, cookie);
    wire_u64(out, mask);
    put_match(out, &any);
    end(out, start);
}

void ofmsg_meter_config_request(struct buf *out, uint32_t xid) {
    size_t start = begin_multipart(out, xid, OFPMP_METER_CONFIG);
    wire_u32(out, OFPM_ALL);
    wire_zeros(out, 4);
    end(out, start);
}

void ofmsg_port_desc_request(struct buf *out, uint32_t xid) {
    end(out, begin_multipart(out, xid, OFPMP_PORT_DESC));
}

void ofmsg_port_stats_request(struct buf *out, uint32_t xid, uint32_t ofport) {
    size_t start = begin_multipart(out, xid, OFPMP_PORT_STATS);
    wire_u32(out, ofport);
    wire_zeros(out, 4);
    end(out, start);
}

/* --- decoding --- */

#define MULTIPART_BODY 16 /* offset of the first entry */

int ofmsg_multipart(const struct ofmsg *m, uint16_t *ret_type, bool *ret_more, struct err *err) {
    if (m->type != OFPT_MULTIPART_REPLY || m->length < MULTIPART_BODY)
        return err_set(err, ERR_UNAVAILABLE, "the switch sent an unexpected message %u", m->type);
    *ret_type = wire_get_u16(m->data + 8);
    *ret_more = wire_get_u16(m->data + 10) & OFPMPF_MORE;
    return 0;
}

/* Find the entry at *at, whose own length is a 16-bit number at `length_at`, and step over it. */
static int next_entry(const struct ofmsg *m, size_t *at, size_t least, size_t length_at,
                      const uint8_t **ret, size_t *ret_length, struct err *err) {
    size_t left = m->length - (size_t)MULTIPART_BODY - *at;
    if (left == 0) return 0;
    const uint8_t *p = m->data + MULTIPART_BODY + *at;
    size_t length = left < least ? 0 : wire_get_u16(p + length_at);
    if (length < least || length > left)
        return err_set(err, ERR_UNAVAILABLE, "the switch sent a malformed multipart entry");
    *ret = p;
    *ret_length = length;
    *at += length;
    return 1;
}

int ofmsg_next_flow(const struct ofmsg *m, size_t *at, struct of_flow *ret, struct err *err) {
    const uint8_t *p = NULL;
    size_t length = 0;
    int got = next_entry(m, at, 56, 0, &p, &length, err);
    if (got <= 0) return got;
    size_t match = wire_get_u16(p + 50), padded = (match + 7) / 8 * 8;
    if (match < 4 || 48 + padded > length)
        return err_set(err, ERR_UNAVAILABLE, "the switch sent a malformed flow");
    struct of_flow f;
    of_flow_init(&f, wire_get_u64(p + 24), p[2], wire_get_u16(p + 12));
    f.packets = wire_get_u64(p + 32);
    f.bytes = wire_get_u64(p + 40);
    buf_add(&f.match, p + 52, match - 4);
    buf_add(&f.instructions, p + 48 + padded, length - 48 - padded);
    *ret = f;
    return 1;
}

int ofmsg_next_meter(const struct ofmsg *m, size_t *at, struct of_meter_config *ret,
                     struct err *err) {
    const uint8_t *p = NULL;
    size_t length = 0;
    int got = next_entry(m, at, 8, 0, &p, &length, err);
    if (got <= 0) return got;
    *ret = (struct of_meter_config){ .id = wire_get_u32(p + 4) };
    if (length >= 8 + 16 && wire_get_u16(p + 8) == OFPMBT_DROP) {
        ret->rate_kbps = wire_get_u32(p + 12);
        ret->burst_kbit = wire_get_u32(p + 16);
    }
    return 1;
}

int ofmsg_next_port_desc(const struct ofmsg *m, size_t *at, struct of_port_desc *ret,
                         struct err *err) {
    const uint8_t *p = NULL;
    size_t length = 0;
    int got = next_entry(m, at, 40, 4, &p, &length, err);
    if (got <= 0) return got;
    ret->ofport = wire_get_u32(p);
    memcpy(ret->name, p + 16, sizeof(ret->name));
    ret->name[sizeof(ret->name) - 1] = '\0';
    return 1;
}

int ofmsg_next_port_stats(const struct ofmsg *m, size_t *at, struct of_port_stats *ret,
                          struct err *err) {
    const uint8_t *p = NULL;
    size_t length = 0;
    int got = next_entry(m, at, 80, 0, &p, &length, err);
    if (got <= 0) return got;
    *ret = (struct of_port_stats){
        .ofport = wire_get_u32(p + 4),
        .rx_packets = wire_get_u64(p + 16),
        .tx_packets = wire_get_u64(p + 24),
        .rx_bytes = wire_get_u64(p + 32),
        .tx_bytes = wire_get_u64(p + 40),
        .rx_dropped = wire_get_u64(p + 48),
        .tx_dropped = wire_get_u64(p + 56),
        .rx_errors = wire_get_u64(p + 64),
        .tx_errors = wire_get_u64(p + 72),
    };
    return 1;
}

/* --- errors --- */

struct error_row {
    uint16_t type;
    uint16_t code;
    const char *text;
};

#define ANY_CODE 0xffff

/* The errors that our own messages can meet; the last row of a type stands for its other codes.
 * Source: OpenFlow 1.4.0, 7.5.4. */
static const struct error_row errors[] = {
    { 0, 0, "no common OpenFlow version" },
    { 0, ANY_CODE, "hello failed" },
    { 1, 0, "bad request: version" },
    { 1, 1, "bad request: unknown type" },
    { 1, 5, "bad request: not permitted" },
    { 1, 6, "bad request: length" },
    { 1, 11, "bad request: port" },
    { 1, ANY_CODE, "bad request" },
    { 2, 4, "bad action: output port" },
    { 2, 5, "bad action: argument" },
    { 2, 7, "bad action: too many" },
    { 2, 11, "bad action: inconsistent with the match" },
    { 2, ANY_CODE, "bad action" },
    { 3, 2, "bad instruction: table" },
    { 3, ANY_CODE, "bad instruction" },
    { 4, 6, "bad match: field" },
    { 4, 7, "bad match: value" },
    { 4, 8, "bad match: mask" },
    { 4, 9, "bad match: a field's prerequisite is missing" },
    { 4, 10, "bad match: a field twice" },
    { 4, ANY_CODE, "bad match" },
    { 5, 1, "flow-mod: table full" },
    { 5, 2, "flow-mod: no such table" },
    { 5, 3, "flow-mod: overlap" },
    { 5, 4, "flow-mod: not permitted" },
    { 5, ANY_CODE, "flow-mod failed" },
    { 12, 1, "meter-mod: the meter exists" },
    { 12, 2, "meter-mod: invalid meter" },
    { 12, 3, "meter-mod: no such meter" },
    { 12, 8, "meter-mod: bad rate" },
    { 12, 10, "meter-mod: out of meters" },
    { 12, ANY_CODE, "meter-mod failed" },
    { 13, ANY_CODE, "multipart request failed" },
    { 17, 3, "bundle: closed" },
    { 17, 4, "bundle: out of bundles" },
    { 17, 6, "bundle: message unsupported" },
    { 17, 9, "bundle: message failed" },
    { 17, 10, "bundle: timed out" },
    { 17, ANY_CODE, "bundle failed" },
};

static const char *error_text(uint16_t type, uint16_t code) {
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (errors[i].type == type && (errors[i].code == code || errors[i].code == ANY_CODE))
            return errors[i].text;
    return "error";
}

static enum err_code error_code(uint16_t type, uint16_t code) {
    if (type == 0) return ERR_UNAVAILABLE;
    if ((type == 5 && code == 1) || (type == 12 && code == 10)) return ERR_NO_SPACE;
    if (type == 12 && code == 1) return ERR_CONFLICT;
    if (type == 12 && code == 3) return ERR_NOT_FOUND;
    return ERR_UNPROCESSABLE;
}

int ofmsg_to_err(const struct ofmsg *m, struct err *err) {
    if (m->length < 12) return err_set(err, ERR_UNAVAILABLE, "the switch sent a truncated error");
    uint16_t type = wire_get_u16(m->data + 8), code = wire_get_u16(m->data + 10);
    return err_set(err, error_code(type, code), "Open vSwitch refused: %s (type %u, code %u)",
                   error_text(type, code), type, code);
}
