#include "nodemgr/sliver_lock.h"

#include "common/ids.h"

#include <stdio.h>

struct sliver_lock {
    struct sliver_locks *owner;
    struct sliver_lock *next;
    char sliver[UUID_TEXT_BYTES];
    pthread_mutex_t mutex;
    unsigned users; /* holders and waiters; under owner->mutex */
};
struct sliver_locks {
    pthread_mutex_t mutex;
    struct sliver_lock *first;
};

struct sliver_locks *sliver_locks_new(void) {
    struct sliver_locks *l = xcalloc(1, sizeof *l);
    pthread_mutex_init(&l->mutex, NULL);
    return l;
}

void sliver_locks_free(struct sliver_locks *l) {
    if (!l) return;
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

static struct sliver_lock *join(struct sliver_locks *l, const char *sliver) {
    WITH_LOCK(&l->mutex);
    struct sliver_lock *p = l->first;
    while (p && strcmp(p->sliver, sliver) != 0) p = p->next;
    if (!p) {
        p = xcalloc(1, sizeof *p);
        p->owner = l;
        snprintf(p->sliver, sizeof p->sliver, "%s", sliver);
        pthread_mutex_init(&p->mutex, NULL);
        p->next = l->first;
        l->first = p;
    }
    p->users++;
    return p;
}

struct sliver_lock *sliver_lock(struct sliver_locks *l, const char *sliver) {
    struct sliver_lock *p = join(l, sliver);
    pthread_mutex_lock(&p->mutex);
    return p;
}

void sliver_unlock(struct sliver_lock *held) {
    if (!held) return;
    struct sliver_locks *l = held->owner;
    pthread_mutex_unlock(&held->mutex);
    WITH_LOCK(&l->mutex);
    if (--held->users > 0) return;
    struct sliver_lock **at = &l->first;
    while (*at != held) at = &(*at)->next;
    *at = held->next;
    pthread_mutex_destroy(&held->mutex);
    free(held);
}
