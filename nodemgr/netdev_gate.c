/*
 * The gate of a tap: a token bucket (sch_tbf) whose numbers say open, catch-up or held.
 *
 * A frame costs max(its length, mpu) / rate seconds of tokens, and the bucket never has more than
 * `buffer` seconds. With the cost of mpu above the buffer no frame ever passes: an exact hold that
 * needs no module beyond tbf and has no first tokens to use up, so it also survives the kernel's
 * qdisc reset when QEMU attaches. The kernel's timer for the next try is cost - buffer, which the
 * numbers make half a millisecond: that timer, not a kick, notices that the gate was opened.
 * TCA_TBF_BURST must not be sent: with it the kernel computes the buffer from mpu as well.
 */
#include "nodemgr/netdev.h"

#include "nodemgr/netdev_internal.h"

#include "common/clock.h"
#include "common/mem.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

struct gate_numbers {
    uint64_t rate_bytes_per_s;
    uint16_t mpu_bytes;
    uint64_t buffer_ns;
};

/* 16 KiB is the longest single frame that waits; longer ones (segmentation offload) are cut up by
 * the kernel at this point, as a network card would. */
#define HELD_MPU UINT16_MAX
static const struct gate_numbers held = {
    .rate_bytes_per_s = 125000000, .mpu_bytes = HELD_MPU, .buffer_ns = 131072
};
/* 10 us a frame, with 4096 frames (half of the tap's queue) at once: more at a time than the
 * queue takes would be dropped by it. */
static const struct gate_numbers catch_up = {
    .rate_bytes_per_s = 200000000, .mpu_bytes = 2000, .buffer_ns = 4096ull * 10000
};
static const struct gate_numbers open_gate = {
    .rate_bytes_per_s = 125000000000, .mpu_bytes = 0, .buffer_ns = 1000000000
};

#define PSCHED_TICK_NS 64 /* the kernel's unit since 2.6.32 (PSCHED_SHIFT 6) */

static struct nl_msg *tbf_message(unsigned index, int flags, const struct gate_numbers *g) {
    struct tcmsg tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)index,
                        .tcm_parent = TC_H_ROOT, .tcm_handle = TC_H_MAKE(1u << 16, 0) };
    struct tc_tbf_qopt opt = {
        .rate = { .linklayer = TC_LINKLAYER_ETHERNET, .mpu = g->mpu_bytes,
                  .rate = g->rate_bytes_per_s > UINT32_MAX ? UINT32_MAX
                                                           : (uint32_t)g->rate_bytes_per_s },
        .limit = NETDEV_HOLD_BYTES,
        .buffer = (uint32_t)(g->buffer_ns / PSCHED_TICK_NS),
    };
    struct nl_msg *m = nlmsg_alloc_simple(RTM_NEWQDISC, flags);
    if (!m) abort();
    nlmsg_append(m, &tc, sizeof tc, NLMSG_ALIGNTO);
    nla_put_string(m, TCA_KIND, "tbf");
    struct nlattr *options = nla_nest_start(m, TCA_OPTIONS);
    nla_put(m, TCA_TBF_PARMS, sizeof opt, &opt);
    if (g->rate_bytes_per_s > UINT32_MAX) nla_put_u64(m, TCA_TBF_RATE64, g->rate_bytes_per_s);
    nla_nest_end(m, options);
    return m;
}

struct gate_seen {
    bool answered;
    bool ours; /* the root qdisc is tbf, handle 1: */
    uint16_t mpu_bytes;
    struct gnet_stats_queue queue;
};

static int on_qdisc(struct nl_msg *m, void *arg) {
    struct gate_seen *seen = arg;
    struct nlmsghdr *h = nlmsg_hdr(m);
    struct nlattr *a[TCA_MAX + 1], *t[TCA_TBF_MAX + 1], *st[TCA_STATS_MAX + 1];
    if (h->nlmsg_type != RTM_NEWQDISC) return NL_OK;
    if (nlmsg_parse(h, sizeof(struct tcmsg), a, TCA_MAX, NULL) < 0) return NL_OK;
    const struct tcmsg *tc = nlmsg_data(h);
    if (!a[TCA_KIND] || strcmp(nla_get_string(a[TCA_KIND]), "tbf") != 0) return NL_OK;
    if (tc->tcm_handle != TC_H_MAKE(1u << 16, 0)) return NL_OK;
    seen->ours = true;
    if (a[TCA_OPTIONS] && nla_parse_nested(t, TCA_TBF_MAX, a[TCA_OPTIONS], NULL) == 0 &&
        t[TCA_TBF_PARMS] && nla_len(t[TCA_TBF_PARMS]) >= (int)sizeof(struct tc_tbf_qopt))
        seen->mpu_bytes = ((struct tc_tbf_qopt *)nla_data(t[TCA_TBF_PARMS]))->rate.mpu;
    if (a[TCA_STATS2] && nla_parse_nested(st, TCA_STATS_MAX, a[TCA_STATS2], NULL) == 0 &&
        st[TCA_STATS_QUEUE] && nla_len(st[TCA_STATS_QUEUE]) >= (int)sizeof seen->queue)
        memcpy(&seen->queue, nla_data(st[TCA_STATS_QUEUE]), sizeof seen->queue);
    return NL_OK;
}

static int on_ack(struct nl_msg *m, void *arg) {
    (void)m;
    ((struct gate_seen *)arg)->answered = true;
    return NL_STOP;
}

static int gate_see(struct nl_sock *s, unsigned index, const char *name, struct gate_seen *seen,
                    struct err *err) {
    struct tcmsg tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)index,
                        .tcm_parent = TC_H_ROOT };
    *seen = (struct gate_seen){ 0 };
    nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_qdisc, seen);
    nl_socket_modify_cb(s, NL_CB_ACK, NL_CB_CUSTOM, on_ack, seen);
    /* Kernels before 6.x answer the asker only when echo is set. */
    int code = nl_send_simple(s, RTM_GETQDISC, NLM_F_ECHO, &tc, sizeof tc);
    while (code >= 0 && !seen->answered) code = nl_recvmsgs_default(s);
    if (code == -NLE_OBJ_NOTFOUND) code = 0; /* a device that never had a root qdisc */
    nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
    nl_socket_modify_cb(s, NL_CB_ACK, NL_CB_DEFAULT, NULL, NULL);
    return code < 0 ? netdev_nl_error(err, code, "read the gate of", name) : 0;
}

static int gate_send(struct nl_sock *s, unsigned index, int flags, const struct gate_numbers *g,
                     const char *name, struct err *err) {
    int code = nl_send_sync(s, tbf_message(index, flags, g));
    return code < 0 ? netdev_nl_error(err, code, "set the gate of", name) : 0;
}

int netdev_gate_install(struct nl_sock *s, unsigned index, const char *name, struct err *err) {
    struct gate_seen seen;
    if (gate_see(s, index, name, &seen, err)) return -1;
    if (seen.ours) return 0;
    return gate_send(s, index, NLM_F_CREATE | NLM_F_REPLACE, &open_gate, name, err);
}

/* One change of an existing gate. */
struct gate {
    struct nl_sock *s;
    unsigned index;
    const char *name;
};
static void gate_cleanup(struct gate *g) { nl_socket_free(g->s); }
#define AUTO_GATE CLEANUP(gate_cleanup)

/* libvirt takes every tap's root qdisc away (it puts noqueue there) when it starts a domain. So a
 * tap without a gate is an ordinary thing; another device without one is a mistake. */
static int gate_find(struct gate *g, const char *name, struct gate_seen *seen, struct err *err) {
    struct netdev_facts facts;
    g->name = name;
    if (netdev_index(name, &g->index, err)) return -1;
    if (!(g->s = netdev_socket(err)) || gate_see(g->s, g->index, name, seen, err)) return -1;
    if (seen->ours) return 0;
    if (netdev_read(name, &facts, err)) return -1;
    if (strcmp(facts.kind, "tun") != 0)
        return err_set(err, ERR_CONFLICT, "%s is no tap, so it cannot be held", name);
    return 0;
}

static int gate_set(struct gate *g, const struct gate_numbers *to, struct err *err) {
    return gate_send(g->s, g->index, 0, to, g->name, err);
}

int netdev_gate(const char *name, struct err *err) {
    struct gate g AUTO_GATE = { 0 };
    struct gate_seen seen;
    if (gate_find(&g, name, &seen, err)) return -1;
    return seen.ours ? 0 : gate_send(g.s, g.index, NLM_F_CREATE | NLM_F_REPLACE, &open_gate, name,
                                     err);
}

int netdev_hold(const char *name, struct err *err) {
    struct gate g AUTO_GATE = { 0 };
    struct gate_seen seen;
    if (gate_find(&g, name, &seen, err)) return -1;
    if (seen.mpu_bytes == HELD_MPU) return 0;
    if (gate_send(g.s, g.index, seen.ours ? 0 : NLM_F_CREATE | NLM_F_REPLACE, &held, name, err) ||
        gate_see(g.s, g.index, name, &seen, err)) return -1;
    if (seen.mpu_bytes == HELD_MPU) return 0;
    gate_set(&g, &open_gate, NULL);
    return err_set(err, ERR_UNSUPPORTED, "this kernel's token bucket ignores mpu; Linux 5.17 or "
                                         "newer is needed to hold frames on %s", name);
}

int netdev_let_pass(const char *name, struct err *err) {
    struct gate g AUTO_GATE = { 0 };
    struct gate_seen seen;
    if (gate_find(&g, name, &seen, err)) return -1;
    if (!seen.ours) return 0;
    if (gate_set(&g, &catch_up, err)) return -1;
    clock_sleep_ms(1); /* two looks of the kernel's timer */
    return gate_set(&g, &held, err);
}

int netdev_release(const char *name, struct err *err) {
    struct gate g AUTO_GATE = { 0 };
    struct gate_seen seen;
    if (gate_find(&g, name, &seen, err)) return -1;
    if (seen.mpu_bytes == 0) return 0;
    if (gate_set(&g, &catch_up, err)) return -1;
    int64_t until_ms = clock_monotonic_ms() + NETDEV_RELEASE_MS;
    do {
        clock_sleep_ms(1);
        if (gate_see(g.s, g.index, name, &seen, err)) return -1;
    } while (seen.queue.qlen > 0 && clock_monotonic_ms() < until_ms);
    return gate_set(&g, &open_gate, err);
}

int netdev_gate_read(const char *name, struct netdev_gate *ret_gate, struct err *err) {
    struct gate g AUTO_GATE = { 0 };
    struct gate_seen seen;
    if (gate_find(&g, name, &seen, err)) return -1;
    *ret_gate = (struct netdev_gate){ .held = seen.mpu_bytes == HELD_MPU,
                                      .frames = seen.queue.qlen, .bytes = seen.queue.backlog,
                                      .dropped = seen.queue.drops };
    return 0;
}
