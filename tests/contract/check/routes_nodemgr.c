#include "print_routes.h"

#include "nodemgr/routes.h"

struct route_table contract_routes(void) {
    return (struct route_table){ .rows = agent_routes, .count = agent_route_count };
}
