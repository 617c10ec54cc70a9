#include "forwarding.h"

#include "agents.h"
#include "common/clock.h"
#include "common/log.h"
#include "site.h"
#include "slice.h"

#include <stdio.h>

LOG_MODULE("am.forwarding");

#define PUSH_MS 5000

static const char SQL_BEHIND[] =
    "INSERT INTO behind (slice, node, since_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
static const char SQL_CAUGHT_UP[] = "DELETE FROM behind WHERE slice = ? AND node = ?";
static const char SQL_NEXT[] =
    "SELECT slice, node FROM behind JOIN node ON node.name = behind.node"
    " WHERE node.state IN ('ready', 'draining') ORDER BY since_ms LIMIT 1";

struct view {
    const struct sites *sites;
    const char *slice, *skip;
    struct sliver_list slivers;
    struct node_list nodes;
    int64_t generation;
};

static void view_done(struct view *v) {
    sliver_list_done(&v->slivers);
    node_list_done(&v->nodes);
}

static int view_fn(struct db_conn *c, void *arg, struct err *err) {
    struct view *v = arg;
    return slice_next_generation(c, v->slice, &v->generation, err) ||
                   sliver_of_slice(c, v->slice, &v->slivers, err) || node_all(c, &v->nodes, err)
               ? -1
               : 0;
}

static const struct node *node_named(const struct view *v, const char *name) {
    for (size_t i = 0; i < v->nodes.count; i++)
        if (strcmp(v->nodes.rows[i].name, name) == 0) return &v->nodes.rows[i];
    return NULL;
}

/* Its public address, and where it is translated. */
static void add_public(const struct view *v, const struct vnic *n, json *ret) {
    const struct site *site = n->public_address[0] ? site_named(v->sites, n->public_site) : NULL;
    const struct node *gateway = site ? node_named(v, site->gateway) : NULL;
    if (!gateway || !gateway->vtep[0]) return;
    json *p = json_set_str(json_object(), "address", n->public_address);
    json_set_str(p, "gateway", gateway->urn);
    json_set(ret, "public", json_set_str(p, "vtep", gateway->vtep));
}

/* The same MAC address at every site, so that a guest that moves need not ask again. */
static json *router_of(const struct vnic *n) {
    char mac[18];
    unsigned vni = (unsigned)n->vni;
    snprintf(mac, sizeof mac, "52:4b:00:%02x:%02x:%02x", vni >> 16 & 0xff, vni >> 8 & 0xff, vni & 0xff);
    return json_set_str(json_set_str(json_object(), "address", n->router), "mac", mac);
}

static json *vnic_at(const struct view *v, const struct sliver *s, const struct vnic *n) {
    const struct node *node = node_named(v, s->node);
    if (!node) return NULL;
    json *j = json_object();
    json_set_str(j, "sliver", s->id);
    json_set_int(j, "epoch", s->epoch);
    json_set_str(j, "vnic", n->name);
    json_set_str(j, "mac", n->mac);
    json_set(j, "addresses", json_copy(n->addresses));
    json_set_int(j, "rate_kbps", n->rate_kbps);
    json_set_str(j, "node", node->urn);
    json_set_str(j, "vtep", node->vtep);
    add_public(v, n, j);
    return json_set_bool(j, "egress", true);
}

static json *link_of(json *links, const struct vnic *n) {
    for (size_t i = 0; i < json_length(links); i++)
        if (json_get_int(json_at(links, i), "vni", -1) == n->vni) return json_at(links, i);
    json *link = json_object();
    json_set_str(link, "name", n->link);
    json_set_int(link, "vni", n->vni);
    if (n->router[0]) json_set(link, "router", router_of(n));
    json_set(link, "vnics", json_array());
    json_add(links, link);
    return link;
}

static json *document(const struct view *v) {
    json *links = json_array();
    for (size_t i = 0; i < v->slivers.count; i++) {
        const struct sliver *s = &v->slivers.rows[i];
        if (v->skip && strcmp(s->id, v->skip) == 0) continue;
        for (size_t k = 0; k < s->vnic_count; k++) {
            json *one = vnic_at(v, s, &s->vnics[k]);
            if (one) json_add(json_get(link_of(links, &s->vnics[k]), "vnics"), one);
        }
    }
    json *j = json_set_int(json_object(), "generation", v->generation);
    return json_set(j, "links", links);
}

/* Gateways of all sites hear of a slice with public vNICs: also the one that it has just left. */
static bool translates(const struct view *v, const char *node) {
    if (!site_is_gateway(v->sites, node)) return false;
    for (size_t i = 0; i < v->slivers.count; i++)
        if (sliver_public_vnic(&v->slivers.rows[i])) return true;
    return false;
}

static bool holds(const struct view *v, const char *node) {
    for (size_t i = 0; i < v->slivers.count; i++)
        if (strcmp(v->slivers.rows[i].node, node) == 0) return true;
    return translates(v, node);
}

static bool reachable(const struct node *n) {
    return strcmp(n->state, "lost") && strcmp(n->state, "retired") && n->port;
}

struct place {
    const char *slice, *node;
};

int forwarding_owe(struct db_conn *c, const char *slice, const char *node, struct err *err) {
    return db_exec(c, NULL, err, SQL_BEHIND, "ssi", slice, node, clock_wall_ms());
}

static int behind_fn(struct db_conn *c, void *arg, struct err *err) {
    struct place *p = arg;
    return forwarding_owe(c, p->slice, p->node, err);
}

static int caught_up_fn(struct db_conn *c, void *arg, struct err *err) {
    struct place *p = arg;
    return db_exec(c, NULL, err, SQL_CAUGHT_UP, "ss", p->slice, p->node);
}

/* Whom to tell, and how. */
struct push {
    const char *slice;
    const char *only, *except, *also; /* nodes; NULL: all, none, no other */
    const char *skip;                 /* a sliver to leave out, or NULL */
    int settle_ms;
};

static int push(struct aggregate *am, const struct push *how, size_t *ret_nodes, struct err *err) {
    const char *slice = how->slice, *only = how->only, *also = how->also;
    struct view v CLEANUP(view_done) = { .sites = am->sites, .slice = slice, .skip = how->skip };
    if (db_write(am->db, view_fn, &v, err)) return -1;
    json *body AUTO_JSON = document(&v);
    struct agents_each *calls = xcalloc(v.nodes.count, sizeof *calls);
    size_t count = 0;
    for (size_t i = 0; i < v.nodes.count; i++) {
        const struct node *n = &v.nodes.rows[i];
        bool wanted = only ? strcmp(n->name, only) == 0
                           : holds(&v, n->name) || (also && strcmp(n->name, also) == 0);
        if (how->except && strcmp(n->name, how->except) == 0) wanted = false;
        if (!wanted) continue;
        if (!reachable(n)) { /* what it missed it hears when it is back */
            struct place p = { slice, n->name };
            if (!strcmp(n->state, "lost")) db_write(am->db, behind_fn, &p, NULL);
            continue;
        }
        struct agents_each *call = &calls[count++];
        snprintf(call->node, sizeof call->node, "%s", n->name);
        /* A node without slivers of this slice sends nothing of it, so it has nothing cached. */
        snprintf(call->path, sizeof call->path, "/v1/slices/%s/forwarding?settle_ms=%d", slice,
                 holds(&v, n->name) ? how->settle_ms : 0);
        call->method = "PUT";
        call->body = json_copy(body); /* each thread has its own */
        call->timeout_ms = PUSH_MS;
    }
    agents_call_all(am, calls, count);
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        /* Stale: a newer generation is there already, so it was told more than we know. */
        if (calls[i].answer || calls[i].err.code == ERR_STALE_EPOCH) continue;
        failed++;
        if (err) *err = calls[i].err;
        struct place p = { slice, calls[i].node };
        db_write(am->db, behind_fn, &p, NULL);
        log_warn("forwarding not set", "node=%s slice=%s error=%s", calls[i].node, slice,
                 calls[i].err.msg);
    }
    if (ret_nodes) *ret_nodes = count;
    agents_each_done(calls, count);
    return failed ? -1 : 0;
}

int forwarding_push(struct aggregate *am, const char *slice, const char *also, const char *skip,
                    size_t *ret_nodes, struct err *err) {
    return push(am, &(struct push){ .slice = slice, .also = also, .skip = skip }, ret_nodes, err);
}

static int push_moved(struct aggregate *am, const char *slice, const char *source,
                      size_t *ret_nodes, struct err *err) {
    int failed = push(
        am, &(struct push){ .slice = slice, .except = source, .settle_ms = FORWARDING_SETTLE_MS },
        ret_nodes, err);
    struct push last = { .slice = slice, .only = source, .settle_ms = FORWARDING_SETTLE_MS };
    return push(am, &last, NULL, err) || failed ? -1 : 0;
}

/* --- several moves of one slice away from one node share a push ---
 * A document tells where all vNICs are, so one push serves every move that was committed before it was
 * made. Nobody waits for company: the first caller goes at once, and those who come meanwhile go
 * together as soon as it is back. Only with the same source: it has to be told last. */
struct round {
    struct aggregate *am;
    char slice[37], source[64];
    unsigned members;
    bool begun, ended;
    int rc;
    size_t nodes;
    struct err err;
    struct round *next;
};
static pthread_mutex_t rounds_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rounds_changed = PTHREAD_COND_INITIALIZER;
static struct round *rounds;

/* The round of these, that has begun or not; NULL: none. With the lock held. */
static struct round *find_round(const struct aggregate *am, const char *slice, const char *source,
                                bool begun) {
    for (struct round *r = rounds; r; r = r->next)
        if (r->am == am && r->begun == begun && !r->ended && !strcmp(r->slice, slice) &&
            !strcmp(r->source, source))
            return r;
    return NULL;
}

static struct round *new_round(struct aggregate *am, const char *slice, const char *source) {
    struct round *r = xcalloc(1, sizeof *r);
    r->am = am;
    snprintf(r->slice, sizeof r->slice, "%s", slice);
    snprintf(r->source, sizeof r->source, "%s", source);
    r->next = rounds;
    return rounds = r;
}

static void leave_round(struct round *r) {
    if (--r->members) return;
    for (struct round **p = &rounds; *p; p = &(*p)->next)
        if (*p == r) {
            *p = r->next;
            break;
        }
    free(r);
}

/* By the one who has made it: waits for the round before, then pushes for all who have joined. */
static void go(struct round *r) {
    while (find_round(r->am, r->slice, r->source, true)) pthread_cond_wait(&rounds_changed, &rounds_lock);
    r->begun = true;
    pthread_mutex_unlock(&rounds_lock);
    r->rc = push_moved(r->am, r->slice, r->source, &r->nodes, &r->err);
    pthread_mutex_lock(&rounds_lock);
    r->ended = true;
    pthread_cond_broadcast(&rounds_changed);
}

int forwarding_push_moved(struct aggregate *am, const char *slice, const char *source,
                          size_t *ret_nodes, struct err *err) {
    WITH_LOCK(&rounds_lock);
    struct round *r = find_round(am, slice, source, false);
    bool mine = !r;
    if (mine) r = new_round(am, slice, source);
    r->members++;
    if (mine) go(r);
    while (!r->ended) pthread_cond_wait(&rounds_changed, &rounds_lock);
    int rc = r->rc;
    if (ret_nodes) *ret_nodes = r->nodes;
    if (rc && err) *err = r->err;
    leave_round(r);
    return rc;
}

int forwarding_push_node(struct aggregate *am, const char *slice, const char *node,
                         const char *skip, struct err *err) {
    return push(am, &(struct push){ .slice = slice, .only = node, .skip = skip }, NULL, err);
}

struct next {
    char slice[37], node[64];
};

static int next_fn(struct db_conn *c, void *arg, struct err *err) {
    struct next *n = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_NEXT, "");
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc != 1) return rc;
    snprintf(n->slice, sizeof n->slice, "%s", db_text(q, "slice"));
    snprintf(n->node, sizeof n->node, "%s", db_text(q, "node"));
    return 0;
}

void forwarding_tick(struct aggregate *am) {
    struct next n = { "", "" };
    struct err err = ERR_INIT;
    if (db_read(am->db, next_fn, &n, &err) || !n.slice[0]) return;
    struct place p = { n.slice, n.node };
    if (forwarding_push_node(am, n.slice, n.node, NULL, &err) == 0 &&
        db_write(am->db, caught_up_fn, &p, &err) == 0)
        log_info("node has caught up", "node=%s slice=%s", n.node, n.slice);
}
