/*
 * What one incarnation of a sliver consists of besides its domain: disk, seed, taps and ports.
 *
 * All names are made from (sliver, epoch, vNIC), so each part can be found, made again and removed
 * without any record. Making and removing are idempotent.
 */
#ifndef JOGAK_NODEMGR_SLIVER_PARTS_H
#define JOGAK_NODEMGR_SLIVER_PARTS_H

#include "nodemgr/agent.h"
#include "nodemgr/spec.h"

#include <net/if.h>

struct sliver_paths {
    char *directory, *disk, *seed, *spec, *console, *image;
};
void sliver_paths(const struct agent *a, const struct sliver_spec *spec, struct sliver_paths *ret);
void sliver_paths_done(struct sliver_paths *p);
#define AUTO_PATHS CLEANUP(sliver_paths_done)

/* The tap of a vNIC, which is also its port's name: "jg" and 12 hexadecimal digits. */
char *sliver_tap_name(const char *sliver, int64_t epoch, const char *vnic, char ret[IFNAMSIZ]);
#define SLIVER_TAP_PREFIX "jg"

/* What the tap's label says of it (netdev_label()): "jogak <sliver> <epoch> <vnic>". */
#define SLIVER_LABEL_FORMAT "jogak %s %lld %s"
bool sliver_tap_owner(const char *label, char ret_sliver[UUID_TEXT_BYTES], int64_t *ret_epoch);

/* Writes the SliverSpec beside the disk, so that an agent which lost its database knows what the disk
 * belongs to (adopt.h). */
int sliver_parts_note(struct agent *a, const struct sliver_spec *spec, struct err *err);
/* Makes them all; the guest's side of the taps is on hold when `hold`. What it had made is removed
 * again when it fails. Errors: ERR_CONFLICT (the image is not here), ERR_NO_SPACE, ERR_UNAVAILABLE. */
int sliver_parts_make(struct agent *a, const struct sliver_spec *spec, bool hold, struct err *err);
/* Makes the gates of the taps anew, held or open: libvirt replaces a tap's queueing discipline when it
 * starts a domain (and runs tc for it), whatever the document says. */
int sliver_parts_gate(const struct sliver_spec *spec, bool hold, struct err *err);
/* Removes ports and taps. */
int sliver_parts_unplug(struct agent *a, const struct sliver_spec *spec, struct err *err);
/* Removes disk, seed and console of one incarnation, and the directory with the last one. */
int sliver_parts_unlink(struct agent *a, const struct sliver_spec *spec, struct err *err);
/* Both, going on after an error; the first one is reported. */
int sliver_parts_remove(struct agent *a, const struct sliver_spec *spec, struct err *err);

/* The document of the incarnation (caller frees). */
char *sliver_document(const struct agent *a, const struct sliver_spec *spec);

#endif
