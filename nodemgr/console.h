/*
 * Serial consoles: the last 16 KiB of each sliver's output, and its input.
 *
 * QEMU listens on a UNIX socket per incarnation and the agent is its only client; one thread reads
 * them all, so that a guest never waits for a reader. What a guest wrote while no agent ran is lost.
 */
#ifndef JOGAK_NODEMGR_CONSOLE_H
#define JOGAK_NODEMGR_CONSOLE_H

#include "common/err.h"

#include <stdint.h>

#define CONSOLE_HISTORY_BYTES 16384

struct console_hub;
struct console_hub *console_hub_start(struct err *err);
void console_hub_stop(struct console_hub *h);

/* Connect to this incarnation's socket, unless it is connected. The history of an earlier
 * incarnation stays. Does not block. Errors: ERR_NOT_FOUND (QEMU does not listen yet). */
int console_attach(struct console_hub *h, const char *sliver, int64_t epoch, const char *path,
                   struct err *err);
/* Forget a sliver's console and history, when its incarnation is not above epoch. */
void console_forget(struct console_hub *h, const char *sliver, int64_t epoch);

/* Where a reader stands; all 0: at the oldest byte kept. */
struct console_place {
    uint64_t life; /* which of the sliver's consoles here: it may have left and come back */
    uint64_t position;
};
/* Bytes from *place on, at most size; moves it. Waits up to wait_ms for some. 0 when there are none, -1 when
 * the sliver has no console here, or another one than *place is of. */
int64_t console_read(struct console_hub *h, const char *sliver, struct console_place *place,
                     char *buf, size_t size, int64_t wait_ms);
/* Type. Blocks up to a second while the guest does not read.
 * Errors: ERR_NOT_FOUND, ERR_UNAVAILABLE. */
int console_write(struct console_hub *h, const char *sliver, const void *data, size_t length,
                  struct err *err);

#endif
