/*
 * Migrations that this agent was told to forget. A MigrationSpec that arrives, or is still being checked,
 * after that (its caller has long given up) would stay for ever and refuse each later migration of its
 * sliver. Memory only: what is on its way to an agent does not outlive it. The last FORGOTTEN_MAX count.
 */
#ifndef JOGAK_NODEMGR_FORGOTTEN_H
#define JOGAK_NODEMGR_FORGOTTEN_H

#include "common/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORGOTTEN_MAX 256

struct forgotten {
    struct { char id[UUID_TEXT_BYTES]; int64_t epoch; } rows[FORGOTTEN_MAX];
    size_t next;
};
/* All of it, up to this epoch of the migration. The caller's lock is held for both. */
void forgotten_note(struct forgotten *f, const char *id, int64_t epoch);
bool forgotten_has(const struct forgotten *f, const char *id, int64_t epoch);

#endif
