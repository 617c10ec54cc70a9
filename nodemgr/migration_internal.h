/*
 * What the migration*.c files share; no other file includes it.
 */
#ifndef JOGAK_NODEMGR_MIGRATION_INTERNAL_H
#define JOGAK_NODEMGR_MIGRATION_INTERNAL_H

#include "nodemgr/migration.h"

#include "common/digest.h"
#include "nodemgr/held.h"
#include "nodemgr/pin.h"
#include "nodemgr/spec.h"
#include "nodemgr/tunnel.h"
#include "nodemgr/witness.h"

#include <stdatomic.h>

enum migration_phase {
    PHASE_UNKNOWN, PHASE_CHECKED, PHASE_PREPARED,
    PHASE_COPYING, PHASE_STOPPED, PHASE_PINNED, PHASE_RELEASED, PHASE_DRAINED, PHASE_GONE,
    PHASE_INCOMING, PHASE_ARRIVED, PHASE_ACTIVE, PHASE_DELIVERED,
    PHASE_FAILED, PHASE_UNDONE,
    PHASE_MAX_
};

enum migration_delivery {
    DELIVERY_DIRECT,     /* libvirt's migration, from node to node */
    DELIVERY_STORE,      /* the state is saved, goes through the sliver store and is restored */
    DELIVERY_FRESH,      /* no state: a new disk from the image */
    DELIVERY_CHECKPOINT, /* as store, but from a state that is there already; the source is gone */
    DELIVERY_MAX_
};

struct migration {
    struct migrations *all;
    struct migration *next;
    unsigned users; /* under all->lock; the list counts as one */
    bool unlisted;

    /* Fixed once listed. */
    char id[UUID_TEXT_BYTES];
    bool source;
    enum migration_delivery delivery;
    int64_t epoch, source_epoch;
    char peer_urn[URN_MAX_BYTES], peer_host[254];
    uint16_t peer_port;
    struct sliver_spec spec; /* of the incarnation at this node */
    json *document;          /* MigrationSpec, with that spec */
    char name[DOMAIN_NAME_BYTES]; /* of the domain at this node */
    char *directory;         /* of the sockets; the same path on both nodes */
    char *states;            /* directory of a state on its way to or from the store */
    atomic_bool give_up;     /* ends transfers with the store */

    pthread_mutex_t verbs;   /* one verb at a time */

    pthread_mutex_t lock;    /* what follows; never held during a call that blocks */
    pthread_cond_t changed;
    uint64_t sequence;
    enum migration_phase phase;
    struct err err;          /* of phase failed */
    int64_t paused_ms, arrived_ms, resumed_ms; /* wall clock; 0: not yet */
    int64_t bytes_done, bytes_total, rate_bps, frames;
    int64_t max_kbps;        /* that the copy may use, as `copy` said; 0: no limit */
    bool cancelled;          /* undo was asked for */
    bool call_running;       /* the copy: libvirt's migration, a capture, a restoration; in its worker */
    char manifest[SHA256_TEXT_BYTES]; /* of the state in the store; "": not yet */
    bool call_succeeded;     /* libvirt ended the source: it has arrived */
    bool converged;          /* what is left would pass within the pause that is allowed */
    int64_t stop_since_ms;   /* monotonic clock; 0: nobody has said stop */
    int64_t downtime_ms, force_ms; /* as stop said */

    /* Of the verbs' holder. */
    int64_t turn;            /* the highest that a verb has named; forgotten when the agent ends */
    struct tunnel *tunnel;
    struct hypervisor_migration *connection;
    struct pin *pin;
    struct held *held;
    struct witness *witness;
    int64_t gated_ms; /* wall clock: since then the taps are held and were read empty; 0: not */
    char *destination_xml;
};

const char *migration_phase_name(enum migration_phase phase);
enum migration_phase migration_phase_named(const char *name); /* PHASE_UNKNOWN: none of that name */
const char *migration_delivery_name(enum migration_delivery d);
/* NULL: direct. DELIVERY_MAX_: none of that name. */
enum migration_delivery migration_delivery_named(const char *name);
/* MigrationState (migration_state.c); the caller's, or NULL with err. */
json *migration_json(struct migration *m, struct err *err);
/* That of a migration that is not known here; sliver may be NULL: nothing is told of one then. */
json *migration_unknown_json(struct agent *a, const char *id, const char *sliver, struct err *err);
/* The one function that changes the phase; logs it, wakes waiters, and keeps it on disk when it is one
 * of those that are. An error of the disk is logged: libvirt knows better anyway. */
void migration_set_phase(struct migration *m, enum migration_phase phase);
enum migration_phase migration_phase(struct migration *m);
/* From the event thread: no disk. */
void migration_see_phase(struct migration *m, enum migration_phase phase);
/* Phase failed, with its cause (borrowed). */
void migration_fail(struct migration *m, const struct err *why);
/* Something besides the phase changed. */
void migration_touch(struct migration *m);
/* One more user, so that it outlives the list; end with migration_put_back(). */
struct migration *migration_ref(struct migration *m);
void migration_put_back(struct migration *m);

/* ERR_CONFLICT unless the phase is one of these (PHASE_MAX_ ends the list). */
int migration_expect(struct migration *m, const char *verb, struct err *err, ...);

struct agent *migration_agent(struct migration *m);
/* Names of the taps, NULL-terminated; the caller frees the array and, with it, the names. */
const char **migration_taps(struct migration *m);
char *migration_socket(struct migration *m, const char *name); /* the caller's */
int migration_make_directory(struct migration *m, struct err *err);
void migration_remove_directory(struct migration *m);

/* A verb: holds m->verbs. `extra` is the answer's own members. */
typedef int migration_verb_fn(struct migration *m, const json *body, json *extra, struct err *err);
migration_verb_fn source_check, source_prepare, source_copy, source_stop, source_confirm,
    source_release, source_drain, source_undo;
migration_verb_fn target_check, target_prepare, target_confirm, target_release, target_activate,
    target_deliver, target_undo;
/* What deliveries but the direct one do otherwise (migration_indirect.c, migration_store.c,
 * migration_fetch.c). */
migration_verb_fn indirect_prepare, fresh_copy, fresh_stop, fresh_fetch, store_copy, store_confirm,
    store_fetch;

/* Before undo takes m->verbs: makes what holds it give up. */
void source_cancel(struct migration *m);
void target_cancel(struct migration *m);
/* After a restart: finds the phase from what libvirt has. */
void source_reconcile(struct migration *m, enum domain_state state);
void target_reconcile(struct migration *m, enum domain_state state);
/* A tunnel for it came. */
int target_accept(struct migration *m, struct tunnel *t, const struct tunnel_hello *hello,
                  const char *peer_urn, struct tunnel_events *ret, struct err *err);
/* Watches the copy until the guest is paused, and pauses it when stop was said (migration_stop.c). */
void source_watch_copy(struct migration *m);
/* After drain: removes everything that the source still has here; phase gone. Holds m->verbs. */
void source_clean(struct migration *m);
/* Prepares at the source: names QEMU's process, keeps its taps, opens the tunnel for these kinds of
 * streams (bits of enum tunnel_kind). */
int source_hold_on(struct migration *m, struct err *err);
int source_open_tunnel(struct migration *m, unsigned kinds, struct err *err);
void source_let_go(struct migration *m);
/* How the worker of a copy ended (err: why it failed). */
void source_copy_ended(struct migration *m, bool succeeded, const struct err *why);
/* The taps' gates are closed and the guest reads what it has (migration_stop.c); and open again. */
void source_hold_taps(struct migration *m);
void source_open_taps(struct migration *m);
/* Pauses the guest, with its taps on hold before. */
int indirect_pause(struct migration *m, struct err *err);
/* Waits a moment until the worker of a copy or fetch has ended; false when it has not. */
bool migration_call_ended(struct migration *m, int64_t wait_ms);
/* Starts fn on a thread of its own, with one more reference that fn has to put back. */
int migration_thread(struct migration *m, void *(*fn)(void *), struct err *err);

#endif
