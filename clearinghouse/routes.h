/*
 * The routes of the clearing house; ctx of the handlers is a struct house.
 */
#ifndef JOGAK_CLEARINGHOUSE_ROUTES_H
#define JOGAK_CLEARINGHOUSE_ROUTES_H

#include "common/route.h"

struct house;

struct route_table clearinghouse_routes(struct house *h);

#endif
