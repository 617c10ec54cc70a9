/* One-time tokens, made by operators for users, services and nodes. */
#ifndef JOGAK_CLI_ENROLMENT_H
#define JOGAK_CLI_ENROLMENT_H

#include "command.h"

extern const struct option_row enrolment_options[];

/* Asks for a token of a type (user, am, ss, node) and name, and prints it, or writes it into the
 * file of --write. The token is a secret and is shown this once. */
int enrolment_run(struct cli *cli, const char *type, const char *name, struct err *err);

#endif
