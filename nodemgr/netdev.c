#include "nodemgr/netdev.h"

#include "nodemgr/netdev_internal.h"

#include "common/mem.h"

#include <errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdio.h>

struct nl_sock *netdev_socket(struct err *err) {
    struct nl_sock *s = nl_socket_alloc();
    int code = s ? nl_connect(s, NETLINK_ROUTE) : -NLE_NOMEM;
    if (!code) return s;
    netdev_nl_error(err, code, "open netlink", NULL);
    nl_socket_free(s);
    return NULL;
}

void netdev_socket_cleanup(struct nl_sock **s) { nl_socket_free(*s); }

int netdev_nl_error(struct err *err, int code, const char *what, const char *name) {
    enum err_code as = ERR_UNAVAILABLE;
    if (code == -NLE_NODEV || code == -NLE_OBJ_NOTFOUND) as = ERR_NOT_FOUND;
    if (code == -NLE_INVAL || code == -NLE_RANGE) as = ERR_INVALID;
    return err_set(err, as, "%s%s%s: %s", what, name ? " " : "", name ? name : "",
                   nl_geterror(code));
}

static bool name_fits(const char *name) {
    size_t n = name ? strlen(name) : 0;
    return n > 0 && n < IFNAMSIZ && !strpbrk(name, "/%: \t\n") && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

int netdev_index(const char *name, unsigned *ret_index, struct err *err) {
    if (!name_fits(name)) return err_set(err, ERR_INVALID, "not a device name: \"%s\"", name);
    unsigned index = if_nametoindex(name);
    if (!index) return err_set(err, ERR_NOT_FOUND, "no network device %s", name);
    *ret_index = index;
    return 0;
}

bool netdev_exists(const char *name) {
    unsigned index;
    return netdev_index(name, &index, NULL) == 0;
}

int netdev_delete(const char *name, struct err *err) {
    unsigned index;
    struct err why = ERR_INIT;
    if (netdev_index(name, &index, &why)) {
        if (why.code == ERR_NOT_FOUND) return 0;
        if (err) *err = why;
        return -1;
    }
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    if (!s) return -1;
    struct rtnl_link *link = rtnl_link_alloc();
    rtnl_link_set_ifindex(link, (int)index);
    int code = rtnl_link_delete(s, link);
    rtnl_link_put(link);
    if (code && code != -NLE_NODEV && code != -NLE_OBJ_NOTFOUND)
        return netdev_nl_error(err, code, "delete", name);
    return 0;
}

static void cache_cleanup(struct nl_cache **c) {
    if (*c) nl_cache_free(*c);
}
#define AUTO_CACHE CLEANUP(cache_cleanup)

char **netdev_list(const char *prefix, struct err *err) {
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    struct nl_cache *links AUTO_CACHE = NULL;
    if (!s) return NULL;
    int code = rtnl_link_alloc_cache(s, AF_UNSPEC, &links);
    if (code) {
        netdev_nl_error(err, code, "list devices", NULL);
        return NULL;
    }
    char **names = xcalloc((size_t)nl_cache_nitems(links) + 1, sizeof *names);
    size_t n = 0;
    for (struct nl_object *o = nl_cache_get_first(links); o; o = nl_cache_get_next(o)) {
        const char *name = rtnl_link_get_name((struct rtnl_link *)o);
        if (name && strncmp(name, prefix, strlen(prefix)) == 0) names[n++] = xstrdup(name);
    }
    return names;
}

void netdev_names_free(char **names) {
    for (char **n = names; n && *n; n++) free(*n);
    free(names);
}

static void facts_of(struct rtnl_link *link, struct netdev_facts *f) {
    *f = (struct netdev_facts){ .index = (unsigned)rtnl_link_get_ifindex(link),
                                .mtu = rtnl_link_get_mtu(link) };
    snprintf(f->name, sizeof f->name, "%s", rtnl_link_get_name(link));
    const char *kind = rtnl_link_get_type(link);
    snprintf(f->kind, sizeof f->kind, "%s", kind ? kind : "");
    const char *label = rtnl_link_get_ifalias(link);
    snprintf(f->label, sizeof f->label, "%s", label ? label : "");
    f->up = rtnl_link_get_flags(link) & IFF_UP;
    f->carrier = rtnl_link_get_carrier(link);
    struct nl_addr *mac = rtnl_link_get_addr(link);
    if (mac && nl_addr_get_len(mac) == 6) nl_addr2str(mac, f->mac, sizeof f->mac);
    f->rx_bytes = rtnl_link_get_stat(link, RTNL_LINK_RX_BYTES);
    f->rx_frames = rtnl_link_get_stat(link, RTNL_LINK_RX_PACKETS);
    f->rx_dropped = rtnl_link_get_stat(link, RTNL_LINK_RX_DROPPED);
    f->tx_bytes = rtnl_link_get_stat(link, RTNL_LINK_TX_BYTES);
    f->tx_frames = rtnl_link_get_stat(link, RTNL_LINK_TX_PACKETS);
    f->tx_dropped = rtnl_link_get_stat(link, RTNL_LINK_TX_DROPPED);
}

int netdev_read(const char *name, struct netdev_facts *ret_facts, struct err *err) {
    if (!name_fits(name)) return err_set(err, ERR_INVALID, "not a device name: \"%s\"", name);
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    if (!s) return -1;
    struct rtnl_link *link = NULL;
    int code = rtnl_link_get_kernel(s, 0, name, &link);
    if (code) return netdev_nl_error(err, code, "read device", name);
    facts_of(link, ret_facts);
    rtnl_link_put(link);
    return 0;
}

int netdev_addresses(struct netdev_address **ret_list, size_t *ret_count, struct err *err) {
    struct nl_sock *s AUTO_NL = netdev_socket(err);
    struct nl_cache *cache AUTO_CACHE = NULL;
    if (!s) return -1;
    int code = rtnl_addr_alloc_cache(s, &cache);
    if (code) return netdev_nl_error(err, code, "list addresses", NULL);
    struct netdev_address *list = xcalloc((size_t)nl_cache_nitems(cache), sizeof *list);
    size_t n = 0;
    for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
        struct rtnl_addr *a = (struct rtnl_addr *)o;
        if (rtnl_addr_get_scope(a) != RT_SCOPE_UNIVERSE) continue;
        if (!if_indextoname((unsigned)rtnl_addr_get_ifindex(a), list[n].name)) continue;
        struct nl_addr *local = rtnl_addr_get_local(a);
        if (!local) continue;
        char text[48];
        nl_addr2str(local, text, sizeof text);
        text[strcspn(text, "/")] = '\0';
        snprintf(list[n++].address, sizeof list->address, "%s/%d", text,
                 rtnl_addr_get_prefixlen(a));
    }
    *ret_list = list;
    *ret_count = n;
    return 0;
}
