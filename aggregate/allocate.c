#include "allocate.h"

#include "address.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/ids.h"
#include "common/log.h"
#include "event.h"
#include "migration/arm.h"
#include "placement.h"
#include "slice.h"
#include "topology.h"

#include <stdio.h>

LOG_MODULE("am.allocate");

static const char SQL_ADD[] =
    "INSERT INTO reservation (id, slice, state, owner, keys, created_ms, expires_ms)"
    " VALUES (?, ?, 'allocated', ?, ?, ?, ?)";
static const char SQL_LINK[] =
    "INSERT INTO link (slice, name, vni, mtu, router) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (slice, name) DO UPDATE SET mtu = excluded.mtu, router = excluded.router";
static const char SQL_HAS_LINK[] = "SELECT 1 AS there FROM link WHERE slice = ? AND name = ?";
static const char SQL_VNI_TAKEN[] = "SELECT 1 AS there FROM link WHERE vni = ?";
static const char SQL_MAC_TAKEN[] = "SELECT 1 AS there FROM vnic WHERE mac = ?";

#define VNI_FIRST 4096 /* lower ones are left to the site's own networks */
#define VNI_LAST 0xffffff

static int there(struct db_conn *c, bool *ret, struct err *err, struct db_stmt *q) {
    struct db_stmt *owned AUTO_STMT = q;
    if (!q) return -1;
    (void)c;
    int rc = db_step(owned, err);
    *ret = rc == 1;
    return rc < 0 ? -1 : 0;
}

static int add_link(struct db_conn *c, const char *slice, const json *link, struct err *err) {
    const char *name = json_get_str(link, "name");
    bool have = false;
    if (there(c, &have, err, db_query(c, err, SQL_HAS_LINK, "ss", slice, name))) return -1;
    uint32_t vni = 0;
    for (bool taken = !have; taken;) {
        random_bytes(&vni, sizeof vni);
        vni = VNI_FIRST + vni % (VNI_LAST - VNI_FIRST);
        if (there(c, &taken, err, db_query(c, err, SQL_VNI_TAKEN, "i", (int64_t)vni))) return -1;
    }
    const char *router = json_get_str(link, "router");
    return db_exec(c, NULL, err, SQL_LINK, "ssiis", slice, name, (int64_t)vni,
                   json_get_int(link, "mtu", TOPOLOGY_MTU), router ? router : "");
}

/* A locally administered, individual address that nobody has here. */
static int new_mac(struct db_conn *c, char mac[18], struct err *err) {
    for (bool taken = true; taken;) {
        uint8_t b[4];
        random_bytes(b, sizeof b);
        snprintf(mac, 18, "52:4a:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]);
        if (there(c, &taken, err, db_query(c, err, SQL_MAC_TAKEN, "s", mac))) return -1;
    }
    return 0;
}

static int fill_vnics(struct db_conn *c, struct sliver *s, struct err *err) {
    const json *vnics = json_get(s->wanted, "vnics");
    for (size_t i = 0; i < json_length(vnics) && i < SLIVER_VNICS_MAX; i++) {
        const json *want = json_at(vnics, i);
        struct vnic *v = &s->vnics[s->vnic_count++];
        v->position = (int64_t)i;
        const char *name = json_get_str(want, "name"), *mac = json_get_str(want, "mac");
        if (name) snprintf(v->name, sizeof v->name, "%s", name);
        else snprintf(v->name, sizeof v->name, "eth%zu", i);
        snprintf(v->link, sizeof v->link, "%s", json_get_str(want, "link"));
        if (mac) snprintf(v->mac, sizeof v->mac, "%s", mac);
        else if (new_mac(c, v->mac, err)) return -1;
        v->rate_kbps = json_get_int(want, "rate_kbps", 0);
        v->addresses = json_has(want, "addresses") ? json_copy(json_get(want, "addresses"))
                                                   : json_array();
        s->rate_kbps += v->rate_kbps;
        v->is_public = json_get_bool(want, "public", false);
    }
    return 0;
}

static const char *kind_of(const json *want) {
    const char *kind = json_get_str(want, "kind");
    return !kind || strcmp(kind, "any") == 0 ? "full" : kind;
}

static int add_sliver(struct db_conn *c, const struct aggregate *am, const struct slice_row *slice, const char *reservation,
                      const json *want, const char *node, struct err *err) {
    struct sliver s AUTO_SLIVER = {
        .vcpus = json_get_int(want, "vcpus", 1),
        .memory_mib = json_get_int(want, "memory_mib", 256),
        .disk_mib = json_get_int(want, "disk_mib", 1024),
        .wanted = json_copy(want),
    };
    uuid_new(s.id);
    snprintf(s.name, sizeof s.name, "%s", json_get_str(want, "name"));
    struct urn urn;
    if (urn_parse(slice->urn, &urn, err)) return -1;
    char full_name[sizeof urn.name + sizeof s.name];
    snprintf(full_name, sizeof full_name, "%s.%s", urn.name, s.name);
    urn_text(s.urn, urn.authority, "sliver", full_name);
    memcpy(s.slice, slice->id, sizeof s.slice);
    snprintf(s.reservation, sizeof s.reservation, "%s", reservation);
    snprintf(s.node, sizeof s.node, "%s", node);
    snprintf(s.kind, sizeof s.kind, "%s", kind_of(want));
    if (fill_vnics(c, &s, err)) return -1;
    return sliver_add(c, &s, err) || address_take(c, am, &s, err) ? -1 : 0;
}

static void wish_of(const json *want, struct placement_wish *w) {
    *w = (struct placement_wish){
        .name = json_get_str(want, "name"),
        .kind = kind_of(want),
        .node = json_get_str(want, "node"),
        .vcpus = json_get_int(want, "vcpus", 1),
        .memory_mib = json_get_int(want, "memory_mib", 256),
        .disk_mib = json_get_int(want, "disk_mib", 1024),
    };
    const json *vnics = json_get(want, "vnics");
    for (size_t i = 0; i < json_length(vnics); i++) {
        w->is_public |= json_get_bool(json_at(vnics, i), "public", false);
        w->rate_kbps += json_get_int(json_at(vnics, i), "rate_kbps", 0);
    }
}

static int place_all(struct db_conn *c, struct allocate *a, const json *names,
                     struct node_list *nodes, struct placement_wish *wishes, struct err *err) {
    size_t count = json_length(names);
    for (size_t i = 0; i < count; i++)
        wish_of(topology_sliver(a->topology, json_str(json_at(names, i))), &wishes[i]);
    if (node_all(c, nodes, err) || address_offer(c, a->am, nodes, err)) return -1;
    return placement_search(nodes, wishes, count, a->am->config->cpu_overcommit_percent,
                            &a->reasons, err);
}

static bool leaves(const json *plan, const char *name) {
    const json *replace = json_get(plan, "replace"), *drop = json_get(plan, "delete");
    for (size_t i = 0; i < json_length(replace); i++)
        if (!strcmp(json_get_str(json_at(replace, i), "name"), name)) return true;
    for (size_t i = 0; i < json_length(drop); i++)
        if (!strcmp(json_str(json_at(drop, i)), name)) return true;
    return false;
}

static void free_those_that_leave(const struct rehearsal *r, struct node_list *nodes) {
    for (size_t i = 0; i < r->have->count; i++) {
        const struct sliver *s = &r->have->rows[i];
        if (!leaves(r->plan, s->name)) continue;
        const struct placement_wish was = { .is_public = sliver_public_vnic(s) != NULL, .vcpus = s->vcpus, .memory_mib = s->memory_mib,
                                            .disk_mib = s->disk_mib, .rate_kbps = s->rate_kbps };
        for (size_t k = 0; k < nodes->count; k++)
            if (!strcmp(nodes->rows[k].name, s->node)) placement_use(&nodes->rows[k], &was, -1);
    }
}

int allocate_rehearse(struct db_conn *c, void *arg, struct err *err) {
    struct rehearsal *r = arg;
    const json *create = json_get(r->plan, "create"), *replace = json_get(r->plan, "replace");
    size_t made = json_length(create), count = made + json_length(replace);
    if (!count) return 0;
    struct placement_wish *wishes AUTO_FREE = xcalloc(count, sizeof *wishes);
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    for (size_t i = 0; i < count; i++)
        wish_of(topology_sliver(r->topology, i < made ? json_str(json_at(create, i))
                                                      : json_get_str(json_at(replace, i - made), "name")),
                &wishes[i]);
    if (node_all(c, &nodes, err) || address_offer(c, r->am, &nodes, err)) return -1;
    free_those_that_leave(r, &nodes);
    struct err why = ERR_INIT;
    json *reasons = NULL;
    if (placement_search(&nodes, wishes, count, r->am->config->cpu_overcommit_percent, &reasons,
                         &why) == 0)
        return 0;
    json_set_str(r->plan, "problem", why.msg);
    json_set(r->plan, "refused", reasons ? reasons : json_array());
    return 0;
}

static int add_reservation(struct db_conn *c, struct allocate *a, const struct slice_row *slice,
                           struct err *err) {
    char *keys AUTO_FREE = json_text(a->who->keys);
    int64_t now = clock_wall_ms(), until = now + a->am->config->hold_s * 1000;
    if (until > slice->expires_ms) until = slice->expires_ms;
    if (until <= now) return err_set(err, ERR_GONE, "slice %s has expired", slice->urn);
    return db_exec(c, NULL, err, SQL_ADD, "ssssii", uuid_new(a->id), slice->id, a->who->owner,
                   keys ? keys : "[]", now, until);
}

/* A static policy stands on a target that is held from the start; a hybrid one can do without for a while. */
static int arm_all(struct db_conn *c, struct allocate *a, struct err *err) {
    struct sliver_list made AUTO_SLIVERS = { 0 };
    if (sliver_of_reservation(c, a->id, &made, err)) return -1;
    for (size_t i = 0; i < made.count; i++) {
        const char *policy = json_get_str(json_get(made.rows[i].wanted, "migration"), "policy");
        bool needed = policy && strcmp(policy, "static") == 0;
        json *reasons AUTO_JSON = NULL;
        struct err one = ERR_INIT;
        if (arm_sliver(c, a->am, &made.rows[i], &reasons, &one) == 0 || !needed) continue;
        json_put(a->reasons);
        a->reasons = STEAL(reasons);
        if (err) *err = one;
        return -1;
    }
    return 0;
}

int allocate(struct db_conn *c, void *arg, struct err *err) {
    struct allocate *a = arg;
    struct slice_row slice;
    struct sliver_list have AUTO_SLIVERS = { 0 };
    if (slice_ensure(c, a->slice_urn, a->who->target_expires_ms, &slice, err) ||
        sliver_of_slice(c, slice.id, &have, err) || address_sweep(c, err))
        return -1;
    json *plan AUTO_JSON = topology_plan(a->topology, &have);
    const json *names = json_get(plan, "create");
    if (!json_length(names)) return 0;

    size_t count = json_length(names);
    struct placement_wish *wishes AUTO_FREE = xcalloc(count, sizeof *wishes);
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    if (place_all(c, a, names, &nodes, wishes, err) || add_reservation(c, a, &slice, err))
        return -1;
    const json *links = json_get(a->topology, "links");
    for (size_t i = 0; i < json_length(links); i++)
        if (add_link(c, slice.id, json_at(links, i), err)) return -1;
    for (size_t i = 0; i < count; i++)
        if (add_sliver(c, a->am, &slice, a->id, topology_sliver(a->topology, wishes[i].name),
                       nodes.rows[wishes[i].chosen].name, err))
            return -1;
    if (arm_all(c, a, err)) return -1;
    log_info("allocated", "reservation=%s slice=%s slivers=%zu", a->id, slice.urn, count);
    json *data = json_set_str(json_object(), "reservation", a->id);
    return event_add(c, "reservation.allocated", slice.id, data, err);
}
