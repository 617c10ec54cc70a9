/*
 * print_routes.c is linked once per service, with the file that gives its table.
 */
#ifndef JOGAK_TESTS_PRINT_ROUTES_H
#define JOGAK_TESTS_PRINT_ROUTES_H

#include "common/route.h"

struct route_table contract_routes(void);

#endif
