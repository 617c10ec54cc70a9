/*
 * Run a program and wait for it, without a shell.
 */
#ifndef JOGAK_NODEMGR_SPAWN_H
#define JOGAK_NODEMGR_SPAWN_H

#include "common/err.h"

#include <stdint.h>

struct spawn_result {
    int status;        /* exit status; 128 + the signal's number when one ended it */
    char output[2048]; /* the beginning of what it wrote to standard output and error */
};
/* argv: NULL-terminated, argv[0] is looked up in PATH. Its standard input is /dev/null. It is killed
 * when timeout_ms have passed (ERR_TIMEOUT). With ret NULL a status other than 0 is an error
 * (ERR_UNAVAILABLE, ERR_NO_SPACE) that carries the first line of its output. Blocks. */
int spawn_run(const char *const *argv, int64_t timeout_ms, struct spawn_result *ret,
              struct err *err);

#endif
