/*
 * The experiment header in C: read it, write it. Needs nothing but this file and a C compiler.
 *
 *   uint8_t frame[1514];
 *   struct jogak_frame f;
 *   if (jogak_frame_decode(frame, length, &f) == JOGAK_FRAME_OK)
 *       use(f.slice, f.inner, f.payload, f.payload_bytes);
 *
 * The format is told in schemas/experiment-header.md; this file is what the node's eBPF program,
 * the command `jogak frame` and programs inside slivers all compile, so that they cannot differ.
 * Decoding copies nothing and reads no byte outside the frame; no function here allocates.
 */
#ifndef JOGAK_FRAME_H
#define JOGAK_FRAME_H

#ifdef __bpf__
#include <linux/types.h>
typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
typedef __UINTPTR_TYPE__ size_t;
#define JOGAK_FRAME_FN static inline __attribute__((always_inline))
/* The verifier follows comparisons of pointers, not of lengths. */
#define JOGAK_FRAME_HAS(p, n, end) ((p) + (n) <= (end))
#else
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#define JOGAK_FRAME_FN static inline __attribute__((unused))
/* Are n bytes there from p (which is not beyond the end)? */
#define JOGAK_FRAME_HAS(p, n, end) ((size_t)((end) - (p)) >= (size_t)(n))
#endif

#define JOGAK_FRAME_ETHERTYPE 0x88B5u /* IEEE's for local experiments, until one is assigned */
#define JOGAK_FRAME_VERSION 1u
#define JOGAK_FRAME_ETHERNET_BYTES 14u /* both addresses and the EtherType above */
#define JOGAK_FRAME_HEADER_MIN 8u
#define JOGAK_FRAME_HEADER_MAX 60u
#define JOGAK_FRAME_INFO_MAX 52u /* of slice info after the slice id */
#define JOGAK_FRAME_LENGTH_MAX 1500u /* an inner EtherType up to this is an IEEE 802.3 length */
#define JOGAK_FRAME_TYPE_FIRST 0x0600u /* and from this on it is an EtherType */

/* Slice types. */
#define JOGAK_FRAME_SLICE 1u  /* slice id alone */
#define JOGAK_FRAME_PLACES 2u /* slice id, virtual interface, source and destination location */
#define JOGAK_FRAME_OWN_FIRST 128u /* layouts that a user registered for a slice */
#define JOGAK_FRAME_OWN_LAST 254u

/* What a frame is found to be. The order is that of the checks: the first that fails is told.
 * Numbers and names are kept for good. */
enum jogak_frame_status {
    JOGAK_FRAME_OK = 0,
    JOGAK_FRAME_RUNT = 1,      /* shorter than an Ethernet header */
    JOGAK_FRAME_ORDINARY = 2,  /* another EtherType: no frame of a slice */
    JOGAK_FRAME_TAGGED = 3,    /* the header stands behind a VLAN tag */
    JOGAK_FRAME_CUT = 4,       /* it ends within the first eight bytes of the header */
    JOGAK_FRAME_BAD_VERSION = 5,
    JOGAK_FRAME_BAD_TYPE = 6,  /* a slice type that is reserved */
    JOGAK_FRAME_BAD_LENGTH = 7,/* the header's length is not that of its slice type */
    JOGAK_FRAME_CUT_INFO = 8,  /* it ends within the rest of the header */
    JOGAK_FRAME_BAD_SLICE = 9, /* slice 0 */
    JOGAK_FRAME_BAD_INNER = 10,/* the inner EtherType is none, or is the experiment header again */
    JOGAK_FRAME_CUT_INNER = 11,/* an inner 802.3 length beyond the frame's end */
    JOGAK_FRAME_STATUS_MAX = 12
};

struct jogak_frame {
    uint32_t slice;        /* 1 to 4294967295 */
    uint8_t type;          /* slice type */
    uint8_t header_bytes;  /* of the experiment header, 8 to 60 */
    uint16_t inner;        /* EtherType of the payload, or (up to 1500) its 802.3 length */
    const uint8_t *info;   /* slice info after the slice id: header_bytes - 8 bytes */
    const uint8_t *payload;
    size_t payload_bytes;  /* with Ethernet's padding, if there is any */
};

#ifdef __bpf__
/* One load each: the kernel's machines that run this may read anywhere. Not so elsewhere. */
JOGAK_FRAME_FN uint16_t jogak_frame_get16(const uint8_t *p) {
    uint16_t v = *(const uint16_t *)(const void *)p;
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(v) : v;
}
JOGAK_FRAME_FN uint32_t jogak_frame_get32(const uint8_t *p) {
    uint32_t v = *(const uint32_t *)(const void *)p;
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}
#else
JOGAK_FRAME_FN uint16_t jogak_frame_get16(const uint8_t *p) {
    return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}
JOGAK_FRAME_FN uint32_t jogak_frame_get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
#endif
JOGAK_FRAME_FN void jogak_frame_put16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
JOGAK_FRAME_FN void jogak_frame_put32(uint8_t *p, uint32_t v) {
    jogak_frame_put16(p, (uint16_t)(v >> 16));
    jogak_frame_put16(p + 2, (uint16_t)v);
}

/* Of slice type 2: f->info has these three. */
JOGAK_FRAME_FN uint32_t jogak_frame_interface(const struct jogak_frame *f) {
    return jogak_frame_get32(f->info);
}
JOGAK_FRAME_FN uint32_t jogak_frame_source(const struct jogak_frame *f) {
    return jogak_frame_get32(f->info + 4);
}
JOGAK_FRAME_FN uint32_t jogak_frame_destination(const struct jogak_frame *f) {
    return jogak_frame_get32(f->info + 8);
}

JOGAK_FRAME_FN int jogak_frame_is_tag(uint16_t ethertype) {
    return ethertype == 0x8100u || ethertype == 0x88A8u || ethertype == 0x9100u;
}

/* May a header of this slice type have this length (bytes)? Whether a layout is registered, and
 * with which length, is not known here. */
JOGAK_FRAME_FN enum jogak_frame_status jogak_frame_check_type(uint8_t type, size_t header_bytes) {
    if (type == JOGAK_FRAME_SLICE)
        return header_bytes == 8 ? JOGAK_FRAME_OK : JOGAK_FRAME_BAD_LENGTH;
    if (type == JOGAK_FRAME_PLACES)
        return header_bytes == 20 ? JOGAK_FRAME_OK : JOGAK_FRAME_BAD_LENGTH;
    if (type < JOGAK_FRAME_OWN_FIRST || type > JOGAK_FRAME_OWN_LAST) return JOGAK_FRAME_BAD_TYPE;
    return header_bytes >= 8 ? JOGAK_FRAME_OK : JOGAK_FRAME_BAD_LENGTH;
}

/* Can this stand as inner EtherType (or 802.3 length)? */
JOGAK_FRAME_FN int jogak_frame_inner_valid(uint16_t inner) {
    if (inner == JOGAK_FRAME_ETHERTYPE) return 0;
    return inner <= JOGAK_FRAME_LENGTH_MAX || inner >= JOGAK_FRAME_TYPE_FIRST;
}

/* A frame without the header: ordinary traffic, or the header hidden behind one or two tags? */
JOGAK_FRAME_FN enum jogak_frame_status jogak_frame_other(const uint8_t *p, const uint8_t *end) {
    if (!jogak_frame_is_tag(jogak_frame_get16(p + 12)) || !JOGAK_FRAME_HAS(p, 18, end))
        return JOGAK_FRAME_ORDINARY;
    uint16_t second = jogak_frame_get16(p + 16);
    if (second == JOGAK_FRAME_ETHERTYPE) return JOGAK_FRAME_TAGGED;
    if (!jogak_frame_is_tag(second) || !JOGAK_FRAME_HAS(p, 22, end)) return JOGAK_FRAME_ORDINARY;
    return jogak_frame_get16(p + 20) == JOGAK_FRAME_ETHERTYPE ? JOGAK_FRAME_TAGGED
                                                              : JOGAK_FRAME_ORDINARY;
}

/* The header's last two bytes; NULL when the frame ends before them. */
JOGAK_FRAME_FN const uint8_t *jogak_frame_inner_at(const uint8_t *p, size_t header_bytes,
                                                   const uint8_t *end) {
#ifdef __bpf__
    /* What was compared must be what is read by: one pointer, which the compiler may not make again. */
    const uint8_t *moved = p + header_bytes;
    __asm__ volatile("" : "+r"(moved));
    return moved + 14 <= end ? moved + 12 : (const uint8_t *)0;
#else
    return JOGAK_FRAME_HAS(p, 14 + header_bytes, end) ? p + 12 + header_bytes : (const uint8_t *)0;
#endif
}

/* The frame between p and end (one past its last byte). *f borrows from it; it is complete only
 * when the answer is JOGAK_FRAME_OK. */
JOGAK_FRAME_FN enum jogak_frame_status jogak_frame_decode_between(const uint8_t *p,
                                                                  const uint8_t *end,
                                                                  struct jogak_frame *f) {
    if (!JOGAK_FRAME_HAS(p, 14, end)) return JOGAK_FRAME_RUNT;
    if (jogak_frame_get16(p + 12) != JOGAK_FRAME_ETHERTYPE) return jogak_frame_other(p, end);
    if (!JOGAK_FRAME_HAS(p, 22, end)) return JOGAK_FRAME_CUT;
    if (p[14] >> 4 != JOGAK_FRAME_VERSION) return JOGAK_FRAME_BAD_VERSION;
    size_t header_bytes = (size_t)(p[14] & 15u) * 4;
    enum jogak_frame_status status = jogak_frame_check_type(p[15], header_bytes);
    if (status != JOGAK_FRAME_OK) return status;
    const uint8_t *inner = jogak_frame_inner_at(p, header_bytes, end);
    if (!inner) return JOGAK_FRAME_CUT_INFO;
    f->type = p[15];
    f->header_bytes = (uint8_t)header_bytes;
    f->slice = jogak_frame_get32(p + 16);
    f->info = p + 20;
    f->inner = jogak_frame_get16(inner);
    f->payload = inner + 2;
    if (f->slice == 0) return JOGAK_FRAME_BAD_SLICE;
    if (!jogak_frame_inner_valid(f->inner)) return JOGAK_FRAME_BAD_INNER;
    if (f->inner <= JOGAK_FRAME_LENGTH_MAX && !JOGAK_FRAME_HAS(f->payload, f->inner, end))
        return JOGAK_FRAME_CUT_INNER;
    return JOGAK_FRAME_OK;
}

/* Writes the experiment header of f->header_bytes at `at` (Ethernet's addresses and the EtherType
 * stand before it). f->info may be NULL when it has none. f must have passed
 * jogak_frame_check_type(). */
JOGAK_FRAME_FN void jogak_frame_put_header(uint8_t *at, const struct jogak_frame *f) {
    size_t info_bytes = (size_t)f->header_bytes - JOGAK_FRAME_HEADER_MIN;
    at[0] = (uint8_t)(JOGAK_FRAME_VERSION << 4 | f->header_bytes / 4u);
    at[1] = f->type;
    jogak_frame_put32(at + 2, f->slice);
    for (size_t i = 0; i < info_bytes && i < JOGAK_FRAME_INFO_MAX; i++) at[6 + i] = f->info[i];
    jogak_frame_put16(at + f->header_bytes - 2, f->inner);
}

#ifndef __bpf__
/* `frame` (borrowed) of `length` bytes, from the destination address on, without frame check
 * sequence. */
JOGAK_FRAME_FN enum jogak_frame_status jogak_frame_decode(const void *frame, size_t length,
                                                          struct jogak_frame *f) {
    const uint8_t *p = (const uint8_t *)frame;
    memset(f, 0, sizeof *f);
    if (length < JOGAK_FRAME_ETHERNET_BYTES) return JOGAK_FRAME_RUNT; /* frame may be NULL */
    enum jogak_frame_status status = jogak_frame_decode_between(p, p + length, f);
    if (status == JOGAK_FRAME_OK) f->payload_bytes = (size_t)(p + length - f->payload);
    return status;
}

/* How long the frame of f is: f->header_bytes and f->payload_bytes count. */
JOGAK_FRAME_FN size_t jogak_frame_bytes(const struct jogak_frame *f) {
    return JOGAK_FRAME_ETHERNET_BYTES + f->header_bytes + f->payload_bytes;
}

/* Writes a whole frame to out, which has room for `room` bytes: f->type, slice, header_bytes,
 * info, inner, payload and payload_bytes count. The payload may stand in `out` already, at its
 * place. Returns what a decoder would say of the frame; unless that is JOGAK_FRAME_OK nothing was
 * written. A frame that `room` cannot take is JOGAK_FRAME_CUT. Ethernet's padding to 60 bytes is
 * left to the sender's interface. */
JOGAK_FRAME_FN enum jogak_frame_status jogak_frame_encode(const struct jogak_frame *f,
                                                          const uint8_t destination[6],
                                                          const uint8_t source[6], void *out,
                                                          size_t room) {
    uint8_t *p = (uint8_t *)out;
    enum jogak_frame_status status = jogak_frame_check_type(f->type, f->header_bytes);
    if (status != JOGAK_FRAME_OK) return status;
    if (f->header_bytes % 4 || f->header_bytes > JOGAK_FRAME_HEADER_MAX)
        return JOGAK_FRAME_BAD_LENGTH;
    if (f->slice == 0) return JOGAK_FRAME_BAD_SLICE;
    if (!jogak_frame_inner_valid(f->inner)) return JOGAK_FRAME_BAD_INNER;
    if (f->inner <= JOGAK_FRAME_LENGTH_MAX && f->payload_bytes < f->inner)
        return JOGAK_FRAME_CUT_INNER;
    if (room < JOGAK_FRAME_HEADER_MAX + JOGAK_FRAME_ETHERNET_BYTES &&
        room < (size_t)f->header_bytes + JOGAK_FRAME_ETHERNET_BYTES)
        return JOGAK_FRAME_CUT;
    if (f->payload_bytes > room - JOGAK_FRAME_ETHERNET_BYTES - f->header_bytes)
        return JOGAK_FRAME_CUT;
    if (f->payload_bytes)
        memmove(p + JOGAK_FRAME_ETHERNET_BYTES + f->header_bytes, f->payload, f->payload_bytes);
    memcpy(p, destination, 6);
    memcpy(p + 6, source, 6);
    jogak_frame_put16(p + 12, JOGAK_FRAME_ETHERTYPE);
    jogak_frame_put_header(p + JOGAK_FRAME_ETHERNET_BYTES, f);
    return JOGAK_FRAME_OK;
}

/* "ok", "bad_version", ...; "unknown" for numbers that are none. */
JOGAK_FRAME_FN const char *jogak_frame_status_name(unsigned status) {
    static const char *const names[JOGAK_FRAME_STATUS_MAX] = {
        "ok", "runt", "ordinary", "tagged", "cut", "bad_version", "bad_type", "bad_length",
        "cut_info", "bad_slice", "bad_inner", "cut_inner",
    };
    return status < JOGAK_FRAME_STATUS_MAX ? names[status] : "unknown";
}
#endif

#endif
