/* Shared by the ebpf*.c files only. */
#ifndef JOGAK_NODEMGR_EBPF_INTERNAL_H
#define JOGAK_NODEMGR_EBPF_INTERNAL_H

#include "nodemgr/ebpf.h"

#include <bpf/libbpf.h>

enum ebpf_map {
    EBPF_ROWS, EBPF_REST, EBPF_DISPLACED, EBPF_LAYOUTS, EBPF_PORTS, EBPF_DEVICES, EBPF_EDGES,
    EBPF_PLACES, EBPF_REASONS, EBPF_MAPS
};

struct ebpf {
    struct bpf_object *object;
    int programs[SLICE_WAYS];
    int maps[EBPF_MAPS];
    unsigned cpus;
    struct slice_row *rows; /* `rows`, mapped; NULL before */
};

/* *err from a system call's errno; returns -1. */
int ebpf_error(struct err *err, int errnum, const char *what);
/* The index of an interface. Errors: ERR_NOT_FOUND. */
int ebpf_index(const char *device, int *ret_ifindex, struct err *err);
/* The slice's row, which the programs read and count in at this moment. NULL with ERR_NOT_FOUND. */
struct slice_row *ebpf_row(struct ebpf *e, uint32_t slice, struct err *err);

#endif
