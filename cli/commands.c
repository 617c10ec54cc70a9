/* All nouns, in the order of the help. */
#include "nouns.h"

const struct command_group *const command_groups[] = {
    &login_group,   &whoami_group, &status_group,    &user_group,  &project_group,    &slice_group,
    &service_group, &node_group,   &operation_group, &help_group_, &completion_group, &version_group,
    NULL,
};
