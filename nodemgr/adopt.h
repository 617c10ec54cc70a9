/*
 * Adoption: an agent whose database is empty, or an old copy, takes over what is there.
 *
 * What an incarnation is stands beside its disk (sliver_parts_note()), in its domain's metadata, in its
 * ports' external ids and on its taps. At its start the agent makes the rows that are missing from the
 * files, and learns from everything that it finds how high its fences have to be. It deletes nothing: what
 * has no place here any more is found by the aggregate's audit.
 */
#ifndef JOGAK_NODEMGR_ADOPT_H
#define JOGAK_NODEMGR_ADOPT_H

#include "nodemgr/agent.h"

/* Rows from files, and files for rows that an earlier version made. Needs the database alone. */
int adopt_files(struct agent *a, struct err *err);
/* Fences from domains and ports. Goes on where libvirt or Open vSwitch does not answer; the first error is
 * reported. The aggregate teaches the rest (POST /v1/fences). */
int adopt_fences(struct agent *a, struct err *err);

#endif
