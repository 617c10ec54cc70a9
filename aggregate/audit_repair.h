/*
 * What the audit does about its findings.
 */
#ifndef JOGAK_AGGREGATE_AUDIT_REPAIR_H
#define JOGAK_AGGREGATE_AUDIT_REPAIR_H

#include "aggregate.h"
#include "audit_compare.h"

/* Repairs what can be. begun_ms: when the inventory was asked for; a sliver that an operation has worked on
 * since is left alone, since the finding may be past. Each try is noted with its finding; whether it helped is
 * seen at the next look, except of a state, which is then right. */
void audit_repair(struct aggregate *am, const char *node, int64_t begun_ms,
                  const struct audit_findings *found);

/* A new process of the agent may have lost what it knew: it is taught the epochs of all slivers, and
 * the forwarding of its slices is told again. */
int audit_teach(struct aggregate *am, const char *node, struct err *err);

#endif
