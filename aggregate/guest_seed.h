/*
 * What a guest is told at its first boot: cloud-init's NoCloud texts (meta-data, network-config
 * version 2, user-data). They are deterministic, so a target makes the same seed as the source had.
 */
#ifndef JOGAK_AGGREGATE_GUEST_SEED_H
#define JOGAK_AGGREGATE_GUEST_SEED_H

#include "sliver.h"

/* {meta_data, network_config, user_data}; keys: the owner's ssh keys. */
json *guest_seed(const struct sliver *s, const json *keys);

#endif
