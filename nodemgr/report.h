/*
 * Heartbeats: what this node is, has and runs, to the aggregate every report_interval_ms, and
 * sooner when a sliver's state changes. Works from what is known here, so that reports go on while
 * libvirt or Open vSwitch hang.
 */
#ifndef JOGAK_NODEMGR_REPORT_H
#define JOGAK_NODEMGR_REPORT_H

#include "nodemgr/agent.h"

struct reporter;
/* NULL when there is no aggregate to report to. */
struct reporter *reporter_start(struct agent *a);
void reporter_stop(struct reporter *r);

/* {boot_id, version, uptime_ms, addresses, capabilities, resources}: what a report and GET /v1/node
 * have in common; the caller's. */
json *report_node(struct agent *a);

#endif
