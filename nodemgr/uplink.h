/*
 * The uplink of a gateway: a device of the host that leads outside, and the MAC addresses at its two ends.
 *
 * The next hop is asked for by ARP on a packet socket, which sees the answer before Open vSwitch takes it. Once
 * known it is kept: that it does not answer for a while proves nothing.
 */
#ifndef JOGAK_NODEMGR_UPLINK_H
#define JOGAK_NODEMGR_UPLINK_H

#include "nodemgr/forwarding.h"

struct uplink;
/* device "": there is none; router: IPv4 text of the next hop, "" when there is none to be reached.
 * Copies. Errors: ERR_INVALID (names the setting). */
struct uplink *uplink_new(const char *device, const char *router, struct err *err);
void uplink_free(struct uplink *u); /* NULL is fine */

/* Looks again, every now and then; blocks for at most UPLINK_ASK_MS. True: *ret is not what it was before
 * (its port is "" while the device is not there). One thread at a time. */
#define UPLINK_ASK_MS 300
bool uplink_look(struct uplink *u, struct forwarding_uplink *ret);
/* Next time everything counts as new. */
void uplink_again(struct uplink *u);

#endif
