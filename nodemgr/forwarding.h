/*
 * Forwarding: from the links that a node should serve to the flows and meters of its bridge.
 *
 * The caller says what should be (struct forwarding_link); this module computes all flows and
 * meters for it, compares them with what is installed and sends exactly the difference, as one
 * atomic OpenFlow bundle with a barrier; nothing is sent when they are equal. What is installed is
 * remembered, and read back from the switch on the first call and after every reconnection, so that
 * a restarted agent or ovs-vswitchd is made right by the same diff.
 *
 * The pipeline (network id = VNI of the link; no MAC learning, since all places are known):
 *
 *   table 0 classify     in_port=vNIC, egress allowed   metadata=VNI, reg0=LOCAL    -> 1
 *                        in_port=vNIC, egress not yet   drop, counted
 *                        in_port=vx, tunnel_id=VNI      metadata=VNI, reg0=TUNNEL   -> 3
 *                        else                           drop, counted
 *   table 1 anti-spoof   of vNICs with addresses:
 *                        120 NA, source and target theirs                           -> 2
 *                        115 NA                         drop, counted
 *                        110 IPv4, IPv6, ARP with their source; ARP and ND probes   -> 2
 *                        100 other IPv4, IPv6, ARP      drop, counted
 *                        of all vNICs:
 *                         90 eth_src=MAC                                            -> 2
 *                         10 in_port=vNIC               drop, counted
 *   table 2 police       in_port=vNIC                   meter (when capped)         -> 3
 *   table 3 forward      100 VNI, eth_dst=local MAC     output port
 *                        100 VNI, LOCAL, remote MAC     tun_id=VNI, tun_dst=VTEP, output vx
 *                        100 VNI, LOCAL, group          all local ports, each VTEP
 *                        100 VNI, TUNNEL, group         all local ports (split horizon)
 *                         10 VNI                        drop, counted
 *
 * Public addresses (forwarding_public.c). A link's router is everywhere: each node answers ARP for it and sends what
 * public vNICs send to it to their gateway. The gateway translates 1:1 between its uplink and the link:
 *   table 0  110 in_port=uplink, from the link's own network        drop, counted
 *            100 in_port=uplink, IPv4 to PUBLIC   ttl-1, to MAC, ADDRESS, metadata=VNI, reg0=LOCAL -> 3
 *            100 in_port=uplink, ARP for PUBLIC   answered with the uplink's MAC
 *   table 3  120 VNI, LOCAL, ARP for ROUTER       answered
 *            110 VNI, to the router from MAC, ADDRESS   ttl-1, from PUBLIC, to the next hop, output uplink
 *            105 VNI, LOCAL, to the router from MAC     tun_id=VNI, tun_dst=gateway, output vx
 * The translation keeps no state: there is nothing to carry along when a sliver moves, or to lose with the
 * gateway's agent or Open vSwitch; fragments and protocols without ports pass as well. Its price: packets quoted
 * inside ICMP errors are not translated.
 *
 * Allowed sources are the listed host addresses and the vNIC's EUI-64 link-local address. A vNIC
 * without listed addresses is held to its MAC only. EtherTypes other than IPv4, IPv6 and ARP pass:
 * experiments bring their own. A DHCP client has no allowed source: addresses are given, not asked
 * for. Flows carry cookies (cookie.h). Meter ids are port numbers; all meters of the bridge with
 * an id below 65536 are jogak's.
 *
 * Threads: any; calls are serialised by a mutex inside. All calls block for a few round trips on
 * UNIX sockets, each bounded by timeout_ms.
 */
#ifndef JOGAK_NODEMGR_FORWARDING_H
#define JOGAK_NODEMGR_FORWARDING_H

#include "nodemgr/cookie.h"
#include "nodemgr/switch.h"

#define FORWARDING_VNI_MAX 0xffffffu
#define FORWARDING_ADDRESSES_MAX 16 /* of one vNIC */
#define FORWARDING_VNICS_MAX 4096   /* of one link */
#define FORWARDING_LINKS_MAX 16384

struct forwarding_vnic { /* everything is borrowed */
    const char *sliver;  /* for messages only */
    const char *name;    /* likewise */
    uint64_t epoch;
    uint8_t mac[6];
    const char *const
        *addresses; /* "10.0.0.1", "10.0.0.1/24", "fd00::1/64": only the host counts */
    size_t address_count;
    const char *port;    /* at this node: the port's name in the bridge; else NULL */
    const char *vtep;    /* elsewhere: that node's IPv4 VTEP; else NULL. Exactly one of the two */
    bool egress_allowed; /* local: false while this incarnation is not active; it may receive */
    uint32_t rate_kbps;  /* local: cap on what it sends; 0: none */
    const char *public_address; /* what its first IPv4 address is outside; NULL: none */
    const char *gateway_vtep;   /* of the node that translates it; NULL: this one */
};

struct forwarding_link {
    uint32_t vni; /* 1 to FORWARDING_VNI_MAX, unique */
    const struct forwarding_vnic *vnics;
    size_t vnic_count; /* 0: nothing of this link stays here */
    const char *router;    /* IPv4 address of the way out; NULL: there is none */
    uint8_t router_mac[6];
};

struct forwarding_result {
    size_t added, changed, deleted, unchanged; /* flows */
    size_t foreign;                            /* flows of others seen at the last reading */
    size_t missing_ports; /* vNICs whose port (or jogak-vx) is not in the bridge: left out */
};

struct forwarding;

/* The way outside of this node, when it is a gateway. */
struct forwarding_uplink {
    char port[SWITCH_PORT_NAME_BYTES]; /* in the bridge; "": this node is no gateway */
    uint8_t mac[6];
    uint8_t router_mac[6]; /* the next hop */
    bool router_known;     /* until it is, nothing goes out; what comes in does */
};

/* Borrows the door for its life. Never NULL. Does no I/O. */
struct forwarding *forwarding_new(struct switch_door *door);
void forwarding_free(struct forwarding *f); /* leaves the flows as they are; NULL is fine */

/* From the next call on. Copies. */
void forwarding_set_uplink(struct forwarding *f, const struct forwarding_uplink *uplink);

/* Make the whole bridge equal to these links: every other flow of jogak's goes.
 * Errors: ERR_UNPROCESSABLE (contradictory or malformed wishes: nothing was sent), ERR_NO_SPACE,
 * ERR_TOO_LARGE (a link too wide for one flood flow), and those of the switch door. After an
 * error no flow has changed (a meter's rate may have), except after ERR_TIMEOUT and
 * ERR_UNAVAILABLE, when the outcome is unknown; a repetition brings everything right.
 * The flow tables are changed when it returns; see switch_settle() for the datapath's cache. */
int forwarding_apply(struct forwarding *f, const struct forwarding_link *links, size_t count,
                     struct forwarding_result *ret, int timeout_ms, struct err *err);
/* The same for these links only (of one slice, say); flows of other links stay. */
int forwarding_apply_links(struct forwarding *f, const struct forwarding_link *links, size_t count,
                           struct forwarding_result *ret, int timeout_ms, struct err *err);
/* Forget what is installed, so that the next call reads it from the switch: after a suspicion. */
void forwarding_forget(struct forwarding *f);

/* Frames dropped, by reason, summed over a link (VNI) or, with 0, over all. */
struct forwarding_drops {
    uint64_t closed, spoofed, unknown, unclassified;
};
int forwarding_read_drops(struct forwarding *f, uint32_t vni, struct forwarding_drops *ret,
                          int timeout_ms, struct err *err);

#endif
