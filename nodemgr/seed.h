/*
 * The NoCloud seed: an ISO 9660 volume named "cidata" with meta-data, network-config and user-data.
 *
 * The same texts give the same bytes, on every node and at every time: a migration's target makes
 * its own copy and the guest sees no difference.
 */
#ifndef JOGAK_NODEMGR_SEED_H
#define JOGAK_NODEMGR_SEED_H

#include "common/err.h"

/* Writes the image to path (whole or not at all, mode 0600). Texts are borrowed; an empty
 * network_config leaves that file out. Errors: ERR_NO_SPACE, ERR_UNAVAILABLE. */
int seed_write(const char *path, const char *meta_data, const char *network_config,
               const char *user_data, struct err *err);

#endif
