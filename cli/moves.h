/* What `node drain` and `slice migrate` have in common: many slivers moved by one operation. */
#ifndef JOGAK_CLI_MOVES_H
#define JOGAK_CLI_MOVES_H

#include "command.h"

#define OPTION_MOVES \
    { "parallel", 0, "N", "Moves at once (at most what the aggregate allows)" }, \
    { "timeout", 0, "SECONDS", "After so long begin nothing more, and take back what is not committed" }

/* {dry_run, parallel?, timeout_s?} from the options; the caller's. NULL: usage error. */
json *moves_body(struct cli *cli, bool dry_run, struct err *err);
/* Prints what a dry run answered; none: said when nothing would move. */
int moves_plan(struct cli *cli, const json *plan, const char *none);

#endif
