/*
 * The way to the other nodes, which Open vSwitch's userspace datapath has to be shown (with the kernel's datapath
 * nothing here matters). Two things, for each peer's tunnel address, as often as the aggregate names them:
 *
 *   its route   is the host's own, pinned: see switch_pin_route() for what is lost otherwise.
 *   its MAC     is learned only from ARP replies that pass by, and frames are dropped until then: the first one
 *               between two nodes would cost a second. A datagram to the peer (port 9, discard) makes the
 *               host's own ARP ask.
 *
 * Not thread-safe: for the reporter only.
 */
#ifndef JOGAK_NODEMGR_UNDERLAY_H
#define JOGAK_NODEMGR_UNDERLAY_H

#include "common/json.h"
#include "nodemgr/switch.h"

struct underlay;

/* Borrows the door. Does no I/O; never NULL. underlay_free(NULL) is fine; pinned routes stay. */
struct underlay *underlay_new(struct switch_door *door);
void underlay_free(struct underlay *u);

/* vteps: array of IPv4 addresses (borrowed); others are passed over. Blocks for some milliseconds when a route is
 * new or has changed, else hardly. What fails is logged once, and tried again by the next call. */
void underlay_keep(struct underlay *u, const json *vteps);

#endif
