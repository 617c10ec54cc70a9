/*
 * Pausing the guests of a node without a lease, and letting them go on. Blocks on libvirt; for the
 * lease's own thread.
 */
#ifndef JOGAK_NODEMGR_LEASE_HOLD_H
#define JOGAK_NODEMGR_LEASE_HOLD_H

#include "nodemgr/agent.h"
#include "nodemgr/lease_page.h"

/* Pauses each guest that runs and needs a lease, after noting it on the page, and closes the gates of its
 * taps. Those that are paused already, frozen, unfenced, or in mid-copy are left alone: the first keep
 * their user's wish, the last would confuse their migration and are frozen when the lease ends. */
void lease_hold_all(struct agent *a, struct lease_page *page);
/* The reverse, for the incarnations that are named: thawed ones, then paused ones, then gates. `slivers`:
 * [{sliver, epoch}]. Stops when the lease ends meanwhile. Entries of domains that are gone are forgotten. */
void lease_let_go(struct agent *a, struct lease_page *page, const json *slivers);
/* Lets those frozen go on that are named; signals only. pid_directory: libvirt's (pin.h). */
void lease_thaw(struct lease_page *page, const char *pid_directory, const json *slivers);

#endif
