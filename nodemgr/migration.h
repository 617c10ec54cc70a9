/*
 * Migrations as one node sees them: the verbs that the aggregate's engine calls, and their states.
 *
 *   source:  checked - prepared - copying - stopped - pinned - released - drained - gone
 *   target:  checked - prepared - incoming - arrived - active - delivered
 *   both:    failed (the cause is told), undone
 *
 * The rule above all others: nothing here ends a source that runs. A source is ended by `release`
 * alone, which only follows `confirm`, which has made sure that it cannot run any more.
 *
 * From the pause to `drained` nothing is written to disk, since a guest is waiting: what libvirt has
 * tells after a restart how far it was. A source whose domain is absent is gone, a target that is
 * paused has arrived, one that runs is active.
 */
#ifndef JOGAK_NODEMGR_MIGRATION_H
#define JOGAK_NODEMGR_MIGRATION_H

#include "nodemgr/agent.h"
#include "nodemgr/hypervisor.h"

struct migrations;
/* Takes events from now on. */
struct migrations *migrations_new(struct agent *a);
/* Reads what was under way, and listens for tunnels. Errors: ERR_CONFLICT (port in use), ... */
int migrations_start(struct migrations *all, struct err *err);
/* Ends tunnels and waits; migrations that run are aborted. */
void migrations_stop(struct migrations *all);
void migrations_free(struct migrations *all);
/* Is there one of this sliver here that is not over? */
bool migrations_has(struct migrations *all, const char *sliver);
/* From the event thread: quick. */
void migrations_event(struct migrations *all, const struct hypervisor_event *event);

/* The routes' work: each returns a MigrationState, the caller's, or NULL with err. */
json *migration_put(struct migrations *all, const char *id, const json *spec, struct err *err);
json *migration_verb(struct migrations *all, const char *id, const char *verb, const json *body,
                     struct err *err);
/* Waits until the sequence is above seen, at most wait_ms. sliver (may be NULL): whose state to tell
 * when there is no such migration. */
json *migration_get(struct migrations *all, const char *id, const char *sliver, uint64_t seen,
                    int64_t wait_ms, struct err *err);
/* And takes it in no more, up to this epoch of it. Errors: ERR_CONFLICT while it is under way. */
int migration_forget(struct migrations *all, const char *id, int64_t epoch, struct err *err);

#endif
