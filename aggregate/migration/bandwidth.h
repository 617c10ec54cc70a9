/*
 * How much of the network a migration's copy may use: what the configuration allows, in all and at each
 * node, divided evenly among the migrations that copy at the moment. The agent at the source keeps to it.
 */
#ifndef JOGAK_AGGREGATE_BANDWIDTH_H
#define JOGAK_AGGREGATE_BANDWIDTH_H

#include "../aggregate.h"

/* The share in kbit/s of one migration between these nodes, itself counted; 0: no limit. Reads the
 * database. When that fails the answer is 0 too: a limit is a kindness, and no reason to stop. */
int64_t bandwidth_share_kbps(struct aggregate *am, const char *source, const char *target);

#endif
