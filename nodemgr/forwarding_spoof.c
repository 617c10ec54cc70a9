/*
 * Anti-spoofing, one vNIC at a time. Frames that reach table 1 come from a local port; those that
 * go on to table 2 have a source that the vNIC may use, all others meet a counted drop.
 *
 * Source: RFC 5227 (an ARP probe has the sender address 0.0.0.0), RFC 4862, 5.4.2 (a duplicate
 * address probe is a neighbour solicitation from ::), RFC 4861, 4.4 (an advertisement speaks for
 * its target address), RFC 4291, appendix A (link-local addresses made from the MAC).
 */
#include "nodemgr/forwarding_spoof.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PRIORITY_ADVERTISEMENT 120
#define PRIORITY_NO_ADVERTISEMENT 115
#define PRIORITY_SOURCE 110
#define PRIORITY_NO_SOURCE 100
#define PRIORITY_MAC 90
#define PRIORITY_NOTHING 10

#define IP_PROTO_ICMPV6 58
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136

struct sources {
    struct in_addr v4[FORWARDING_ADDRESSES_MAX];
    size_t v4_count;
    struct in6_addr v6[FORWARDING_ADDRESSES_MAX + 1];
    size_t v6_count;
};

struct port { /* whose flows are made */
    uint32_t vni;
    const struct forwarding_vnic *vnic;
    uint32_t ofport;
    struct flow_set *set;
    struct err *err;
};

static int parse_address(const char *text, struct sources *s, struct err *err) {
    char host[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");
    if (length < sizeof(host)) {
        memcpy(host, text, length);
        host[length] = '\0';
        if (inet_pton(AF_INET, host, &s->v4[s->v4_count]) == 1) {
            s->v4_count++;
            return 0;
        }
        if (inet_pton(AF_INET6, host, &s->v6[s->v6_count]) == 1) {
            s->v6_count++;
            return 0;
        }
    }
    return err_set(err, ERR_UNPROCESSABLE, "%.64s is no IPv4 or IPv6 address", text);
}

static void link_local(const uint8_t mac[6], struct in6_addr *ret) {
    *ret = (struct in6_addr){ .s6_addr = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, (uint8_t)(mac[0] ^ 2),
                                           mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] } };
}

static void start(const struct port *p, struct of_flow *f, enum cookie_kind kind,
                  uint16_t priority) {
    of_flow_init(f, cookie_encode(kind, p->vnic->epoch, p->vni), TABLE_SPOOF, priority);
    of_match(f, OF_IN_PORT, p->ofport);
    if (priority != PRIORITY_NOTHING) of_match_bytes(f, OF_ETH_SRC, p->vnic->mac);
}

static int allow(const struct port *p, struct of_flow *f) {
    of_goto(f, TABLE_POLICE);
    return forwarding_emit(p->set, f, p->err);
}

static int drop(const struct port *p, struct of_flow *f) {
    return forwarding_emit(p->set, f, p->err);
}

/* ARP that speaks for this address; 0.0.0.0: probes. */
static int allow_arp(const struct port *p, struct in_addr address) {
    struct of_flow f;
    start(p, &f, COOKIE_ALLOW, PRIORITY_SOURCE);
    of_match(&f, OF_ETH_TYPE, OF_ETH_ARP);
    of_match_bytes(&f, OF_ARP_SHA, p->vnic->mac);
    of_match_bytes(&f, OF_ARP_SPA, &address);
    return allow(p, &f);
}

static int allow_ipv4(const struct port *p, struct in_addr address) {
    struct of_flow f;
    start(p, &f, COOKIE_ALLOW, PRIORITY_SOURCE);
    of_match(&f, OF_ETH_TYPE, OF_ETH_IPV4);
    of_match_bytes(&f, OF_IPV4_SRC, &address);
    return allow(p, &f);
}

static int allow_ipv6(const struct port *p, const struct in6_addr *address) {
    struct of_flow f;
    start(p, &f, COOKIE_ALLOW, PRIORITY_SOURCE);
    of_match(&f, OF_ETH_TYPE, OF_ETH_IPV6);
    of_match_bytes(&f, OF_IPV6_SRC, address);
    return allow(p, &f);
}

/* Neighbour discovery of one type, from this source, about this target (NULL: any). */
static void match_nd(struct of_flow *f, uint8_t type, const struct in6_addr *source,
                     const struct in6_addr *target) {
    of_match(f, OF_ETH_TYPE, OF_ETH_IPV6);
    of_match(f, OF_IP_PROTO, IP_PROTO_ICMPV6);
    of_match(f, OF_ICMPV6_TYPE, type);
    if (source) of_match_bytes(f, OF_IPV6_SRC, source);
    if (target) of_match_bytes(f, OF_ND_TARGET, target);
}

static int allow_probe(const struct port *p, const struct in6_addr *target) {
    struct of_flow f;
    start(p, &f, COOKIE_ALLOW, PRIORITY_SOURCE);
    match_nd(&f, ND_SOLICITATION, &in6addr_any, target);
    return allow(p, &f);
}

static int allow_advertisement(const struct port *p, const struct in6_addr *source,
                               const struct in6_addr *target) {
    struct of_flow f;
    start(p, &f, COOKIE_ALLOW, PRIORITY_ADVERTISEMENT);
    match_nd(&f, ND_ADVERTISEMENT, source, target);
    return allow(p, &f);
}

static int drop_advertisements(const struct port *p) {
    struct of_flow f;
    start(p, &f, COOKIE_SPOOFED, PRIORITY_NO_ADVERTISEMENT);
    match_nd(&f, ND_ADVERTISEMENT, NULL, NULL);
    return drop(p, &f);
}

static int drop_other_sources(const struct port *p) {
    static const uint16_t types[] = { OF_ETH_ARP, OF_ETH_IPV4, OF_ETH_IPV6 };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct of_flow f;
        start(p, &f, COOKIE_SPOOFED, PRIORITY_NO_SOURCE);
        of_match(&f, OF_ETH_TYPE, types[i]);
        if (drop(p, &f)) return -1;
    }
    return 0;
}

static int plan_v6(const struct port *p, const struct sources *s) {
    for (size_t i = 0; i < s->v6_count; i++) {
        if (allow_ipv6(p, &s->v6[i]) || allow_probe(p, &s->v6[i])) return -1;
        for (size_t j = 0; j < s->v6_count; j++)
            if (allow_advertisement(p, &s->v6[i], &s->v6[j])) return -1;
    }
    return drop_advertisements(p);
}

static int plan_addresses(const struct port *p) {
    struct sources s = { .v4_count = 0 };
    for (size_t i = 0; i < p->vnic->address_count; i++)
        if (parse_address(p->vnic->addresses[i], &s, p->err)) return -1;
    link_local(p->vnic->mac, &s.v6[s.v6_count++]);
    for (size_t i = 0; i < s.v4_count; i++)
        if (allow_arp(p, s.v4[i]) || allow_ipv4(p, s.v4[i])) return -1;
    if (s.v4_count > 0 && allow_arp(p, (struct in_addr){ 0 })) return -1;
    return plan_v6(p, &s) ? -1 : drop_other_sources(p);
}

int forwarding_plan_spoof(uint32_t vni, const struct forwarding_vnic *v, uint32_t ofport,
                          struct flow_set *set, struct err *err) {
    struct port p = { vni, v, ofport, set, err };
    struct of_flow mac, nothing;
    if (v->address_count > 0 && plan_addresses(&p))
        return err_wrap(err, "link %u, vNIC %.32s", vni, v->name ? v->name : "?");
    start(&p, &mac, COOKIE_ALLOW, PRIORITY_MAC);
    if (allow(&p, &mac)) return -1;
    start(&p, &nothing, COOKIE_SPOOFED, PRIORITY_NOTHING);
    return drop(&p, &nothing);
}
