/*
 * The eBPF door (libbpf): frames with an experiment header, classified to slivers in the kernel.
 *
 *     wire  --XDP: wire_in-->  port of a slice (its bridge's, or a sliver's own)
 *     wire  <--tc: port_out--  port of a slice
 *     wire  <--tc: wire_out--  everybody else: no experiment header leaves that way
 *
 * nodemgr/bpf/slice.bpf.c is the program (it is inside this one; nothing is read from disk), and
 * nodemgr/bpf/slice_maps.h says what it counts. A drop has one reason and is counted once, by the
 * reason for all and under the slice when the frame named one that is here.
 *
 * A *wire* is an interface that frames of many slices share with ordinary traffic; that traffic is
 * not touched. A *port* belongs to one slice: what it sends gets that slice's header, or, when the
 * sliver writes the header itself (native), is held against it. All calls work in the network
 * namespace of the calling thread, take some system calls (under a millisecond each but for
 * ebpf_load(), about 20), and are to be made by one thread at a time. They are idempotent.
 *
 * With a folder to pin in (on a bpffs), maps and slices outlive the process: the next ebpf_load()
 * with the same folder goes on with them, and frames flow meanwhile. Without, everything ends with
 * ebpf_free() but what is attached: call ebpf_wire_detach() and ebpf_port_detach() for that.
 */
#ifndef JOGAK_NODEMGR_EBPF_H
#define JOGAK_NODEMGR_EBPF_H

#include "common/err.h"
#include "nodemgr/bpf/slice_maps.h"

#include <stdbool.h>

struct ebpf;

/* Can this kernel, with our privileges, load the program? 0, or -1 with ERR_UNSUPPORTED and the
 * kernel's reason: a node that says so has no link on the bare wire. */
int ebpf_probe(struct err *err);
/* pin: a folder that exists, or NULL. NULL with *err: ERR_UNSUPPORTED, ERR_UNAVAILABLE. */
struct ebpf *ebpf_load(const char *pin, struct err *err);
void ebpf_free(struct ebpf *e);

/* --- wires --- */

/* Puts the programs on an interface; where the driver cannot run XDP the kernel does it for it
 * (*ret_native false, slower; ret_native may be NULL).
 * Errors: ERR_NOT_FOUND (no such interface), ERR_CONFLICT (another XDP program is there). */
int ebpf_wire_attach(struct ebpf *e, const char *device, bool *ret_native, struct err *err);
/* Takes them off, also when another process had put them there; fine when nothing is there. */
int ebpf_wire_detach(struct ebpf *e, const char *device, struct err *err);

/* --- slices --- */

struct ebpf_slice {
    uint32_t id;        /* 1 to 4294967295 */
    uint32_t ifindex;   /* where its frames go that no ebpf_address() knows; 0: nowhere */
    uint32_t wire;      /* the wire it may come in by; 0: any */
    uint16_t mtu;       /* of ifindex, bytes */
    uint8_t types;      /* bit n: slice type n may be used, 1u << 1 | 1u << 2 */
    bool keep_header;   /* native: what goes to ifindex keeps the header */
};
/* Makes or changes a slice; its counters stay. A node has room for 65536; slices whose ids have
 * different low 16 bits are found fastest. Errors: ERR_INVALID, ERR_NO_SPACE, ERR_NOT_FOUND (no such
 * interface). */
int ebpf_slice_set(struct ebpf *e, const struct ebpf_slice *slice, struct err *err);
/* Takes a slice away with its addresses and layouts; from then on its frames are unknown. When
 * this has returned no program works with it any more (it waits some milliseconds for that). */
int ebpf_slice_remove(struct ebpf *e, uint32_t id, struct err *err);

/* A layout of a slice's own: slice type 128 to 254, info_bytes after the slice id. Removed with
 * the slice, or by info_bytes -1. Errors: ERR_INVALID, ERR_NOT_FOUND (no such slice). */
int ebpf_layout_set(struct ebpf *e, uint32_t slice, unsigned type, int info_bytes,
                    struct err *err);

/* One sliver's port: frames of the slice to this MAC address (or, in slice type 2, to this
 * virtual interface; then mac is NULL) go there instead. port->ifindex 0 takes it away.
 * Errors: ERR_INVALID, ERR_NOT_FOUND (no such slice), ERR_NO_SPACE. */
int ebpf_address_set(struct ebpf *e, uint32_t slice, const uint8_t mac[6], uint32_t interface,
                     const struct slice_port *port, struct err *err);
/* What stands in slice type 2 when a port of the slice sends to this MAC address; location 0 and
 * interface 0 take it away. Errors: as ebpf_address_set(). */
int ebpf_place_set(struct ebpf *e, uint32_t slice, const uint8_t mac[6], uint32_t interface,
                   uint32_t location, struct err *err);

/* --- ports --- */

/* What the port sends out goes to edge->wire with the slice's
 * header. Errors: ERR_NOT_FOUND (no such interface, no such slice), ERR_INVALID. */
int ebpf_port_attach(struct ebpf *e, const char *device, const struct slice_edge *edge,
                     struct err *err);
/* Fine when nothing is there. Until the port itself is gone, nothing it sends reaches a wire. */
int ebpf_port_detach(struct ebpf *e, const char *device, struct err *err);

/* --- what was counted --- */

struct ebpf_counters {
    uint64_t frames[SLICE_WAYS][SLICE_REASONS];
};
int ebpf_counters_read(struct ebpf *e, struct ebpf_counters *ret_counters, struct err *err);
/* All drops of a way: everything but what went on and what was let pass. */
uint64_t ebpf_drops(const struct ebpf_counters *c, enum slice_way way);
/* "ok", "unknown_slice", ...; NULL for numbers that are none. */
const char *ebpf_reason_name(unsigned reason);
struct ebpf_slice_counts {
    uint64_t in_frames, in_bytes; /* with their header */
    uint64_t out_frames, out_bytes;
    uint64_t drops;
};
/* Since the slice was made. Errors: ERR_NOT_FOUND (no such slice). */
int ebpf_slice_counts(struct ebpf *e, uint32_t id, struct ebpf_slice_counts *ret_counts,
                      struct err *err);

/* --- for tests and benchmarks: no interface needed --- */

/* Runs a frame (14 bytes or more) through a program `repeat` times. *ret_verdict is XDP's or tc's;
 * *ret_ns (may be NULL) the time of one run. Source: BPF_PROG_TEST_RUN. */
int ebpf_try(struct ebpf *e, enum slice_way way, const void *frame, size_t length, unsigned repeat,
             uint32_t *ret_verdict, uint32_t *ret_ns, struct err *err);

#endif
