/*
 * Numbers of the OpenFlow 1.4 wire, and big-endian reading and writing. Used by the of*.c files
 * only. Source: OpenFlow Switch Specification 1.4.0, section 7.
 */
#ifndef JOGAK_NODEMGR_OFWIRE_H
#define JOGAK_NODEMGR_OFWIRE_H

#include "common/mem.h"

#include <stdint.h>

#define OFP14_VERSION 5
#define OFP_HEADER_BYTES 8
#define OFP_NO_BUFFER 0xffffffffu

enum ofp_type {
    OFPT_HELLO = 0,
    OFPT_ERROR = 1,
    OFPT_ECHO_REQUEST = 2,
    OFPT_ECHO_REPLY = 3,
    OFPT_FEATURES_REQUEST = 5,
    OFPT_FEATURES_REPLY = 6,
    OFPT_PACKET_OUT = 13,
    OFPT_FLOW_MOD = 14,
    OFPT_MULTIPART_REQUEST = 18,
    OFPT_MULTIPART_REPLY = 19,
    OFPT_BARRIER_REQUEST = 20,
    OFPT_BARRIER_REPLY = 21,
    OFPT_METER_MOD = 29,
    OFPT_BUNDLE_CONTROL = 33,
    OFPT_BUNDLE_ADD_MESSAGE = 34,
};

enum ofp_flow_mod_command { OFPFC_ADD = 0, OFPFC_DELETE = 3, OFPFC_DELETE_STRICT = 4 };

enum ofp_multipart {
    OFPMP_FLOW = 1,
    OFPMP_PORT_STATS = 4,
    OFPMP_METER_CONFIG = 10,
    OFPMP_PORT_DESC = 13
};
#define OFPMPF_MORE 1u

enum ofp_bundle_control {
    OFPBCT_OPEN_REQUEST = 0,
    OFPBCT_OPEN_REPLY = 1,
    OFPBCT_COMMIT_REQUEST = 4,
    OFPBCT_COMMIT_REPLY = 5,
    OFPBCT_DISCARD_REQUEST = 6,
    OFPBCT_DISCARD_REPLY = 7,
};
#define OFPBF_ATOMIC 1u
#define OFPBF_ORDERED 2u

enum ofp_instruction {
    OFPIT_GOTO_TABLE = 1,
    OFPIT_WRITE_METADATA = 2,
    OFPIT_APPLY_ACTIONS = 4,
    OFPIT_METER = 6,
};
enum ofp_action { OFPAT_OUTPUT = 0, OFPAT_DEC_NW_TTL = 24, OFPAT_SET_FIELD = 25, OFPAT_EXPERIMENTER = 0xffff };
#define NX_VENDOR 0x2320u /* nicira-ext.h */
#define NXAST_REG_MOVE 6u

#define OFPTT_ALL 0xffu
#define OFPG_ANY 0xffffffffu
#define OFPM_ALL 0xffffffffu
#define OFPMF_KBPS 1u
#define OFPMF_BURST 4u
#define OFPMBT_DROP 1u

static inline void wire_u8(struct buf *b, uint8_t v) { buf_add(b, &v, 1); }
static inline void wire_u16(struct buf *b, uint16_t v) {
    uint8_t p[2] = { (uint8_t)(v >> 8), (uint8_t)v };
    buf_add(b, p, sizeof(p));
}
static inline void wire_u32(struct buf *b, uint32_t v) {
    wire_u16(b, (uint16_t)(v >> 16));
    wire_u16(b, (uint16_t)v);
}
static inline void wire_u64(struct buf *b, uint64_t v) {
    wire_u32(b, (uint32_t)(v >> 32));
    wire_u32(b, (uint32_t)v);
}
static inline void wire_zeros(struct buf *b, size_t count) {
    static const uint8_t zeros[16];
    for (; count > sizeof(zeros); count -= sizeof(zeros)) buf_add(b, zeros, sizeof(zeros));
    if (count > 0) buf_add(b, zeros, count);
}
static inline uint16_t wire_get_u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t wire_get_u32(const uint8_t *p) {
    return (uint32_t)wire_get_u16(p) << 16 | wire_get_u16(p + 2);
}
static inline uint64_t wire_get_u64(const uint8_t *p) {
    return (uint64_t)wire_get_u32(p) << 32 | wire_get_u32(p + 4);
}

#endif
