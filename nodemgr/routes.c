/*
 * The agent's routes; schemas/nodemgr.openapi.yaml describes them.
 */
#include "nodemgr/routes.h"

#define AM ROLE_AGGREGATE
#define CONSOLE_INPUT_MAX 4096

const struct route agent_routes[] = {
    { "GET", "/v1", route_info, ROLE_ANYONE, NULL, "common#ServiceInfo", 0, false },
    { "GET", "/v1/node", route_node, AM, NULL, "nodemgr#Node", 0, false },
    { "PUT", "/v1/images/{digest}", route_image_put, AM, "nodemgr#WantedImage",
      "nodemgr#ImageState", 0, false },
    { "GET", "/v1/inventory", route_inventory, AM, NULL, "nodemgr#Inventory", 0, false },
    { "POST", "/v1/inventory/collect", route_inventory_collect, AM, "nodemgr#Collect",
      "nodemgr#Collected", 0, false },
    { "POST", "/v1/fences", route_fences, AM, "nodemgr#Fences", NULL, 0, false },
    { "GET", "/v1/slivers", route_sliver_list, AM, NULL, "nodemgr#SliverStates", 0, false },
    { "GET", "/v1/slivers/{sliver}", route_sliver_get, AM, NULL, "nodemgr#SliverState", 0, false },
    { "PUT", "/v1/slivers/{sliver}", route_sliver_put, AM, "nodemgr#SliverSpec",
      "nodemgr#SliverState", 0, false },
    { "DELETE", "/v1/slivers/{sliver}", route_sliver_delete, AM, NULL, NULL, 0, false },
    { "POST", "/v1/slivers/{sliver}/power", route_sliver_power, AM, "nodemgr#Power",
      "nodemgr#SliverState", 0, false },
    { "GET", "/v1/slivers/{sliver}/console", route_console_read, ROLE_USER, NULL, NULL, 0, false },
    { "POST", "/v1/slivers/{sliver}/console", route_console_write, ROLE_USER, NULL, NULL,
      CONSOLE_INPUT_MAX, true },
    { "PUT", "/v1/slivers/{sliver}/checkpoints/{checkpoint}", route_checkpoint_put, AM,
      "nodemgr#NewCheckpoint", "nodemgr#CheckpointState", 0, false },
    { "GET", "/v1/slivers/{sliver}/checkpoints/{checkpoint}", route_checkpoint_get, AM, NULL,
      "nodemgr#CheckpointState", 0, false },
    { "DELETE", "/v1/slivers/{sliver}/checkpoints/{checkpoint}", route_checkpoint_delete, AM, NULL,
      NULL, 0, false },
    { "PUT", "/v1/slices/{slice}/forwarding", route_forwarding_put, AM, "nodemgr#Forwarding", NULL,
      8u << 20, false },
    { "DELETE", "/v1/slices/{slice}/forwarding", route_forwarding_delete, AM, NULL, NULL, 0,
      false },
    { "PUT", "/v1/migrations/{migration}", route_migration_put, AM, "nodemgr#MigrationSpec",
      "nodemgr#MigrationState", 0, false },
    { "GET", "/v1/migrations/{migration}", route_migration_get, AM, NULL, "nodemgr#MigrationState",
      0, false },
    { "DELETE", "/v1/migrations/{migration}", route_migration_delete, AM, NULL, NULL, 0, false },
    { "POST", "/v1/migrations/{migration}/{verb}", route_migration_verb, AM, "nodemgr#VerbRequest",
      "nodemgr#MigrationState", 0, false },
};
const size_t agent_route_count = COUNT_OF(agent_routes);
