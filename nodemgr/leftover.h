/*
 * Leftovers: parts of incarnations (ports, taps, files, flows) that no incarnation here owns.
 *
 * The aggregate's audit finds them in the inventory and asks for their removal; this module looks
 * again by itself, under the sliver's lock, before it removes anything: the thing must still bear our mark
 * and the epoch that was named, and that incarnation must have neither a row nor a domain here.
 */
#ifndef JOGAK_NODEMGR_LEFTOVER_H
#define JOGAK_NODEMGR_LEFTOVER_H

#include "nodemgr/agent.h"

struct leftover { /* everything is borrowed */
    const char *kind, *name; /* as in the inventory */
    const char *sliver;      /* "" for flows and directories of migrations */
    int64_t epoch;
};
/* Removes one; 0 also when it is gone already. Errors: ERR_CONFLICT (it belongs to an incarnation
 * that is here), ERR_FORBIDDEN (it is not ours), ERR_INVALID (a kind or a name that is never one). */
int leftover_collect(struct agent *a, const struct leftover *what, struct err *err);
/* Every port, tap and file of the sliver up to this epoch, whatever the database says. The caller holds the
 * sliver's lock and has ended its domains. */
int leftover_sweep(struct agent *a, const char *sliver, int64_t epoch, struct err *err);

/* The epoch in a file's name ("disk-e3.qcow2", "x-e12"); 0: none. */
int64_t leftover_file_epoch(const char *name);

#endif
