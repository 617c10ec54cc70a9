/* Slices, their layouts and addresses: rows of the maps. */
#include "nodemgr/ebpf_internal.h"

#include "common/mem.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>

/* --- rows --- */

struct slice_row *ebpf_row(struct ebpf *e, uint32_t slice, struct err *err) {
    uint32_t place = slice % SLICE_ROWS;
    if (slice && e->rows[place].id == slice) return &e->rows[place];
    if (slice && bpf_map_lookup_elem(e->maps[EBPF_DISPLACED], &slice, &place) == 0 &&
        place < SLICE_ROWS && e->rows[place].id == slice)
        return &e->rows[place];
    err_set(err, ERR_NOT_FOUND, "slice %u is not at this node", slice);
    return NULL;
}

static int put(struct ebpf *e, enum ebpf_map map, const void *key, const void *value,
               const char *what, struct err *err) {
    return bpf_map_update_elem(e->maps[map], key, value, BPF_ANY) ? ebpf_error(err, errno, what) : 0;
}

static int drop(struct ebpf *e, enum ebpf_map map, const void *key, const char *what,
                struct err *err) {
    if (bpf_map_delete_elem(e->maps[map], key) == 0 || errno == ENOENT) return 0;
    return ebpf_error(err, errno, what);
}

/* A row that nobody has: where the id says, or any. */
static int free_row(struct ebpf *e, uint32_t id, struct slice_row **ret_row, struct err *err) {
    for (uint32_t i = 0; i < SLICE_ROWS; i++) {
        uint32_t place = (id + i) % SLICE_ROWS;
        if (e->rows[place].id) continue;
        if (i && put(e, EBPF_DISPLACED, &id, &place, "a slice", err)) return -1;
        *ret_row = &e->rows[place];
        return 0;
    }
    return err_set(err, ERR_NO_SPACE, "this node has %u slices already", SLICE_ROWS);
}

/* What stands there was another slice's. */
static int clear_row(struct ebpf *e, struct slice_row *row, struct err *err) {
    static const struct slice_rest zero;
    uint32_t place = (uint32_t)(row - e->rows);
    memset(row, 0, sizeof *row);
    return put(e, EBPF_REST, &place, &zero, "a slice's counters", err);
}

/* --- slices --- */

/* Frames can be sent to devices of this map alone. The kernel takes a device out that goes. */
static int allow_device(struct ebpf *e, uint32_t ifindex, struct err *err) {
    if (!ifindex) return 0;
    if (bpf_map_update_elem(e->maps[EBPF_DEVICES], &ifindex, &ifindex, BPF_ANY) == 0) return 0;
    if (errno == EINVAL) return err_set(err, ERR_NOT_FOUND, "there is no interface %u", ifindex);
    return ebpf_error(err, errno, "a slice's port");
}

/* Does an address of this slice exist? */
static bool has_ports(struct ebpf *e, uint32_t slice) {
    struct slice_port_key key, *previous = NULL;
    while (bpf_map_get_next_key(e->maps[EBPF_PORTS], previous, &key) == 0) {
        if (key.slice == slice) return true;
        previous = &key;
    }
    return false;
}

int ebpf_slice_set(struct ebpf *e, const struct ebpf_slice *slice, struct err *err) {
    if (!slice->id) return err_set(err, ERR_INVALID, "slice 0 is none");
    if (slice->types & ~(1u << JOGAK_FRAME_SLICE | 1u << JOGAK_FRAME_PLACES))
        return err_set(err, ERR_INVALID, "there are no slice types 0 and 3 to 7");
    if (allow_device(e, slice->ifindex, err)) return -1;
    struct slice_row *row = ebpf_row(e, slice->id, NULL);
    if (!row && (free_row(e, slice->id, &row, err) || clear_row(e, row, err))) return -1;
    uint8_t flags = slice->keep_header ? SLICE_KEEP_HEADER : 0;
    row->wire = slice->wire;
    row->mtu = slice->mtu;
    row->types = slice->types;
    row->flags = (uint8_t)((row->flags & SLICE_HAS_PORTS) | flags);
    row->ifindex = slice->ifindex;
    /* Last, and after all else: from here on the programs find it. */
    __atomic_store_n(&row->id, slice->id, __ATOMIC_RELEASE);
    return 0;
}

/* Removes the rows of a slice from a map whose key begins with the slice's id. */
static int drop_rows(struct ebpf *e, enum ebpf_map map, uint32_t slice, struct err *err) {
    struct slice_port_key keys[2]; /* room for the longest; only its beginning is looked at */
    unsigned now = 0;
    bool more = bpf_map_get_next_key(e->maps[map], NULL, &keys[now]) == 0;
    while (more) {
        more = bpf_map_get_next_key(e->maps[map], &keys[now], &keys[!now]) == 0;
        if (keys[now].slice == slice && drop(e, map, &keys[now], "a row of a slice", err)) return -1;
        now = !now;
    }
    return 0;
}

/* Edges whose slice is gone would name a slot that is another's next. */
static int drop_edges(struct ebpf *e, uint32_t slice, struct err *err) {
    uint32_t key, next;
    struct slice_edge edge;
    bool more = bpf_map_get_next_key(e->maps[EBPF_EDGES], NULL, &key) == 0;
    for (; more; key = next) {
        more = bpf_map_get_next_key(e->maps[EBPF_EDGES], &key, &next) == 0;
        if (bpf_map_lookup_elem(e->maps[EBPF_EDGES], &key, &edge) || edge.slice != slice) continue;
        if (drop(e, EBPF_EDGES, &key, "a port of a slice", err)) return -1;
    }
    return 0;
}

/* Returns when no program that had begun before is still at work: they run under RCU, and this is
 * the kernel's synchronize_rcu(). */
static int quiesce(struct err *err) {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return 0;
    return ebpf_error(err, errno, "waiting for the programs");
}

/* The id goes first, so that its frames are unknown; the row is another's only after the wait,
 * since a program may have found it before. A second call does what a first one left. */
int ebpf_slice_remove(struct ebpf *e, uint32_t id, struct err *err) {
    struct slice_row *row = ebpf_row(e, id, NULL);
    if (!id) return 0;
    if (drop_edges(e, id, err) || drop_rows(e, EBPF_PORTS, id, err) ||
        drop_rows(e, EBPF_PLACES, id, err) || drop_rows(e, EBPF_LAYOUTS, id, err))
        return -1;
    if (row) __atomic_store_n(&row->id, 0, __ATOMIC_RELEASE);
    return drop(e, EBPF_DISPLACED, &id, "a slice", err) || quiesce(err) ? -1 : 0;
}

int ebpf_layout_set(struct ebpf *e, uint32_t slice, unsigned type, int info_bytes,
                    struct err *err) {
    struct slice_layout_key key = { slice, type };
    uint32_t value = (uint32_t)info_bytes;
    if (type < JOGAK_FRAME_OWN_FIRST || type > JOGAK_FRAME_OWN_LAST)
        return err_set(err, ERR_INVALID, "slice type %u is not for layouts of one's own", type);
    if (info_bytes < 0) return drop(e, EBPF_LAYOUTS, &key, "a layout", err);
    if (info_bytes > (int)JOGAK_FRAME_INFO_MAX || info_bytes % 4)
        return err_set(err, ERR_INVALID, "a layout has 0 to 52 bytes, a multiple of 4");
    if (!ebpf_row(e, slice, err)) return -1;
    return put(e, EBPF_LAYOUTS, &key, &value, "a layout", err);
}

/* --- addresses --- */

static void port_key(struct slice_port_key *key, uint32_t slice, const uint8_t *mac,
                     uint32_t interface) {
    memset(key, 0, sizeof *key);
    key->slice = slice;
    key->interface = interface;
    if (mac) memcpy(key->mac, mac, sizeof key->mac);
}

int ebpf_address_set(struct ebpf *e, uint32_t slice, const uint8_t mac[6], uint32_t interface,
                     const struct slice_port *port, struct err *err) {
    struct slice_port_key key;
    if (!mac == !interface)
        return err_set(err, ERR_INVALID, "a port has a MAC address or an interface, one of them");
    struct slice_row *row = ebpf_row(e, slice, err);
    if (!row) return -1;
    port_key(&key, slice, mac, interface);
    if (port->ifindex) {
        if (allow_device(e, port->ifindex, err) || put(e, EBPF_PORTS, &key, port, "a port", err))
            return -1;
        row->flags |= SLICE_HAS_PORTS;
        return 0;
    }
    if (drop(e, EBPF_PORTS, &key, "a port", err)) return -1;
    if (!has_ports(e, slice)) row->flags &= (uint8_t)~SLICE_HAS_PORTS;
    return 0;
}

int ebpf_place_set(struct ebpf *e, uint32_t slice, const uint8_t mac[6], uint32_t interface,
                   uint32_t location, struct err *err) {
    struct slice_port_key key;
    struct slice_place place = { interface, location };
    port_key(&key, slice, mac, 0);
    if (!interface && !location) return drop(e, EBPF_PLACES, &key, "a place", err);
    if (!ebpf_row(e, slice, err)) return -1;
    return put(e, EBPF_PLACES, &key, &place, "a place", err);
}
