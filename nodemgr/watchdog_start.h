/*
 * Starting the watchdog, so that it outlives the one who starts it.
 */
#ifndef JOGAK_NODEMGR_WATCHDOG_START_H
#define JOGAK_NODEMGR_WATCHDOG_START_H

#include "common/err.h"

/* Starts jogak-watchdog, which lies beside our own program, and waits (at most a second) until it looks at the
 * page; it is nobody's child afterwards. One that looked at the same page before ends.
 * Errors: ERR_UNAVAILABLE (no such program; it did not come up). */
int watchdog_start(const char *page_path, const char *unfenced_directory, struct err *err);

#endif
