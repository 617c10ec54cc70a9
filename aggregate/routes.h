#ifndef JOGAK_AGGREGATE_ROUTES_H
#define JOGAK_AGGREGATE_ROUTES_H

#include "common/route.h"

extern const struct route aggregate_routes[];
extern const size_t aggregate_route_count;

#endif
