/* The programs on interfaces: XDP, and tc by a clsact queue, which stands beside every other. */
#include "nodemgr/ebpf_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Our place among tc's filters: those of others keep theirs. */
#define TC_HANDLE 0x6a6f
#define TC_PRIORITY 0x6a6f

/* --- XDP --- */

/* The name of the XDP program on an interface ("" for none) and how it runs. */
static void xdp_now(int ifindex, char *ret_name, size_t size, int *ret_mode) {
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    struct bpf_prog_info info = { 0 };
    uint32_t length = sizeof info;
    *ret_name = '\0';
    *ret_mode = 0;
    if (bpf_xdp_query(ifindex, 0, &query) || !query.prog_id) return;
    *ret_mode = query.attach_mode;
    snprintf(ret_name, size, "?");
    int fd = bpf_prog_get_fd_by_id(query.prog_id);
    if (fd < 0) return;
    if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0) snprintf(ret_name, size, "%s", info.name);
    close(fd);
}

static int xdp_attach(struct ebpf *e, const char *device, int ifindex, bool *ret_native,
                      struct err *err) {
    char name[32];
    int mode;
    xdp_now(ifindex, name, sizeof name, &mode);
    if (*name && strcmp(name, "wire_in") != 0)
        return err_set(err, ERR_CONFLICT, "%s has an XDP program of somebody else (%s)", device, name);
    static const uint32_t modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
    int problem = 0;
    for (size_t i = *name && mode == XDP_ATTACHED_SKB ? 1 : 0; i < 2; i++) {
        problem = bpf_xdp_attach(ifindex, e->programs[SLICE_WIRE_IN], modes[i], NULL);
        if (problem) continue;
        if (ret_native) *ret_native = modes[i] == XDP_FLAGS_DRV_MODE;
        return 0;
    }
    return err_set_errno(err, ERR_UNAVAILABLE, -problem, "XDP on %s", device);
}

static int xdp_detach(const char *device, int ifindex, struct err *err) {
    char name[32];
    int mode;
    xdp_now(ifindex, name, sizeof name, &mode);
    if (strcmp(name, "wire_in") != 0) return 0;
    uint32_t flags = mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
    int problem = bpf_xdp_detach(ifindex, flags, NULL);
    return problem ? err_set_errno(err, ERR_UNAVAILABLE, -problem, "XDP off %s", device) : 0;
}

/* --- tc --- */

static int tc_attach(struct ebpf *e, const char *device, int ifindex, enum slice_way way,
                     struct err *err) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = TC_HANDLE, .priority = TC_PRIORITY,
                .prog_fd = e->programs[way], .flags = BPF_TC_F_REPLACE);
    int problem = bpf_tc_hook_create(&hook);
    if (problem && problem != -EEXIST)
        return err_set_errno(err, ERR_UNAVAILABLE, -problem, "a clsact queue on %s", device);
    problem = bpf_tc_attach(&hook, &filter);
    return problem ? err_set_errno(err, ERR_UNAVAILABLE, -problem, "tc on %s", device) : 0;
}

static int tc_detach(const char *device, int ifindex, struct err *err) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = TC_HANDLE, .priority = TC_PRIORITY);
    int problem = bpf_tc_detach(&hook, &filter);
    if (!problem || problem == -ENOENT || problem == -EINVAL) return 0; /* EINVAL: no such queue */
    return err_set_errno(err, ERR_UNAVAILABLE, -problem, "tc off %s", device);
}

/* --- wires --- */

int ebpf_wire_attach(struct ebpf *e, const char *device, bool *ret_native, struct err *err) {
    int ifindex;
    if (ebpf_index(device, &ifindex, err)) return -1;
    /* The guard first: at no moment may others send what this wire's receivers believe. */
    if (tc_attach(e, device, ifindex, SLICE_WIRE_OUT, err)) return -1;
    if (xdp_attach(e, device, ifindex, ret_native, err) == 0) return 0;
    tc_detach(device, ifindex, NULL);
    return -1;
}

int ebpf_wire_detach(struct ebpf *e, const char *device, struct err *err) {
    int ifindex;
    (void)e;
    if (ebpf_index(device, &ifindex, NULL)) return 0;
    return xdp_detach(device, ifindex, err) || tc_detach(device, ifindex, err) ? -1 : 0;
}

/* --- ports --- */

int ebpf_port_attach(struct ebpf *e, const char *device, const struct slice_edge *edge,
                     struct err *err) {
    int ifindex;
    bool native = edge->flags & SLICE_KEEP_HEADER;
    if (!native && edge->type != JOGAK_FRAME_SLICE && edge->type != JOGAK_FRAME_PLACES)
        return err_set(err, ERR_INVALID, "the node writes slice types 1 and 2 alone");
    if (!edge->wire || !edge->wire_mtu)
        return err_set(err, ERR_INVALID, "a port needs a wire and its MTU");
    if (ebpf_index(device, &ifindex, err) || !ebpf_row(e, edge->slice, err)) return -1;
    uint32_t key = (uint32_t)ifindex;
    if (bpf_map_update_elem(e->maps[EBPF_EDGES], &key, edge, BPF_ANY))
        return ebpf_error(err, errno, "a port of a slice");
    return tc_attach(e, device, ifindex, SLICE_PORT_OUT, err);
}

int ebpf_port_detach(struct ebpf *e, const char *device, struct err *err) {
    int ifindex;
    if (ebpf_index(device, &ifindex, NULL)) return 0;
    uint32_t key = (uint32_t)ifindex;
    /* The program first: without its row it would only drop. */
    if (tc_detach(device, ifindex, err)) return -1;
    if (bpf_map_delete_elem(e->maps[EBPF_EDGES], &key) && errno != ENOENT)
        return ebpf_error(err, errno, "a port of a slice");
    return 0;
}
