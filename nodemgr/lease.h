/*
 * The node's lease: slivers run here only while the aggregate has said so lately.
 *
 * The answer to each report grants a lease, counted from the moment that report was sent, on the boot-time
 * clock, which goes on while the machine sleeps. Shortly before it ends the agent pauses the guests through
 * libvirt and closes the gates of their taps (lease_hold.h); when it ends the watchdog stops their QEMUs
 * (watchdog.h), so that it does not matter what has become of this process. With a new lease, those go on
 * that the aggregate names as this node's; others stay as they are until they are removed by their epoch.
 *
 *   granted ---------------> guard ------> end ----------------> granted again
 *           guests run             paused       QEMUs are frozen  thawed, then resumed
 *
 * A lease outlives its agent (lease_page.h), so a restart within it disturbs nobody. An agent that knows no
 * aggregate keeps no lease, and everything may run.
 */
#ifndef JOGAK_NODEMGR_LEASE_H
#define JOGAK_NODEMGR_LEASE_H

#include "nodemgr/agent.h"
#include "nodemgr/spec.h"

/* An agent that has never had a lease in this boot waits so long for its first before it pauses what it finds. */
#define LEASE_FIRST_MS 10000

struct lease;
/* Opens the page in run_dir, and starts the watchdog unless one looks at it. The thread comes later. Returns
 * NULL without err when there is no aggregate. Errors: ERR_UNAVAILABLE, ERR_NO_SPACE (no page). */
struct lease *lease_open(struct agent *a, struct err *err);
/* Starts the thread that pauses and resumes; all parts of the agent must be there. */
void lease_start(struct lease *l);
/* Ends the thread. The page and the watchdog stay: the lease goes on without us. NULL is fine, here and below. */
void lease_stop(struct lease *l);
void lease_close(struct lease *l);

/* ERR_UNAVAILABLE unless there is a lease now: to be asked before a guest is let run. Unfenced ones need none
 * (spec may be NULL: fenced). */
int lease_check(struct lease *l, const struct sliver_spec *spec, struct err *err);
/* Is it certain that slivers stop when the lease ends: does the watchdog watch? */
bool lease_kept(struct lease *l);
/* Are slivers held for the want of a lease, so that the aggregate has to say which may go on? */
bool lease_holds(struct lease *l);
/* The aggregate answered the report sent at sent_ms (boot-time clock). slivers: [{sliver, epoch}] that may be
 * here, or NULL when it did not say (borrowed). Lets frozen ones go on at once; no libvirt, no disk. */
void lease_granted(struct lease *l, int64_t sent_ms, int64_t lease_ms, const json *slivers);
/* The incarnation is to be ended: a QEMU that is frozen gets SIGKILL, since it cannot heed libvirt. */
void lease_end_frozen(struct lease *l, const char *domain);

/* A guest that was paused for another reason may not go on now: it does with the next lease that names it. */
void lease_take_over(struct lease *l, const char *domain);

/* The file that says that an incarnation runs on without a lease; made before it is started. */
int lease_mark(struct agent *a, const struct sliver_spec *spec, struct err *err);
void lease_unmark(struct agent *a, const struct sliver_spec *spec);

#endif
