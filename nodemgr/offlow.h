/*
 * One flow of a flow table: its cookie, place, match and instructions, in OpenFlow 1.4 encoding.
 *
 * Build one with of_flow_init(), of_match*(), of_goto() etc. and end with of_flow_finish(), which
 * brings match and instructions into canonical form. Flows read from a switch are finished the
 * same way, so that two flows do the same exactly when of_flow_same() says so.
 */
#ifndef JOGAK_NODEMGR_OFFLOW_H
#define JOGAK_NODEMGR_OFFLOW_H

#include "nodemgr/ofmatch.h"

struct of_flow {
    uint64_t cookie;
    uint8_t table;
    uint16_t priority;
    struct buf match;        /* OXM list */
    struct buf instructions; /* ofp_instruction structures */
    /* Only of flows that were read from a switch: */
    uint64_t packets;
    uint64_t bytes;
};

#define OF_PORT_MAX 0xffffff00u
#define OF_PORT_IN_PORT 0xfffffff8u
#define OF_PORT_CONTROLLER 0xfffffffdu
#define OF_PORT_LOCAL 0xfffffffeu
#define OF_PORT_ANY 0xffffffffu
#define OF_PORT_TABLE 0xfffffff9u /* packet-out only: begin at table 0 */

#define OF_ETH_ARP 0x0806u
#define OF_ETH_IPV4 0x0800u
#define OF_ETH_IPV6 0x86ddu

void of_flow_init(struct of_flow *f, uint64_t cookie, uint8_t table, uint16_t priority);
void of_flow_done(struct of_flow *f);
void of_flow_copy(struct of_flow *to, const struct of_flow *from);
void of_flows_free(struct of_flow *flows, size_t count); /* NULL is fine */

void of_match(struct of_flow *f, enum of_field field, uint64_t value);
void of_match_masked(struct of_flow *f, enum of_field field, uint64_t value, uint64_t mask);
/* `value` borrows length-of-field bytes, big endian. */
void of_match_bytes(struct of_flow *f, enum of_field field, const void *value);

/* Instructions. Without any, a flow drops. */
void of_goto(struct of_flow *f, uint8_t table);
void of_write_metadata(struct of_flow *f, uint64_t value, uint64_t mask);
void of_meter(struct of_flow *f, uint32_t meter);
/* The list of actions (borrows; built by of_action_*); an empty list adds nothing. */
void of_apply_actions(struct of_flow *f, const struct buf *actions);

void of_action_output(struct buf *actions, uint32_t port);
/* Set a field of at most 8 bytes. */
void of_action_set(struct buf *actions, enum of_field field, uint64_t value);
/* Copy an Ethernet or ARP address into another one. (Nicira's action: OpenFlow has none before 1.5.) */
void of_action_move(struct buf *actions, enum of_field from, enum of_field to);
/* One hop less to live; what has none left is dropped. */
void of_action_dec_ttl(struct buf *actions);

#define OF_INSTRUCTIONS_MAX 60000 /* bytes; a flow-mod is at most 65535 */
/* Errors: ERR_TOO_LARGE (too many outputs for one flow), ERR_INVALID (malformed). */
int of_flow_finish(struct of_flow *f, struct err *err);

/* Order and identity in the switch: (table, priority, match). Both flows finished. */
int of_flow_compare(const struct of_flow *a, const struct of_flow *b);
/* Same identity, cookie and instructions. */
bool of_flow_same(const struct of_flow *a, const struct of_flow *b);
/* "table=1 priority=100 cookie=0x4a.. in_port=..": appended to text. */
void of_flow_print(const struct of_flow *f, struct buf *text);

#endif
