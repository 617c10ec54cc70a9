/*
 * The state of a guest as files: memory and devices, disk, and what they are about, of one instant.
 *
 * The instant is a pause. In it QEMU writes its memory to a file in an order that depends on addresses
 * alone, uncompressed, so that what did not change gives the same chunks again; and its disk stands still
 * and has been flushed. A live capture copies the disk meanwhile (a clone where the file system can) and
 * lets the guest go on; a last one leaves it paused and reads the disk where it is.
 */
#ifndef JOGAK_NODEMGR_CAPTURE_H
#define JOGAK_NODEMGR_CAPTURE_H

#include "nodemgr/agent.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/spec.h"

#include "common/state_client.h"

struct capture {
    char *directory;
    char *about, *memory, *disk; /* paths */
    bool disk_is_ours;           /* a copy */
    int64_t stream_at;           /* bytes; where QEMU's stream begins in the memory file */
    int64_t taken_ms;            /* wall clock, of the instant */
    int64_t pause_ms;            /* of a live one */
};
/* Makes the directory; nothing of the guest yet. Errors: ERR_NO_SPACE. */
int capture_begin(struct agent *a, const struct sliver_spec *spec, const char *directory,
                  struct capture *ret, struct err *err);
/* Of a guest that is paused and stays so. */
int capture_paused(struct agent *a, struct hypervisor_migration *connection,
                   const struct sliver_spec *spec, struct capture *c, struct err *err);
/* Of one that runs: pauses it, and lets it go on whatever happens. */
int capture_live(struct agent *a, struct hypervisor_migration *connection,
                 const struct sliver_spec *spec, struct capture *c, struct err *err);
/* Lets a guest go on that was paused for a capture, patiently: nobody else will. Without a lease it is
 * left to the lease instead. */
int capture_resume(struct agent *a, const struct sliver_spec *spec, struct err *err);
/* Puts it into the sliver's store; chunks_only: not its manifest yet. progress may be NULL. */
int capture_upload(struct agent *a, const struct sliver_spec *spec, const struct capture *c,
                   bool chunks_only, const atomic_bool *cancel,
                   void (*progress)(void *ctx, const struct image_progress *p), void *ctx,
                   struct state_result *ret, struct err *err);
/* Removes its files. */
void capture_done(struct capture *c);
/* Removes what is left in such a directory, and the directory. */
void capture_remove(const char *directory);

#endif
