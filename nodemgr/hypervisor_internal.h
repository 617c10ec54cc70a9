/*
 * What the hypervisor*.c files share; no other file includes it.
 */
#ifndef JOGAK_NODEMGR_HYPERVISOR_INTERNAL_H
#define JOGAK_NODEMGR_HYPERVISOR_INTERNAL_H

#include "nodemgr/hypervisor.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

struct hypervisor {
    char *uri;
    hypervisor_event_fn on_event;
    void *ctx;
    pthread_t loop, keeper;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    virConnectPtr connection; /* NULL: down; under lock, callers take a reference */
    bool lost;                /* the close callback ran for the present connection */
    bool ending;
    int wake_timer; /* ends the wait of the event loop */
};

/* A referenced connection, or NULL with ERR_UNAVAILABLE. */
virConnectPtr hypervisor_connection(struct hypervisor *h, struct err *err);
/* libvirt's pair as ours. */
enum domain_state hypervisor_state_of(int state, int reason);
/* The present domain of that name; NULL with ERR_NOT_FOUND and the others. */
virDomainPtr hypervisor_find(virConnectPtr c, const char *name, struct err *err);
/* Fills err from libvirt's last error; returns -1. */
int hypervisor_failed(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct hypervisor_migration;
/* Borrowed. */
virConnectPtr hypervisor_migration_connection(struct hypervisor_migration *m);
/* Of a domain that libvirt calls paused by migration: hypervisor_restore() has done its work on it. */
bool hypervisor_is_restored(virDomainPtr d);

static inline void hypervisor_put_connection(virConnectPtr *c) {
    if (*c) virConnectClose(*c);
}
static inline void hypervisor_put_domain(virDomainPtr *d) {
    if (*d) virDomainFree(*d);
}
#define AUTO_CONNECTION CLEANUP(hypervisor_put_connection)
#define AUTO_DOMAIN CLEANUP(hypervisor_put_domain)

#endif
