/*
 * Commands to ovs-vswitchd over its control socket (JSON-RPC, as ovs-appctl speaks it).
 */
#ifndef JOGAK_NODEMGR_OVSCTL_H
#define JOGAK_NODEMGR_OVSCTL_H

#include "common/err.h"

#include <stdint.h>

/* Run one command without arguments on a connection of its own; its answer is dropped. The socket
 * is <run_dir>/ovs-vswitchd.<pid>.ctl, with the pid from ovs-vswitchd.pid there, or else
 * <run_dir>/ovs-vswitchd.ctl (started with --unixctl).
 * Errors: ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_UNPROCESSABLE (refused). */
int ovsctl_run(const char *run_dir, const char *command, int64_t deadline_ms, struct err *err);

#endif
