/*
 * For bench/header: a generator of frames with random slice ids, the barest redirect, and a sink.
 */
#include "frame/jogak-frame.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, 2); /* 0: the wire's far end; 1: the port */
    __type(key, uint32_t);
    __type(value, uint32_t);
} ways SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2); /* frames, frames of another form than was meant */
    __type(key, uint32_t);
    __type(value, uint64_t);
} sunk SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 3); /* how many slices; the EtherType that the sink has to see; the first slice */
    __type(key, uint32_t);
    __type(value, uint32_t);
} settings SEC(".maps");

/* What the last receiver made of the buffer is written anew: addresses, header, slice. */
SEC("xdp")
int generate(struct xdp_md *ctx) {
    uint32_t key = 0, first = 2;
    uint8_t *p = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    uint32_t *slices = bpf_map_lookup_elem(&settings, &key), *from = bpf_map_lookup_elem(&settings, &first);
    if (!slices || !*slices || !from || p + 22 > end) return XDP_ABORTED;
    p[0] = 0x52, p[1] = 0x54, p[2] = 0, p[3] = 0, p[4] = 0, p[5] = 2;
    p[6] = 0x52, p[7] = 0x54, p[8] = 0, p[9] = 0, p[10] = 0, p[11] = 1;
    jogak_frame_put16(p + 12, JOGAK_FRAME_ETHERTYPE);
    p[14] = 0x12, p[15] = JOGAK_FRAME_SLICE;
    jogak_frame_put32(p + 16, bpf_get_prandom_u32() % *slices + *from);
    jogak_frame_put16(p + 20, 0x9000);
    return (int)bpf_redirect_map(&ways, 0, 0);
}

SEC("xdp")
int bare(struct xdp_md *ctx) {
    (void)ctx;
    return (int)bpf_redirect_map(&ways, 1, 0);
}

/* For Open vSwitch: frames go on as they come, but a veth takes what XDP sends only where XDP is. */
SEC("xdp")
int pass(struct xdp_md *ctx) {
    (void)ctx;
    return XDP_PASS;
}

SEC("xdp")
int sink(struct xdp_md *ctx) {
    uint32_t frames = 0, other = 1;
    uint8_t *p = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    uint32_t *meant = bpf_map_lookup_elem(&settings, &other);
    uint64_t *n = bpf_map_lookup_elem(&sunk, &frames);
    if (n) (*n)++;
    if (p + 14 > end || !meant || jogak_frame_get16(p + 12) != *meant) {
        n = bpf_map_lookup_elem(&sunk, &other);
        if (n) (*n)++;
    }
    return XDP_DROP;
}
