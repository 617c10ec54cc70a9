/* All nouns, in the order of the help. */
#include "nouns.h"

const struct command_group *const command_groups[] = {
    &login_group,    &whoami_group,    &status_group, &user_group,   &project_group,
    &slice_group,    &service_group,   &image_group,  &node_group,   &audit_group,  &apply_group,
    &plan_group,     &sliver_group,    &console_group, &migrate_group, &migration_group,
    &operation_group, &reservation_group, &events_group, &graph_group, &frame_group, &help_group_,
    &completion_group, &version_group, NULL,
};
