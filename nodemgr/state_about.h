/*
 * The part "about" of a sliver's state: what its memory and disk fit into. A JSON text.
 */
#ifndef JOGAK_NODEMGR_STATE_ABOUT_H
#define JOGAK_NODEMGR_STATE_ABOUT_H

#include "nodemgr/spec.h"

#define STATE_ABOUT_MAX 65536 /* bytes */

/* The text for an incarnation that runs with this machine type, under KVM or QEMU's translation;
 * the caller's. */
char *state_about_text(const struct sliver_spec *spec, const char *machine, bool kvm);
/* Does a state of this text fit into what `spec` wants, at a node with or without KVM? Fills the machine
 * type that it needs. Errors: ERR_INVALID, ERR_UNPROCESSABLE (names what does not fit). */
int state_about_check(const char *text, const struct sliver_spec *spec, bool kvm,
                      char *ret_machine, size_t machine_bytes, struct err *err);

#endif
