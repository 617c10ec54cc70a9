/* Slivers by name. */
#ifndef JOGAK_CLI_SLIVER_H
#define JOGAK_CLI_SLIVER_H

#include "command.h"

/* All slivers of a slice. */
json *sliver_list(struct cli *cli, const char *slice, struct err *err);
/* The one of this name (or id) in the command's slice; *ret_slice is borrowed from *cli. */
json *sliver_named(struct cli *cli, const char *name, const char **ret_slice, struct err *err);

/* console.c: the sliver's console on this terminal, until Ctrl-]. */
int console_run(struct cli *cli, struct err *err);

#endif
