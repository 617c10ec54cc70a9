/*
 * From a state in the store to a domain that stands paused at this node, under its new epoch's names.
 */
#ifndef JOGAK_NODEMGR_RESTORE_H
#define JOGAK_NODEMGR_RESTORE_H

#include "nodemgr/agent.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/spec.h"

#include "common/image_client.h"

/* The sliver's other parts (seed, taps, ports) are there; its disk is replaced. `directory`, of its own,
 * holds the memory meanwhile. Blocks. Errors: ERR_CANCELLED, ERR_INTEGRITY, ERR_NO_SPACE,
 * ERR_UNPROCESSABLE (the state does not fit), ERR_NOT_FOUND, ERR_UNAVAILABLE, ... */
int restore_state(struct agent *a, const struct sliver_spec *spec, const char *digest,
                  const char *directory, const atomic_bool *cancel,
                  void (*progress)(void *ctx, const struct image_progress *p), void *ctx,
                  struct err *err);

#endif
