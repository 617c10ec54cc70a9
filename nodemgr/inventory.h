/*
 * The inventory: everything on this node that is ours or could be mistaken for ours, read from libvirt, Open
 * vSwitch, the kernel and the file system, not from what the agent believes.
 *
 * An item says what it is (kind, name), whose (sliver, epoch, as far as its marks tell), whether it is
 * `ours` (yes, no, unknown) and whether the agent's database knows its owner (`known`). A source that did
 * not answer is named, so that nobody takes its silence for absence.
 */
#ifndef JOGAK_NODEMGR_INVENTORY_H
#define JOGAK_NODEMGR_INVENTORY_H

#include "nodemgr/agent.h"

#define INVENTORY_PAGE 1000
#define INVENTORY_MAX 50000 /* items; more are left out, and `complete` is false then */

/* One page, in order of (kind, name), after the key of `after` ("" from the start). Blocks on libvirt and
 * Open vSwitch. Returns an Inventory (schemas/nodemgr.openapi.yaml), the caller's; NULL only when the
 * database cannot be read. */
json *inventory_page(struct agent *a, const char *after, int64_t limit, struct err *err);

#endif
