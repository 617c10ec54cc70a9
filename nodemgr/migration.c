#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/fence.h"
#include "nodemgr/forgotten.h"
#include "nodemgr/migration_db.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/sliver_watch.h"
#include "nodemgr/waiting.h"

#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

LOG_MODULE("nm.migration");

#define STOP_MS 10000
#define STOP_STEP_MS 100

struct migrations {
    struct agent *agent;
    pthread_mutex_t lock;
    struct migration *first;
    struct tunnel_listener *listener;
    struct forgotten forgotten; /* under lock */
};

/* --- parts --- */

int migration_thread(struct migration *m, void *(*fn)(void *), struct err *err) {
    pthread_t thread;
    pthread_attr_t detached;
    migration_ref(m);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &detached, fn, m);
    pthread_attr_destroy(&detached);
    if (!failed) return 0;
    migration_put_back(m);
    return err_set(err, ERR_UNAVAILABLE, "no thread for migration %s", m->id);
}

bool migration_call_ended(struct migration *m, int64_t wait_ms) {
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    WITH_LOCK(&m->lock);
    while (m->call_running)
        if (!waiting_until(&m->changed, &m->lock, deadline)) break;
    return !m->call_running;
}

struct agent *migration_agent(struct migration *m) { return m->all->agent; }

const char **migration_taps(struct migration *m) {
    size_t count = m->spec.vnic_count;
    const char **out = xcalloc(1, (count + 1) * sizeof *out + count * IFNAMSIZ);
    char *text = (char *)(out + count + 1);
    for (size_t i = 0; i < count; i++, text += IFNAMSIZ)
        out[i] = sliver_tap_name(m->spec.sliver, m->spec.epoch, m->spec.vnics[i].name, text);
    return out;
}

char *migration_socket(struct migration *m, const char *name) {
    return xasprintf("%s/%s.sock", m->directory, name);
}

/* The sockets are for root and for the user that QEMU runs as, nobody else. */
int migration_make_directory(struct migration *m, struct err *err) {
    struct passwd entry, *qemu = NULL;
    char text[1024];
    if (dir_make(m->directory, 0700, err)) return -1;
    if (getpwnam_r("libvirt-qemu", &entry, text, sizeof text, &qemu) == 0 && qemu &&
        chown(m->directory, qemu->pw_uid, qemu->pw_gid) < 0)
        log_warn("the sockets' directory stays root's", "path=%s", m->directory);
    return 0;
}

void migration_remove_directory(struct migration *m) {
    static const char *const names[] = { "libvirt", "mig", "nbd" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path AUTO_FREE = migration_socket(m, names[i]);
        unlink(path);
    }
    rmdir(m->directory);
}

/* --- the list --- */

static void migration_free(struct migration *m) {
    tunnel_free(m->tunnel);
    hypervisor_migration_close(m->connection);
    pin_close(m->pin);
    held_free(m->held);
    witness_free(m->witness);
    spec_done(&m->spec);
    json_put(m->document);
    free(m->destination_xml);
    free(m->directory);
    free(m->states);
    pthread_mutex_destroy(&m->verbs);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->changed);
    free(m);
}

struct migration *migration_ref(struct migration *m) {
    WITH_LOCK(&m->all->lock);
    m->users++;
    return m;
}

void migration_put_back(struct migration *m) {
    if (!m) return;
    {
        WITH_LOCK(&m->all->lock);
        if (--m->users > 0) return;
    }
    migration_free(m);
}
static void put_back(struct migration **m) { migration_put_back(*m); }
#define AUTO_MIGRATION CLEANUP(put_back)

static struct migration *find(struct migrations *all, const char *id) {
    WITH_LOCK(&all->lock);
    struct migration *m = all->first;
    while (m && strcmp(m->id, id) != 0) m = m->next;
    if (m) m->users++;
    return m;
}

static void unlist(struct migration *m) {
    {
        WITH_LOCK(&m->all->lock);
        struct migration **at = &m->all->first;
        while (*at && *at != m) at = &(*at)->next;
        if (!*at) return;
        *at = m->next;
        m->users--;
    }
}

static int read_delivery(struct migration *m, const char *name, struct err *err) {
    m->delivery = migration_delivery_named(name);
    if (m->delivery == DELIVERY_MAX_)
        return err_set(err, ERR_INVALID, "/delivery: %.32s is not known", name);
    if (m->delivery != DELIVERY_CHECKPOINT || !m->source) return 0;
    return err_set(err, ERR_UNPROCESSABLE, "a delivery from a checkpoint has no source");
}

static int read_peer(struct migration *m, const json *peer, struct err *err) {
    if (!peer && m->delivery == DELIVERY_CHECKPOINT) return 0;
    const char *urn = json_get_str(peer, "urn"), *host = json_get_str(peer, "host");
    int64_t port = json_get_int(peer, "tunnel_port", 0);
    if (!urn || !host || !urn_is(urn, "node", NULL) || strlen(host) >= sizeof m->peer_host ||
        port < 1 || port > 65535)
        return err_set(err, ERR_INVALID, "/peer: a node's urn, host and tunnel_port are needed");
    snprintf(m->peer_urn, sizeof m->peer_urn, "%s", urn);
    snprintf(m->peer_host, sizeof m->peer_host, "%s", host);
    m->peer_port = (uint16_t)port;
    return 0;
}

/* Takes nothing from the world yet: document and spec are those of this node. */
static struct migration *migration_new(struct migrations *all, const char *id,
                                       const json *document, struct err *err) {
    const char *role = json_get_str(document, "role");
    struct migration *m = xcalloc(1, sizeof *m);
    m->all = all;
    m->users = 1;
    snprintf(m->id, sizeof m->id, "%s", id);
    m->source = role && strcmp(role, "source") == 0;
    m->epoch = json_get_int(document, "epoch", 0);
    m->source_epoch = json_get_int(document, "source_epoch", 0);
    m->directory = xasprintf("%s/migrate/%s", all->agent->config->run_dir, id);
    m->states = xasprintf("%s/states/%s", all->agent->config->base.state_dir, id);
    m->document = json_copy(document);
    pthread_mutex_init(&m->verbs, NULL);
    pthread_mutex_init(&m->lock, NULL);
    waiting_init(&m->changed);
    if (read_delivery(m, json_get_str(document, "delivery"), err) == 0 &&
        read_peer(m, json_get(document, "peer"), err) == 0 &&
        spec_read(json_get(document, "spec"), &m->spec, err) == 0) {
        domain_name(m->spec.sliver, m->spec.epoch, m->name);
        return m;
    }
    migration_free(m);
    return NULL;
}

static int list(struct migration *m, struct err *err) {
    WITH_LOCK(&m->all->lock);
    if (forgotten_has(&m->all->forgotten, m->id, m->epoch))
        return err_set(err, ERR_STALE_EPOCH, "migration %s was ended before it came", m->id);
    m->next = m->all->first;
    m->all->first = m;
    m->users++;
    return 0;
}

/* --- the routes' work --- */

/* A source's spec is what this node was given when it made the sliver. */
static json *own_document(struct migrations *all, const json *given, struct err *err) {
    json *out = json_copy(given);
    const char *role = json_get_str(given, "role");
    if (role && strcmp(role, "target") == 0) return out;
    json *spec = migration_db_spec(all->agent->db, json_get_str(given, "sliver"),
                                   json_get_int(given, "source_epoch", 0), err);
    if (spec) return json_set(out, "spec", spec);
    json_put(out);
    return NULL;
}

static int agrees(const struct migration *m, const json *given, struct err *err) {
    const char *sliver = json_get_str(given, "sliver");
    int64_t at = m->source ? m->source_epoch : m->epoch;
    if (m->source_epoch >= m->epoch)
        return err_set(err, ERR_UNPROCESSABLE, "the new epoch must be above the source's");
    if (sliver && strcmp(sliver, m->spec.sliver) == 0 && m->spec.epoch == at) return 0;
    return err_set(err, ERR_UNPROCESSABLE, "spec is not of sliver %s at epoch %lld",
                   sliver ? sliver : "", (long long)at);
}

/* Nothing is left to do for it here; also when its incarnation was deleted meanwhile. */
static bool is_over(struct migration *m) {
    enum migration_phase phase = migration_phase(m);
    struct err ended = ERR_INIT;
    if (phase == PHASE_UNDONE || phase == PHASE_DELIVERED || phase == PHASE_GONE) return true;
    return fence_check(m->all->agent->db, m->spec.sliver, m->spec.epoch, &ended) != 0 &&
           ended.code == ERR_STALE_EPOCH;
}

/* One migration of a sliver at a time at this node. */
static int refuse_second(struct migrations *all, const struct migration *m, struct err *err) {
    WITH_LOCK(&all->lock);
    for (struct migration *p = all->first; p; p = p->next) {
        if (strcmp(p->spec.sliver, m->spec.sliver) != 0 || is_over(p)) continue;
        err_set(err, ERR_CONFLICT, "sliver %s is in migration %s already, which is %s",
                m->spec.sliver, p->id, migration_phase_name(migration_phase(p)));
        return err_remedy(err, "Let that one end, or undo it.");
    }
    return 0;
}

bool migrations_has(struct migrations *all, const char *sliver) {
    WITH_LOCK(&all->lock);
    for (struct migration *p = all->first; p; p = p->next)
        if (strcmp(p->spec.sliver, sliver) == 0 && !is_over(p)) return true;
    return false;
}

json *migration_put(struct migrations *all, const char *id, const json *spec, struct err *err) {
    struct migration *known AUTO_MIGRATION = find(all, id);
    if (known) {
        if (json_get_int(spec, "epoch", 0) == known->epoch) return migration_json(known, err);
        err_set(err, ERR_STALE_EPOCH, "migration %s is at epoch %lld here", id,
                (long long)known->epoch);
        return NULL;
    }
    json *document AUTO_JSON = own_document(all, spec, err);
    struct migration *m AUTO_MIGRATION = document ? migration_new(all, id, document, err) : NULL;
    if (!m || agrees(m, spec, err)) return NULL;
    WITH_SLIVER(all->agent->locks, m->spec.sliver); /* a checkpoint's pause is over, and none begins */
    if (refuse_second(all, m, err)) return NULL;
    if ((m->source ? source_check : target_check)(m, spec, NULL, err) || list(m, err)) return NULL;
    migration_set_phase(m, PHASE_CHECKED);
    return migration_json(m, err);
}

/* By delivery: direct, store, fresh, checkpoint. */
static const struct {
    const char *name;
    migration_verb_fn *source[DELIVERY_MAX_], *target[DELIVERY_MAX_];
} verbs[] = {
    { "prepare", { source_prepare, indirect_prepare, indirect_prepare, NULL },
      { target_prepare, target_prepare, target_prepare, target_prepare } },
    { "copy", { source_copy, store_copy, fresh_copy, NULL }, { NULL } },
    { "stop", { source_stop, source_stop, fresh_stop, NULL }, { NULL } },
    { "fetch", { NULL }, { NULL, store_fetch, fresh_fetch, store_fetch } },
    { "confirm", { source_confirm, store_confirm, source_confirm, NULL },
      { target_confirm, target_confirm, target_confirm, target_confirm } },
    { "release", { source_release, source_release, source_release, NULL },
      { target_release, target_release, target_release, target_release } },
    { "activate", { NULL },
      { target_activate, target_activate, target_activate, target_activate } },
    { "drain", { source_drain, source_drain, source_drain, NULL }, { NULL } },
    { "deliver", { NULL }, { target_deliver, target_deliver, target_deliver, target_deliver } },
    { "undo", { source_undo, source_undo, source_undo, NULL },
      { target_undo, target_undo, target_undo, target_undo } },
};

static migration_verb_fn *find_verb(const struct migration *m, const char *verb, struct err *err) {
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        migration_verb_fn *fn = (m->source ? verbs[i].source : verbs[i].target)[m->delivery];
        if (fn && strcmp(verbs[i].name, verb) == 0) return fn;
    }
    err_set(err, ERR_NOT_FOUND, "a %s of delivery %s has no verb \"%.32s\"",
            m->source ? "source" : "target", migration_delivery_name(m->delivery), verb);
    return NULL;
}

static void merge(json *into, const json *extra) {
    size_t at = 0;
    const char *key;
    json *value;
    while (json_next(extra, &at, &key, &value)) json_set(into, key, json_ref(value));
}

/* A verb from before the aggregate turned round, which was long on its way: an undo would let the guest
 * run again that is about to run at the target. */
static int check_turn(struct migration *m, const json *body, struct err *err) {
    int64_t turn = json_get_int(body, "turn", 0);
    if (turn < m->turn)
        return err_set(err, ERR_STALE_EPOCH, "migration %s is at turn %lld, not %lld", m->id,
                       (long long)m->turn, (long long)turn);
    m->turn = turn;
    return 0;
}

static int run_verb(struct migration *m, const char *verb, const json *body, json *extra,
                    struct err *err) {
    migration_verb_fn *fn = find_verb(m, verb, err);
    int64_t begin = clock_monotonic_us();
    if (!fn) return -1;
    if (fn == source_undo) source_cancel(m);
    if (fn == target_undo) target_cancel(m);
    WITH_LOCK(&m->verbs);
    if (check_turn(m, body, err)) return -1;
    if (fn(m, body, extra, err)) return err_wrap(err, "%s", verb);
    log_info("migration verb", "migration=%s role=%s verb=%s us=%lld", m->id,
             m->source ? "source" : "target", verb, (long long)(clock_monotonic_us() - begin));
    return 0;
}

json *migration_verb(struct migrations *all, const char *id, const char *verb, const json *body,
                     struct err *err) {
    struct migration *m AUTO_MIGRATION = find(all, id);
    json *extra AUTO_JSON = json_object();
    if (!m) {
        if (strcmp(verb, "undo") == 0) return migration_unknown_json(all->agent, id, NULL, err); /* nothing made */
        err_set(err, ERR_NOT_FOUND, "this node knows no migration %s", id);
        return NULL;
    }
    if (json_get_int(body, "epoch", 0) != m->epoch) {
        err_set(err, ERR_STALE_EPOCH, "migration %s is of epoch %lld, not %lld", id,
                (long long)m->epoch, (long long)json_get_int(body, "epoch", 0));
        return NULL;
    }
    if (run_verb(m, verb, body, extra, err)) return NULL;
    json *out = migration_json(m, err);
    if (out) merge(out, extra);
    return out;
}

json *migration_get(struct migrations *all, const char *id, const char *sliver, uint64_t seen,
                    int64_t wait_ms, struct err *err) {
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    struct migration *m AUTO_MIGRATION = find(all, id);
    if (!m) return migration_unknown_json(all->agent, id, sliver, err);
    {
        WITH_LOCK(&m->lock);
        while (m->sequence <= seen)
            if (!waiting_until(&m->changed, &m->lock, deadline)) break;
    }
    return migration_json(m, err);
}

int migration_forget(struct migrations *all, const char *id, int64_t epoch, struct err *err) {
    {
        WITH_LOCK(&all->lock);
        forgotten_note(&all->forgotten, id, epoch);
    }
    struct migration *m AUTO_MIGRATION = find(all, id);
    if (!m) return migration_db_delete(all->agent->db, id, err);
    WITH_LOCK(&m->verbs); /* what is being removed is removed first */
    if (!is_over(m) && migration_expect(m, "DELETE", err, PHASE_CHECKED, PHASE_MAX_)) return -1;
    migration_remove_directory(m); /* an agent that died meanwhile has left it */
    if (migration_db_delete(all->agent->db, id, err)) return -1;
    unlist(m);
    return 0;
}

/* --- events, tunnels, life --- */

static void note_time(struct migration *m, int64_t *which, int64_t at_ms) {
    WITH_LOCK(&m->lock);
    *which = at_ms;
}

static void domain_event(struct migration *m, const struct hypervisor_event *e) {
    enum migration_phase now = migration_phase(m);
    if (m->delivery != DELIVERY_DIRECT) return; /* here the agent itself pauses and restores */
    if (m->source && e->kind == DOMAIN_EVENT_PAUSED_MIGRATING && now == PHASE_COPYING) {
        note_time(m, &m->paused_ms, e->at_ms);
        migration_see_phase(m, PHASE_STOPPED);
    }
    if (!m->source && e->kind == DOMAIN_EVENT_INCOMING && now == PHASE_PREPARED)
        migration_see_phase(m, PHASE_INCOMING);
    if (!m->source && e->kind == DOMAIN_EVENT_PAUSED &&
        (now == PHASE_INCOMING || now == PHASE_PREPARED)) {
        note_time(m, &m->arrived_ms, e->at_ms);
        migration_see_phase(m, PHASE_ARRIVED);
    }
}

void migrations_event(struct migrations *all, const struct hypervisor_event *event) {
    WITH_LOCK(&all->lock);
    for (struct migration *m = all->first; m; m = m->next)
        if (strcmp(m->name, event->name) == 0) domain_event(m, event);
}

static int accept_tunnel(void *ctx, struct tunnel *t, const struct tunnel_hello *hello,
                         const char *peer_urn, struct tunnel_events *ret, struct err *err) {
    struct migration *m AUTO_MIGRATION = find(ctx, hello->migration);
    if (!m || m->source)
        return err_set(err, ERR_NOT_FOUND, "this node is no target of migration %s",
                       hello->migration);
    return target_accept(m, t, hello, peer_urn, ret, err);
}

struct migrations *migrations_new(struct agent *a) {
    struct migrations *all = xcalloc(1, sizeof *all);
    all->agent = a;
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

static void restore_one(void *ctx, const char *id, const char *phase, const json *document) {
    struct migrations *all = ctx;
    struct err err = ERR_INIT;
    struct domain_info info;
    struct migration *m AUTO_MIGRATION = migration_new(all, id, document, &err);
    if (!m) {
        log_error("a migration on disk cannot be read", "migration=%s cause=\"%s\"", id, err.msg);
        return;
    }
    m->phase = migration_phase_named(phase);
    if (hypervisor_state(all->agent->hypervisor, m->name, &info, &err) == 0)
        (m->source ? source_reconcile : target_reconcile)(m, info.state);
    list(m, NULL); /* at the start nothing is forgotten yet */
    log_info("migration found again", "migration=%s phase=%s", id, migration_phase_name(m->phase));
}

int migrations_start(struct migrations *all, struct err *err) {
    const struct agent *a = all->agent;
    struct tunnel_identity identity = { a->identity.cert_pem, a->identity.key_pem,
                                        a->identity.ca_pem };
    if (migration_db_each(a->db, restore_one, all, err)) return -1;
    all->listener =
        tunnel_listener_new(a->config->base.listen_address, (uint16_t)a->config->tunnel_port,
                            &identity, accept_tunnel, all, err);
    return all->listener ? 0 : err_wrap(err, "listen for migration tunnels");
}

/* One more whose worker talks to the store, or NULL. */
static struct migration *at_the_store(struct migrations *all) {
    WITH_LOCK(&all->lock);
    for (struct migration *m = all->first; m; m = m->next) {
        if (m->delivery == DELIVERY_DIRECT || migration_call_ended(m, 0)) continue;
        m->users++;
        return m;
    }
    return NULL;
}

/* Workers that wait for libvirt are left alone; those at the store give up, and let their guests go on. */
void migrations_stop(struct migrations *all) {
    if (!all) return;
    tunnel_listener_free(STEAL(all->listener));
    int64_t deadline = clock_monotonic_ms() + STOP_MS;
    for (struct migration *m; clock_monotonic_ms() < deadline && (m = at_the_store(all));) {
        atomic_store(&m->give_up, true);
        migration_call_ended(m, STOP_STEP_MS);
        migration_put_back(m);
    }
    WITH_LOCK(&all->lock);
    for (struct migration *m = all->first; m; m = m->next)
        if (m->tunnel) tunnel_abort(m->tunnel);
}

/* Workers may still wait for libvirt; what they hold is left to the end of the process. */
void migrations_free(struct migrations *all) {
    if (!all) return;
    while (all->first) {
        struct migration *m = all->first;
        all->first = m->next;
        if (m->users == 1) migration_free(m);
    }
}
