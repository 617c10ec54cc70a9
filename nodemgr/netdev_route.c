#include "nodemgr/netdev.h"

#include "nodemgr/netdev_internal.h"

#include "common/mem.h"

#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <sys/socket.h>

static void address_cleanup(struct nl_addr **a) { nl_addr_put(*a); }
static void route_cleanup(struct rtnl_route **r) { rtnl_route_put(*r); }

static int hop_of(struct rtnl_route *route, struct netdev_hop *ret_hop) {
    struct rtnl_nexthop *next = rtnl_route_nexthop_n(route, 0);
    *ret_hop = (struct netdev_hop){ .device = "" };
    if (!next || !if_indextoname((unsigned)rtnl_route_nh_get_ifindex(next), ret_hop->device)) return -1;
    struct nl_addr *gateway = rtnl_route_nh_get_gateway(next);
    if (gateway) nl_addr2str(gateway, ret_hop->gateway, sizeof ret_hop->gateway);
    return 0;
}

int netdev_route(const char *address, struct netdev_hop *ret_hop, struct err *err) {
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    struct nl_addr *to CLEANUP(address_cleanup) = NULL;
    struct rtnl_route *route CLEANUP(route_cleanup) = NULL;
    if (!s) return -1;
    if (nl_addr_parse(address, AF_INET, &to))
        return err_set(err, ERR_INVALID, "\"%.64s\" is no IPv4 address", address);
    int code = rtnl_route_lookup(s, to, &route);
    if (code) return netdev_nl_error(err, code, "find a route to", address);
    if (hop_of(route, ret_hop))
        return err_set(err, ERR_NOT_FOUND, "no route to %s leads out of a device", address);
    return 0;
}
