/*
 * One lock per sliver: calls for the same sliver wait for each other, calls for others do not, so
 * that a libvirt call that hangs holds up its own sliver only.
 */
#ifndef JOGAK_NODEMGR_SLIVER_LOCK_H
#define JOGAK_NODEMGR_SLIVER_LOCK_H

#include "common/mem.h"

struct sliver_locks;
struct sliver_lock;
struct sliver_locks *sliver_locks_new(void);
void sliver_locks_free(struct sliver_locks *l); /* nobody may hold one */

/* Blocks until the sliver is ours. Release with sliver_unlock(). */
struct sliver_lock *sliver_lock(struct sliver_locks *l, const char *sliver);
void sliver_unlock(struct sliver_lock *held); /* NULL is fine */
static inline void sliver_lock_cleanup(struct sliver_lock **held) { sliver_unlock(*held); }
#define WITH_SLIVER(locks, sliver) \
    struct sliver_lock *MEM_CAT(sliver_, __LINE__) CLEANUP(sliver_lock_cleanup) \
        __attribute__((unused)) = sliver_lock(locks, sliver)

#endif
