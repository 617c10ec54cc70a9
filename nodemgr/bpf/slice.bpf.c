/*
 * Frames with an experiment header, at the kernel's speed (schemas/experiment-header.md):
 *
 *   wire_in   XDP at a wire. Finds the slice, and the port that the frame is for; takes the header
 *             off (or leaves it, for slivers that want it) and sends the frame there. What is no
 *             frame of a slice goes on untouched.
 *   port_out  tc at the port by which frames leave a slice's bridge. Adds the header, or checks the
 *             one that the sliver wrote, and sends the frame to the wire.
 *   wire_out  tc at the way out of a wire: experiment frames that did not come from port_out stop.
 *
 * A frame that is not clearly one of a slice that may be here is dropped, and each drop is counted
 * by its reason. All state is in maps that the loader fills.
 */
#include "nodemgr/bpf/slice_maps.h"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLICE_ROWS);
    __type(key, uint32_t);
    __type(value, struct slice_row);
} rows SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SLICE_ROWS);
    __type(key, uint32_t);
    __type(value, struct slice_rest);
} rest SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SLICE_ROWS);
    __type(key, uint32_t); /* slice id */
    __type(value, uint32_t); /* its place in `rows` */
} displaced SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct slice_layout_key);
    __type(value, uint32_t);
} layouts SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct slice_port_key);
    __type(value, struct slice_port);
} ports SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
    __uint(max_entries, 65536);
    __type(key, uint32_t);
    __type(value, uint32_t);
} devices SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, uint32_t);
    __type(value, struct slice_edge);
} edges SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 262144);
    __type(key, struct slice_port_key);
    __type(value, struct slice_place);
} places SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SLICE_WAYS * SLICE_REASONS);
    __type(key, uint32_t);
    __type(value, uint64_t);
} reasons SEC(".maps");

#define INLINE static __attribute__((always_inline)) inline

INLINE void count(uint32_t way, uint32_t reason) {
    uint32_t key = way * SLICE_REASONS + reason;
    uint64_t *n = bpf_map_lookup_elem(&reasons, &key);
    if (n) (*n)++;
}

/* --- slices --- */

INLINE struct slice_row *find_slice(uint32_t id, uint32_t *ret_place) {
    uint32_t place = id % SLICE_ROWS;
    struct slice_row *row = bpf_map_lookup_elem(&rows, &place);
    *ret_place = place;
    if (row && row->id == id) return row;
    uint32_t *elsewhere = bpf_map_lookup_elem(&displaced, &id);
    if (!elsewhere) return 0;
    *ret_place = place = *elsewhere;
    row = bpf_map_lookup_elem(&rows, &place);
    return row && row->id == id ? row : 0;
}

/* Frames of a slice may come by several processors at once. */
INLINE void add(uint64_t *n, uint64_t more) { __sync_fetch_and_add(n, more); }

INLINE void count_drop(uint32_t place) {
    struct slice_rest *r = bpf_map_lookup_elem(&rest, &place);
    if (r) add(&r->drops, 1);
}

INLINE int layout_allowed(uint32_t slice, uint32_t type, uint32_t types, uint32_t header_bytes) {
    if (type < JOGAK_FRAME_OWN_FIRST) return types >> type & 1;
    struct slice_layout_key key = { slice, type };
    uint32_t *info_bytes = bpf_map_lookup_elem(&layouts, &key);
    return info_bytes && *info_bytes + JOGAK_FRAME_HEADER_MIN == header_bytes;
}

/* --- wire_in --- */

/* Where a frame of a slice goes: its own port, or the slice's. */
INLINE void find_port(const struct slice_row *row, const struct jogak_frame *f,
                      const uint8_t *frame, const uint8_t *end, struct slice_port *ret_port) {
    ret_port->ifindex = row->ifindex;
    ret_port->mtu = row->mtu;
    ret_port->flags = row->flags & SLICE_KEEP_HEADER;
    if (!(row->flags & SLICE_HAS_PORTS)) return;
    struct slice_port_key key = { .slice = f->slice };
    if (f->type == JOGAK_FRAME_PLACES && frame + 34 <= end) /* it is; the verifier wants to see */
        key.interface = jogak_frame_get32(frame + 20);
    if (!key.interface) __builtin_memcpy(key.mac, frame, 6);
    struct slice_port *port = bpf_map_lookup_elem(&ports, &key);
    if (port) *ret_port = *port;
}

/* Moves the addresses to the inner EtherType: what follows is an ordinary frame. */
INLINE int take_header_off(struct xdp_md *ctx, uint32_t header_bytes) {
    uint8_t addresses[12];
    uint8_t *p = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    if (p + 12 > end) return -1;
    __builtin_memcpy(addresses, p, 12);
    if (bpf_xdp_adjust_head(ctx, (int)header_bytes)) return -1;
    p = (uint8_t *)(long)ctx->data, end = (uint8_t *)(long)ctx->data_end;
    if (p + 12 > end) return -1;
    __builtin_memcpy(p, addresses, 12);
    return 0;
}

/* The reason; when it is JOGAK_FRAME_OK the frame is ready to be redirected. */
INLINE uint32_t classify(struct xdp_md *ctx, struct slice_row **ret_row, uint32_t *ret_place) {
    uint8_t *p = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    struct jogak_frame f = { 0 };
    struct slice_port port;
    enum jogak_frame_status status = jogak_frame_decode_between(p, end, &f);
    if (status != JOGAK_FRAME_OK) return status;
    struct slice_row *row = find_slice(f.slice, ret_place);
    if (!row) return SLICE_UNKNOWN;
    *ret_row = row;
    if (row->wire && row->wire != ctx->ingress_ifindex) return SLICE_FOREIGN;
    if (!layout_allowed(f.slice, f.type, row->types, f.header_bytes)) return SLICE_BAD_LAYOUT;
    find_port(row, &f, p, end, &port);
    if (!port.ifindex) return SLICE_NO_PORT;
    uint32_t length = (uint32_t)(end - p);
    uint32_t off = port.flags & SLICE_KEEP_HEADER ? 0 : f.header_bytes;
    if (length - off > port.mtu + JOGAK_FRAME_ETHERNET_BYTES) return SLICE_TOO_LONG;
    if (bpf_redirect_map(&devices, port.ifindex, 0) != XDP_REDIRECT) return SLICE_NO_PORT;
    return off && take_header_off(ctx, off) ? SLICE_FAILED : JOGAK_FRAME_OK;
}

SEC("xdp")
int wire_in(struct xdp_md *ctx) {
    struct slice_row *row = 0;
    uint32_t place = 0, length = ctx->data_end - ctx->data;
    uint32_t reason = classify(ctx, &row, &place);
    count(SLICE_WIRE_IN, reason);
    if (reason == JOGAK_FRAME_ORDINARY) return XDP_PASS;
    if (reason != JOGAK_FRAME_OK) {
        if (row) count_drop(place);
        return XDP_DROP;
    }
    if (row) {
        add(&row->in_frames, 1);
        add(&row->in_bytes, length);
    }
    return XDP_REDIRECT;
}

/* --- port_out --- */

/* A sliver's own header: is it one that it may write? */
INLINE uint32_t check_native(struct __sk_buff *skb, const struct slice_edge *edge) {
    struct jogak_frame f = { 0 };
    if (skb->vlan_present) return JOGAK_FRAME_TAGGED;
    bpf_skb_pull_data(skb, skb->len < 1574 ? skb->len : 1574); /* longest header and LLC payload */
    uint8_t *p = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    enum jogak_frame_status status = jogak_frame_decode_between(p, end, &f);
    if (status == JOGAK_FRAME_ORDINARY) return SLICE_NOT_NATIVE;
    if (status != JOGAK_FRAME_OK) return status;
    if (f.slice != edge->slice) return SLICE_FOREIGN;
    if (!layout_allowed(f.slice, f.type, edge->types, f.header_bytes)) return SLICE_BAD_LAYOUT;
    if (f.type == JOGAK_FRAME_PLACES &&
        (p + 34 > end || jogak_frame_get32(p + 24) != edge->location))
        return SLICE_FOREIGN_PLACE;
    if (skb->len > edge->wire_mtu + JOGAK_FRAME_ETHERNET_BYTES) return SLICE_TOO_LONG;
    return JOGAK_FRAME_OK;
}

struct prefix { /* what comes before the sliver's EtherType */
    uint8_t addresses[12];
    uint8_t ethertype[2];
    uint8_t header[20];
    uint8_t tag[2]; /* the rest of a tag that the kernel kept beside the frame */
};

INLINE void fill_places(const struct slice_edge *edge, const uint8_t *to, uint8_t *info) {
    struct slice_port_key key = { .slice = edge->slice };
    __builtin_memcpy(key.mac, to, 6);
    struct slice_place *place = bpf_map_lookup_elem(&places, &key);
    jogak_frame_put32(info, place ? place->interface : 0);
    jogak_frame_put32(info + 4, edge->location);
    jogak_frame_put32(info + 8, place ? place->location : 0);
}

INLINE uint32_t store(struct __sk_buff *skb, const struct prefix *x, uint32_t header_bytes,
                      int tagged) {
    /* Sizes are constants in each call: the verifier then knows what is written. */
    if (header_bytes == 20)
        return tagged ? (uint32_t)bpf_skb_store_bytes(skb, 0, x, 36, 0)
                      : (uint32_t)bpf_skb_store_bytes(skb, 0, x, 34, 0);
    if (bpf_skb_store_bytes(skb, 0, x, 22, 0)) return 1;
    return tagged ? (uint32_t)bpf_skb_store_bytes(skb, 22, x->tag, 2, 0) : 0;
}

INLINE uint32_t add_header(struct __sk_buff *skb, const struct slice_edge *edge) {
    struct prefix x = { 0 };
    uint8_t type[2];
    int tagged = skb->vlan_present;
    uint32_t header_bytes = edge->type == JOGAK_FRAME_PLACES ? 20 : 8;
    if (bpf_skb_load_bytes(skb, 0, x.addresses, 12) || bpf_skb_load_bytes(skb, 12, type, 2))
        return JOGAK_FRAME_RUNT;
    uint16_t inner = jogak_frame_get16(type);
    if (!tagged && inner == JOGAK_FRAME_ETHERTYPE) return SLICE_NESTED;
    if (!jogak_frame_inner_valid(inner) && inner != JOGAK_FRAME_ETHERTYPE)
        return JOGAK_FRAME_BAD_INNER;
    if (tagged) {
        inner = bpf_ntohs((uint16_t)skb->vlan_proto);
        jogak_frame_put16(x.tag, (uint16_t)skb->vlan_tci);
    }
    uint32_t room = header_bytes + (tagged ? 4 : 0);
    if (skb->len + room > edge->wire_mtu + JOGAK_FRAME_ETHERNET_BYTES) return SLICE_TOO_LONG;
    if (inner <= JOGAK_FRAME_LENGTH_MAX && inner + JOGAK_FRAME_ETHERNET_BYTES > skb->len)
        return JOGAK_FRAME_CUT_INNER;
    jogak_frame_put16(x.ethertype, JOGAK_FRAME_ETHERTYPE);
    x.header[0] = (uint8_t)(JOGAK_FRAME_VERSION << 4 | header_bytes / 4);
    x.header[1] = edge->type;
    jogak_frame_put32(x.header + 2, edge->slice);
    if (header_bytes == 20) {
        fill_places(edge, x.addresses, x.header + 6);
        jogak_frame_put16(x.header + 18, inner);
    } else {
        jogak_frame_put16(x.header + 6, inner);
    }
    if (tagged && bpf_skb_vlan_pop(skb)) return SLICE_FAILED;
    if (bpf_skb_change_head(skb, room, 0)) return SLICE_FAILED;
    return store(skb, &x, header_bytes, tagged) ? SLICE_FAILED : JOGAK_FRAME_OK;
}

SEC("tc")
int port_out(struct __sk_buff *skb) {
    uint32_t ifindex = skb->ifindex, reason;
    struct slice_edge *edge = bpf_map_lookup_elem(&edges, &ifindex);
    if (!edge) reason = SLICE_UNKNOWN; /* a port that has gone, or is not ready */
    else if (skb->gso_segs > 1) reason = SLICE_OFFLOAD;
    else reason = edge->flags & SLICE_KEEP_HEADER ? check_native(skb, edge) : add_header(skb, edge);
    count(SLICE_PORT_OUT, reason);
    if (!edge) return TC_ACT_SHOT;
    uint32_t place;
    int found = find_slice(edge->slice, &place) != 0;
    if (reason != JOGAK_FRAME_OK) {
        if (found) count_drop(place);
        return TC_ACT_SHOT;
    }
    struct slice_rest *r = found ? bpf_map_lookup_elem(&rest, &place) : 0;
    if (r) {
        add(&r->out_frames, 1);
        add(&r->out_bytes, skb->len);
    }
    skb->mark = SLICE_MARK;
    return (int)bpf_redirect(edge->wire, 0);
}

/* --- wire_out --- */

SEC("tc")
int wire_out(struct __sk_buff *skb) {
    uint8_t *p = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
    if (skb->mark == SLICE_MARK) return TC_ACT_OK;
    if (p + 22 > end) {
        bpf_skb_pull_data(skb, skb->len < 22 ? skb->len : 22);
        p = (uint8_t *)(long)skb->data, end = (uint8_t *)(long)skb->data_end;
    }
    if (p + 14 > end) return TC_ACT_OK;
    if (jogak_frame_get16(p + 12) != JOGAK_FRAME_ETHERTYPE &&
        jogak_frame_other(p, end) == JOGAK_FRAME_ORDINARY)
        return TC_ACT_OK;
    count(SLICE_WIRE_OUT, SLICE_FOREIGN);
    return TC_ACT_SHOT;
}
