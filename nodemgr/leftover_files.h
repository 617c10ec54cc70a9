/*
 * The files among the leftovers. Names are those of the inventory: "slivers/<sliver>/disk-e3.qcow2",
 * "console/<sliver>-e3.sock", "migrate/<migration>". Used by leftover.c and inventory_files.c.
 */
#ifndef JOGAK_NODEMGR_LEFTOVER_FILES_H
#define JOGAK_NODEMGR_LEFTOVER_FILES_H

#include "nodemgr/leftover.h"

int leftover_file(struct agent *a, const struct leftover *w, struct err *err);
/* Of a migration that this agent does not have (any more): its sockets and itself. */
int leftover_directory(struct agent *a, const struct leftover *w, struct err *err);
int leftover_sweep_files(struct agent *a, const char *sliver, int64_t epoch, struct err *err);
void leftover_names_done(char ***names); /* of netdev_list() */

/* Calls fn for each entry of the directory; one that is not there is empty. The names are borrowed. */
int leftover_each(const char *directory, int (*fn)(void *ctx, const char *name, struct err *err),
                  void *ctx, struct err *err);

#endif
