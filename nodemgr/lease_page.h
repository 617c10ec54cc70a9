/*
 * The lease page: a small file that the agent and its watchdog share in memory.
 *
 * It holds until when the node's lease lasts, and which domains were stopped since it ended. It lies in
 * the run directory, which is memory too: it survives both processes and is gone with the boot, as the guests
 * are. Nothing in it needs a disk that answers, a lock, or the other process to be alive: each word is
 * written at once or not at all, and an entry counts from the moment its kind is written, the last of it.
 *
 * Who writes what: the agent the lease; the watchdog its heartbeat; both add holds before they act; only
 * the agent removes them, after it has undone what they stand for.
 */
#ifndef JOGAK_NODEMGR_LEASE_PAGE_H
#define JOGAK_NODEMGR_LEASE_PAGE_H

#include "common/err.h"
#include "nodemgr/domain_xml.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LEASE_HOLDS_MAX 4096
/* A watchdog whose heartbeat is older is none. */
#define LEASE_WATCHED_MS 3000

enum lease_hold_kind {
    HOLD_NONE,
    HOLD_BEGUN,  /* somebody is writing this entry; left so by one who was killed, it is never used again */
    HOLD_FROZEN, /* the watchdog sent SIGSTOP to its QEMU */
    HOLD_PAUSED, /* the agent paused the guest, which ran */
    HOLD_GATED,  /* the agent closed the gates of its taps, which were open */
};
struct lease_hold {
    _Atomic uint32_t kind;
    char domain[DOMAIN_NAME_BYTES];
};

struct lease_page {
    uint64_t magic; /* of this layout */
    char boot_id[40];
    _Atomic int64_t until_ms;   /* boot-time clock: the lease ends then */
    _Atomic int64_t length_ms;  /* of the last one granted; 0: none was granted yet */
    _Atomic int64_t watched_ms; /* boot-time clock: the watchdog looked then; 0: none has yet */
    _Atomic int32_t watchdog;   /* its process; another one that finds itself replaced ends */
    _Atomic int32_t agent;      /* the agent's process */
    struct lease_hold holds[LEASE_HOLDS_MAX];
};

/* The agent's: the page of this boot, made anew (no lease, no holds) when there is none or it is another's.
 * Returns a mapping; end with lease_page_close(). Errors: ERR_UNAVAILABLE, ERR_NO_SPACE. */
struct lease_page *lease_page_make(const char *path, const char *boot_id, struct err *err);
/* The watchdog's: the page that is there. ret_inode (may be NULL) names the file for lease_page_is(). */
struct lease_page *lease_page_open(const char *path, ino_t *ret_inode, struct err *err);
void lease_page_close(struct lease_page *p); /* NULL is fine */
/* Is the file of that path still this one? True when there is none at all. */
bool lease_page_is(const char *path, ino_t inode);

/* Nothing that needs a lease may run, at that moment of the boot-time clock. */
bool lease_page_ended(const struct lease_page *p, int64_t now_ms);
/* So shortly before its end guests are paused, and none is let go on: the guard, a part of the lease. */
bool lease_page_closing(const struct lease_page *p, int64_t now_ms);
/* Milliseconds until the guard begins; negative when it has. */
int64_t lease_page_left_ms(const struct lease_page *p, int64_t now_ms);
/* A watchdog looks at it. */
bool lease_page_watched(const struct lease_page *p, int64_t now_ms);

/* Adds an entry unless there is one like it. False when the page is full. */
bool lease_hold_add(struct lease_page *p, enum lease_hold_kind kind, const char *domain);
bool lease_hold_has(struct lease_page *p, enum lease_hold_kind kind, const char *domain);
void lease_hold_remove(struct lease_page *p, enum lease_hold_kind kind, const char *domain);
/* The next entry of that kind from *at on (begin with 0), its name copied; false at the end. */
bool lease_hold_next(struct lease_page *p, enum lease_hold_kind kind, size_t *at,
                     char ret_domain[DOMAIN_NAME_BYTES]);
/* Is any entry there? */
bool lease_holds_any(struct lease_page *p);

#endif
