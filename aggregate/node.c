#include "node.h"

#include "audit.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/log.h"
#include "event.h"
#include "lease.h"
#include "node_db.h"

#include <stdio.h>

LOG_MODULE("am.node");

/* --- when each was last heard --- */
struct heard {
    char name[64];
    int64_t boottime_ms;
    struct heard *next;
};
struct node_watch {
    pthread_mutex_t lock;
    int64_t start_ms;
    struct heard *first;
};

struct node_watch *node_watch_new(void) {
    struct node_watch *w = xcalloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    w->start_ms = clock_boottime_ms();
    return w;
}

void node_watch_free(struct node_watch *w) {
    if (!w) return;
    for (struct heard *h = w->first, *next; h; h = next) {
        next = h->next;
        free(h);
    }
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static struct heard *find_heard(struct node_watch *w, const char *name) {
    for (struct heard *h = w->first; h; h = h->next)
        if (strcmp(h->name, name) == 0) return h;
    return NULL;
}

void node_watch_heard(struct node_watch *w, const char *name, const json *slivers) {
    (void)slivers;
    WITH_LOCK(&w->lock);
    struct heard *h = find_heard(w, name);
    if (!h) {
        h = xcalloc(1, sizeof *h);
        snprintf(h->name, sizeof h->name, "%s", name);
        h->next = w->first;
        w->first = h;
    }
    h->boottime_ms = clock_boottime_ms();
}

int64_t node_watch_age_ms(struct node_watch *w, const char *name) {
    WITH_LOCK(&w->lock);
    const struct heard *h = find_heard(w, name);
    return clock_boottime_ms() - (h ? h->boottime_ms : w->start_ms);
}

/* --- states --- */
static const struct { const char *from, *to; } transitions[] = {
    { "joining", "ready" },     { "ready", "draining" },    { "draining", "ready" },
    { "ready", "lost" },        { "draining", "lost" },     { "lost", "ready" },
    { "ready", "quarantined" }, { "quarantined", "ready" }, { "lost", "quarantined" },
    { "ready", "retired" },     { "draining", "retired" },  { "lost", "retired" },
    { "quarantined", "retired" }, { "joining", "retired" }, { "retired", "joining" },
};

static bool allowed(const char *from, const char *to) {
    for (size_t i = 0; i < COUNT_OF(transitions); i++)
        if (!strcmp(transitions[i].from, from) && !strcmp(transitions[i].to, to)) return true;
    return false;
}

int node_set_state(struct db_conn *c, const char *name, const char *state, const char *why,
                   struct err *err) {
    struct node n AUTO_NODE = { 0 };
    if (node_get(c, name, &n, err)) return -1;
    if (strcmp(n.state, state) == 0) return 0;
    if (!allowed(n.state, state))
        return err_set(err, ERR_CONFLICT, "node %s is %s and cannot become %s", name, n.state, state);
    if (node_db_set_state(c, name, state, err)) return -1;
    log_info("node state", "node=%s from=%s to=%s why=\"%s\"", name, n.state, state, why);
    json *data = json_object();
    json_set_str(data, "node", name);
    json_set_str(data, "from", n.state);
    json_set_str(data, "state", state);
    json_set_str(data, "why", why);
    return event_add(c, "node.state", NULL, data, err);
}

int node_find(struct aggregate *am, const char *name, struct node *ret, struct err *err) {
    return node_db_find(am->db, name, ret, err);
}

void node_done(struct node *n) {
    json_put(n->capabilities);
    n->capabilities = NULL;
}

void node_list_done(struct node_list *l) {
    for (size_t i = 0; i < l->count; i++) node_done(&l->rows[i]);
    free(l->rows);
    free(l->pools);
    *l = (struct node_list){ 0 };
}

static int tick_fn(struct db_conn *c, void *arg, struct err *err) {
    struct aggregate *am = arg;
    struct node_list all CLEANUP(node_list_done) = { 0 };
    if (node_all(c, &all, err)) return -1;
    for (size_t i = 0; i < all.count; i++) {
        struct node *n = &all.rows[i];
        if (strcmp(n->state, "ready") && strcmp(n->state, "draining")) continue;
        int64_t age = node_watch_age_ms(am->nodes, n->name);
        char why[80];
        snprintf(why, sizeof why, "no report for %lld ms", (long long)age);
        if (age > am->config->node_lost_ms && node_set_state(c, n->name, "lost", why, err))
            return -1;
    }
    return 0;
}

void node_watch_tick(struct aggregate *am) {
    struct err err = ERR_INIT;
    bool late = false;
    {
        WITH_LOCK(&am->nodes->lock);
        for (struct heard *h = am->nodes->first; h; h = h->next)
            late |= clock_boottime_ms() - h->boottime_ms > am->config->node_lost_ms;
        late |= clock_boottime_ms() - am->nodes->start_ms < 2 * am->config->node_lost_ms;
    }
    if (late && db_write(am->db, tick_fn, am, &err))
        log_warn("nodes not checked", "error=%s", err.msg);
    else if (late) events_wake(am->events);
}

/* --- routes --- */
struct report {
    struct aggregate *am;
    const char *name, *urn;
    const json *body;
    char state[16];
    struct lease_grant lease;
    json *vteps; /* of the other nodes */
};

static int report_fn(struct db_conn *c, void *arg, struct err *err) {
    struct report *r = arg;
    if (node_db_report(c, r->name, r->urn, r->body, err)) return -1;
    struct node n AUTO_NODE = { 0 };
    if (node_get(c, r->name, &n, err)) return -1;
    if (!strcmp(n.state, "joining") || !strcmp(n.state, "lost")) {
        if (node_set_state(c, r->name, "ready", "it reports", err)) return -1;
        snprintf(n.state, sizeof n.state, "ready");
    }
    snprintf(r->state, sizeof r->state, "%s", n.state);
    return lease_grant(c, r->am, r->name, json_get_bool(r->body, "keeps_lease", false),
                       json_get_bool(r->body, "held", false), &r->lease, err);
}

static int state_fn(struct db_conn *c, void *arg, struct err *err) {
    struct report *r = arg;
    struct node n AUTO_NODE = { 0 };
    if (node_get(c, r->name, &n, err)) return -1;
    snprintf(r->state, sizeof r->state, "%s", n.state);
    return 0;
}

/* On disk, and with a lease. A full disk must not stop every sliver of the testbed: then nothing but the lease is
 * given, as far as that is safe. */
static int take_report(struct report *r, struct err *err) {
    struct err why = ERR_INIT;
    if (db_write(r->am->db, report_fn, r, &why) == 0) return 0;
    json_put(STEAL(r->lease.slivers));
    if (why.code == ERR_NO_SPACE && db_read(r->am->db, state_fn, r, err) == 0 &&
        lease_grant_known(r->am, r->name, json_get_bool(r->body, "keeps_lease", false), &r->lease) == 0)
        return 0;
    if (err) *err = why;
    return -1;
}

static int vteps_fn(struct db_conn *c, void *arg, struct err *err) {
    struct report *r = arg;
    struct node_list all CLEANUP(node_list_done) = { 0 };
    if (node_all(c, &all, err)) return -1;
    r->vteps = json_array();
    for (size_t i = 0; i < all.count; i++)
        if (strcmp(all.rows[i].name, r->name) && all.rows[i].vtep[0])
            json_add(r->vteps, json_string(all.rows[i].vtep));
    return 0;
}

int node_report(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct aggregate *am = ctx;
    struct report r = { .am = am, .name = req->params[0], .urn = req->peer->urn, .body = req->body };
    if (strcmp(urn_name(req->peer->urn), r.name))
        return err_set(err, ERR_FORBIDDEN, "%s may not report for node %s", req->peer->urn, r.name);
    if (take_report(&r, err) || db_read(am->db, vteps_fn, &r, err)) {
        json_put(r.lease.slivers);
        json_put(r.vteps);
        return -1;
    }
    node_watch_heard(am->nodes, r.name, json_get(req->body, "slivers"));
    audit_reported(am, r.name, json_get(req->body, "slivers"));
    events_wake(am->events);
    char when[CLOCK_TEXT_BYTES];
    reply->body = json_object();
    json_set_str(reply->body, "state", r.state);
    json_set_int(reply->body, "lease_ms", r.lease.lease_ms);
    if (r.lease.slivers) json_set(reply->body, "slivers", r.lease.slivers);
    json_set(reply->body, "vteps", r.vteps);
    json_set_str(reply->body, "aggregate_time", clock_rfc3339(clock_wall_ms(), when));
    return 0;
}

static json *resources(int64_t vcpus, int64_t memory_mib, int64_t disk_mib, int64_t rate_kbps) {
    json *j = json_object();
    json_set_int(j, "vcpus", vcpus);
    json_set_int(j, "memory_mib", memory_mib);
    json_set_int(j, "disk_mib", disk_mib);
    json_set_int(j, "rate_kbps", rate_kbps);
    return j;
}

static json *node_json(struct aggregate *am, const struct node *n) {
    json *j = json_object();
    json_set_str(j, "name", n->name);
    json_set_str(j, "urn", n->urn);
    json_set_str(j, "state", n->state);
    json_set_str(j, "host", n->host);
    json_set_str(j, "vtep", n->vtep);
    json_set_str(j, "site", n->site);
    json_set_int(j, "heard_ms", node_watch_age_ms(am->nodes, n->name));
    json_set_int(j, "slivers", n->slivers);
    int64_t until = lease_until_ms(am, n->name);
    char when[CLOCK_TEXT_BYTES];
    if (until) {
        json_set_str(j, "lease_until", clock_rfc3339(until, when));
        json_set_bool(j, "lease_over", lease_is_over(am, n->name));
    }
    json_set(j, "total", resources(n->vcpus, n->memory_mib, n->disk_mib, n->rate_kbps));
    json_set(j, "used", resources(n->used_vcpus, n->used_memory_mib, n->used_disk_mib,
                                  n->used_rate_kbps));
    json_set(j, "capabilities", json_copy(n->capabilities));
    return j;
}

static int list_fn(struct db_conn *c, void *arg, struct err *err) { return node_all(c, arg, err); }

int node_list_route(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    (void)req;
    struct aggregate *am = ctx;
    struct node_list all CLEANUP(node_list_done) = { 0 };
    if (db_read(am->db, list_fn, &all, err)) return -1;
    json *items = json_array();
    for (size_t i = 0; i < all.count; i++) json_add(items, node_json(am, &all.rows[i]));
    reply->body = json_set(json_object(), "items", items);
    return 0;
}

int node_show(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct node n AUTO_NODE = { 0 };
    if (node_find(ctx, req->params[0], &n, err)) return -1;
    reply->body = node_json(ctx, &n);
    return 0;
}

struct set_state {
    const char *name, *state;
};

static int set_state_fn(struct db_conn *c, void *arg, struct err *err) {
    struct set_state *s = arg;
    struct node n AUTO_NODE = { 0 };
    if (node_get(c, s->name, &n, err)) return -1;
    /* One that was taken out is let in again, and is ready once it has reported. */
    bool back = !strcmp(n.state, "retired") && !strcmp(s->state, "ready");
    return node_set_state(c, s->name, back ? "joining" : s->state, "an operator asked", err);
}

int node_change(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct aggregate *am = ctx;
    struct set_state s = { req->params[0], json_get_str(req->body, "state") };
    if (db_write(am->db, set_state_fn, &s, err)) return -1;
    events_wake(am->events);
    return node_show(ctx, req, reply, err);
}
