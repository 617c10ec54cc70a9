/*
 * Forwarding as the aggregate gave it: one document per slice, kept on disk and put into the switch.
 *
 * The switch's flows go when Open vSwitch restarts, and a restarted agent does not know what they
 * are: all documents are then applied again, as a diff (forwarding.h).
 */
#ifndef JOGAK_NODEMGR_SLICE_FORWARDING_H
#define JOGAK_NODEMGR_SLICE_FORWARDING_H

#include "nodemgr/agent.h"

struct slice_forwarding;
/* Starts the thread that looks after the switch: makes the bridge and its VXLAN port, applies all
 * documents, and does so again whenever Open vSwitch was restarted.
 * Asks for the router outside first, for at most UPLINK_ASK_MS. NULL with ERR_INVALID: the uplink's settings. */
struct slice_forwarding *slice_forwarding_start(struct agent *a, struct err *err);
void slice_forwarding_stop(struct slice_forwarding *f);

/* Durable, then in the switch, when it returns. The same generation again applies it again.
 * settle_ms (0: not at all): how long to wait besides until the datapath's cache obeys too, so that no
 * frame takes an old way any more; it may take longer than that without an error.
 * Errors: ERR_STALE_EPOCH (an older generation), ERR_UNPROCESSABLE, ERR_UNAVAILABLE. */
int slice_forwarding_put(struct slice_forwarding *f, const char *slice, const json *document,
                         int64_t settle_ms, struct err *err);
int slice_forwarding_delete(struct slice_forwarding *f, const char *slice, struct err *err);

/* What documents are here: [{slice, generation, vnis: [...]}], the caller's; and is a network in one? */
json *slice_forwarding_documents(struct slice_forwarding *f, struct err *err);
bool slice_forwarding_lists(const json *documents, int64_t vni);
/* Removes the flows of a network that no document mentions. Errors: ERR_CONFLICT (one does), and those of
 * the switch door. */
int slice_forwarding_drop(struct slice_forwarding *f, int64_t vni, struct err *err);

#endif
