/*
 * What runs here, as last seen: for reports, which must go on while libvirt does not answer.
 *
 * libvirt's events keep the view; a thread of its own reads the whole of it again after each
 * reconnection and every 15 s, notes on disk how domains ended, and connects consoles.
 */
#ifndef JOGAK_NODEMGR_SLIVER_WATCH_H
#define JOGAK_NODEMGR_SLIVER_WATCH_H

#include "nodemgr/agent.h"
#include "nodemgr/hypervisor.h"

struct sliver_watch;
/* Takes events from now on. Borrows the agent. */
struct sliver_watch *sliver_watch_new(struct agent *a);
/* Starts the thread; the agent's database, hypervisor and consoles must be there by now. */
void sliver_watch_start(struct sliver_watch *w);
/* Ends the thread and every wait. Events may still come until the hypervisor door is closed. */
void sliver_watch_stop(struct sliver_watch *w);
void sliver_watch_free(struct sliver_watch *w);

/* From the event thread: quick. */
void sliver_watch_event(struct sliver_watch *w, const struct hypervisor_event *event);
/* Something was made or removed here: look again soon. */
void sliver_watch_again(struct sliver_watch *w);
/* The incarnation moves now (source), or no longer. */
void sliver_watch_migrating(struct sliver_watch *w, const char *sliver, int64_t epoch, bool on);

/* SliverState, in an array or of one; the caller's. Blocks on the database only. */
json *sliver_watch_all(struct sliver_watch *w, struct err *err);
/* Those of one sliver: the highest epoch first counts. An unknown one is absent at epoch 0. */
json *sliver_watch_one(struct sliver_watch *w, const char *sliver, struct err *err);
/* The same of one incarnation. */
json *sliver_watch_at(struct sliver_watch *w, const char *sliver, int64_t epoch, struct err *err);
/* Asks libvirt first, for answers that must be true now. Errors: ERR_UNAVAILABLE. */
int sliver_watch_refresh(struct sliver_watch *w, struct err *err);
/* Grows with every change; waits until it is above seen or ms have passed. */
uint64_t sliver_watch_wait(struct sliver_watch *w, uint64_t seen, int64_t ms);

#endif
