/*
 * A witness of the frames that are sent to a guest's taps, to find the one that a paused QEMU swallows.
 *
 * A QEMU whose guest is paused still reads one frame from each tap, finds that the guest cannot take it,
 * and keeps it in its own memory, where it dies with the process. Which one it was follows from the order:
 * QEMU reads no second one, so all later frames are still in the tap's queue, and those are counted when the
 * queue is drained. So a socket on the tap remembers the last frames that went in: the one just before
 * the leftovers is the swallowed one. When nothing was left over at the pause, the time of the last frame
 * decides: after the pause it can only have been swallowed.
 *
 * One thread per witness; a few thousand frames of memory at most, only while a migration is under way.
 */
#ifndef JOGAK_NODEMGR_WITNESS_H
#define JOGAK_NODEMGR_WITNESS_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct witness;

/* Watches these taps (NULL-terminated names) from now on. Errors: ERR_NOT_FOUND, ERR_UNAVAILABLE. */
struct witness *witness_new(const char *const *taps, struct err *err);
void witness_free(struct witness *w); /* NULL is fine */

/* The frame of this tap that a QEMU paused at paused_ms (wall clock) swallowed, when `leftovers`
 * frames were found behind it. `certain`: QEMU could have read more and did not, so it swallowed one;
 * otherwise the frame's time decides. Returns 1 and the frame (returned; the caller frees) with its
 * virtio-net header of HELD_HEADER_BYTES in front; 0 when there is none, or the witness lost count. */
int witness_swallowed(struct witness *w, const char *tap, int64_t leftovers, bool certain,
                      int64_t paused_ms, uint8_t **ret_frame, size_t *ret_length);

#endif
