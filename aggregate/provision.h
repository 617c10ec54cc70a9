/*
 * The operations that make slivers real, take them away, and switch them on and off.
 */
#ifndef JOGAK_AGGREGATE_PROVISION_H
#define JOGAK_AGGREGATE_PROVISION_H

#include "operation.h"

int provision_run(struct aggregate *am, const struct operation *op, struct err *err);
int release_run(struct aggregate *am, const struct operation *op, struct err *err);
int power_run(struct aggregate *am, const struct operation *op, struct err *err);

#endif
