/*
 * The hypervisor door (libvirt). Nothing else includes libvirt's headers.
 *
 * Threads: the door has one for libvirt's event loop and one that keeps the connection: it opens
 * it, notices when libvirtd went away and opens it again. Calls may come from any thread; all block
 * until libvirtd answers, and none is bounded by a deadline of its own, except that a libvirtd which
 * stops answering is noticed by keepalive after 20 s and then ends the calls. Callers therefore make
 * them on threads that serve one sliver. Events arrive on the event thread: a callback must be quick
 * and must call nothing of this door.
 *
 * Domains are transient: what libvirt has is what runs, and a domain is gone once it stops.
 *
 * Errors, of every call: ERR_UNAVAILABLE (libvirtd is down or refused), ERR_NOT_FOUND (no such
 * domain), ERR_CONFLICT (the domain's state forbids it), ERR_BUSY (another job holds the domain),
 * ERR_CANCELLED (the job was aborted).
 */
#ifndef JOGAK_NODEMGR_HYPERVISOR_H
#define JOGAK_NODEMGR_HYPERVISOR_H

#include "common/ids.h"
#include "nodemgr/domain_xml.h"

enum domain_state {
    DOMAIN_ABSENT,
    DOMAIN_RUNNING,
    DOMAIN_PAUSED,
    DOMAIN_STOPPED,
    DOMAIN_INCOMING, /* the target of a migration that has not finished */
    DOMAIN_FAILED,
};
const char *domain_state_name(enum domain_state state); /* as in SliverState */

struct domain_info {
    char name[DOMAIN_NAME_BYTES];
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    enum domain_state state;
    bool paused_by_migration;
};

enum hypervisor_event_kind {
    HYPERVISOR_CONNECTED,    /* again or for the first time: read everything anew */
    HYPERVISOR_DISCONNECTED,
    DOMAIN_EVENT_STARTED,    /* runs from its beginning */
    DOMAIN_EVENT_INCOMING,   /* the target of a migration, or a restoration, that begins */
    DOMAIN_EVENT_RESUMED,    /* also of a target, just before it is paused */
    DOMAIN_EVENT_PAUSED,     /* by a user, or a target whose migration has finished */
    DOMAIN_EVENT_PAUSED_MIGRATING, /* the source: its last round */
    DOMAIN_EVENT_STOPPED,
    DOMAIN_EVENT_MIGRATED,   /* the source was ended since its migration succeeded */
    DOMAIN_EVENT_FAILED,
};
struct hypervisor_event {
    enum hypervisor_event_kind kind;
    char name[DOMAIN_NAME_BYTES]; /* "" for the connection's own events */
    char sliver[UUID_TEXT_BYTES];
    int64_t at_ms; /* wall clock */
};
typedef void (*hypervisor_event_fn)(void *ctx, const struct hypervisor_event *event);

struct hypervisor;
/* Starts the threads; connects in the background, so libvirtd may be down. uri: "qemu:///system". */
struct hypervisor *hypervisor_open(const char *uri, hypervisor_event_fn on_event, void *ctx,
                                   struct err *err);
void hypervisor_close(struct hypervisor *h);
/* Wait until connected, at most so long; 0, or -1 with ERR_UNAVAILABLE. */
int hypervisor_wait(struct hypervisor *h, int64_t timeout_ms, struct err *err);
/* Versions as "9.0.0", once connected. */
int hypervisor_versions(struct hypervisor *h, char ret_libvirt[32], char ret_qemu[32],
                        struct err *err);

/* All our domains; caller frees the array. */
int hypervisor_list(struct hypervisor *h, struct domain_info **ret, size_t *ret_count,
                    struct err *err);
/* Every domain that libvirt has here, of others too, also those that do not run: for inventories. */
struct domain_survey {
    char name[128];
    char sliver[UUID_TEXT_BYTES]; /* its UUID */
    int64_t epoch;                /* in our metadata; 0: it has none */
    bool active;
    enum domain_state state;
};
/* Caller frees the array. */
int hypervisor_survey(struct hypervisor *h, struct domain_survey **ret, size_t *ret_count,
                      struct err *err);
/* One of them by its name. A domain that is not there is no error but DOMAIN_ABSENT. */
int hypervisor_state(struct hypervisor *h, const char *name, struct domain_info *ret,
                     struct err *err);
/* True while libvirt waits for an answer of this domain's QEMU. */
int hypervisor_occupied(struct hypervisor *h, const char *name, bool *ret, struct err *err);
/* The exact machine type that a domain runs with, e.g. "pc-i440fx-7.2". */
#define HYPERVISOR_MACHINE_BYTES 64
int hypervisor_machine(struct hypervisor *h, const char *name, char ret[HYPERVISOR_MACHINE_BYTES],
                       struct err *err);
/* Defines and starts; the guest runs when it returns. ERR_CONFLICT when the name or UUID is taken. */
int hypervisor_create(struct hypervisor *h, const char *xml, struct err *err);
/* As hypervisor_create(), but the guest does not run before hypervisor_resume(). */
int hypervisor_create_paused(struct hypervisor *h, const char *xml, struct err *err);
int hypervisor_suspend(struct hypervisor *h, const char *name, struct err *err);
int hypervisor_resume(struct hypervisor *h, const char *name, struct err *err);
int hypervisor_reset(struct hypervisor *h, const char *name, struct err *err);
/* Ends it at once. A domain that is not there is no error. */
int hypervisor_destroy(struct hypervisor *h, const char *name, struct err *err);
/* Asks the guest by ACPI; returns at once. */
int hypervisor_shutdown(struct hypervisor *h, const char *name, struct err *err);

/* --- migration, at the source; hypervisor_migrate.c --- */

/* A connection of its own, since libvirtd serves only a few calls of one connection at a time and
 * a migration takes one for its whole duration. */
struct hypervisor_migration;
struct hypervisor_migration *hypervisor_migration_open(struct hypervisor *h, struct err *err);
void hypervisor_migration_close(struct hypervisor_migration *m); /* NULL is fine */

struct hypervisor_move {
    const char *name;            /* of the domain here */
    const char *destination_xml; /* with its name there */
    const char *destination_name;
    const char *libvirt_socket, *memory_socket, *disk_socket; /* UNIX sockets into the tunnel */
    const char *disk; /* "vda": what is copied */
    int64_t max_kbps; /* for disk and memory; 0: no limit. libvirt counts in MiB/s: never under one */
};
/* Moves memory and disk and leaves the guest paused there; returns when libvirt has ended the
 * source, or with the source running again. */
int hypervisor_migrate(struct hypervisor_migration *m, const struct hypervisor_move *move,
                       struct err *err);
/* Ends a migration that runs; ERR_CONFLICT when there is none. */
int hypervisor_abort(struct hypervisor *h, const char *name, struct err *err);
/* Another limit for a migration that runs: of its memory; the disk's stays. */
int hypervisor_max_speed(struct hypervisor *h, const char *name, int64_t kbps, struct err *err);
int hypervisor_max_downtime(struct hypervisor *h, const char *name, int64_t ms, struct err *err);

/* --- memory to a file and back; hypervisor_save.c --- */

/* Writes the memory and devices of a *paused* domain as libvirt's save image (save_file.h), whole or not
 * at all. It stays paused; before it can be saved once more, or moved, it has to have run. */
int hypervisor_save_memory(struct hypervisor_migration *m, const char *name, const char *path,
                           struct err *err);
/* Makes the domain that a save image holds; paused, until hypervisor_resume(). */
int hypervisor_restore(struct hypervisor_migration *m, const char *path, const char *name,
                       struct err *err);

struct hypervisor_job {
    bool active;
    int64_t bytes_done, bytes_total; /* memory and disk */
    int64_t rate_bps;                /* bytes per second, memory */
    int64_t memory_remaining, memory_total, disk_remaining;
    int64_t iteration; /* rounds over memory */
};
int hypervisor_job(struct hypervisor *h, const char *name, struct hypervisor_job *ret,
                   struct err *err);

#endif
