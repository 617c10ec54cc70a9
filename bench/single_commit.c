/*
 * Linked into a second build of a service: each database function gets a transaction, and so a
 * sync, of its own. The benchmark's comparison for the writer's shared commits.
 */
#include "common/db.h"

__attribute__((constructor)) static void commit_singly(void) { db_share_commits(false); }
