/*
 * Upkeep: one thread of a service that keeps it known and its certificate good.
 *
 * Once a minute it tells the clearing house's registry where the service is, if users should find it
 * there (a clearing house that is down does no harm). Once a day it renews the certificate when less than a third
 * of its life is left, and then ends the service by SIGTERM: its supervisor starts it again with the
 * new one, and nothing is lost by a restart at any moment.
 */
#ifndef JOGAK_UPKEEP_H
#define JOGAK_UPKEEP_H

#include "service.h"

#include <stdbool.h>

struct upkeep;
/* Borrows both until upkeep_stop(). */
struct upkeep *upkeep_start(const struct service_config *config, const struct identity *identity,
                            bool registered, struct err *err);
void upkeep_stop(struct upkeep *u); /* NULL is fine */

#endif
