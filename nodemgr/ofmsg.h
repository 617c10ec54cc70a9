/*
 * OpenFlow 1.4 messages: encoding of what we send, decoding of what a switch answers.
 *
 * Encoders append one whole message to a buffer. Decoders borrow the message, whose length the
 * caller has already made equal to its header's.
 */
#ifndef JOGAK_NODEMGR_OFMSG_H
#define JOGAK_NODEMGR_OFMSG_H

#include "nodemgr/offlow.h"
#include "nodemgr/ofwire.h"

struct ofmsg {
    uint8_t type;
    uint16_t length; /* of the message, header included */
    uint32_t xid;
    const uint8_t *data; /* the message, header included */
};

/* A meter: one band that drops what exceeds the rate. */
struct of_meter_config {
    uint32_t id;
    uint32_t rate_kbps;
    uint32_t burst_kbit;
};
enum of_meter_command { OFMC_ADD = 0, OFMC_MODIFY = 1, OFMC_DELETE = 2 };

struct of_port_desc {
    char name[16];
    uint32_t ofport;
};

struct of_port_stats {
    uint32_t ofport;
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes; /* seen from the switch */
    uint64_t rx_dropped, tx_dropped, rx_errors, tx_errors;
};

/* --- encoding --- */
void ofmsg_hello(struct buf *out, uint32_t xid);
void ofmsg_bare(struct buf *out, enum ofp_type type, uint32_t xid); /* a header alone */
void ofmsg_echo_reply(struct buf *out, const struct ofmsg *request);
/* Deletes match the flow's cookie as well, so that they never hit another owner's flow. */
void ofmsg_flow_mod(struct buf *out, uint32_t xid, enum ofp_flow_mod_command command,
                    const struct of_flow *flow);
void ofmsg_meter_mod(struct buf *out, uint32_t xid, enum of_meter_command command,
                     const struct of_meter_config *meter);
void ofmsg_bundle_control(struct buf *out, uint32_t xid, uint32_t bundle,
                          enum ofp_bundle_control type);
/* The message `inner` (borrows; with the same xid) as a part of a bundle. */
void ofmsg_bundle_add(struct buf *out, uint32_t xid, uint32_t bundle, const struct buf *inner);
void ofmsg_packet_out(struct buf *out, uint32_t xid, uint32_t in_port, const struct buf *actions,
                      const void *frame, size_t length);
/* Flows whose cookie, under the mask, is the given one. */
void ofmsg_flow_request(struct buf *out, uint32_t xid, uint64_t cookie, uint64_t mask);
void ofmsg_meter_config_request(struct buf *out, uint32_t xid);
void ofmsg_port_desc_request(struct buf *out, uint32_t xid);
void ofmsg_port_stats_request(struct buf *out, uint32_t xid, uint32_t ofport);

/* --- decoding --- */
/* Multipart replies: the part's type and whether more parts follow. */
int ofmsg_multipart(const struct ofmsg *m, uint16_t *ret_type, bool *ret_more, struct err *err);
/* Take the next entry off the body of a multipart reply: *at starts as 0. 1: got one, 0: end, -1.
 */
int ofmsg_next_flow(const struct ofmsg *m, size_t *at, struct of_flow *ret, struct err *err);
int ofmsg_next_meter(const struct ofmsg *m, size_t *at, struct of_meter_config *ret,
                     struct err *err);
int ofmsg_next_port_desc(const struct ofmsg *m, size_t *at, struct of_port_desc *ret,
                         struct err *err);
int ofmsg_next_port_stats(const struct ofmsg *m, size_t *at, struct of_port_stats *ret,
                          struct err *err);
/* An OFPT_ERROR as text, and as code: always -1, with *err filled. */
int ofmsg_to_err(const struct ofmsg *m, struct err *err);

#endif
