/*
 * What the eBPF program and its loader (nodemgr/ebpf*.c) share: the maps' keys and values, and the
 * reasons by which frames are counted. Numbers are in the host's byte order.
 */
#ifndef JOGAK_NODEMGR_SLICE_MAPS_H
#define JOGAK_NODEMGR_SLICE_MAPS_H

#include "frame/jogak-frame.h"

/* What became of a frame. Up to JOGAK_FRAME_STATUS_MAX it is what the decoder said: `ok` went on
 * its way, `ordinary` was let pass untouched; everything else was dropped. */
enum slice_reason {
    SLICE_UNKNOWN = 16,  /* a slice that this node has no part of */
    SLICE_BAD_LAYOUT,    /* a slice type that the slice may not use, or not with this length */
    SLICE_NO_PORT,       /* nobody here for it, or the port is gone */
    SLICE_FOREIGN,       /* a slice that is not allowed on this interface */
    SLICE_FOREIGN_PLACE, /* a source location that is not the sender's */
    SLICE_NOT_NATIVE,    /* an ordinary frame from a port that writes the header itself */
    SLICE_NESTED,        /* an experiment header from a port that gets its header from the node */
    SLICE_TOO_LONG,      /* with its header more than the next interface takes */
    SLICE_OFFLOAD,       /* not one frame yet but a heap of them (GSO) */
    SLICE_FAILED,        /* the kernel had no memory */
    SLICE_REASONS = 32
};

/* Ways through the programs, each with counters of its own: way * SLICE_REASONS + reason. */
enum slice_way {
    SLICE_WIRE_IN,  /* XDP at a wire: to the slivers */
    SLICE_PORT_OUT, /* tc at a port: from the slivers */
    SLICE_WIRE_OUT, /* tc at a wire: who else sends such frames? */
    SLICE_WAYS
};

/* skb->mark of frames that port_out let through, so that wire_out does, too. */
#define SLICE_MARK 0x6a6f6761u

#define SLICE_KEEP_HEADER 1u /* native: the sliver sees the header */
#define SLICE_HAS_PORTS 2u   /* look in `ports` for this slice */

/* A slice, and what came in for it: `rows`. Its place is the low bits of its id; where another slice
 * stands there it has another place, which `displaced` tells. All that a frame on its way in touches
 * of a slice is in half a line of the cache. The loader changes fields in place (the map is mapped
 * into its memory), so that no count is lost. */
#define SLICE_ROWS 65536u
struct slice_row {
    uint32_t id;      /* 0: nobody's */
    uint32_t ifindex; /* where frames go that `ports` does not know; 0: nowhere */
    uint32_t wire;    /* the interface it may come in by; 0: any that the program is at */
    uint16_t mtu;     /* of ifindex, bytes */
    uint8_t types;    /* bit n: slice type n is allowed (1, 2) */
    uint8_t flags;
    uint64_t in_frames, in_bytes;
};
struct slice_rest { /* `rest`, by the same place: what else was counted */
    uint64_t out_frames, out_bytes;
    uint64_t drops;
};
struct slice_layout_key { /* `layouts`: the info bytes of a slice type of a slice's own */
    uint32_t slice;
    uint32_t type;
};
struct slice_port_key { /* `ports` */
    uint32_t slice;
    uint32_t interface; /* of slice type 2, then mac is 0; 0: by mac */
    uint8_t mac[6];
    uint8_t zero[2];
};
struct slice_port {
    uint32_t ifindex;
    uint16_t mtu;
    uint16_t flags; /* SLICE_KEEP_HEADER */
};
struct slice_edge { /* `edges`, by ifindex: whose port it is, and where its frames go */
    uint32_t slice;
    uint32_t wire;     /* ifindex */
    uint32_t location; /* this node's, for slice type 2 */
    uint16_t wire_mtu;
    uint8_t type;      /* transparent: the slice type that is written, 1 or 2 */
    uint8_t types;     /* native: bit n: slice type n is allowed */
    uint32_t flags;    /* SLICE_KEEP_HEADER: native */
};
struct slice_place { /* `places`, by slice_port_key with interface 0: what stands in slice type 2 */
    uint32_t interface;
    uint32_t location;
};
#endif
