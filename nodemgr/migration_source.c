#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/capability.h"
#include "nodemgr/capture.h"
#include "nodemgr/console.h"
#include "nodemgr/fence.h"
#include "nodemgr/lease.h"
#include "nodemgr/netdev.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/sliver_watch.h"
#include "nodemgr/waiting.h"

#include <stdio.h>

LOG_MODULE("nm.source");

#define CONNECT_MS 5000
#define KILL_MS 2000
#define GATED_BEFORE_MS 3 /* the event of the pause comes a little later than the pause */
#define DRAIN_MS 5000
#define CLOSE_MS 500
#define ABORT_EVERY_MS 40
#define CUT_AFTER_MS 250
#define DIRECT_KINDS \
    (1u << TUNNEL_LIBVIRT | 1u << TUNNEL_MEMORY | 1u << TUNNEL_NBD | 1u << TUNNEL_HELD)
#define UNDO_WAIT_MS 800 /* for libvirt's call to give up; a cancel is answered within a second */

int source_check(struct migration *m, const json *body, json *extra, struct err *err) {
    struct agent *a = migration_agent(m);
    struct domain_info info;
    (void)body;
    (void)extra;
    if (fence_check(a->db, m->spec.sliver, m->source_epoch, err) ||
        hypervisor_state(a->hypervisor, m->name, &info, err))
        return -1;
    if (info.state == DOMAIN_RUNNING) return 0;
    err_set(err, ERR_CONFLICT, "sliver %s is %s at its source", m->spec.sliver,
            domain_state_name(info.state));
    return err_remedy(err, "Only a running sliver can be moved while it runs; start it first.");
}

/* --- prepare --- */

static void on_closed(void *ctx, struct tunnel *t, const struct err *why) {
    struct migration *m = ctx;
    (void)t;
    if (why) log_warn("tunnel lost", "migration=%s cause=\"%s\"", m->id, why->msg);
    migration_touch(m);
}

static int serve_sockets(struct migration *m, struct err *err) {
    static const struct {
        enum tunnel_kind kind;
        const char *name;
    } sockets[] = { { TUNNEL_LIBVIRT, "libvirt" }, { TUNNEL_MEMORY, "mig" }, { TUNNEL_NBD, "nbd" } };
    for (size_t i = 0; i < COUNT_OF(sockets); i++) {
        char *path AUTO_FREE = migration_socket(m, sockets[i].name);
        /* The directory lets only root and QEMU's user reach it. */
        if (tunnel_serve_socket(m->tunnel, sockets[i].kind, path, 0666, err)) return -1;
    }
    return 0;
}

int source_open_tunnel(struct migration *m, unsigned kinds, struct err *err) {
    const struct identity *i = &migration_agent(m)->identity;
    struct tunnel_identity identity = { i->cert_pem, i->key_pem, i->ca_pem };
    struct tunnel_events events = { .ctx = m, .on_closed = on_closed };
    struct tunnel_hello hello = { .epoch = m->epoch, .kinds = kinds };
    snprintf(hello.migration, sizeof hello.migration, "%s", m->id);
    if (migration_make_directory(m, err)) return -1;
    struct tunnel *t = tunnel_connect(m->peer_host, m->peer_port, &identity, m->peer_urn, &hello,
                                      &events, CONNECT_MS, err);
    if (!t) return -1;
    {
        WITH_LOCK(&m->lock);
        m->tunnel = t;
    }
    return 0;
}

/* Long before the pause: the process is named for good, and its taps outlive it. */
int source_hold_on(struct migration *m, struct err *err) {
    const char **taps AUTO_FREE = migration_taps(m);
    if (!m->pin && !(m->pin = pin_open(m->name, err))) return -1;
    if (!taps[0]) return 0;
    if (!m->held && !(m->held = held_grab(pin_pid(m->pin), taps, err))) return -1;
    if (!m->witness && !(m->witness = witness_new(taps, err))) return -1;
    return 0;
}

void source_let_go(struct migration *m) {
    struct tunnel *t;
    {
        WITH_LOCK(&m->lock);
        t = STEAL(m->tunnel);
    }
    tunnel_free(t);
    pin_close(STEAL(m->pin));
    held_free(STEAL(m->held));
    witness_free(STEAL(m->witness));
    hypervisor_migration_close(STEAL(m->connection));
    migration_remove_directory(m);
    capture_remove(m->states);
}

static int make_ready(struct migration *m, struct err *err) {
    struct agent *a = migration_agent(m);
    struct err unimportant = ERR_INIT;
    m->connection = hypervisor_migration_open(a->hypervisor, err);
    if (!m->connection || source_hold_on(m, err) ||
        source_open_tunnel(m, DIRECT_KINDS, err) || serve_sockets(m, err)) return -1;
    /* QEMU must not stop the guest by itself before its taps are on hold: see migration_stop.c. */
    int64_t downtime_ms = capability_kvm(a->capability) ? 1 : 0;
    if (hypervisor_max_downtime(a->hypervisor, m->name, downtime_ms, &unimportant))
        log_info("QEMU may stop the guest by itself", "migration=%s cause=\"%s\"", m->id,
                 unimportant.msg);
    return 0;
}

/* `text` with the first `from` in it replaced; NULL when it is not there. */
static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    return at ? xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) : NULL;
}

/* libvirt compares the document with the domain here, by its name too, and renames at the target: so it
 * gets the document with our name in it. And with the very machine type that runs here, since "pc" may
 * mean another one by now, or nothing to a libvirtd that was restarted. */
static char *for_libvirt(struct migration *m, const char *xml, struct err *err) {
    char name[DOMAIN_NAME_BYTES], machine[HYPERVISOR_MACHINE_BYTES];
    domain_name(m->spec.sliver, m->epoch, name);
    if (hypervisor_machine(migration_agent(m)->hypervisor, m->name, machine, err)) return NULL;
    char *theirs AUTO_FREE = xasprintf("<name>%s</name>", name);
    char *ours AUTO_FREE = xasprintf("<name>%s</name>", m->name);
    char *exact AUTO_FREE = xasprintf("machine='%s'", machine);
    char *named AUTO_FREE = replaced(xml, theirs, ours);
    char *out = named ? replaced(named, "machine='pc'", exact) : NULL;
    if (!out) err_set(err, ERR_INVALID, "/destination_xml is not of this migration's target");
    return out;
}

int source_prepare(struct migration *m, const json *body, json *extra, struct err *err) {
    const char *xml = json_get_str(body, "destination_xml");
    (void)extra;
    if (migration_expect(m, "prepare", err, PHASE_CHECKED, PHASE_PREPARED, PHASE_MAX_)) return -1;
    if (!xml) return err_set(err, ERR_INVALID, "/destination_xml is needed at the source");
    if (migration_phase(m) == PHASE_PREPARED) return 0;
    free(m->destination_xml);
    m->destination_xml = for_libvirt(m, xml, err);
    if (!m->destination_xml) return -1;
    if (make_ready(m, err)) {
        source_let_go(m);
        return -1;
    }
    migration_set_phase(m, PHASE_PREPARED);
    return 0;
}

/* --- copy --- */

/* How libvirt's call ended. Succeeded: libvirt has ended the source, or is held up doing so. */
void source_copy_ended(struct migration *m, bool succeeded, const struct err *why) {
    bool matters;
    {
        WITH_LOCK(&m->lock);
        m->call_running = false;
        m->call_succeeded = succeeded;
        matters = !succeeded && !m->cancelled &&
                  (m->phase == PHASE_COPYING || m->phase == PHASE_STOPPED);
        m->sequence++;
        pthread_cond_broadcast(&m->changed);
    }
    sliver_watch_migrating(migration_agent(m)->watch, m->spec.sliver, m->spec.epoch, false);
    if (matters) migration_fail(m, why);
}

static void *copy_main(void *arg) {
    struct migration *m = arg;
    struct err err = ERR_INIT;
    char name[DOMAIN_NAME_BYTES];
    char *libvirt AUTO_FREE = migration_socket(m, "libvirt");
    char *memory AUTO_FREE = migration_socket(m, "mig");
    char *disk AUTO_FREE = migration_socket(m, "nbd");
    struct hypervisor_move move = {
        .name = m->name,
        .destination_xml = m->destination_xml,
        .destination_name = domain_name(m->spec.sliver, m->epoch, name),
        .libvirt_socket = libvirt,
        .memory_socket = memory,
        .disk_socket = disk,
        .disk = "vda",
        .max_kbps = m->max_kbps,
    };
    int64_t begin = clock_monotonic_ms();
    int failed = hypervisor_migrate(m->connection, &move, &err);
    log_info("libvirt's migration ended", "migration=%s ms=%lld result=\"%s\"", m->id,
             (long long)(clock_monotonic_ms() - begin), failed ? err.msg : "arrived");
    source_copy_ended(m, !failed, &err);
    migration_put_back(m);
    return NULL;
}

static void *watch_main(void *arg) {
    struct migration *m = arg;
    source_watch_copy(m);
    migration_put_back(m);
    return NULL;
}

/* A limit that changes while the copy is under way. That it is not taken is no reason to fail. */
static void change_limit(struct migration *m, int64_t max_kbps) {
    struct err err = ERR_INIT;
    if (max_kbps == m->max_kbps || migration_phase(m) != PHASE_COPYING) return;
    m->max_kbps = max_kbps;
    if (hypervisor_max_speed(migration_agent(m)->hypervisor, m->name, max_kbps, &err))
        log_info("limit not changed", "migration=%s cause=\"%s\"", m->id, err.msg);
}

int source_copy(struct migration *m, const json *body, json *extra, struct err *err) {
    struct err why = ERR_INIT;
    (void)extra;
    if (migration_expect(m, "copy", err, PHASE_PREPARED, PHASE_COPYING, PHASE_STOPPED, PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_PREPARED) {
        change_limit(m, json_get_int(body, "max_kbps", 0));
        return 0;
    }
    m->max_kbps = json_get_int(body, "max_kbps", 0);
    m->call_running = true;
    migration_set_phase(m, PHASE_COPYING);
    sliver_watch_migrating(migration_agent(m)->watch, m->spec.sliver, m->spec.epoch, true);
    if (migration_thread(m, copy_main, &why)) {
        source_copy_ended(m, false, &why);
        if (err) *err = why;
        return -1;
    }
    return migration_thread(m, watch_main, err);
}

/* --- release, drain --- */

/* After the commit, while the guest stands still at the target: so only what must be. The QEMU is frozen
 * and never runs again once SIGKILL is on its way to it; its end is waited for in source_clean(). */
int source_release(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)body;
    (void)extra;
    if (migration_expect(m, "release", err, PHASE_PINNED, PHASE_RELEASED, PHASE_DRAINED, PHASE_GONE,
                         PHASE_MAX_))
        return -1;
    if (migration_phase(m) != PHASE_PINNED) return 0;
    if (m->pin && pin_kill(m->pin, err)) return -1;
    migration_set_phase(m, PHASE_RELEASED);
    return 0;
}

/* What waited in one tap, in batches. It is sent when the tap is empty, since only then is it known which
 * frame came before: the one that the paused QEMU swallowed. */
struct draining {
    struct migration *m;
    struct buf *batches;
    size_t batch_count;
    int64_t of_tap, frames;
};

static void drop_batches(struct draining *d) {
    for (size_t i = 0; i < d->batch_count; i++) buf_done(&d->batches[i]);
    free(STEAL(d->batches));
    d->batch_count = 0;
}

static const char *vnic_of(struct migration *m, const char *tap) {
    char name[IFNAMSIZ];
    for (size_t i = 0; i < m->spec.vnic_count; i++)
        if (strcmp(sliver_tap_name(m->spec.sliver, m->spec.epoch, m->spec.vnics[i].name, name),
                   tap) == 0)
            return m->spec.vnics[i].name;
    return "";
}

static int send_batch(struct draining *d, const char *tap, const struct buf *batch,
                      struct err *err) {
    return tunnel_send_held(d->m->tunnel, vnic_of(d->m, tap), batch->data, batch->length, DRAIN_MS,
                            err);
}

static int send_swallowed(struct draining *d, const char *tap, struct err *err) {
    uint8_t *frame AUTO_FREE = NULL;
    size_t length;
    int64_t gated_ms = d->m->gated_ms, paused_ms = d->m->paused_ms;
    if (gated_ms && gated_ms + GATED_BEFORE_MS <= paused_ms) return 0; /* there was nothing to read */
    if (witness_swallowed(d->m->witness, tap, d->of_tap, !gated_ms && d->of_tap > 0, paused_ms, &frame,
                          &length) != 1)
        return 0;
    struct buf batch AUTO_BUF = BUF_INIT;
    if (held_batch_add(&batch, frame, frame + HELD_HEADER_BYTES, length - HELD_HEADER_BYTES, err))
        return -1;
    d->frames++;
    return send_batch(d, tap, &batch, err);
}

static int send_tap(struct draining *d, const char *tap, struct err *err) {
    int failed = send_swallowed(d, tap, err);
    for (size_t i = 0; !failed && i < d->batch_count; i++)
        failed = send_batch(d, tap, &d->batches[i], err);
    d->frames += d->of_tap;
    d->of_tap = 0;
    drop_batches(d);
    return failed;
}

static struct buf *new_batch(struct draining *d) {
    d->batches = xrealloc_array(d->batches, d->batch_count + 1, sizeof *d->batches);
    d->batches[d->batch_count] = (struct buf)BUF_INIT;
    return &d->batches[d->batch_count++];
}

static int take_frame(void *ctx, const char *tap, const void *header, const void *frame,
                      size_t length, struct err *err) {
    struct draining *d = ctx;
    (void)tap;
    struct buf *batch = d->batch_count ? &d->batches[d->batch_count - 1] : new_batch(d);
    int full = held_batch_add(batch, header, frame, length, err);
    if (full == 1) full = held_batch_add(new_batch(d), header, frame, length, err);
    d->of_tap++;
    return full ? -1 : 0;
}

static int send_leftovers(struct migration *m, struct err *err) {
    struct draining d CLEANUP(drop_batches) = { .m = m };
    const char **taps AUTO_FREE = migration_taps(m);
    if (!m->held) return 0;
    if (!m->tunnel) return err_set(err, ERR_UNAVAILABLE, "the tunnel is gone");
    for (size_t i = 0; taps[i]; i++)
        if (held_drain_tap(m->held, taps[i], take_frame, &d, err) < 0 || send_tap(&d, taps[i], err))
            return -1;
    WITH_LOCK(&m->lock);
    m->frames = d.frames;
    return 0;
}

static int clean(struct migration *m, struct err *err) {
    struct agent *a = migration_agent(m);
    struct err impatient = ERR_INIT;
    if (m->pin && !pin_gone(m->pin, KILL_MS))
        log_warn("QEMU takes its time to end", "migration=%s pid=%d", m->id, (int)pin_pid(m->pin));
    if (m->tunnel) tunnel_close(m->tunnel, CLOSE_MS, &impatient); /* libvirt says goodbye in it */
    source_let_go(m);
    if (fence_end(a->db, m->spec.sliver, m->source_epoch, err) ||
        sliver_parts_remove(a, &m->spec, err))
        return -1;
    console_forget(a->consoles, m->spec.sliver, m->spec.epoch);
    lease_unmark(a, &m->spec);
    return sliver_row_delete(a->db, m->spec.sliver, m->spec.epoch, err);
}

void source_clean(struct migration *m) {
    struct err err = ERR_INIT;
    if (clean(m, &err))
        log_error("the source is not clean", "migration=%s cause=\"%s\"", m->id, err.msg);
    else migration_set_phase(m, PHASE_GONE);
}

static void *clean_main(void *arg) {
    struct migration *m = arg;
    {
        WITH_LOCK(&m->verbs);
        if (migration_phase(m) == PHASE_DRAINED) source_clean(m);
    }
    migration_put_back(m);
    return NULL;
}

/* The target waits for these frames, so the answer is given before the node is cleaned. If they cannot
 * be sent any more, it is cleaned all the same. */
int source_drain(struct migration *m, const json *body, json *extra, struct err *err) {
    struct err lost = ERR_INIT;
    (void)body;
    if (migration_expect(m, "drain", err, PHASE_RELEASED, PHASE_DRAINED, PHASE_GONE, PHASE_MAX_))
        return -1;
    if (migration_phase(m) == PHASE_RELEASED) {
        if (send_leftovers(m, &lost))
            log_warn("frames that waited for the guest are lost", "migration=%s cause=\"%s\"", m->id,
                     lost.msg);
        migration_set_phase(m, PHASE_DRAINED);
    }
    json_set_int(extra, "frames", m->frames);
    /* Once more after an error. */
    return migration_thread(m, clean_main, err);
}

/* --- undo --- */

void source_cancel(struct migration *m) {
    struct err none = ERR_INIT; /* there may be nothing to abort */
    atomic_store(&m->give_up, true);
    {
        WITH_LOCK(&m->lock);
        m->cancelled = true;
        m->sequence++;
        pthread_cond_broadcast(&m->changed);
        if (m->phase != PHASE_COPYING && m->phase != PHASE_STOPPED) return;
    }
    hypervisor_abort(migration_agent(m)->hypervisor, m->name, &none);
}

/* libvirt refuses to abort a migration that it has not quite begun, so it is asked again; and without
 * the tunnel its call fails in any case. */
static bool call_gives_up(struct migration *m) {
    int64_t begin = clock_monotonic_ms(), now;
    bool cut = false;
    while ((now = clock_monotonic_ms()) < begin + UNDO_WAIT_MS) {
        struct err none = ERR_INIT;
        {
            WITH_LOCK(&m->lock);
            while (m->call_running)
                if (!waiting_until(&m->changed, &m->lock, now + ABORT_EVERY_MS)) break;
            if (!m->call_running) return true;
        }
        hypervisor_abort(migration_agent(m)->hypervisor, m->name, &none);
        if (cut || now < begin + CUT_AFTER_MS || !m->tunnel) continue;
        tunnel_abort(m->tunnel);
        cut = true;
    }
    return false;
}

/* A tap that cannot be held holds nothing back. */
static void open_gates(struct migration *m) {
    const char **taps AUTO_FREE = migration_taps(m);
    for (size_t i = 0; taps[i]; i++) {
        struct err err = ERR_INIT;
        if (netdev_release(taps[i], &err))
            log_warn("a tap's gate stays as it is", "tap=%s cause=\"%s\"", taps[i], err.msg);
    }
}

/* The guest runs again, if it was this migration that paused it. */
static int bring_back(struct migration *m, struct err *err) {
    struct agent *a = migration_agent(m);
    struct domain_info info;
    if (hypervisor_state(a->hypervisor, m->name, &info, err)) return -1;
    if (info.state == DOMAIN_ABSENT) {
        struct err ended = ERR_INIT; /* deleted meanwhile: there is nothing to bring back */
        if (fence_check(a->db, m->spec.sliver, m->source_epoch, &ended)) return 0;
        err_set(err, ERR_CONFLICT, "sliver %s does not run here any more", m->spec.sliver);
        return err_remedy(err, "If it has arrived at the target, go forward.");
    }
    if (info.state != DOMAIN_RUNNING && hypervisor_resume(a->hypervisor, m->name, err)) return -1;
    open_gates(m);
    return 0;
}

int source_undo(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)body;
    (void)extra;
    enum migration_phase phase = migration_phase(m);
    if (phase == PHASE_UNDONE) return 0;
    if (phase == PHASE_RELEASED || phase == PHASE_DRAINED || phase == PHASE_GONE)
        return err_set(err, ERR_CONFLICT, "sliver %s was released here; it can only go forward",
                       m->spec.sliver);
    /* What was paused here runs again at the end of this, so it needs a lease. */
    if (phase != PHASE_CHECKED && lease_check(migration_agent(m)->lease, &m->spec, err)) return -1;
    if (m->pin && pin_continue(m->pin, err)) return -1;
    if (!call_gives_up(m))
        return err_set(err, ERR_BUSY, "libvirt has not given up yet; undo again");
    if (phase != PHASE_CHECKED && bring_back(m, err)) return -1;
    source_let_go(m);
    migration_set_phase(m, PHASE_UNDONE);
    return 0;
}

void source_reconcile(struct migration *m, enum domain_state state) {
    struct err lost = ERR_INIT;
    if (m->phase == PHASE_UNDONE || m->phase == PHASE_GONE || m->phase == PHASE_CHECKED) return;
    if (state == DOMAIN_ABSENT) { /* it went over; its frames are lost with the agent that held them */
        m->phase = PHASE_RELEASED;
        return;
    }
    err_set(&lost, ERR_UNAVAILABLE, "the agent was restarted while the sliver moved");
    migration_fail(m, &lost);
}
