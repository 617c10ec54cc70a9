#include "nodemgr/slice_forwarding.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/forwarding.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/uplink.h"
#include "nodemgr/waiting.h"

#include <stdio.h>

LOG_MODULE("nm.forwarding");

#define SWITCH_TIMEOUT_MS 5000
#define CHECK_MS 2000

#define SQL_GET "SELECT generation, document FROM forwarding WHERE slice = ?"
#define SQL_ALL "SELECT slice, document FROM forwarding WHERE document <> ''"
#define SQL_LIST "SELECT slice, generation, document FROM forwarding WHERE document <> ''"
#define SQL_PUT \
    "INSERT INTO forwarding (slice, generation, document) VALUES (?, ?, ?)" \
    " ON CONFLICT (slice) DO UPDATE SET generation = excluded.generation," \
    " document = excluded.document"

struct slice_forwarding {
    struct agent *agent;
    struct forwarding *flows;
    struct uplink *uplink;
    struct forwarding_uplink outside; /* as it was seen last */
    pthread_t thread;
    pthread_mutex_t lock; /* one change of documents and switch at a time, and what follows */
    pthread_cond_t changed;
    bool ending, ready;
    bool told;           /* that the uplink is not in the bridge */
    uint64_t generation; /* of the switch's connection that was last made right */
};

/* --- from JSON to links --- */

struct plan { /* owns what the links borrow */
    struct forwarding_link *links;
    size_t count;
    struct {
        void **items;
        size_t count;
    } memory;
};

static void *own(struct plan *p, void *memory) {
    p->memory.items = xrealloc_array(p->memory.items, p->memory.count + 1, sizeof(void *));
    return p->memory.items[p->memory.count++] = memory;
}

static void plan_done(struct plan *p) {
    for (size_t i = 0; i < p->memory.count; i++) free(p->memory.items[i]);
    free(p->memory.items);
    free(p->links);
}

static int read_mac(const char *text, uint8_t ret[6], struct err *err) {
    unsigned b[6];
    if (!text || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", b, b + 1, b + 2, b + 3, b + 4, b + 5) != 6)
        return err_set(err, ERR_INVALID, "\"%s\" is no MAC address", text ? text : "");
    for (int i = 0; i < 6; i++) ret[i] = (uint8_t)b[i];
    return 0;
}

static const char *const *read_addresses(struct plan *p, const json *list, size_t *ret_count) {
    size_t count = list ? json_length(list) : 0;
    const char **out = own(p, xcalloc(count + 1, sizeof *out));
    for (size_t i = 0; i < count; i++) {
        const char *text = json_str(json_at(list, i));
        out[i] = text ? text : "";
    }
    *ret_count = count;
    return out;
}

static void read_public(const struct agent *a, const json *from, struct forwarding_vnic *ret) {
    const char *gateway = json_get_str(from, "gateway"), *vtep = json_get_str(from, "vtep");
    if (!gateway || !vtep) return;
    ret->public_address = json_get_str(from, "address");
    if (strcmp(gateway, a->identity.urn) != 0) ret->gateway_vtep = vtep;
}

static int read_vnic(struct agent *a, struct plan *p, const json *from,
                     struct forwarding_vnic *ret, struct err *err) {
    const char *sliver = json_get_str(from, "sliver"), *vnic = json_get_str(from, "vnic");
    const char *node = json_get_str(from, "node"), *vtep = json_get_str(from, "vtep");
    int64_t epoch = json_get_int(from, "epoch", 0);
    if (!sliver || !vnic || !node || epoch < 1)
        return err_set(err, ERR_INVALID, "a vNIC needs sliver, vnic, node and epoch");
    *ret = (struct forwarding_vnic){
        .sliver = sliver,
        .name = vnic,
        .epoch = (uint64_t)epoch,
        .egress_allowed = json_get_bool(from, "egress", false),
        .rate_kbps = (uint32_t)json_get_int(from, "rate_kbps", 0),
    };
    read_public(a, json_get(from, "public"), ret);
    ret->addresses = read_addresses(p, json_get(from, "addresses"), &ret->address_count);
    if (strcmp(node, a->identity.urn) != 0) ret->vtep = vtep;
    else ret->port = sliver_tap_name(sliver, epoch, vnic, own(p, xcalloc(1, IFNAMSIZ)));
    return read_mac(json_get_str(from, "mac"), ret->mac, err);
}

static int read_link(struct agent *a, struct plan *p, const json *from, struct err *err) {
    const json *list = json_get(from, "vnics");
    size_t count = list ? json_length(list) : 0;
    int64_t vni = json_get_int(from, "vni", 0);
    if (vni < 1 || vni > FORWARDING_VNI_MAX)
        return err_set(err, ERR_INVALID, "the network id %lld is out of range", (long long)vni);
    struct forwarding_vnic *vnics = own(p, xcalloc(count + 1, sizeof *vnics));
    for (size_t i = 0; i < count; i++)
        if (read_vnic(a, p, json_at(list, i), &vnics[i], err))
            return err_wrap(err, "vNIC %zu of link %lld", i, (long long)vni);
    p->links = xrealloc_array(p->links, p->count + 1, sizeof *p->links);
    struct forwarding_link *link = &p->links[p->count++];
    const json *router = json_get(from, "router");
    *link = (struct forwarding_link){ .vni = (uint32_t)vni, .vnics = vnics, .vnic_count = count };
    if (!router) return 0;
    link->router = json_get_str(router, "address");
    return read_mac(json_get_str(router, "mac"), link->router_mac, err);
}

static int read_links(struct agent *a, struct plan *p, const json *document, struct err *err) {
    const json *links = json_get(document, "links");
    for (size_t i = 0; links && i < json_length(links); i++)
        if (read_link(a, p, json_at(links, i), err)) return -1;
    return 0;
}

/* Links that an earlier document had and this one has not leave the switch. */
static void add_gone(struct plan *p, const json *before) {
    const json *links = json_get(before, "links");
    for (size_t i = 0; links && i < json_length(links); i++) {
        uint32_t vni = (uint32_t)json_get_int(json_at(links, i), "vni", 0);
        size_t k = 0;
        while (k < p->count && p->links[k].vni != vni) k++;
        if (k < p->count) continue;
        p->links = xrealloc_array(p->links, p->count + 1, sizeof *p->links);
        p->links[p->count++] = (struct forwarding_link){ .vni = vni };
    }
}

/* --- the documents on disk --- */

struct kept {
    const char *slice, *text;
    int64_t generation;
    json *before; /* out */
    json *all;    /* out: an array of documents */
};

static int get_fn(struct db_conn *c, void *arg, struct err *err) {
    struct kept *k = arg;
    struct db_stmt *s AUTO_STMT = db_query(c, err, SQL_GET, "s", k->slice);
    int row = s ? db_step(s, err) : -1;
    if (row <= 0) return row;
    int64_t have = db_int(s, "generation");
    if (have > k->generation) {
        err_set(err, ERR_STALE_EPOCH, "forwarding of generation %lld is past: %lld is here",
                (long long)k->generation, (long long)have);
        return err_remedy(err, "Read the slice again; what sent this works from old data.");
    }
    const char *text = db_text(s, "document");
    if (*text) k->before = json_parse(text, strlen(text), err);
    return 0;
}

static int put_fn(struct db_conn *c, void *arg, struct err *err) {
    struct kept *k = arg;
    return db_exec(c, NULL, err, SQL_PUT, "sis", k->slice, k->generation, k->text);
}

static int all_fn(struct db_conn *c, void *arg, struct err *err) {
    struct kept *k = arg;
    struct db_stmt *s AUTO_STMT = db_query(c, err, SQL_ALL, "");
    int more;
    if (!s) return -1;
    k->all = json_array();
    while ((more = db_step(s, err)) == 1) {
        const char *text = db_text(s, "document");
        json *document = json_parse(text, strlen(text), err);
        if (!document) return err_wrap(err, "forwarding of slice %s", db_text(s, "slice"));
        json_add(k->all, document);
    }
    return more;
}

/* --- the switch --- */

static int apply(struct slice_forwarding *f, const struct plan *p, bool whole, struct err *err) {
    struct forwarding_result r;
    int64_t begin = clock_monotonic_us();
    int failed = whole ? forwarding_apply(f->flows, p->links, p->count, &r, SWITCH_TIMEOUT_MS, err)
                       : forwarding_apply_links(f->flows, p->links, p->count, &r,
                                                SWITCH_TIMEOUT_MS, err);
    if (failed) return -1;
    log_info("forwarding applied",
             "links=%zu added=%zu changed=%zu deleted=%zu unchanged=%zu missing_ports=%zu us=%lld",
             p->count, r.added, r.changed, r.deleted, r.unchanged, r.missing_ports,
             (long long)(clock_monotonic_us() - begin));
    return 0;
}

static int apply_all(struct slice_forwarding *f, struct err *err) {
    struct kept k = { .slice = NULL };
    struct plan p CLEANUP(plan_done) = { .links = NULL };
    int failed = db_read(f->agent->db, all_fn, &k, err);
    json *all AUTO_JSON = k.all;
    for (size_t i = 0; !failed && i < json_length(all); i++)
        failed = read_links(f->agent, &p, json_at(all, i), err);
    /* Only the links that there are documents of. Flows of others may belong to guests that run while the
     * documents were lost: they go when the aggregate says that they are nobody's. */
    return failed ? -1 : apply(f, &p, false, err);
}

/* A node without its uplink serves its own slivers all the same. */
static void ensure_uplink(struct slice_forwarding *f) {
    struct err err = ERR_INIT;
    uint32_t port;
    const struct switch_port_spec spec = { .name = f->outside.port, .kind = SWITCH_PORT_SYSTEM };
    if (!f->outside.port[0]) return;
    if (switch_add_port(f->agent->bridge, &spec, &port, SWITCH_TIMEOUT_MS, &err) == 0) {
        f->told = false;
        return;
    }
    if (!f->told) log_warn("the uplink is not in the bridge", "uplink=%s cause=\"%s\"", f->outside.port, err.msg);
    f->told = true;
    uplink_again(f->uplink); /* and so try again */
}

static int ensure_switch(struct slice_forwarding *f, struct err *err) {
    const char *vtep = f->agent->config->vtep_address;
    uint32_t port;
    if (switch_ensure_bridge(f->agent->bridge, SWITCH_TIMEOUT_MS, err)) return -1;
    if (*vtep && switch_ensure_vxlan(f->agent->bridge, vtep, 0, &port, SWITCH_TIMEOUT_MS, err))
        return -1;
    ensure_uplink(f);
    forwarding_set_uplink(f->flows, &f->outside);
    return apply_all(f, err);
}

/* Brings the switch up to the documents when its connection is a new one, or the way outside is another. */
static int look_after(struct slice_forwarding *f, struct err *err) {
    uint64_t now;
    if (switch_check(f->agent->bridge, &now, SWITCH_TIMEOUT_MS, err)) {
        if (f->ready) return -1;
        now = 0; /* no bridge yet: there is nothing to check */
        err_clear(err);
    }
    struct forwarding_uplink outside;
    bool other = uplink_look(f->uplink, &outside);
    WITH_LOCK(&f->lock);
    f->outside = outside;
    if (f->ready && now == f->generation && !other) return 0;
    if (ensure_switch(f, err)) {
        uplink_again(f->uplink);
        return -1;
    }
    f->generation = switch_generation(f->agent->bridge);
    f->ready = true;
    pthread_cond_broadcast(&f->changed);
    log_info("the switch is as it should be", "bridge=%s", f->agent->config->bridge);
    return 0;
}

static void *forwarding_main(void *arg) {
    struct slice_forwarding *f = arg;
    bool told = false;
    for (;;) {
        struct err err = ERR_INIT;
        int failed = look_after(f, &err);
        if (failed && !told)
            log_warn("the switch is not as it should be", "cause=\"%s\"", err.msg);
        told = failed;
        int64_t next = clock_monotonic_ms() + CHECK_MS;
        WITH_LOCK(&f->lock);
        while (!f->ending && waiting_until(&f->changed, &f->lock, next)) continue;
        if (f->ending) return NULL;
    }
}

struct slice_forwarding *slice_forwarding_start(struct agent *a, struct err *err) {
    struct uplink *uplink = uplink_new(a->config->uplink, a->config->uplink_router, err);
    if (!uplink) return NULL;
    struct slice_forwarding *f = xcalloc(1, sizeof *f);
    f->agent = a;
    f->flows = forwarding_new(a->bridge);
    f->uplink = uplink;
    /* Before the first document comes: it must not take away what an agent before this one has set. */
    uplink_look(uplink, &f->outside);
    uplink_again(uplink);
    forwarding_set_uplink(f->flows, &f->outside);
    pthread_mutex_init(&f->lock, NULL);
    waiting_init(&f->changed);
    pthread_create(&f->thread, NULL, forwarding_main, f);
    return f;
}

void slice_forwarding_stop(struct slice_forwarding *f) {
    if (!f) return;
    {
        WITH_LOCK(&f->lock);
        f->ending = true;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_join(f->thread, NULL);
    forwarding_free(f->flows);
    uplink_free(f->uplink);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static int change(struct slice_forwarding *f, struct kept *k, const json *document,
                  struct err *err) {
    struct plan p CLEANUP(plan_done) = { .links = NULL };
    WITH_LOCK(&f->lock);
    if (db_read(f->agent->db, get_fn, k, err)) return -1;
    if (document && read_links(f->agent, &p, document, err)) return -1;
    if (k->before) add_gone(&p, k->before);
    if (db_write(f->agent->db, put_fn, k, err)) return -1;
    return apply(f, &p, false, err);
}

int slice_forwarding_put(struct slice_forwarding *f, const char *slice, const json *document,
                         int64_t settle_ms, struct err *err) {
    char *text AUTO_FREE = json_text(document);
    struct kept k = { .slice = slice, .text = text };
    k.generation = json_get_int(document, "generation", 0);
    struct err late = ERR_INIT;
    int failed = change(f, &k, document, err);
    json_put(k.before);
    if (!failed && settle_ms > 0) switch_settle(f->agent->bridge, (int)settle_ms, &late);
    return failed;
}

/* The generation is not known here, and a later PUT of the same one must be accepted. */
int slice_forwarding_delete(struct slice_forwarding *f, const char *slice, struct err *err) {
    struct kept k = { .slice = slice, .text = "", .generation = INT64_MAX };
    struct kept now = k;
    if (db_read(f->agent->db, get_fn, &now, err)) return -1;
    json *before AUTO_JSON = now.before;
    if (!before) return 0;
    k.generation = json_get_int(before, "generation", 0);
    int failed = change(f, &k, NULL, err);
    json_put(k.before);
    return failed;
}

/* --- for the inventory --- */

static int documents_fn(struct db_conn *c, void *arg, struct err *err) {
    struct db_stmt *s AUTO_STMT = db_query(c, err, SQL_LIST, "");
    int more;
    if (!s) return -1;
    while ((more = db_step(s, err)) == 1) {
        const char *text = db_text(s, "document");
        json *document AUTO_JSON = json_parse(text, strlen(text), err);
        if (!document) return err_wrap(err, "forwarding of slice %s", db_text(s, "slice"));
        json *one = json_set_str(json_object(), "slice", db_text(s, "slice")), *vnis = json_array();
        json_set_int(one, "generation", db_int(s, "generation"));
        const json *links = json_get(document, "links");
        for (size_t i = 0; links && i < json_length(links); i++)
            json_add(vnis, json_int(json_get_int(json_at(links, i), "vni", 0)));
        json_add(arg, json_set(one, "vnis", vnis));
    }
    return more;
}

json *slice_forwarding_documents(struct slice_forwarding *f, struct err *err) {
    json *all AUTO_JSON = json_array();
    return db_read(f->agent->db, documents_fn, all, err) ? NULL : STEAL(all);
}

bool slice_forwarding_lists(const json *documents, int64_t vni) {
    for (size_t i = 0; i < json_length(documents); i++) {
        const json *vnis = json_get(json_at(documents, i), "vnis");
        for (size_t k = 0; k < json_length(vnis); k++)
            if (json_int_value(json_at(vnis, k)) == vni) return true;
    }
    return false;
}

int slice_forwarding_drop(struct slice_forwarding *f, int64_t vni, struct err *err) {
    WITH_LOCK(&f->lock);
    json *documents AUTO_JSON = slice_forwarding_documents(f, err);
    if (!documents) return -1;
    if (slice_forwarding_lists(documents, vni))
        return err_set(err, ERR_CONFLICT, "network %lld belongs to a slice that is here",
                       (long long)vni);
    struct plan p CLEANUP(plan_done) = { .links = xcalloc(1, sizeof *p.links), .count = 1 };
    p.links[0].vni = (uint32_t)vni;
    forwarding_forget(f->flows); /* there are flows that this process need not have set */
    return apply(f, &p, false, err);
}
