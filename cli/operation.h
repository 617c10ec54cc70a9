/*
 * Operations: waiting for what the aggregate does in the background.
 */
#ifndef JOGAK_CLI_OPERATION_H
#define JOGAK_CLI_OPERATION_H

#include "command.h"

extern const struct command_group operation_group;

/* Waits until the operation has ended, showing its progress. as: see session_json(). *ret (may be
 * NULL) gets the operation. An aggregate that does not answer for a while is waited for. When it
 * failed or was cancelled: -1 with its own error and remedy. */
int operation_wait(struct cli *cli, const char *as, const char *id, json **ret, struct err *err);
/* What follows a 202: waits, unless the option no-wait was given, and says so. accepted is the
 * answer, borrowed. */
int operation_follow(struct cli *cli, const char *as, const json *accepted, const char *done,
                     struct err *err);
/* Has it come to an end? */
bool operation_ended(const json *operation);
/* 0 when it is done; else its error into *err. */
int operation_outcome(const json *operation, struct err *err);
/* Calls until the service answers or 60 s have passed: for loops that look again and again. Only
 * "cannot be reached" and "no answer in time" are passed over. */
json *operation_look(struct cli *cli, const char *as, struct err *err, const char *path, ...)
    __attribute__((format(printf, 4, 5)));

#endif
