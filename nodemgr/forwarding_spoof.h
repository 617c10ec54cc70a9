/*
 * Table 1 of the pipeline: the sources that a vNIC may use. Used by forwarding_plan.c.
 */
#ifndef JOGAK_NODEMGR_FORWARDING_SPOOF_H
#define JOGAK_NODEMGR_FORWARDING_SPOOF_H

#include "nodemgr/forwarding_plan.h"

/* reg0: where a frame came from. */
#define FORWARDING_FROM_LOCAL 1u
#define FORWARDING_FROM_TUNNEL 2u

/* Finish a flow and hand it to the set (takes it, also on an error). */
int forwarding_emit(struct flow_set *set, struct of_flow *flow, struct err *err);
/* Flows of one local vNIC. Errors: ERR_UNPROCESSABLE when an address is malformed. */
int forwarding_plan_spoof(uint32_t vni, const struct forwarding_vnic *v, uint32_t ofport,
                          struct flow_set *set, struct err *err);

#endif
