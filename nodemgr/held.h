/*
 * Held frames: what a guest's network sent it while it was on its way to another node.
 *
 * Until the commit every frame for a sliver goes to the source's tap; after it, to the target's.
 * The frames that the source's guest never consumed are still in the source tap's queues when its
 * QEMU is gone, provided that somebody keeps the tap's file open. So:
 *
 *   source agent                                   target agent
 *   (netdev_gate(tap) when its domain was started)
 *   held_grab(pid of QEMU)                         netdev_hold(tap), when libvirt has prepared its
 *                                                  domain and before any switch is turned
 *   the guest is suspended; memory goes over; QEMU ends; commit
 *                       all switches are turned to the target
 *   held_drain() -> held_batch_add() -> tunnel  -> held_inject(tap), ahead of what the gate holds
 *   held_free()                                    netdev_release(tap), when the guest runs
 *
 * which gives the guest the leftovers, then what was held, then live traffic: each once, in order.
 *
 * A paused QEMU (without vhost) still reads ONE frame from each tap, which dies with it: witness.h finds
 * it again.
 *
 * A frame travels with its virtio-net header, since it may be a segmentation-offload frame or one
 * whose checksum is still to be filled in.
 */
#ifndef JOGAK_NODEMGR_HELD_H
#define JOGAK_NODEMGR_HELD_H

#include "common/err.h"
#include "common/mem.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HELD_TAPS_MAX 64
#define HELD_HEADER_BYTES 10       /* struct virtio_net_hdr, without the count of merged buffers */
#define HELD_FRAME_MAX (65536 + 64) /* the longest frame, with its Ethernet and VLAN headers */
#define HELD_BATCH_MAX (256u << 10) /* bytes of one batch */

/* Duplicates of a QEMU's tap files. Not thread-safe. */
struct held;

/* Duplicate the files by which process `pid` has these taps open (NULL-terminated names); they
 * keep the taps' queues alive when the process ends. Does not block, and the process notices
 * nothing. The caller frees with held_free().
 * Errors: ERR_NOT_FOUND (no such process, or it has one of the taps not open), ERR_UNAVAILABLE. */
struct held *held_grab(pid_t pid, const char *const *taps, struct err *err);

/* Wait until the process has read all its queues empty, at most timeout_ms. With the gates held
 * before, nothing is left that a paused QEMU could read. Blocks.
 * Errors: ERR_TIMEOUT (the guest does not take its frames; they stay where they are). */
int held_settle(struct held *h, int timeout_ms, struct err *err);

/* Takes one frame; `header` has HELD_HEADER_BYTES. Borrowed during the call. A negative return
 * ends the drain. */
typedef int held_fn(void *ctx, const char *tap, const void *header, const void *frame,
                    size_t length, struct err *err);

/* Once the process is gone and the switches are turned: let the source's gates empty themselves,
 * by portions that the taps' queues take however slow fn is, and hand over every frame that is left, tap by tap, oldest first. Returns how many, or -1 (also when
 * fn failed: that frame and the later ones of its tap are lost). Blocks for as long as fn does,
 * and is over when a tap's gate and queue are empty; the gates stay held. */
int64_t held_drain(struct held *h, held_fn *fn, void *ctx, struct err *err);

/* The same for one of the taps. */
int64_t held_drain_tap(struct held *h, const char *tap, held_fn *fn, void *ctx, struct err *err);

/* Close the duplicates. The taps stay; what waited in them is gone if nobody else has them open.
 * NULL is fine. */
void held_free(struct held *h);

/* --- batches: the form in which frames travel: {u32 length of the rest, header, frame}..., big
 * endian --- */

/* Append a frame. Returns 1 when the batch is too full for it (send the batch, empty it, call
 * again), else 0. Errors (-1): ERR_TOO_LARGE. */
int held_batch_add(struct buf *batch, const void *header, const void *frame, size_t length,
                   struct err *err);
/* The next frame of a batch at *offset, which moves on. Returns 1, 0 at the end; pointers borrow
 * from batch. Errors (-1): ERR_INVALID, for bytes that are no batch. */
int held_batch_next(const void *batch, size_t length, size_t *offset, const void **ret_header,
                    const void **ret_frame, size_t *ret_frame_length, struct err *err);

/* Write a batch into a tap, past its gate, in order. A frame that does not fit into the tap's
 * queue waits for the guest to read, the whole call at most timeout_ms. A segmentation-offload
 * frame needs a tap that takes it, so inject when QEMU has loaded the guest's device state, with
 * which it sets the tap's offloads; until then such a frame waits too. Checks the whole batch
 * before the first frame is written. Returns the number of frames written in *ret_frames (may be
 * NULL), also on an error.
 * Errors: ERR_NOT_FOUND, ERR_INVALID, ERR_TIMEOUT (the rest is lost), ERR_UNAVAILABLE. */
int held_inject(const char *tap, const void *batch, size_t length, int timeout_ms,
                size_t *ret_frames, struct err *err);

#endif
