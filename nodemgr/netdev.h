/*
 * The network-device door (libnl-route-3 and /dev/net/tun): taps, their queues, and facts about
 * the host's own interfaces. Every call works in the network namespace of the calling thread, is
 * a few netlink messages long (well under a millisecond) unless it says otherwise, and may be
 * made from any thread.
 *
 * A tap made here is persistent: it belongs to nobody's file descriptor, so a QEMU that comes and
 * goes never takes it along. libvirt attaches to it by
 *   <interface type='ethernet'><target dev='NAME' managed='no'/>...
 * which opens /dev/net/tun with IFF_TAP | IFF_NO_PI (| IFF_VNET_HDR for virtio), one queue.
 * The host itself never speaks on it: IPv6 is off there, so a guest sees no frame of ours.
 *
 * The tap's root qdisc is a gate, a token bucket that is always there and changes its numbers
 * only, since a root qdisc that is *replaced* loses what it holds:
 *   open      so fast that it never delays anything;
 *   held      every frame costs more than the bucket can ever have, so nothing passes and all
 *             wait in order; the kernel looks again every half millisecond, so opening needs no
 *             kick from outside;
 *             A frame that waits in a gate still counts against the send buffer of the socket it
 *             came from. Open vSwitch's kernel datapath has none; its userspace datapath sends
 *             for all ports by one, whose default takes about 250 small or 90 full frames, so
 *             set net.core.wmem_default (packaging/sysctl.d) before ovs-vswitchd starts.
 *   catch-up  what was held goes out at a pace a guest can follow, then the gate opens fully.
 */
#ifndef JOGAK_NODEMGR_NETDEV_H
#define JOGAK_NODEMGR_NETDEV_H

#include "common/err.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETDEV_TAP_QUEUE_FRAMES 8192 /* the queue between the kernel and the guest */
#define NETDEV_HOLD_BYTES (16u << 20) /* what the gate can hold; more is dropped */

/* A persistent tap of that name, up, with its gate open. When there is one already it is brought
 * to the same state; its queue is left alone unless `queue_frames` differs (changing it makes the
 * kernel drop what waits there). mtu 68 to 65521, queue_frames 1 to 65536.
 * Errors: ERR_INVALID (name, numbers), ERR_CONFLICT (the name belongs to another kind of device),
 * ERR_UNAVAILABLE (the kernel refused). */
int netdev_tap_create(const char *name, unsigned mtu, unsigned queue_frames, struct err *err);
/* Write on a device whose it is (at most 255 bytes): the kernel keeps the text with it, see
 * netdev_facts.label. Errors: ERR_NOT_FOUND, ERR_UNAVAILABLE. */
int netdev_label(const char *name, const char *text, struct err *err);
/* Remove a device; fine when there is none. Frames that wait in it are gone. */
int netdev_delete(const char *name, struct err *err);
/* Names that begin with prefix, NULL-terminated; the caller frees with netdev_names_free(). */
char **netdev_list(const char *prefix, struct err *err);
void netdev_names_free(char **names);
bool netdev_exists(const char *name);

/* Put the (open) gate on a tap that has none; one that is there stays as it is. To be called
 * whenever libvirt has started a domain or has prepared an incoming one, since libvirt replaces the
 * root qdisc of every tap by noqueue then. Replacing it loses the frames of some milliseconds, so
 * do it before the guest runs. Errors: ERR_NOT_FOUND, ERR_CONFLICT (no tap). */
int netdev_gate(const char *name, struct err *err);
/* Close the gate: frames for the guest wait in order. It works at once and is idempotent. It loses
 * nothing where there is a gate; where libvirt took it away, see netdev_gate(): one is made first.
 * Errors: ERR_NOT_FOUND, ERR_CONFLICT (no tap), ERR_UNSUPPORTED (a kernel before 5.17, which does
 * not know a least packet size in its token bucket). */
int netdev_hold(const char *name, struct err *err);
/* Open the gate: first what was held, at a pace, then everything. Call it when the guest runs.
 * Blocks until the gate is empty, at most NETDEV_RELEASE_MS; live traffic flows meanwhile.
 * Idempotent. Errors: as netdev_hold(). */
#define NETDEV_RELEASE_MS 2000
int netdev_release(const char *name, struct err *err);
/* Let a portion of what is held pass (some 4096 frames, half of a tap's queue), and hold again.
 * For a reader that empties the tap in between, so that its queue never overflows. Takes a
 * millisecond. Errors: as netdev_hold(). */
int netdev_let_pass(const char *name, struct err *err);

struct netdev_gate {
    bool held;
    uint32_t frames;  /* waiting now */
    uint32_t bytes;
    uint32_t dropped; /* since the tap was made, because the gate was full */
};
int netdev_gate_read(const char *name, struct netdev_gate *ret_gate, struct err *err);

/* Facts about one device. Directions are the host's: rx is what the host received, so on a tap it
 * is what the guest sent. */
struct netdev_facts {
    char name[IFNAMSIZ];
    unsigned index;
    unsigned mtu;
    bool up;      /* administratively */
    bool carrier; /* on a tap: somebody has it open */
    char mac[18]; /* "02:00:00:00:00:01", "" when it has none */
    char kind[16]; /* "tun", "veth", "" for a physical one */
    char label[256]; /* as netdev_label() set it; "" for none */
    uint64_t rx_bytes, rx_frames, rx_dropped;
    uint64_t tx_bytes, tx_frames, tx_dropped;
};
int netdev_read(const char *name, struct netdev_facts *ret_facts, struct err *err);

/* An address of the host, for reports. */
struct netdev_address {
    char name[IFNAMSIZ];
    char address[64]; /* "192.0.2.1/24", "2001:db8::1/64" */
};
/* All global-scope addresses; the caller frees *ret_list with free(). */
int netdev_addresses(struct netdev_address **ret_list, size_t *ret_count, struct err *err);

/* Where the host sends what is for an IPv4 address (text): out of which device, by which gateway ("": none). */
struct netdev_hop {
    char device[IFNAMSIZ];
    char gateway[48];
};
/* Errors: ERR_INVALID (no address), ERR_NOT_FOUND (no route), ERR_UNAVAILABLE. */
int netdev_route(const char *address, struct netdev_hop *ret_hop, struct err *err);

#endif
