#ifndef JOGAK_SLIVERSTORE_ROUTES_H
#define JOGAK_SLIVERSTORE_ROUTES_H

#include "store.h"
#include "common/route.h"

/* The table of this store; borrows it. */
struct route_table routes_of(struct store *s);

#endif
