/*
 * The watchdog: stops the guests of a node whose lease has ended, whatever has become of its agent.
 *
 * A process of its own, jogak-watchdog, that the agent starts and that survives it. It knows no libvirt, no
 * network and no database, and allocates next to nothing: it looks at the lease page, and once the lease has
 * ended sends SIGSTOP to every QEMU of a sliver, found by libvirt's pid files, again and again, so that one
 * that is started late is met as well. Slivers whose policy is to run on have a file of their domain's
 * name in the directory of the unfenced. It never sends SIGCONT: the agent does that, when it has a lease
 * again and the aggregate has said which incarnations are still this node's.
 *
 * A QEMU that is stopped already, say by a migration, is left as it is and not noted.
 */
#ifndef JOGAK_NODEMGR_WATCHDOG_H
#define JOGAK_NODEMGR_WATCHDOG_H

#include "nodemgr/lease_page.h"

#define WATCHDOG_IDLE_MS 500   /* at most between two looks at the page */
#define WATCHDOG_STRICT_MS 100 /* between two looks at the processes while there is no lease */
#define WATCHDOG_ALONE_MS 60000 /* without agent and QEMU it ends after so long */

struct watchdog {
    struct lease_page *page;
    const char *pid_directory;      /* libvirt's: DOMAIN.pid */
    const char *unfenced_directory; /* files named like domains */
    int64_t alone_since_ms;         /* boot-time clock; 0: not alone */
    bool strict;                    /* the lease had ended at the last look */
};

/* One look: freezes what must not run. Returns for how many milliseconds to sleep. */
int64_t watchdog_look(struct watchdog *w);
/* Looks until another one has taken over, or there has been nothing to watch for long. */
void watchdog_run(struct watchdog *w, const char *page_path, ino_t page_inode);

#endif
