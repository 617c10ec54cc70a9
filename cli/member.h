/* Members of projects and slices, which are handled alike. */
#ifndef JOGAK_CLI_MEMBER_H
#define JOGAK_CLI_MEMBER_H

#include "command.h"

/* of: "projects" or "slices"; name: of the one; user and role (NULL: member). */
int member_put(struct cli *cli, const char *of, const char *name, const char *user,
               const char *role, struct err *err);
int member_remove(struct cli *cli, const char *of, const char *name, const char *user,
                  struct err *err);

#endif
