#include "nodemgr/hypervisor_internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("nm.hypervisor");

#define KEEPALIVE_S 5
#define KEEPALIVE_COUNT 3
#define RECONNECT_S 1
#define REMEDY "See whether libvirtd runs on this node (systemctl status libvirtd) and read its log."

int hypervisor_failed(struct err *err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *what AUTO_FREE = xvasprintf(fmt, ap);
    va_end(ap);
    const virError *cause = virGetLastError();
    int number = cause ? cause->code : VIR_ERR_INTERNAL_ERROR;
    enum err_code code = ERR_UNAVAILABLE;
    if (number == VIR_ERR_NO_DOMAIN) code = ERR_NOT_FOUND;
    if (number == VIR_ERR_OPERATION_INVALID || number == VIR_ERR_OPERATION_FAILED ||
        number == VIR_ERR_DOM_EXIST)
        code = ERR_CONFLICT;
    if (number == VIR_ERR_OPERATION_TIMEOUT) code = ERR_BUSY;
    if (number == VIR_ERR_OPERATION_ABORTED) code = ERR_CANCELLED;
    err_set(err, code, "%s: %s", what, cause && cause->message ? cause->message : "no reason given");
    return code == ERR_UNAVAILABLE ? err_remedy(err, REMEDY) : -1;
}

virConnectPtr hypervisor_connection(struct hypervisor *h, struct err *err) {
    WITH_LOCK(&h->lock);
    if (h->connection && !h->lost) {
        virConnectRef(h->connection);
        return h->connection;
    }
    err_set(err, ERR_UNAVAILABLE, "libvirt at %s does not answer", h->uri);
    err_remedy(err, REMEDY);
    return NULL;
}

/* --- events --- */

static enum hypervisor_event_kind kind_of(int event, int detail, bool *ret_known) {
    *ret_known = true;
    switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
        return detail == VIR_DOMAIN_EVENT_STARTED_MIGRATED ||
                       detail == VIR_DOMAIN_EVENT_STARTED_RESTORED
                   ? DOMAIN_EVENT_INCOMING
                   : DOMAIN_EVENT_STARTED;
    case VIR_DOMAIN_EVENT_SUSPENDED:
        return detail == VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED ? DOMAIN_EVENT_PAUSED_MIGRATING
                                                             : DOMAIN_EVENT_PAUSED;
    case VIR_DOMAIN_EVENT_RESUMED: return DOMAIN_EVENT_RESUMED;
    case VIR_DOMAIN_EVENT_STOPPED:
        if (detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED) return DOMAIN_EVENT_MIGRATED;
        if (detail == VIR_DOMAIN_EVENT_STOPPED_FAILED || detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED)
            return DOMAIN_EVENT_FAILED;
        return DOMAIN_EVENT_STOPPED;
    case VIR_DOMAIN_EVENT_CRASHED: return DOMAIN_EVENT_FAILED;
    }
    *ret_known = false;
    return DOMAIN_EVENT_STARTED;
}

static int lifecycle(virConnectPtr c, virDomainPtr d, int event, int detail, void *opaque) {
    (void)c;
    struct hypervisor *h = opaque;
    struct hypervisor_event out = { .at_ms = clock_wall_ms() };
    bool known;
    out.kind = kind_of(event, detail, &known);
    const char *name = virDomainGetName(d);
    if (!known || domain_name_epoch(name) == 0) return 0;
    snprintf(out.name, sizeof out.name, "%s", name);
    if (virDomainGetUUIDString(d, out.sliver) == 0) h->on_event(h->ctx, &out);
    return 0;
}

static void closed(virConnectPtr c, int reason, void *opaque) {
    struct hypervisor *h = opaque;
    WITH_LOCK(&h->lock);
    if (c != h->connection) return;
    log_warn("libvirt is gone", "uri=%s reason=%d", h->uri, reason);
    h->lost = true;
    pthread_cond_broadcast(&h->changed);
}

static void *loop_main(void *arg) {
    struct hypervisor *h = arg;
    while (!h->ending)
        if (virEventRunDefaultImpl() < 0) clock_sleep_ms(100);
    return NULL;
}
static void wake(int timer, void *opaque) {
    (void)opaque;
    virEventUpdateTimeout(timer, -1);
}

/* --- the connection's keeper --- */

static void connection_event(struct hypervisor *h, enum hypervisor_event_kind kind) {
    struct hypervisor_event event = { .kind = kind, .at_ms = clock_wall_ms() };
    h->on_event(h->ctx, &event);
}

static virConnectPtr connect_now(struct hypervisor *h) {
    virConnectPtr c = virConnectOpen(h->uri);
    if (!c) return NULL;
    if (virConnectSetKeepAlive(c, KEEPALIVE_S, KEEPALIVE_COUNT) < 0 ||
        virConnectRegisterCloseCallback(c, closed, h, NULL) < 0 ||
        virConnectDomainEventRegisterAny(c, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                         VIR_DOMAIN_EVENT_CALLBACK(lifecycle), h, NULL) < 0) {
        virConnectClose(c);
        return NULL;
    }
    return c;
}

static void drop_connection(struct hypervisor *h) {
    virConnectPtr old;
    {
        WITH_LOCK(&h->lock);
        old = STEAL(h->connection);
        h->lost = false;
    }
    if (!old) return;
    virConnectUnregisterCloseCallback(old, closed);
    virConnectClose(old);
    connection_event(h, HYPERVISOR_DISCONNECTED);
}

static void wait_a_second(struct hypervisor *h) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RECONNECT_S;
    WITH_LOCK(&h->lock);
    if (!h->ending) pthread_cond_timedwait(&h->changed, &h->lock, &until);
}

static void publish(struct hypervisor *h, virConnectPtr c) {
    {
        WITH_LOCK(&h->lock);
        h->connection = c;
        h->lost = virConnectIsAlive(c) != 1;
        pthread_cond_broadcast(&h->changed);
    }
    log_info("connected to libvirt", "uri=%s", h->uri);
    connection_event(h, HYPERVISOR_CONNECTED);
}

static void *keeper_main(void *arg) {
    struct hypervisor *h = arg;
    bool told = false;
    while (!h->ending) {
        virConnectPtr c = connect_now(h);
        if (!c) {
            if (!told) log_warn("libvirt does not answer", "uri=%s cause=\"%s\"", h->uri,
                                virGetLastErrorMessage());
            told = true;
            wait_a_second(h);
            continue;
        }
        told = false;
        publish(h, c);
        {
            WITH_LOCK(&h->lock);
            while (!h->ending && !h->lost) pthread_cond_wait(&h->changed, &h->lock);
        }
        drop_connection(h);
    }
    return NULL;
}

static void silent(void *ctx, virErrorPtr e) {
    (void)ctx;
    (void)e;
}

struct hypervisor *hypervisor_open(const char *uri, hypervisor_event_fn on_event, void *ctx,
                                   struct err *err) {
    virSetErrorFunc(NULL, silent); /* else it writes to standard error; we report errors ourselves */
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
        err_set(err, ERR_INTERNAL, "libvirt's library did not start: %s", virGetLastErrorMessage());
        return NULL;
    }
    struct hypervisor *h = xcalloc(1, sizeof *h);
    h->uri = xstrdup(uri);
    h->on_event = on_event;
    h->ctx = ctx;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    h->wake_timer = virEventAddTimeout(-1, wake, NULL, NULL);
    pthread_create(&h->loop, NULL, loop_main, h);
    pthread_create(&h->keeper, NULL, keeper_main, h);
    return h;
}

void hypervisor_close(struct hypervisor *h) {
    if (!h) return;
    {
        WITH_LOCK(&h->lock);
        h->ending = true;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_join(h->keeper, NULL);
    virEventUpdateTimeout(h->wake_timer, 0);
    pthread_join(h->loop, NULL);
    virEventRemoveTimeout(h->wake_timer);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h->uri);
    free(h);
}

int hypervisor_wait(struct hypervisor *h, int64_t timeout_ms, struct err *err) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    {
        WITH_LOCK(&h->lock);
        while (!h->connection || h->lost)
            if (pthread_cond_timedwait(&h->changed, &h->lock, &until)) break;
    }
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    return c ? 0 : -1;
}

static void version_text(unsigned long version, char ret[32]) {
    snprintf(ret, 32, "%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
}

int hypervisor_versions(struct hypervisor *h, char ret_libvirt[32], char ret_qemu[32],
                        struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    unsigned long libvirt, qemu;
    if (!c) return -1;
    if (virConnectGetLibVersion(c, &libvirt) < 0 || virConnectGetVersion(c, &qemu) < 0)
        return hypervisor_failed(err, "read libvirt's version");
    version_text(libvirt, ret_libvirt);
    version_text(qemu, ret_qemu);
    return 0;
}
