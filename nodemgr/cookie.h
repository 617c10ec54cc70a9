/*
 * Flow cookies: who owns a flow, what it is for, and of which epoch.
 *
 *    63      56 55      48 47          32 31                            0
 *   +----------+----------+--------------+-------------------------------+
 *   | 'J' 0x4a |   kind   | epoch (low   |  link: the network id (VNI);  |
 *   |          |          |   16 bits)   |  0: the pipeline itself       |
 *   +----------+----------+--------------+-------------------------------+
 *
 * Everything with 'J' on top is jogak's and is made equal to what is desired; other flows in the
 * bridge are counted and reported, never touched. The epoch is that of the vNIC's sliver (0 for
 * flows that belong to a whole link), so that after a migration stale flows tell themselves.
 */
#ifndef JOGAK_NODEMGR_COOKIE_H
#define JOGAK_NODEMGR_COOKIE_H

#include <stdbool.h>
#include <stdint.h>

enum cookie_kind {
    COOKIE_BASE,     /* the fixed last row of each table; all are drops */
    COOKIE_CLASSIFY, /* table 0: from a local port into its link */
    COOKIE_TUNNEL,   /* table 0: from the VXLAN port into a link */
    COOKIE_CLOSED,   /* table 0: drop, the vNIC may not send (yet) */
    COOKIE_ALLOW,    /* table 1: a source that the vNIC may use */
    COOKIE_SPOOFED,  /* table 1: drop, any other source */
    COOKIE_POLICE,   /* table 2 */
    COOKIE_UNICAST,  /* table 3: to a known MAC */
    COOKIE_FLOOD,    /* table 3: broadcast and multicast */
    COOKIE_UNKNOWN,  /* table 3: drop, no such MAC on the link */
    COOKIE_NOTHING,  /* never stays: added and deleted in one bundle, see switch_settle() */
    COOKIE_ANSWER,   /* tables 0, 3: ARP for a link's router or a public address is answered */
    COOKIE_WAY_OUT,  /* table 3: to the router: to its gateway, or translated at it */
    COOKIE_WAY_IN,   /* table 0: translated from a public address into a link */
};

#define COOKIE_OWNER 0x4a
#define COOKIE_OWNER_MASK UINT64_C(0xff00000000000000)
#define COOKIE_KIND_MASK UINT64_C(0x00ff000000000000)
#define COOKIE_LINK_MASK UINT64_C(0x00000000ffffffff)

struct cookie {
    enum cookie_kind kind;
    uint16_t epoch;
    uint32_t link;
};

static inline uint64_t cookie_encode(enum cookie_kind kind, uint64_t epoch, uint32_t link) {
    return (uint64_t)COOKIE_OWNER << 56 | (uint64_t)kind << 48 | (epoch & 0xffff) << 32 | link;
}

/* False when the cookie is not jogak's (*ret is then untouched). */
static inline bool cookie_decode(uint64_t cookie, struct cookie *ret) {
    if (cookie >> 56 != COOKIE_OWNER) return false;
    ret->kind = (enum cookie_kind)(cookie >> 48 & 0xff);
    ret->epoch = (uint16_t)(cookie >> 32);
    ret->link = (uint32_t)cookie;
    return true;
}

#endif
