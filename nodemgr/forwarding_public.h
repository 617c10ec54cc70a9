/* Public addresses: the flows of one link for its router and its way out, see forwarding.h. */
#ifndef JOGAK_NODEMGR_FORWARDING_PUBLIC_H
#define JOGAK_NODEMGR_FORWARDING_PUBLIC_H

#include "nodemgr/forwarding_plan.h"

/* What is known of this node; everything is borrowed. */
struct forwarding_ways {
    const uint32_t *ofports; /* beside the link's vNICs; 0: not here */
    uint32_t vxlan;          /* port numbers; 0: there is none */
    uint32_t uplink_port;
    const struct forwarding_uplink *uplink;
};
/* Does this node translate an address of the link? */
bool forwarding_translates(const struct forwarding_link *link);
/* Adds the flows; *missing grows by the addresses that had to be left out for want of an uplink.
 * Errors: ERR_UNPROCESSABLE. */
int forwarding_plan_public(const struct forwarding_link *link, const struct forwarding_ways *ways,
                           struct flow_set *set, size_t *missing, struct err *err);

#endif
