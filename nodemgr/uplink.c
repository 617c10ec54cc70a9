#include "nodemgr/uplink.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

LOG_MODULE("nm.uplink");

#define ASK_EVERY_MS 30000 /* once it is known; before, at every look */

struct uplink {
    char device[SWITCH_PORT_NAME_BYTES];
    struct in_addr router; /* 0: none */
    struct forwarding_uplink now;
    bool changed, told;
    int64_t ask_at_ms; /* monotonic */
};

struct request {
    struct ether_header ethernet;
    struct ether_arp arp;
} __attribute__((packed));

struct uplink *uplink_new(const char *device, const char *router, struct err *err) {
    struct uplink *u = xcalloc(1, sizeof *u);
    u->changed = true;
    if (strlen(device) >= sizeof u->device)
        err_set(err, ERR_INVALID, "[agent] uplink: \"%s\" is no network device's name", device);
    else if (*router && inet_pton(AF_INET, router, &u->router) != 1)
        err_set(err, ERR_INVALID, "[agent] uplink_router: \"%s\" is no IPv4 address", router);
    else {
        snprintf(u->device, sizeof u->device, "%s", device);
        return u;
    }
    free(u);
    return NULL;
}

void uplink_free(struct uplink *u) { free(u); }

void uplink_again(struct uplink *u) { u->changed = true; }

/* ARP alone, so that a busy line costs nothing. */
static int only_arp(int fd) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct ether_header, ether_type)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, sizeof(struct request)),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { COUNT_OF(code), code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int open_socket(const char *device, struct err *err) {
    int fd AUTO_FD = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "a packet socket");
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(device) };
    if (!at.sll_ifindex) return err_set(err, ERR_NOT_FOUND, "there is no device %s", device);
    if (only_arp(fd) || bind(fd, (struct sockaddr *)&at, sizeof at))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "listen on %s", device);
    return STEAL_FD(fd);
}

/* As an ARP probe (RFC 5227) it claims no address of its own. */
static void make_request(const struct uplink *u, struct request *ret) {
    *ret = (struct request){ .ethernet.ether_type = htons(ETHERTYPE_ARP) };
    memset(ret->ethernet.ether_dhost, 0xff, 6);
    memcpy(ret->ethernet.ether_shost, u->now.mac, 6);
    ret->arp.ea_hdr = (struct arphdr){ htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(ARPOP_REQUEST) };
    memcpy(ret->arp.arp_sha, u->now.mac, 6);
    memcpy(ret->arp.arp_tpa, &u->router, 4);
}

static bool is_answer(const struct uplink *u, const struct request *r) {
    return r->arp.ea_hdr.ar_op == htons(ARPOP_REPLY) && memcmp(r->arp.arp_spa, &u->router, 4) == 0 &&
           !(r->arp.arp_sha[0] & 1);
}

static int ask(const struct uplink *u, uint8_t ret_mac[6], struct err *err) {
    int fd AUTO_FD = open_socket(u->device, err);
    struct request r;
    if (fd < 0) return -1;
    make_request(u, &r);
    if (send(fd, &r, sizeof r, 0) < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "send on %s", u->device);
    int64_t until = clock_monotonic_ms() + UPLINK_ASK_MS, left;
    while ((left = until - clock_monotonic_ms()) > 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, (int)left) <= 0) continue;
        if (recv(fd, &r, sizeof r, 0) < (ssize_t)sizeof r || !is_answer(u, &r)) continue;
        memcpy(ret_mac, r.arp.arp_sha, 6);
        return 0;
    }
    return err_set(err, ERR_TIMEOUT, "the router outside does not answer ARP on %s", u->device);
}

static void look_for_router(struct uplink *u) {
    struct err err = ERR_INIT;
    uint8_t mac[6];
    if (!u->router.s_addr || clock_monotonic_ms() < u->ask_at_ms) return;
    if (ask(u, mac, &err)) {
        if (!u->told) log_warn("no way outside", "uplink=%s cause=\"%s\"", u->device, err.msg);
        u->told = true;
        return;
    }
    u->told = false;
    u->ask_at_ms = clock_monotonic_ms() + ASK_EVERY_MS;
    if (u->now.router_known && memcmp(mac, u->now.router_mac, 6) == 0) return;
    memcpy(u->now.router_mac, mac, 6);
    u->now.router_known = u->changed = true;
    log_info("the router outside answers", "uplink=%s", u->device);
}

static bool read_device(struct uplink *u) {
    struct netdev_facts facts;
    struct err err = ERR_INIT;
    unsigned b[6];
    if (!u->device[0] || netdev_read(u->device, &facts, &err) ||
        sscanf(facts.mac, "%2x:%2x:%2x:%2x:%2x:%2x", b, b + 1, b + 2, b + 3, b + 4, b + 5) != 6)
        return false;
    uint8_t mac[6];
    for (int i = 0; i < 6; i++) mac[i] = (uint8_t)b[i];
    u->changed |= memcmp(mac, u->now.mac, 6) != 0;
    memcpy(u->now.mac, mac, 6);
    return true;
}

bool uplink_look(struct uplink *u, struct forwarding_uplink *ret) {
    bool there = read_device(u);
    u->changed |= there != (u->now.port[0] != '\0');
    snprintf(u->now.port, sizeof u->now.port, "%s", there ? u->device : "");
    if (there) look_for_router(u);
    *ret = u->now;
    bool changed = u->changed;
    u->changed = false;
    return changed;
}
