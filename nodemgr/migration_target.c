#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/capture.h"
#include "nodemgr/fence.h"
#include "nodemgr/lease.h"
#include "nodemgr/netdev.h"
#include "nodemgr/sliver.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/sliver_watch.h"

#include <stdio.h>

LOG_MODULE("nm.target");

#define SOCKET_RETRY_MS 10000 /* QEMU listens only once libvirt has started it */
#define INJECT_MS 800         /* a callback of the tunnel must end within a second */
#define CLOSE_MS 500
#define UNDO_WAIT_MS 800

int target_check(struct migration *m, const json *body, json *extra, struct err *err) {
    struct agent *a = migration_agent(m);
    struct sliver_paths paths AUTO_PATHS = { NULL };
    (void)body;
    (void)extra;
    if (fence_check(a->db, m->spec.sliver, m->epoch, err)) return -1;
    sliver_paths(a, &m->spec, &paths);
    if (access(paths.image, R_OK) == 0) return hypervisor_wait(a->hypervisor, 0, err);
    err_set(err, ERR_CONFLICT, "the image %s is not at this node", m->spec.image_digest);
    return err_remedy(err, "PUT /v1/images/%s and wait until it is present.", m->spec.image_digest);
}

static void answer_prepared(struct migration *m, json *extra) {
    json_set_str(extra, "destination_xml", m->destination_xml);
    json_set_int(extra, "tunnel_port", migration_agent(m)->config->tunnel_port);
}

int target_prepare(struct migration *m, const json *body, json *extra, struct err *err) {
    struct agent *a = migration_agent(m);
    (void)body;
    if (migration_expect(m, "prepare", err, PHASE_CHECKED, PHASE_PREPARED, PHASE_MAX_)) return -1;
    WITH_SLIVER(a->locks, m->spec.sliver);
    if (!m->destination_xml) {
        if (fence_raise(a->db, m->spec.sliver, m->epoch, err) ||
            sliver_row_put(a->db, &m->spec, true, err) || lease_mark(a, &m->spec, err) ||
            migration_make_directory(m, err) ||
            sliver_parts_make(a, &m->spec, true, err))
            return -1;
        m->destination_xml = sliver_document(a, &m->spec);
        migration_set_phase(m, PHASE_PREPARED);
    }
    answer_prepared(m, extra);
    return 0;
}

/* --- the tunnel --- */

/* Leftovers of the source, by vNIC: into our tap, ahead of what its gate holds. */
static int on_message(void *ctx, struct tunnel *t, enum tunnel_kind kind, const char *label,
                      const void *data, size_t length, struct err *err) {
    struct migration *m = ctx;
    char tap[IFNAMSIZ];
    size_t frames = 0;
    (void)t;
    if (kind != TUNNEL_HELD)
        return err_set(err, ERR_UNSUPPORTED, "no messages of kind %s", tunnel_kind_name(kind));
    sliver_tap_name(m->spec.sliver, m->spec.epoch, label, tap);
    int failed = held_inject(tap, data, length, INJECT_MS, &frames, err);
    WITH_LOCK(&m->lock);
    m->frames += (int64_t)frames;
    return failed;
}

static void on_closed(void *ctx, struct tunnel *t, const struct err *why) {
    struct migration *m = ctx;
    (void)t;
    if (why) log_warn("tunnel lost", "migration=%s cause=\"%s\"", m->id, why->msg);
    migration_touch(m);
}

static int set_sockets(struct migration *m, struct tunnel *t, struct err *err) {
    char *memory AUTO_FREE = migration_socket(m, "mig");
    char *disk AUTO_FREE = migration_socket(m, "nbd");
    const char *libvirt = migration_agent(m)->config->libvirt_socket;
    if (tunnel_target_socket(t, TUNNEL_LIBVIRT, libvirt, SOCKET_RETRY_MS, err)) return -1;
    if (tunnel_target_socket(t, TUNNEL_MEMORY, memory, SOCKET_RETRY_MS, err)) return -1;
    return tunnel_target_socket(t, TUNNEL_NBD, disk, SOCKET_RETRY_MS, err);
}

int target_accept(struct migration *m, struct tunnel *t, const struct tunnel_hello *hello,
                  const char *peer_urn, struct tunnel_events *ret, struct err *err) {
    if (strcmp(peer_urn, m->peer_urn) != 0)
        return err_set(err, ERR_FORBIDDEN, "%s is not the source of migration %s", peer_urn, m->id);
    if (hello->epoch != m->epoch)
        return err_set(err, ERR_STALE_EPOCH, "migration %s is of epoch %lld", m->id,
                       (long long)m->epoch);
    if (migration_expect(m, "a tunnel", err, PHASE_PREPARED, PHASE_MAX_)) return -1;
    if (set_sockets(m, t, err)) return -1;
    *ret = (struct tunnel_events){ .ctx = m, .on_message = on_message, .on_closed = on_closed };
    WITH_LOCK(&m->lock);
    if (m->tunnel) return err_set(err, ERR_CONFLICT, "migration %s has a tunnel already", m->id);
    m->tunnel = t;
    return 0;
}

static void drop_tunnel(struct migration *m) {
    struct tunnel *t;
    {
        WITH_LOCK(&m->lock);
        t = STEAL(m->tunnel);
    }
    tunnel_free(t);
}

/* --- after the copy --- */

int target_confirm(struct migration *m, const json *body, json *extra, struct err *err) {
    struct domain_info info;
    (void)body;
    (void)extra;
    if (migration_expect(m, "confirm", err, PHASE_ARRIVED, PHASE_ACTIVE, PHASE_DELIVERED,
                         PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_ARRIVED) return 0;
    if (hypervisor_state(migration_agent(m)->hypervisor, m->name, &info, err)) return -1;
    /* No flow leads here yet, so nothing has passed the gates that libvirt took away. */
    if (info.state == DOMAIN_PAUSED) return sliver_parts_gate(&m->spec, true, err);
    return err_set(err, ERR_CONFLICT, "sliver %s should be paused here and is %s", info.sliver,
                   domain_state_name(info.state));
}

int target_release(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)body;
    (void)extra;
    /* The bulk streams end with the source's QEMU and libvirt; the tunnel stays for its frames. */
    return migration_expect(m, "release", err, PHASE_ARRIVED, PHASE_ACTIVE, PHASE_DELIVERED,
                            PHASE_MAX_);
}

int target_activate(struct migration *m, const json *body, json *extra, struct err *err) {
    struct agent *a = migration_agent(m);
    (void)body;
    (void)extra;
    if (migration_expect(m, "activate", err, PHASE_ARRIVED, PHASE_ACTIVE, PHASE_DELIVERED,
                         PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_ARRIVED) return 0;
    if (lease_check(a->lease, &m->spec, err) || hypervisor_resume(a->hypervisor, m->name, err)) return -1;
    {
        WITH_LOCK(&m->lock);
        m->resumed_ms = clock_wall_ms();
    }
    migration_set_phase(m, PHASE_ACTIVE);
    return 0;
}

static int release_taps(struct migration *m, struct err *err) {
    const char **taps AUTO_FREE = migration_taps(m);
    for (size_t i = 0; taps[i]; i++)
        if (netdev_release(taps[i], err)) return -1;
    return 0;
}

/* The tunnel ends when libvirt's own conversation in it has ended, which nobody needs to wait for. */
static void *close_main(void *arg) {
    struct migration *m = arg;
    struct err impatient = ERR_INIT;
    {
        WITH_LOCK(&m->verbs);
        if (m->tunnel) tunnel_close(m->tunnel, CLOSE_MS, &impatient);
        drop_tunnel(m);
        migration_remove_directory(m);
    }
    migration_put_back(m);
    return NULL;
}

/* The source has sent its leftovers before (drain), and each was injected before it was told so:
 * nothing is on its way any more. */
int target_deliver(struct migration *m, const json *body, json *extra, struct err *err) {
    struct agent *a = migration_agent(m);
    (void)body;
    if (migration_expect(m, "deliver", err, PHASE_ACTIVE, PHASE_DELIVERED, PHASE_MAX_)) return -1;
    if (migration_phase(m) == PHASE_ACTIVE) {
        if (release_taps(m, err) || sliver_row_own(a->db, m->spec.sliver, m->spec.epoch, err))
            return -1;
        sliver_watch_again(a->watch);
        migration_set_phase(m, PHASE_DELIVERED);
    }
    {
        WITH_LOCK(&m->lock);
        json_set_int(extra, "frames", m->frames);
    }
    return migration_thread(m, close_main, err);
}

/* --- undo --- */

void target_cancel(struct migration *m) {
    atomic_store(&m->give_up, true);
    WITH_LOCK(&m->lock);
    m->cancelled = true;
    pthread_cond_broadcast(&m->changed);
}

int target_undo(struct migration *m, const json *body, json *extra, struct err *err) {
    struct agent *a = migration_agent(m);
    (void)body;
    (void)extra;
    enum migration_phase phase = migration_phase(m);
    if (phase == PHASE_ACTIVE || phase == PHASE_DELIVERED) {
        err_set(err, ERR_CONFLICT, "sliver %s was activated here; it can only go forward",
                m->spec.sliver);
        return err_remedy(err, "Migrate it back if it should be elsewhere.");
    }
    if (!migration_call_ended(m, UNDO_WAIT_MS))
        return err_set(err, ERR_BUSY, "the sliver is still being made here; undo again");
    drop_tunnel(m);
    WITH_SLIVER(a->locks, m->spec.sliver);
    if (fence_end(a->db, m->spec.sliver, m->epoch, err) || sliver_remove(a, &m->spec, err))
        return -1;
    migration_remove_directory(m);
    capture_remove(m->states);
    migration_set_phase(m, PHASE_UNDONE);
    return 0;
}

void target_reconcile(struct migration *m, enum domain_state state) {
    struct err lost = ERR_INIT;
    if (m->phase == PHASE_UNDONE || m->phase == PHASE_DELIVERED || m->phase == PHASE_CHECKED) return;
    if (state == DOMAIN_RUNNING) m->phase = PHASE_ACTIVE;
    if (state == DOMAIN_PAUSED && m->phase != PHASE_ACTIVE) m->phase = PHASE_ARRIVED;
    if (state != DOMAIN_ABSENT && state != DOMAIN_INCOMING) return;
    if (m->phase == PHASE_ACTIVE) return;
    err_set(&lost, ERR_UNAVAILABLE, "the agent was restarted before the copy had arrived");
    migration_fail(m, &lost);
}
