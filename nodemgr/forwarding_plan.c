#include "nodemgr/forwarding_plan.h"

#include "nodemgr/forwarding_public.h"
#include "nodemgr/forwarding_spoof.h"

#include <arpa/inet.h>
#include <stdio.h>

#define METER_BURST_MIN_KBIT 600 /* room for one 64 KiB segment of a guest that offloads */

/* --- sets --- */

void flow_set_done(struct flow_set *set) {
    of_flows_free(set->flows, set->count);
    free(set->meters);
    *set = (struct flow_set){ .link = set->link };
}

void flow_set_add(struct flow_set *set, struct of_flow *flow) {
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? 2 * set->capacity : 16;
        set->flows = xrealloc_array(set->flows, set->capacity, sizeof(*set->flows));
    }
    set->flows[set->count++] = *flow;
}

void flow_set_add_meter(struct flow_set *set, const struct switch_meter *meter) {
    set->meters = xrealloc_array(set->meters, set->meter_count + 1, sizeof(*set->meters));
    set->meters[set->meter_count++] = *meter;
}

static int compare_flows(const void *a, const void *b) { return of_flow_compare(a, b); }

static int contradiction(const struct flow_set *set, const struct of_flow *flow, struct err *err) {
    AUTO_BUF struct buf text = BUF_INIT;
    of_flow_print(flow, &text);
    err_set(err, ERR_UNPROCESSABLE, "link %u: two vNICs claim the same MAC or port (%.300s)",
            set->link, text.data);
    return err_remedy(err, "give each vNIC of a link a MAC address and a port of its own");
}

int flow_set_sort(struct flow_set *set, struct err *err) {
    qsort(set->flows, set->count, sizeof(*set->flows), compare_flows);
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct of_flow *last = kept > 0 ? &set->flows[kept - 1] : NULL;
        if (!last || of_flow_compare(last, &set->flows[i]) != 0) {
            if (kept != i) {
                struct of_flow moved = set->flows[i];
                set->flows[i] = (struct of_flow){ .cookie = 0 };
                set->flows[kept] = moved;
            }
            kept++;
            continue;
        }
        if (!of_flow_same(last, &set->flows[i])) return contradiction(set, last, err);
        of_flow_done(&set->flows[i]);
        set->flows[i] = (struct of_flow){ .cookie = 0 };
    }
    set->count = kept;
    return 0;
}

/* --- ports --- */

static int compare_ports(const void *a, const void *b) {
    return strcmp(((const struct switch_port_number *)a)->name,
                  ((const struct switch_port_number *)b)->name);
}

void port_table_sort(struct port_table *t) {
    qsort(t->ports, t->count, sizeof(*t->ports), compare_ports);
}

uint32_t port_table_find(const struct port_table *t, const char *name) {
    struct switch_port_number key = { .ofport = 0 };
    if (strlen(name) >= sizeof(key.name) || t->count == 0) return 0;
    memcpy(key.name, name, strlen(name));
    struct switch_port_number *p =
        bsearch(&key, t->ports, t->count, sizeof(*t->ports), compare_ports);
    return p && p->ofport < OF_PORT_MAX ? p->ofport : 0;
}

/* --- one link --- */

/* What is looked up once per link. Arrays run beside link->vnics. */
struct plan {
    const struct forwarding_link *link;
    struct flow_set *set;
    uint32_t *ofports; /* 0: remote, or left out */
    uint32_t *vteps;   /* host order; 0: local, or left out */
    uint32_t vxlan;    /* the tunnel's port; 0: none */
    struct err *err;
};

static void plan_done(struct plan *p) {
    free(p->ofports);
    free(p->vteps);
}

int forwarding_emit(struct flow_set *set, struct of_flow *flow, struct err *err) {
    if (of_flow_finish(flow, err)) {
        of_flow_done(flow);
        return -1;
    }
    flow_set_add(set, flow);
    return 0;
}

static uint64_t mac_number(const uint8_t mac[6]) {
    uint64_t n = 0;
    for (size_t i = 0; i < 6; i++) n = n << 8 | mac[i];
    return n;
}

static int bad_vnic(const struct plan *p, const struct forwarding_vnic *v, const char *what) {
    return err_set(p->err, ERR_UNPROCESSABLE, "link %u, sliver %.64s, vNIC %.32s: %s", p->link->vni,
                   v->sliver ? v->sliver : "?", v->name ? v->name : "?", what);
}

/* Find out where each vNIC is. */
static int locate(struct plan *p, const struct port_table *ports, size_t *missing) {
    for (size_t i = 0; i < p->link->vnic_count; i++) {
        const struct forwarding_vnic *v = &p->link->vnics[i];
        struct in_addr vtep;
        if (!v->port == !v->vtep) return bad_vnic(p, v, "wants either a port or a VTEP");
        if (v->mac[0] & 1) return bad_vnic(p, v, "its MAC is a group address");
        if (v->address_count > FORWARDING_ADDRESSES_MAX) return bad_vnic(p, v, "many addresses");
        if (v->port) {
            p->ofports[i] = port_table_find(ports, v->port);
            if (!p->ofports[i]) ++*missing;
            continue;
        }
        if (inet_pton(AF_INET, v->vtep, &vtep) != 1 || vtep.s_addr == 0)
            return bad_vnic(p, v, "its VTEP is no IPv4 address");
        if (p->vxlan)
            p->vteps[i] = ntohl(vtep.s_addr);
        else
            ++*missing;
    }
    return 0;
}

static int plan_classify(const struct plan *p, const struct forwarding_vnic *v, uint32_t ofport) {
    struct of_flow f;
    of_flow_init(
        &f,
        cookie_encode(v->egress_allowed ? COOKIE_CLASSIFY : COOKIE_CLOSED, v->epoch, p->link->vni),
        TABLE_CLASSIFY, 100);
    of_match(&f, OF_IN_PORT, ofport);
    if (v->egress_allowed) {
        AUTO_BUF struct buf actions = BUF_INIT;
        of_action_set(&actions, OF_REG0, FORWARDING_FROM_LOCAL);
        of_apply_actions(&f, &actions);
        of_write_metadata(&f, p->link->vni, UINT64_MAX);
        of_goto(&f, TABLE_SPOOF);
    }
    return forwarding_emit(p->set, &f, p->err);
}

static int plan_from_tunnel(const struct plan *p) {
    struct of_flow f;
    AUTO_BUF struct buf actions = BUF_INIT;
    of_flow_init(&f, cookie_encode(COOKIE_TUNNEL, 0, p->link->vni), TABLE_CLASSIFY, 100);
    of_match(&f, OF_IN_PORT, p->vxlan);
    of_match(&f, OF_TUNNEL_ID, p->link->vni);
    of_action_set(&actions, OF_REG0, FORWARDING_FROM_TUNNEL);
    of_apply_actions(&f, &actions);
    of_write_metadata(&f, p->link->vni, UINT64_MAX);
    of_goto(&f, TABLE_FORWARD);
    return forwarding_emit(p->set, &f, p->err);
}

static int plan_police(const struct plan *p, const struct forwarding_vnic *v, uint32_t ofport) {
    struct of_flow f;
    of_flow_init(&f, cookie_encode(COOKIE_POLICE, v->epoch, p->link->vni), TABLE_POLICE, 100);
    of_match(&f, OF_IN_PORT, ofport);
    if (v->rate_kbps > 0) {
        uint32_t burst = v->rate_kbps / 10;
        if (burst < METER_BURST_MIN_KBIT) burst = METER_BURST_MIN_KBIT;
        flow_set_add_meter(p->set, &(struct switch_meter){ ofport, v->rate_kbps, burst });
        of_meter(&f, ofport);
    }
    of_goto(&f, TABLE_FORWARD);
    return forwarding_emit(p->set, &f, p->err);
}

static void to_tunnel(struct buf *actions, const struct plan *p, uint32_t vtep) {
    of_action_set(actions, OF_TUN_DST, vtep);
    of_action_output(actions, p->vxlan);
}

static int plan_unicast(const struct plan *p, size_t i) {
    const struct forwarding_vnic *v = &p->link->vnics[i];
    if (!p->ofports[i] && !p->vteps[i]) return 0;
    struct of_flow f;
    AUTO_BUF struct buf actions = BUF_INIT;
    of_flow_init(&f, cookie_encode(COOKIE_UNICAST, v->epoch, p->link->vni), TABLE_FORWARD, 100);
    of_match(&f, OF_METADATA, p->link->vni);
    of_match(&f, OF_ETH_DST, mac_number(v->mac));
    if (p->ofports[i]) {
        of_action_output(&actions, p->ofports[i]);
    } else {
        of_match(&f, OF_REG0, FORWARDING_FROM_LOCAL);
        of_action_set(&actions, OF_TUNNEL_ID, p->link->vni);
        to_tunnel(&actions, p, p->vteps[i]);
    }
    of_apply_actions(&f, &actions);
    return forwarding_emit(p->set, &f, p->err);
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers that are not 0, sorted, each once: the same list whatever the order of the vNICs. */
static uint32_t *distinct(const uint32_t *numbers, size_t count, size_t *ret_count) {
    uint32_t *sorted = xcalloc(count + 1, sizeof(*sorted));
    size_t kept = 0;
    memcpy(sorted, numbers, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_u32);
    for (size_t i = 0; i < count; i++)
        if (sorted[i] != 0 && (kept == 0 || sorted[kept - 1] != sorted[i]))
            sorted[kept++] = sorted[i];
    *ret_count = kept;
    return sorted;
}

static int plan_flood(const struct plan *p, uint32_t from) {
    size_t ports = 0, vteps = 0, count = p->link->vnic_count;
    AUTO_FREE uint32_t *port_list = distinct(p->ofports, count, &ports);
    AUTO_FREE uint32_t *vtep_list = distinct(p->vteps, count, &vteps);
    AUTO_BUF struct buf actions = BUF_INIT;
    for (size_t i = 0; i < ports; i++) of_action_output(&actions, port_list[i]);
    if (from == FORWARDING_FROM_LOCAL && vteps > 0) {
        of_action_set(&actions, OF_TUNNEL_ID, p->link->vni);
        for (size_t i = 0; i < vteps; i++) to_tunnel(&actions, p, vtep_list[i]);
    }
    struct of_flow f;
    of_flow_init(&f, cookie_encode(COOKIE_FLOOD, 0, p->link->vni), TABLE_FORWARD, 100);
    of_match(&f, OF_METADATA, p->link->vni);
    of_match(&f, OF_REG0, from);
    of_match_masked(&f, OF_ETH_DST, UINT64_C(0x010000000000), UINT64_C(0x010000000000));
    of_apply_actions(&f, &actions);
    if (forwarding_emit(p->set, &f, p->err))
        return err_wrap(p->err, "link %u floods to %zu ports and %zu nodes", p->link->vni, ports,
                        vteps);
    return 0;
}

/* A MAC twice on one link has two places: also where the flows would not collide. */
static int check_macs(const struct plan *p) {
    size_t count = p->link->vnic_count;
    AUTO_FREE uint64_t *macs = xcalloc(count + 1, sizeof(*macs));
    for (size_t i = 0; i < count; i++) macs[i] = mac_number(p->link->vnics[i].mac);
    qsort(macs, count, sizeof(*macs), compare_u64);
    for (size_t i = 1; i < count; i++)
        if (macs[i] == macs[i - 1]) {
            err_set(p->err, ERR_UNPROCESSABLE, "link %u: MAC %012llx belongs to two vNICs",
                    p->link->vni, (unsigned long long)macs[i]);
            return err_remedy(p->err, "give each vNIC of a link a MAC address of its own");
        }
    return 0;
}

static int plan_unknown(const struct plan *p) {
    struct of_flow f;
    of_flow_init(&f, cookie_encode(COOKIE_UNKNOWN, 0, p->link->vni), TABLE_FORWARD, 10);
    of_match(&f, OF_METADATA, p->link->vni);
    return forwarding_emit(p->set, &f, p->err);
}

/* Tables 0 to 2 of each local vNIC. */
static int plan_ingress(const struct plan *p) {
    for (size_t i = 0; i < p->link->vnic_count; i++) {
        const struct forwarding_vnic *v = &p->link->vnics[i];
        if (!p->ofports[i]) continue;
        if (plan_classify(p, v, p->ofports[i])) return -1;
        if (!v->egress_allowed) continue;
        if (forwarding_plan_spoof(p->link->vni, v, p->ofports[i], p->set, p->err)) return -1;
        if (plan_police(p, v, p->ofports[i])) return -1;
    }
    return 0;
}

static int plan_forward(const struct plan *p) {
    for (size_t i = 0; i < p->link->vnic_count; i++)
        if (plan_unicast(p, i)) return -1;
    if (plan_flood(p, FORWARDING_FROM_LOCAL)) return -1;
    if (p->vxlan && (plan_from_tunnel(p) || plan_flood(p, FORWARDING_FROM_TUNNEL))) return -1;
    return plan_unknown(p);
}

static bool has_local(const struct plan *p) {
    for (size_t i = 0; i < p->link->vnic_count; i++)
        if (p->ofports[i]) return true;
    return false;
}

int forwarding_plan_link(const struct forwarding_link *link, const struct port_table *ports,
                         const struct forwarding_uplink *uplink, struct flow_set *ret, size_t *missing, struct err *err) {
    *ret = (struct flow_set){ .link = link->vni };
    if (link->vni == 0 || link->vni > FORWARDING_VNI_MAX)
        return err_set(err, ERR_UNPROCESSABLE, "network id %u is not 1 to %u", link->vni,
                       FORWARDING_VNI_MAX);
    if (link->vnic_count > FORWARDING_VNICS_MAX)
        return err_set(err, ERR_TOO_LARGE, "link %u has %zu vNICs", link->vni, link->vnic_count);
    CLEANUP(plan_done)
    struct plan p = {
        .link = link,
        .set = ret,
        .ofports = xcalloc(link->vnic_count + 1, sizeof(uint32_t)),
        .vteps = xcalloc(link->vnic_count + 1, sizeof(uint32_t)),
        .vxlan = port_table_find(ports, SWITCH_VXLAN_PORT),
        .err = err,
    };
    if (check_macs(&p) || locate(&p, ports, missing)) return -1;
    if (!has_local(&p) && !forwarding_translates(link)) return 0; /* nobody here takes part */
    const struct forwarding_ways ways = { .ofports = p.ofports, .vxlan = p.vxlan, .uplink = uplink,
                                          .uplink_port = port_table_find(ports, uplink->port) };
    if (plan_ingress(&p) || plan_forward(&p)) return -1;
    if (forwarding_plan_public(link, &ways, ret, missing, err)) return -1;
    return flow_set_sort(ret, err);
}

int forwarding_plan_base(struct flow_set *ret, struct err *err) {
    *ret = (struct flow_set){ .link = 0 };
    for (uint8_t table = 0; table < TABLE_COUNT; table++) {
        struct of_flow f;
        of_flow_init(&f, cookie_encode(COOKIE_BASE, 0, 0), table, 0);
        if (forwarding_emit(ret, &f, err)) return -1;
    }
    return flow_set_sort(ret, err);
}
