#include "nodemgr/ofmatch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#define OXM_BASIC 0x8000
#define NXM_1 0x0001
#define OXM_FIELDS_MAX 64

static const struct of_field_info fields[OF_FIELD_MAX_] = {
    [OF_IN_PORT] = { "in_port", OXM_BASIC, 0, 4, false },
    [OF_METADATA] = { "metadata", OXM_BASIC, 2, 8, true },
    [OF_ETH_DST] = { "eth_dst", OXM_BASIC, 3, 6, true },
    [OF_ETH_SRC] = { "eth_src", OXM_BASIC, 4, 6, true },
    [OF_ETH_TYPE] = { "eth_type", OXM_BASIC, 5, 2, false },
    [OF_IP_PROTO] = { "ip_proto", OXM_BASIC, 10, 1, false },
    [OF_IPV4_SRC] = { "ipv4_src", OXM_BASIC, 11, 4, true },
    [OF_IPV4_DST] = { "ipv4_dst", OXM_BASIC, 12, 4, true },
    [OF_ARP_OP] = { "arp_op", OXM_BASIC, 21, 2, false },
    [OF_ARP_SPA] = { "arp_spa", OXM_BASIC, 22, 4, true },
    [OF_ARP_TPA] = { "arp_tpa", OXM_BASIC, 23, 4, true },
    [OF_ARP_SHA] = { "arp_sha", OXM_BASIC, 24, 6, true },
    [OF_ARP_THA] = { "arp_tha", OXM_BASIC, 25, 6, true },
    [OF_IPV6_SRC] = { "ipv6_src", OXM_BASIC, 26, 16, true },
    [OF_IPV6_DST] = { "ipv6_dst", OXM_BASIC, 27, 16, true },
    [OF_ICMPV6_TYPE] = { "icmpv6_type", OXM_BASIC, 29, 1, false },
    [OF_ND_TARGET] = { "nd_target", OXM_BASIC, 31, 16, true },
    [OF_ND_SLL] = { "nd_sll", OXM_BASIC, 32, 6, true },
    [OF_ND_TLL] = { "nd_tll", OXM_BASIC, 33, 6, true },
    [OF_TUNNEL_ID] = { "tunnel_id", OXM_BASIC, 38, 8, true },
    [OF_REG0] = { "reg0", NXM_1, 0, 4, true },
    [OF_REG1] = { "reg1", NXM_1, 1, 4, true },
    [OF_REG2] = { "reg2", NXM_1, 2, 4, true },
    [OF_REG3] = { "reg3", NXM_1, 3, 4, true },
    [OF_TUN_SRC] = { "tun_src", NXM_1, 31, 4, true },
    [OF_TUN_DST] = { "tun_dst", NXM_1, 32, 4, true },
};

/* One field of an OXM list, pointing into it. */
struct oxm {
    uint32_t header;
    const uint8_t *value;
    const uint8_t *mask; /* NULL: exact */
    size_t length;       /* of the value */
};

const struct of_field_info *of_field_info(enum of_field field) {
    assert(field >= 0 && field < OF_FIELD_MAX_);
    return &fields[field];
}

static bool all_bytes(const uint8_t *p, size_t length, uint8_t value) {
    for (size_t i = 0; i < length; i++)
        if (p[i] != value) return false;
    return true;
}

static void put_header(struct buf *list, uint32_t header) {
    uint32_t wire = htonl(header);
    buf_add(list, &wire, sizeof(wire));
}

void of_oxm_put(struct buf *list, enum of_field field, const void *value, const void *mask) {
    const struct of_field_info *f = of_field_info(field);
    assert(!mask || f->maskable);
    uint32_t payload = mask ? 2u * f->length : f->length;
    put_header(list, (uint32_t)f->oxm_class << 16 | (uint32_t)f->field << 9 | (mask ? 0x100u : 0u) |
                         payload);
    buf_add(list, value, f->length);
    if (mask) buf_add(list, mask, f->length);
}

static void big_endian(uint64_t number, uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)(number >> 8 * (length - 1 - i));
}

void of_oxm_put_number(struct buf *list, enum of_field field, uint64_t value, uint64_t mask) {
    size_t length = of_field_info(field)->length;
    assert(length <= 8);
    uint8_t v[8], m[8];
    big_endian(value, v, length);
    big_endian(mask, m, length);
    of_oxm_put(list, field, v, all_bytes(m, length, 0xff) ? NULL : m);
}

/* Take the first field off a list. */
static int oxm_pull(const uint8_t **at, size_t *left, struct oxm *ret, struct err *err) {
    if (*left < 4) return err_set(err, ERR_INVALID, "truncated OXM header");
    const uint8_t *p = *at;
    uint32_t header = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    size_t payload = header & 0xff;
    bool masked = header & 0x100;
    if (payload > *left - 4 || (masked && payload % 2 != 0))
        return err_set(err, ERR_INVALID, "bad OXM length %zu", payload);
    ret->header = header;
    ret->length = masked ? payload / 2 : payload;
    ret->value = p + 4;
    ret->mask = masked ? p + 4 + ret->length : NULL;
    *at += 4 + payload;
    *left -= 4 + payload;
    return 0;
}

static int oxm_compare(const void *a, const void *b) {
    /* The mask bit and the length are not part of a field's identity. */
    uint32_t x = ((const struct oxm *)a)->header >> 9, y = ((const struct oxm *)b)->header >> 9;
    return x < y ? -1 : x > y;
}

/* Write one field: without its mask when that is full, not at all when it is empty. */
static void oxm_rewrite(struct buf *out, const struct oxm *f) {
    if (f->mask && all_bytes(f->mask, f->length, 0)) return;
    if (!f->mask || all_bytes(f->mask, f->length, 0xff)) {
        put_header(out, (f->header & ~0x1ffu) | (uint32_t)f->length);
        buf_add(out, f->value, f->length);
        return;
    }
    put_header(out, f->header);
    for (size_t i = 0; i < f->length; i++) {
        uint8_t byte = f->value[i] & f->mask[i];
        buf_add(out, &byte, 1);
    }
    buf_add(out, f->mask, f->length);
}

int of_oxm_canonicalise(struct buf *list, struct err *err) {
    struct oxm found[OXM_FIELDS_MAX];
    size_t count = 0, left = list->length;
    const uint8_t *at = (const uint8_t *)list->data;
    if (left > OF_OXM_LIST_MAX) return err_set(err, ERR_TOO_LARGE, "match of %zu bytes", left);
    while (left > 0) {
        if (count == OXM_FIELDS_MAX) return err_set(err, ERR_TOO_LARGE, "match has many fields");
        if (oxm_pull(&at, &left, &found[count++], err)) return -1;
    }
    qsort(found, count, sizeof(found[0]), oxm_compare);
    AUTO_BUF struct buf out = BUF_INIT;
    for (size_t i = 0; i < count; i++) oxm_rewrite(&out, &found[i]);
    struct buf old = *list;
    *list = out;
    out = old;
    return 0;
}

static const struct of_field_info *info_of_header(uint32_t header) {
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (fields[i].oxm_class == header >> 16 && fields[i].field == (header >> 9 & 0x7f))
            return &fields[i];
    return NULL;
}

static void print_bytes(struct buf *text, const uint8_t *p, size_t length) {
    char address[INET6_ADDRSTRLEN];
    if (length == 16 && inet_ntop(AF_INET6, p, address, sizeof(address))) {
        buf_puts(text, address);
        return;
    }
    bool mac = length == 6;
    if (!mac) buf_puts(text, "0x");
    for (size_t i = 0; i < length; i++) buf_printf(text, "%s%02x", mac && i > 0 ? ":" : "", p[i]);
}

void of_oxm_print(const struct buf *list, struct buf *text) {
    const uint8_t *at = (const uint8_t *)list->data;
    size_t left = list->length;
    for (bool first = true; left > 0; first = false) {
        struct oxm f;
        if (oxm_pull(&at, &left, &f, NULL)) return;
        const struct of_field_info *info = info_of_header(f.header);
        if (!first) buf_puts(text, ",");
        if (info)
            buf_printf(text, "%s=", info->name);
        else
            buf_printf(text, "oxm:%08x=", f.header);
        print_bytes(text, f.value, f.length);
        if (!f.mask) continue;
        buf_puts(text, "/");
        print_bytes(text, f.mask, f.length);
    }
}
