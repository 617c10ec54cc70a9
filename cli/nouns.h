/* The groups of the command table; each is defined in its noun's file. */
#ifndef JOGAK_CLI_NOUNS_H
#define JOGAK_CLI_NOUNS_H

#include "command.h"

extern const struct command_group login_group, whoami_group, status_group, user_group,
    project_group, slice_group, service_group, image_group, node_group, audit_group, apply_group,
    plan_group, sliver_group, console_group, migrate_group, migration_group, operation_group,
    reservation_group, events_group, graph_group, frame_group, help_group_, completion_group,
    version_group;

#endif
