#include "nodemgr/netdev.h"

#include "nodemgr/netdev_internal.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* Make the tap, or prove that the one of this name is a tap with one queue. The flags must be
 * those that QEMU and libvirt attach with later: the number of queues cannot change any more. */
static int make_persistent(const char *name, struct err *err) {
    int fd AUTO_FD = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open /dev/net/tun");
    struct ifreq req = { 0 };
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    req.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(fd, TUNSETIFF, &req)) {
        if (errno == EINVAL)
            return err_set(err, ERR_CONFLICT, "%s exists and is not a tap with one queue", name);
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "make tap %s", name);
    }
    if (ioctl(fd, TUNSETOWNER, 0UL) || ioctl(fd, TUNSETPERSIST, 1UL))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "keep tap %s", name);
    return 0;
}

/* 0 when the name is free, 1 when it is a tap already (perhaps in use, so it cannot be opened). */
static int existing(const char *name, struct netdev_facts *ret_facts, struct err *err) {
    if (!netdev_exists(name)) return 0;
    struct err why = ERR_INIT;
    if (netdev_read(name, ret_facts, &why)) {
        if (why.code == ERR_NOT_FOUND) return 0;
        if (err) *err = why;
        return -1;
    }
    if (strcmp(ret_facts->kind, "tun") != 0)
        return err_set(err, ERR_CONFLICT, "%s exists and is no tap but \"%s\"", name,
                       ret_facts->kind);
    return 1;
}

/* The host would otherwise send router solicitations and multicast reports to the guest. Where
 * IPv6 is not built in there is nothing to turn off. */
static int silence_ipv6(const char *name, struct err *err) {
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd AUTO_FD = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return 0;
    if (fd < 0 || write(fd, "1", 1) != 1)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "turn IPv6 off on %s", name);
    return 0;
}

static int change_link(struct nl_sock *s, unsigned index, const char *name, unsigned mtu,
                       unsigned queue_frames, bool up, struct err *err) {
    struct rtnl_link *key = rtnl_link_alloc(), *change = rtnl_link_alloc();
    rtnl_link_set_ifindex(key, (int)index);
    if (mtu) rtnl_link_set_mtu(change, mtu);
    if (queue_frames) rtnl_link_set_txqlen(change, queue_frames);
    if (up) rtnl_link_set_flags(change, IFF_UP);
    /* The host has nothing to say on a guest's wire: no address, no router solicitation. One such frame,
     * dropped, would also stay in the datapath's cache as "drop what comes from this port". Not every
     * kernel has IPv6, and then there is nothing to switch off. */
    if (up) rtnl_link_inet6_set_addr_gen_mode(change, IN6_ADDR_GEN_MODE_NONE);
    int code = rtnl_link_change(s, key, change, 0);
    rtnl_link_put(key);
    rtnl_link_put(change);
    return code ? netdev_nl_error(err, code, "set up", name) : 0;
}

static int queue_of(struct nl_sock *s, unsigned index, unsigned *ret_frames) {
    struct rtnl_link *link = NULL;
    if (rtnl_link_get_kernel(s, (int)index, NULL, &link)) return -1;
    *ret_frames = rtnl_link_get_txqlen(link);
    rtnl_link_put(link);
    return 0;
}

int netdev_label(const char *name, const char *text, struct err *err) {
    unsigned index;
    if (netdev_index(name, &index, err)) return -1;
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    if (!s) return -1;
    struct rtnl_link *key = rtnl_link_alloc(), *change = rtnl_link_alloc();
    rtnl_link_set_ifindex(key, (int)index);
    rtnl_link_set_ifalias(change, text);
    int code = rtnl_link_change(s, key, change, 0);
    rtnl_link_put(key);
    rtnl_link_put(change);
    return code ? netdev_nl_error(err, code, "label", name) : 0;
}

int netdev_tap_create(const char *name, unsigned mtu, unsigned queue_frames, struct err *err) {
    if (mtu < 68 || mtu > 65521 || queue_frames < 1 || queue_frames > 65536)
        return err_set(err, ERR_INVALID, "tap %s: mtu %u or queue of %u frames out of range", name,
                       mtu, queue_frames);
    struct netdev_facts facts;
    int there = existing(name, &facts, err);
    if (there < 0 || (!there && make_persistent(name, err))) return -1;
    unsigned index, frames = 0;
    if (netdev_index(name, &index, err)) return -1;
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    if (!s || silence_ipv6(name, err)) return -1;
    if (queue_of(s, index, &frames) == 0 && frames == queue_frames) queue_frames = 0;
    /* The gate goes on before the device comes up, so no frame ever passes without it. */
    if (change_link(s, index, name, mtu, queue_frames, false, err)) return -1;
    if (netdev_gate_install(s, index, name, err)) return -1;
    return change_link(s, index, name, 0, 0, true, err);
}
