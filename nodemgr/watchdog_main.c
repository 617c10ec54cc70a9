/* jogak-watchdog LEASE_PAGE PID_DIRECTORY UNFENCED_DIRECTORY: started by the agent; see watchdog.h. */
#include "nodemgr/watchdog.h"

#include "common/log.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

LOG_MODULE("watchdog.main");

/* It must be there when memory and processors are short. Where this is not allowed it works all the same. */
static void be_preferred(void) {
    setpriority(PRIO_PROCESS, 0, -20);
    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: jogak-watchdog LEASE_PAGE PID_DIRECTORY UNFENCED_DIRECTORY\n"
                        "The node agent starts it; there is nothing to do by hand.\n");
        return 2;
    }
    struct err err = ERR_INIT;
    ino_t inode = 0;
    struct watchdog w = { .pid_directory = argv[2], .unfenced_directory = argv[3] };
    w.page = lease_page_open(argv[1], &inode, &err);
    if (!w.page) {
        log_error("nothing to watch", "cause=\"%s\"", err.msg);
        return 1;
    }
    /* The terminal's and the agent's end are not its own. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    be_preferred();
    watchdog_run(&w, argv[1], inode);
    return 0;
}
