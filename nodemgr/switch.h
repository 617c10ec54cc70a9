/*
 * The switch door: one Open vSwitch integration bridge, spoken to natively (OVSDB and OpenFlow
 * 1.4 over its UNIX sockets). No process is started. Nothing else in the agent knows OVSDB.
 *
 * Threads: any thread may call; calls are serialised by a mutex inside, so a call may wait for
 * another one's deadline besides its own. Every call blocks for at most its timeout_ms, which
 * counts from the moment the mutex is held.
 *
 * Connections are made when first needed, and again after ovs-vswitchd or ovsdb-server went away.
 * Each new OpenFlow connection raises switch_generation(): the flows may be gone then, so whoever
 * remembers what it has installed (forwarding.c) reads them back.
 *
 * Errors of every call: ERR_UNAVAILABLE with a remedy when Open vSwitch is down, ERR_TIMEOUT (the
 * outcome is unknown; all calls can be repeated safely).
 */
#ifndef JOGAK_NODEMGR_SWITCH_H
#define JOGAK_NODEMGR_SWITCH_H

#include "common/err.h"
#include "nodemgr/offlow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct switch_door;

struct switch_config {
    const char *bridge;        /* NULL: "br-int" */
    const char *datapath_type; /* "system" (kernel; NULL means it too) or "netdev" (userspace) */
    const char *db_socket;     /* NULL: <run_dir>/db.sock */
    const char *run_dir;       /* holds <bridge>.mgmt, ovs-vswitchd's control socket; NULL:
                                  /var/run/openvswitch */
};

/* Does no I/O; copies the configuration. Never NULL. switch_free(NULL) is fine. */
struct switch_door *switch_new(const struct switch_config *config);
void switch_free(struct switch_door *door);

/* Make the bridge, or bring an existing one to: fail_mode secure, our datapath type, OpenFlow 1.3
 * and 1.4, external_ids:jogak=true. Waits until ovs-vswitchd has done it. Idempotent.
 * Errors: ERR_CONFLICT when a bridge of that name has ports and is not marked as jogak's. */
int switch_ensure_bridge(struct switch_door *door, int timeout_ms, struct err *err);

/* One round trip to ovs-vswitchd and one to ovsdb-server, reconnecting where needed: a heartbeat.
 * The generation after it (see above). */
int switch_check(struct switch_door *door, uint64_t *ret_generation, int timeout_ms,
                 struct err *err);
uint64_t switch_generation(struct switch_door *door);

/* --- ports --- */

#define SWITCH_PORT_NAME_BYTES 16 /* a Linux interface's name with its NUL */
#define SWITCH_ID_BYTES 192

enum switch_port_kind {
    SWITCH_PORT_SYSTEM,   /* a network device that exists: QEMU's tap, veth */
    SWITCH_PORT_TAP,      /* a tap device that Open vSwitch makes, holds and removes */
    SWITCH_PORT_INTERNAL, /* a device of the host's own network stack */
};

struct switch_port_spec {
    const char *name;
    enum switch_port_kind kind;
    /* external_ids jogak-sliver, jogak-vnic, jogak-epoch; NULL leaves the id out. */
    const char *sliver;
    const char *vnic;
    uint64_t epoch;
};

struct switch_port {
    char name[SWITCH_PORT_NAME_BYTES];
    uint32_t ofport; /* 0: Open vSwitch has it not in the datapath (then see error) */
    char type[16];
    char sliver[SWITCH_ID_BYTES]; /* "" when it has none */
    char vnic[SWITCH_ID_BYTES];
    uint64_t epoch;
    char error[128]; /* why Open vSwitch could not open the device; "" when it could */
};

/* Add a port, or bring an existing one to the specification (a newer epoch, say), and wait until
 * ovs-vswitchd has given it a port number. Idempotent.
 * Errors: ERR_CONFLICT when another bridge has a port of that name; ERR_UNPROCESSABLE when the
 * device cannot be opened (a port that this call had added is removed again). */
int switch_add_port(struct switch_door *door, const struct switch_port_spec *spec,
                    uint32_t *ret_ofport, int timeout_ms, struct err *err);
/* Remove a port and wait until ovs-vswitchd has let go of the device. 0 also when there is none.
 * Flows that mention the port stay: readjust forwarding as well, before or after (Open vSwitch
 * gives the number to another port only after all others had their turn).
 * Errors: ERR_CONFLICT when it was not added by this door. */
int switch_del_port(struct switch_door *door, const char *name, int timeout_ms, struct err *err);
/* The ports that switch_add_port() and switch_ensure_vxlan() made. Returns the array (free()). */
int switch_list_ports(struct switch_door *door, struct switch_port **ret_ports, size_t *ret_count,
                      int timeout_ms, struct err *err);

/* What is in this Open vSwitch besides our bridge and the ports that this door made: names, each list
 * NULL-terminated; both to be freed with switch_names_free(). */
int switch_foreign(struct switch_door *door, char ***ret_ports, char ***ret_bridges, int timeout_ms,
                   struct err *err);
void switch_names_free(char **names);

struct switch_port_number {
    char name[SWITCH_PORT_NAME_BYTES];
    uint32_t ofport;
};
/* All ports of the datapath with their present numbers, cheaply. Returns the array (free()). */
int switch_port_numbers(struct switch_door *door, struct switch_port_number **ret_ports,
                        size_t *ret_count, int timeout_ms, struct err *err);

#define SWITCH_VXLAN_PORT "jogak-vx"
/* The one flow-based VXLAN port (key, remote_ip by flow) through which all peers are reached.
 * local_ip: this node's VTEP (IPv4 text; the userspace datapath takes the address of the device that the
 * route leads to); udp_port 0: 4789. */
int switch_ensure_vxlan(struct switch_door *door, const char *local_ip, uint16_t udp_port,
                        uint32_t *ret_ofport, int timeout_ms, struct err *err);

struct switch_counters { /* as the switch sees them: rx is what came in from the port */
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
    uint64_t rx_dropped, tx_dropped, rx_errors, tx_errors;
};
int switch_port_counters(struct switch_door *door, uint32_t ofport, struct switch_counters *ret,
                         int timeout_ms, struct err *err);

/* --- flows, meters, frames --- */

struct switch_change {
    bool add; /* false: delete exactly this flow (table, priority, match and cookie) */
    const struct of_flow *flow;
};
/* All changes at once, in one atomic bundle with a barrier; nothing is sent when count is 0.
 * An added flow replaces one of the same table, priority and match.
 * Errors: ERR_UNPROCESSABLE, ERR_NO_SPACE: refused, nothing has changed. */
int switch_apply(struct switch_door *door, const struct switch_change *changes, size_t count,
                 int timeout_ms, struct err *err);
/* Flows whose cookie equals `cookie` under `mask` (0: all), finished, with counters.
 * Returns the array (of_flows_free()). */
int switch_read_flows(struct switch_door *door, uint64_t cookie, uint64_t mask,
                      struct of_flow **ret_flows, size_t *ret_count, int timeout_ms,
                      struct err *err);

struct switch_meter {
    uint32_t id;
    uint32_t rate_kbps;
    uint32_t burst_kbit;
};
/* Make the meter, or change its rate. Errors: ERR_NO_SPACE. */
int switch_set_meter(struct switch_door *door, const struct switch_meter *meter, int timeout_ms,
                     struct err *err);
/* Remove it (and, as OpenFlow has it, the flows that use it). 0 also when there is none. */
int switch_del_meter(struct switch_door *door, uint32_t id, int timeout_ms, struct err *err);
/* Returns the array (free()). */
int switch_read_meters(struct switch_door *door, struct switch_meter **ret_meters,
                       size_t *ret_count, int timeout_ms, struct err *err);

/* Returns when the switch has processed everything sent before. */
int switch_barrier(struct switch_door *door, int timeout_ms, struct err *err);
/* Wait until the datapath itself obeys the flows. A barrier only covers the flow tables: frames of
 * a connection that the datapath has cached go the old way for some milliseconds more, until
 * ovs-vswitchd has revalidated its cache. Call it after closing a port, where a late frame would
 * matter (fencing), and not where speed matters. */
int switch_settle(struct switch_door *door, int timeout_ms, struct err *err);

/* --- tunnels' routes ---
 * The userspace datapath routes what it tunnels itself. By default it follows the host's routing table, which it
 * empties and reads again whenever any network device comes, goes or changes (Open vSwitch 3.1): what it decides
 * in between is to drop, both ways. So ovs-vswitchd is to be started with --disable-system-route, and each peer's
 * route pinned. Pinned routes are gone with ovs-vswitchd: pin them again for each switch_generation(). */

/* True for the userspace datapath; the kernel's leaves routes to the host. Does not block. */
bool switch_routes_itself(const struct switch_door *door);
/* Frames for the VTEP `peer` (IPv4) go out of that device, a bridge of this Open vSwitch with an address, by that
 * gateway ("": none). Replaces an earlier route. Errors: ERR_UNPROCESSABLE (the device has no address yet). */
int switch_pin_route(struct switch_door *door, const char *peer, const char *device,
                     const char *gateway, int timeout_ms, struct err *err);
/* True in *ret_follows when it was not started with --disable-system-route. */
int switch_follows_host_routes(struct switch_door *door, bool *ret_follows, int timeout_ms,
                               struct err *err);

/* Send a frame out of a port (OF_PORT_TABLE: through the pipeline, as if it came from in_port).
 * in_port: OF_PORT_CONTROLLER when it is nobody's. Borrows the frame (at most 60000 bytes).
 * Open vSwitch does not report an out_port that does not exist. */
int switch_packet_out(struct switch_door *door, uint32_t in_port, uint32_t out_port,
                      const void *frame, size_t length, int timeout_ms, struct err *err);

/* What was sent so far: for tests and metrics. */
struct switch_sent {
    uint64_t flow_mods;
    uint64_t bundles;
};
struct switch_sent switch_sent(struct switch_door *door);

#endif
