/*
 * Neighbours kept warm. In Open vSwitch's userspace datapath a tunnel's end learns its peer's MAC address
 * only from ARP replies that pass by, and drops frames until then: the first frame between two nodes would
 * cost a second. So each node sends a datagram to the others' tunnel addresses from time to time (port 9,
 * discard): the host's ARP does the rest. With the kernel's datapath it does nothing that matters.
 */
#ifndef JOGAK_NODEMGR_NEIGHBOUR_H
#define JOGAK_NODEMGR_NEIGHBOUR_H

#include "common/json.h"

/* vteps: array of IPv4 addresses (borrowed); others are passed over. Does not block. */
void neighbour_warm(const json *vteps);

#endif
