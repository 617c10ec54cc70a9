/*
 * The life of a sliver on this node.
 *
 * An incarnation is a row, its parts (sliver_parts.h) and a domain. The row comes first and goes
 * last, so that whatever was half-made when the agent was killed is found again; making and
 * removing can be repeated. Nothing is ever removed because something else is missing.
 *
 * All calls block on libvirt and hold the sliver's lock meanwhile.
 */
#ifndef JOGAK_NODEMGR_SLIVER_H
#define JOGAK_NODEMGR_SLIVER_H

#include "nodemgr/agent.h"
#include "nodemgr/spec.h"

/* Makes and starts it; does nothing when this very incarnation runs or is paused.
 * Errors: ERR_STALE_EPOCH, ERR_CONFLICT (the image is missing; an older incarnation is here),
 * ERR_NO_SPACE, ERR_UNAVAILABLE. What was made is removed again when it fails. */
int sliver_put(struct agent *a, const struct sliver_spec *spec, struct err *err);

/* An incarnation that is here without a row, since the database was lost: makes the row, starts
 * nothing. Errors: ERR_NOT_FOUND (neither its domain nor its disk is here), ERR_STALE_EPOCH. */
int sliver_adopt(struct agent *a, const struct sliver_spec *spec, struct err *err);

enum sliver_power { SLIVER_START, SLIVER_STOP, SLIVER_REBOOT };
/* Start: a stopped one runs again from its disk, a paused one goes on. Stop: the guest is asked,
 * and after SLIVER_STOP_MS ended. Errors: ERR_NOT_FOUND, ERR_STALE_EPOCH, ERR_CONFLICT. */
#define SLIVER_STOP_MS 5000
int sliver_power(struct agent *a, const char *sliver, int64_t epoch, enum sliver_power action,
                 struct err *err);

/* Removes every incarnation up to this epoch, and refuses it from then on. */
int sliver_delete(struct agent *a, const char *sliver, int64_t epoch, struct err *err);
/* One incarnation, by its spec; without the lock and the fence, for migrations. */
int sliver_remove(struct agent *a, const struct sliver_spec *spec, struct err *err);

#endif
