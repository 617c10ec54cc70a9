/*
 * The handlers of routes.c's table. ctx is the agent.
 */
#ifndef JOGAK_NODEMGR_ROUTES_H
#define JOGAK_NODEMGR_ROUTES_H

#include "nodemgr/agent.h"

#define ROUTE_HANDLER(name) \
    int name(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err)

ROUTE_HANDLER(route_info);
ROUTE_HANDLER(route_node);
ROUTE_HANDLER(route_image_put);
ROUTE_HANDLER(route_inventory);
ROUTE_HANDLER(route_inventory_collect);
ROUTE_HANDLER(route_fences);
ROUTE_HANDLER(route_sliver_list);
ROUTE_HANDLER(route_sliver_get);
ROUTE_HANDLER(route_sliver_put);
ROUTE_HANDLER(route_sliver_delete);
ROUTE_HANDLER(route_sliver_power);
ROUTE_HANDLER(route_checkpoint_put);
ROUTE_HANDLER(route_checkpoint_get);
ROUTE_HANDLER(route_checkpoint_delete);
ROUTE_HANDLER(route_forwarding_put);
ROUTE_HANDLER(route_forwarding_delete);
ROUTE_HANDLER(route_console_read);
ROUTE_HANDLER(route_console_write);
ROUTE_HANDLER(route_migration_put);
ROUTE_HANDLER(route_migration_get);
ROUTE_HANDLER(route_migration_delete);
ROUTE_HANDLER(route_migration_verb);

/* A path parameter that must be a UUID, borrowed; NULL with ERR_INVALID. */
const char *route_uuid(const struct http_request *req, size_t index, struct err *err);

#endif
