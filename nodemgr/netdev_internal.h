/* Shared by the netdev*.c files only. */
#ifndef JOGAK_NODEMGR_NETDEV_INTERNAL_H
#define JOGAK_NODEMGR_NETDEV_INTERNAL_H

#include "common/err.h"

#include <netlink/netlink.h>

/* A connected route socket; the caller frees with nl_socket_free(). NULL with *err. */
struct nl_sock *netdev_socket(struct err *err);
void netdev_socket_cleanup(struct nl_sock **s);
#define AUTO_NL __attribute__((cleanup(netdev_socket_cleanup)))

/* *err from libnl's (negative) code; returns -1. */
int netdev_nl_error(struct err *err, int code, const char *what, const char *name);
/* The index of a device. Errors: ERR_INVALID, ERR_NOT_FOUND. */
int netdev_index(const char *name, unsigned *ret_index, struct err *err);

/* Put the open gate on a device as its root qdisc, unless it has one. */
int netdev_gate_install(struct nl_sock *s, unsigned index, const char *name, struct err *err);

#endif
