/*
 * Commands to ovs-vswitchd over its control socket (JSON-RPC, as ovs-appctl speaks it).
 */
#ifndef JOGAK_NODEMGR_OVSCTL_H
#define JOGAK_NODEMGR_OVSCTL_H

#include "common/err.h"

#include <stdint.h>

/* Run one command, {name, arguments..., NULL}, on a connection of its own. ret_answer (may be NULL): its text,
 * which the caller frees. The socket is <run_dir>/ovs-vswitchd.<pid>.ctl, with the pid from ovs-vswitchd.pid
 * there, or else <run_dir>/ovs-vswitchd.ctl (started with --unixctl). Blocks until the deadline at most.
 * Errors: ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_UNPROCESSABLE (refused). */
int ovsctl_run(const char *run_dir, const char *const command[], char **ret_answer,
               int64_t deadline_ms, struct err *err);

#endif
