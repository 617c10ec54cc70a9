/* Shared by the ebpf*.c files only. */
#ifndef JOGAK_NODEMGR_EBPF_INTERNAL_H
#define JOGAK_NODEMGR_EBPF_INTERNAL_H

#include "nodemgr/ebpf.h"

#include <bpf/libbpf.h>

enum ebpf_map {
    EBPF_SLICES, EBPF_LAYOUTS, EBPF_PORTS, EBPF_DEVICES, EBPF_EDGES, EBPF_PLACES, EBPF_COUNTS,
    EBPF_REASONS, EBPF_MAPS
};

struct ebpf {
    struct bpf_object *object;
    int programs[SLICE_WAYS];
    int maps[EBPF_MAPS];
    unsigned cpus;
    uint64_t slots[(EBPF_SLICES_MAX + 1) / 64]; /* bit n: slot n of `counts` is taken */
    uint32_t next_slot;                         /* where the search for a free one begins */
};

/* *err from a system call's errno; returns -1. */
int ebpf_error(struct err *err, int errnum, const char *what);
/* The index of an interface. Errors: ERR_NOT_FOUND. */
int ebpf_index(const char *device, int *ret_ifindex, struct err *err);
/* The slice's row. Errors: ERR_NOT_FOUND. */
int ebpf_policy(struct ebpf *e, uint32_t slice, struct slice_policy *ret_policy, struct err *err);

#endif
