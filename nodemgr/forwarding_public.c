#include "nodemgr/forwarding_public.h"

#include "nodemgr/forwarding_spoof.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PRIORITY_MARTIAN 110  /* table 0 */
#define PRIORITY_OUTSIDE 100  /* table 0 */
#define PRIORITY_ANSWER 120   /* table 3; before flooding */
#define PRIORITY_TRANSLATE 110
#define PRIORITY_TO_GATEWAY 105
#define ARP_REQUEST 1
#define ARP_REPLY 2

/* One vNIC with a public address, numbers in host order. */
struct mapping {
    const struct forwarding_link *link;
    const struct forwarding_vnic *vnic;
    const struct forwarding_ways *ways;
    uint32_t outside, inside, network, mask, router;
    struct flow_set *set;
    struct err *err;
};

static uint64_t mac_number(const uint8_t mac[6]) {
    uint64_t n = 0;
    for (size_t i = 0; i < 6; i++) n = n << 8 | mac[i];
    return n;
}

static int read_ipv4(const char *text, uint32_t *ret) {
    char host[INET_ADDRSTRLEN];
    struct in_addr a;
    size_t length = strcspn(text, "/");
    if (length >= sizeof host) return -1;
    memcpy(host, text, length);
    host[length] = '\0';
    if (inet_pton(AF_INET, host, &a) != 1 || a.s_addr == 0) return -1;
    *ret = ntohl(a.s_addr);
    return 0;
}

/* The first IPv4 address, and the network that its prefix length names. */
static int read_inside(struct mapping *m) {
    for (size_t i = 0; i < m->vnic->address_count; i++) {
        const char *text = m->vnic->addresses[i], *slash = strchr(text, '/');
        if (read_ipv4(text, &m->inside)) continue;
        long bits = slash ? strtol(slash + 1, NULL, 10) : 32;
        m->mask = bits > 0 && bits <= 32 ? UINT32_MAX << (32 - bits) : UINT32_MAX;
        m->network = m->inside & m->mask;
        return 0;
    }
    return -1;
}

static int read_mapping(struct mapping *m) {
    const struct forwarding_vnic *v = m->vnic;
    const char *what = NULL;
    if (!m->link->router || read_ipv4(m->link->router, &m->router)) what = "its link has no router";
    else if (read_ipv4(v->public_address, &m->outside)) what = "its public address is no IPv4 address";
    else if (read_inside(m)) what = "it has no IPv4 address to translate";
    if (!what) return 0;
    return err_set(m->err, ERR_UNPROCESSABLE, "link %u, sliver %.64s, vNIC %.32s: %s", m->link->vni,
                   v->sliver ? v->sliver : "?", v->name ? v->name : "?", what);
}

/* Turns an ARP request around, in place, and sends it back. */
static void answer(struct of_flow *f, uint64_t mac, uint32_t address) {
    AUTO_BUF struct buf actions = BUF_INIT;
    of_action_move(&actions, OF_ETH_SRC, OF_ETH_DST);
    of_action_set(&actions, OF_ETH_SRC, mac);
    of_action_set(&actions, OF_ARP_OP, ARP_REPLY);
    of_action_move(&actions, OF_ARP_SHA, OF_ARP_THA);
    of_action_set(&actions, OF_ARP_SHA, mac);
    of_action_move(&actions, OF_ARP_SPA, OF_ARP_TPA);
    of_action_set(&actions, OF_ARP_SPA, address);
    of_action_output(&actions, OF_PORT_IN_PORT);
    of_apply_actions(f, &actions);
}

static void match_request(struct of_flow *f, uint32_t address) {
    of_match(f, OF_ETH_TYPE, OF_ETH_ARP);
    of_match(f, OF_ARP_OP, ARP_REQUEST);
    of_match(f, OF_ARP_TPA, address);
}

static int plan_router(const struct forwarding_link *link, struct flow_set *set, struct err *err) {
    struct of_flow f;
    uint32_t router;
    if (read_ipv4(link->router, &router))
        return err_set(err, ERR_UNPROCESSABLE, "link %u: its router is no IPv4 address", link->vni);
    of_flow_init(&f, cookie_encode(COOKIE_ANSWER, 0, link->vni), TABLE_FORWARD, PRIORITY_ANSWER);
    of_match(&f, OF_METADATA, link->vni);
    of_match(&f, OF_REG0, FORWARDING_FROM_LOCAL);
    match_request(&f, router);
    answer(&f, mac_number(link->router_mac), router);
    return forwarding_emit(set, &f, err);
}

static int plan_to_gateway(const struct mapping *m) {
    struct of_flow f;
    struct in_addr vtep;
    AUTO_BUF struct buf actions = BUF_INIT;
    if (inet_pton(AF_INET, m->vnic->gateway_vtep, &vtep) != 1)
        return err_set(m->err, ERR_UNPROCESSABLE, "link %u: the gateway's VTEP is no IPv4 address",
                       m->link->vni);
    of_flow_init(&f, cookie_encode(COOKIE_WAY_OUT, m->vnic->epoch, m->link->vni), TABLE_FORWARD,
                 PRIORITY_TO_GATEWAY);
    of_match(&f, OF_METADATA, m->link->vni);
    of_match(&f, OF_REG0, FORWARDING_FROM_LOCAL);
    of_match_bytes(&f, OF_ETH_SRC, m->vnic->mac);
    of_match_bytes(&f, OF_ETH_DST, m->link->router_mac);
    of_action_set(&actions, OF_TUNNEL_ID, m->link->vni);
    of_action_set(&actions, OF_TUN_DST, ntohl(vtep.s_addr));
    of_action_output(&actions, m->ways->vxlan);
    of_apply_actions(&f, &actions);
    return forwarding_emit(m->set, &f, m->err);
}

static int plan_out(const struct mapping *m) {
    struct of_flow f;
    const struct forwarding_uplink *up = m->ways->uplink;
    AUTO_BUF struct buf actions = BUF_INIT;
    of_flow_init(&f, cookie_encode(COOKIE_WAY_OUT, m->vnic->epoch, m->link->vni), TABLE_FORWARD,
                 PRIORITY_TRANSLATE);
    of_match(&f, OF_METADATA, m->link->vni);
    of_match_bytes(&f, OF_ETH_SRC, m->vnic->mac);
    of_match_bytes(&f, OF_ETH_DST, m->link->router_mac);
    of_match(&f, OF_ETH_TYPE, OF_ETH_IPV4);
    of_match(&f, OF_IPV4_SRC, m->inside);
    of_action_dec_ttl(&actions);
    of_action_set(&actions, OF_ETH_SRC, mac_number(up->mac));
    of_action_set(&actions, OF_ETH_DST, mac_number(up->router_mac));
    of_action_set(&actions, OF_IPV4_SRC, m->outside);
    of_action_output(&actions, m->ways->uplink_port);
    of_apply_actions(&f, &actions);
    return forwarding_emit(m->set, &f, m->err);
}

static void from_outside(const struct mapping *m, struct of_flow *f, enum cookie_kind kind,
                         uint16_t priority) {
    of_flow_init(f, cookie_encode(kind, m->vnic->epoch, m->link->vni), TABLE_CLASSIFY, priority);
    of_match(f, OF_IN_PORT, m->ways->uplink_port);
    of_match_bytes(f, OF_ETH_DST, m->ways->uplink->mac);
    of_match(f, OF_ETH_TYPE, OF_ETH_IPV4);
    of_match(f, OF_IPV4_DST, m->outside);
}

static int plan_in(const struct mapping *m) {
    struct of_flow f;
    AUTO_BUF struct buf actions = BUF_INIT;
    from_outside(m, &f, COOKIE_WAY_IN, PRIORITY_OUTSIDE);
    of_action_dec_ttl(&actions);
    of_action_set(&actions, OF_ETH_SRC, mac_number(m->link->router_mac));
    of_action_set(&actions, OF_ETH_DST, mac_number(m->vnic->mac));
    of_action_set(&actions, OF_IPV4_DST, m->inside);
    of_action_set(&actions, OF_REG0, FORWARDING_FROM_LOCAL);
    of_apply_actions(&f, &actions);
    of_write_metadata(&f, m->link->vni, UINT64_MAX);
    of_goto(&f, TABLE_FORWARD);
    return forwarding_emit(m->set, &f, m->err);
}

/* Nobody outside speaks as a neighbour of the vNIC. */
static int plan_martian(const struct mapping *m) {
    struct of_flow f;
    from_outside(m, &f, COOKIE_SPOOFED, PRIORITY_MARTIAN);
    of_match_masked(&f, OF_IPV4_SRC, m->network, m->mask);
    return forwarding_emit(m->set, &f, m->err);
}

static int plan_arp(const struct mapping *m) {
    struct of_flow f;
    of_flow_init(&f, cookie_encode(COOKIE_ANSWER, m->vnic->epoch, m->link->vni), TABLE_CLASSIFY,
                 PRIORITY_OUTSIDE);
    of_match(&f, OF_IN_PORT, m->ways->uplink_port);
    match_request(&f, m->outside);
    answer(&f, mac_number(m->ways->uplink->mac), m->outside);
    return forwarding_emit(m->set, &f, m->err);
}

static int plan_gateway(const struct mapping *m, size_t *missing) {
    if (!m->ways->uplink_port) {
        ++*missing;
        return 0;
    }
    if (plan_in(m) || plan_martian(m) || plan_arp(m)) return -1;
    return m->ways->uplink->router_known ? plan_out(m) : 0;
}

bool forwarding_translates(const struct forwarding_link *link) {
    for (size_t i = 0; i < link->vnic_count; i++)
        if (link->vnics[i].public_address && !link->vnics[i].gateway_vtep) return true;
    return false;
}

int forwarding_plan_public(const struct forwarding_link *link, const struct forwarding_ways *ways,
                           struct flow_set *set, size_t *missing, struct err *err) {
    if (link->router && plan_router(link, set, err)) return -1;
    for (size_t i = 0; i < link->vnic_count; i++) {
        const struct forwarding_vnic *v = &link->vnics[i];
        struct mapping m = { .link = link, .vnic = v, .ways = ways, .set = set, .err = err };
        if (!v->public_address) continue;
        if (read_mapping(&m)) return -1;
        if (!v->gateway_vtep) {
            if (plan_gateway(&m, missing)) return -1;
        } else if (ways->ofports[i] && ways->vxlan && plan_to_gateway(&m)) {
            return -1;
        }
    }
    return 0;
}
