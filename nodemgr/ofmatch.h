/*
 * OpenFlow extensible matches: the fields that jogak uses, as one table, and their encoding.
 *
 * A match is kept as its OXM list (without ofp_match header and padding) in canonical form: fields
 * ordered by (class, field), full masks left out, value bits outside the mask zero. Two matches
 * are then the same exactly when their bytes are, whatever order the switch reports them in.
 * Source: OpenFlow 1.4.0, 7.2.2 and 7.2.3; nicira-ext's NXM_1 class for registers and tunnels.
 */
#ifndef JOGAK_NODEMGR_OFMATCH_H
#define JOGAK_NODEMGR_OFMATCH_H

#include "common/err.h"
#include "common/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows of the table in ofmatch.c, in the same order. */
enum of_field {
    OF_IN_PORT,
    OF_METADATA,
    OF_ETH_DST,
    OF_ETH_SRC,
    OF_ETH_TYPE,
    OF_IP_PROTO,
    OF_IPV4_SRC,
    OF_IPV4_DST,
    OF_ARP_OP,
    OF_ARP_SPA,
    OF_ARP_TPA,
    OF_ARP_SHA,
    OF_ARP_THA,
    OF_IPV6_SRC,
    OF_IPV6_DST,
    OF_ICMPV6_TYPE,
    OF_ND_TARGET,
    OF_ND_SLL,
    OF_ND_TLL,
    OF_TUNNEL_ID,
    OF_REG0,
    OF_REG1,
    OF_REG2,
    OF_REG3,
    OF_TUN_SRC,
    OF_TUN_DST,
    OF_FIELD_MAX_
};

struct of_field_info {
    const char *name; /* as ovs-ofctl prints it, where it is one word */
    uint16_t oxm_class;
    uint8_t field;
    uint8_t length; /* bytes of the value */
    bool maskable;
};

const struct of_field_info *of_field_info(enum of_field field);

/* Append one field to an OXM list. `value` and `mask` (NULL: exact) are length bytes, big endian.
 */
void of_oxm_put(struct buf *list, enum of_field field, const void *value, const void *mask);
/* The same for a number of 1, 2, 4 or 8 bytes. `mask` is all ones for an exact match. */
void of_oxm_put_number(struct buf *list, enum of_field field, uint64_t value, uint64_t mask);

#define OF_OXM_LIST_MAX 1024 /* bytes; longer ones are refused */
/* Bring an OXM list into canonical form, in place. Fields outside the table are kept as they are.
 * Errors: ERR_INVALID when it is malformed. */
int of_oxm_canonicalise(struct buf *list, struct err *err);
/* "in_port=3,eth_src=02:00:..": text for logs and errors; appended to `text`. */
void of_oxm_print(const struct buf *list, struct buf *text);

#endif
