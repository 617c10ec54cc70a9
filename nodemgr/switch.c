#include "nodemgr/switch_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/cookie.h"
#include "nodemgr/ovsbridge.h"

#include <arpa/inet.h>
#include <stdio.h>

LOG_MODULE("nm.switch");

#define RUN_DIR "/var/run/openvswitch"
#define FRAME_MAX_BYTES 60000
#define VXLAN_UDP_PORT 4789

struct switch_door *switch_new(const struct switch_config *config) {
    struct switch_door *d = xcalloc(1, sizeof(*d));
    pthread_mutex_init(&d->lock, NULL);
    d->bridge = xstrdup(config->bridge ? config->bridge : "br-int");
    d->datapath_type = xstrdup(config->datapath_type ? config->datapath_type : "system");
    d->run_dir = xstrdup(config->run_dir ? config->run_dir : RUN_DIR);
    d->db_socket =
        config->db_socket ? xstrdup(config->db_socket) : xasprintf("%s/db.sock", d->run_dir);
    d->mgmt_socket = xasprintf("%s/%s.mgmt", d->run_dir, d->bridge);
    d->db = (struct ovsdb)OVSDB_INIT;
    d->of = (struct openflow)OPENFLOW_INIT;
    return d;
}

void switch_free(struct switch_door *door) {
    if (!door) return;
    ovsdb_close(&door->db);
    openflow_close(&door->of);
    pthread_mutex_destroy(&door->lock);
    free(door->bridge);
    free(door->datapath_type);
    free(door->db_socket);
    free(door->run_dir);
    free(door->mgmt_socket);
    free(door);
}

/* --- connections --- */

static int64_t deadline_of(int timeout_ms) { return clock_monotonic_ms() + timeout_ms; }

static int db_ready(struct switch_door *d, int64_t deadline_ms, struct err *err) {
    if (ovsdb_alive(&d->db, deadline_ms)) return 0;
    if (ovsdb_open(&d->db, d->db_socket, err) == 0) return 0;
    err_wrap(err, "ovsdb-server is not reachable");
    return err_remedy(err, "start it: systemctl start ovsdb-server openvswitch-switch");
}

static int of_ready(struct switch_door *d, int64_t deadline_ms, struct err *err) {
    if (openflow_alive(&d->of, deadline_ms)) return 0;
    if (openflow_open(&d->of, d->mgmt_socket, deadline_ms, err) == 0) {
        d->generation++;
        return 0;
    }
    err_wrap(err, "ovs-vswitchd is not reachable");
    return err_remedy(err,
                      "start it: systemctl start ovs-vswitchd openvswitch-switch; the agent "
                      "puts bridge %s and its flows back by itself",
                      d->bridge);
}

/* A connection that broke in the middle of a call gets its remedy here. */
static int blame(struct err *err, const char *what) {
    if (err && err->code == ERR_UNAVAILABLE && !err->remedy[0])
        err_remedy(err, "see whether %s runs (systemctl status openvswitch-switch), and try again",
                   what);
    if (err && err->code == ERR_TIMEOUT && !err->remedy[0])
        err_remedy(err, "see whether %s is overloaded or stopped; the call can be repeated", what);
    return -1;
}

static int blame_db(struct err *err) { return blame(err, "ovsdb-server and ovs-vswitchd"); }
static int blame_of(struct err *err) { return blame(err, "ovs-vswitchd"); }

uint64_t switch_generation(struct switch_door *door) {
    WITH_LOCK(&door->lock);
    return door->generation;
}

static int ping_db(struct switch_door *d, int64_t deadline_ms, struct err *err) {
    if (db_ready(d, deadline_ms, err)) return -1;
    AUTO_JSON json *answer = ovsdb_call(&d->db, "echo", json_array(), deadline_ms, err);
    return answer ? 0 : blame_db(err);
}

int switch_check(struct switch_door *door, uint64_t *ret_generation, int timeout_ms,
                 struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (ping_db(door, deadline_ms, err) || of_ready(door, deadline_ms, err)) return -1;
    if (openflow_echo(&door->of, deadline_ms, err)) return blame_of(err);
    *ret_generation = door->generation;
    return 0;
}

/* --- bridge and ports --- */

int switch_ensure_bridge(struct switch_door *door, int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (db_ready(door, deadline_ms, err)) return -1;
    if (ovsbridge_ensure(&door->db, door->bridge, door->datapath_type, deadline_ms, err)) {
        err_wrap(err, "make bridge %s", door->bridge);
        return blame_db(err);
    }
    return of_ready(door, deadline_ms, err);
}

static bool name_is_valid(const char *name) {
    size_t length = strlen(name);
    return length > 0 && length < SWITCH_PORT_NAME_BYTES && !strpbrk(name, "/ \t\n");
}

/* Ensure the interface (its json is taken) and answer its port number. */
static int ensure_port(struct switch_door *d, const struct ovsbridge_interface *wanted,
                       uint32_t *ret_ofport, int64_t deadline_ms, struct err *err) {
    struct switch_port port;
    enum ovsbridge_change change = OVSBRIDGE_UNCHANGED;
    if (ovsbridge_ensure_port(&d->db, d->bridge, wanted, &port, &change, deadline_ms, err))
        return blame_db(err);
    /* Nobody but ovs-vswitchd itself can say whether an unchanged row still holds. */
    if (change == OVSBRIDGE_UNCHANGED && of_ready(d, deadline_ms, err)) return -1;
    bool added = change == OVSBRIDGE_ADDED;
    if (port.ofport > 0) {
        if (added) log_info("port added", "port=%s ofport=%u", wanted->name, port.ofport);
        *ret_ofport = port.ofport;
        return 0;
    }
    if (added) ovsbridge_del_port(&d->db, d->bridge, wanted->name, deadline_ms, NULL);
    err_set(err, ERR_UNPROCESSABLE, "Open vSwitch cannot use the device: %s",
            port.error[0] ? port.error : "it gave no port number");
    return err_remedy(err,
                      "see that the device exists and is not in use elsewhere (ip link show "
                      "%s), and try again",
                      wanted->name);
}

static const char *type_of(enum switch_port_kind kind) {
    switch (kind) {
    case SWITCH_PORT_TAP:
        return "tap";
    case SWITCH_PORT_INTERNAL:
        return "internal";
    case SWITCH_PORT_SYSTEM:
        break;
    }
    return "";
}

static json *ids_of(const struct switch_door *d, const struct switch_port_spec *spec) {
    char epoch[24];
    snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)spec->epoch);
    json *ids = json_array();
    json_add(ids, ovsdb_pair(OVSBRIDGE_ID_BRIDGE, d->bridge));
    if (spec->sliver) json_add(ids, ovsdb_pair(OVSBRIDGE_ID_SLIVER, spec->sliver));
    if (spec->vnic) json_add(ids, ovsdb_pair(OVSBRIDGE_ID_VNIC, spec->vnic));
    json_add(ids, ovsdb_pair(OVSBRIDGE_ID_EPOCH, epoch));
    return ids;
}

int switch_add_port(struct switch_door *door, const struct switch_port_spec *spec,
                    uint32_t *ret_ofport, int timeout_ms, struct err *err) {
    if (!name_is_valid(spec->name))
        return err_set(err, ERR_INVALID, "%.40s is no interface name", spec->name);
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (db_ready(door, deadline_ms, err)) return -1;
    struct ovsbridge_interface wanted = { spec->name, type_of(spec->kind), ids_of(door, spec),
                                          NULL };
    if (ensure_port(door, &wanted, ret_ofport, deadline_ms, err))
        return err_wrap(err, "add port %s", spec->name);
    return 0;
}

int switch_ensure_vxlan(struct switch_door *door, const char *local_ip, uint16_t udp_port,
                        uint32_t *ret_ofport, int timeout_ms, struct err *err) {
    struct in_addr address;
    if (inet_pton(AF_INET, local_ip, &address) != 1)
        return err_set(err, ERR_INVALID, "%.64s is no IPv4 address", local_ip);
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (db_ready(door, deadline_ms, err)) return -1;
    char port[8];
    snprintf(port, sizeof(port), "%u", udp_port ? udp_port : VXLAN_UDP_PORT);
    json *options = json_array(), *ids = json_array();
    json_add(options, ovsdb_pair("key", "flow"));
    json_add(options, ovsdb_pair("remote_ip", "flow"));
    /* Of a given source the userspace datapath asks for a route of the host's own table (see switch_pin_route()). */
    if (!switch_routes_itself(door)) json_add(options, ovsdb_pair("local_ip", local_ip));
    json_add(options, ovsdb_pair("dst_port", port));
    json_add(ids, ovsdb_pair(OVSBRIDGE_ID_BRIDGE, door->bridge));
    struct ovsbridge_interface wanted = { SWITCH_VXLAN_PORT, "vxlan", ids, options };
    if (ensure_port(door, &wanted, ret_ofport, deadline_ms, err))
        return err_wrap(err, "make VXLAN port %s", SWITCH_VXLAN_PORT);
    return 0;
}

int switch_del_port(struct switch_door *door, const char *name, int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (db_ready(door, deadline_ms, err)) return -1;
    if (ovsbridge_del_port(&door->db, door->bridge, name, deadline_ms, err) == 0) return 0;
    err_wrap(err, "remove port %s", name);
    return blame_db(err);
}

int switch_list_ports(struct switch_door *door, struct switch_port **ret_ports, size_t *ret_count,
                      int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (db_ready(door, deadline_ms, err)) return -1;
    if (ovsbridge_list(&door->db, door->bridge, ret_ports, ret_count, deadline_ms, err))
        return blame_db(err);
    return 0;
}

int switch_foreign(struct switch_door *door, char ***ret_ports, char ***ret_bridges, int timeout_ms,
                   struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (db_ready(door, deadline_ms, err)) return -1;
    if (ovsbridge_foreign(&door->db, door->bridge, ret_ports, ret_bridges, deadline_ms, err))
        return blame_db(err);
    return 0;
}

void switch_names_free(char **names) {
    for (char **n = names; n && *n; n++) free(*n);
    free(names);
}

/* --- multipart reads: growing arrays --- */

struct collected {
    struct buf items; /* an array of whatever is read */
    uint64_t cookie, mask;
};

static void collected_done(struct collected *c) { buf_done(&c->items); }

/* Hand the array over; at least one (unused) byte, so never NULL. */
static void *collected_steal(struct collected *c, size_t item_bytes, size_t *ret_count) {
    *ret_count = c->items.length / item_bytes;
    return buf_steal(&c->items);
}

/* Send a request and wait until its last part was read. */
static int read_all(struct switch_door *d, const struct buf *request, uint32_t xid,
                    openflow_part_fn *part, struct collected *c, int64_t deadline_ms,
                    struct err *err) {
    if (openflow_multipart(&d->of, request, xid, part, c, deadline_ms, err)) return blame_of(err);
    return 0;
}

static int collect_numbers(const struct ofmsg *part, void *ctx, struct err *err) {
    struct collected *c = ctx;
    struct of_port_desc p;
    size_t at = 0;
    int got;
    while ((got = ofmsg_next_port_desc(part, &at, &p, err)) > 0) {
        struct switch_port_number number = { .ofport = p.ofport };
        memcpy(number.name, p.name, sizeof(number.name));
        buf_add(&c->items, &number, sizeof(number));
    }
    return got;
}

int switch_port_numbers(struct switch_door *door, struct switch_port_number **ret_ports,
                        size_t *ret_count, int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    CLEANUP(collected_done) struct collected c = { .items = BUF_INIT };
    AUTO_BUF struct buf request = BUF_INIT;
    uint32_t xid = openflow_xid(&door->of);
    ofmsg_port_desc_request(&request, xid);
    if (read_all(door, &request, xid, collect_numbers, &c, deadline_ms, err)) return -1;
    *ret_ports = collected_steal(&c, sizeof(**ret_ports), ret_count);
    return 0;
}

static int collect_counters(const struct ofmsg *part, void *ctx, struct err *err) {
    struct collected *c = ctx;
    struct of_port_stats s;
    size_t at = 0;
    int got;
    while ((got = ofmsg_next_port_stats(part, &at, &s, err)) > 0) buf_add(&c->items, &s, sizeof(s));
    return got;
}

int switch_port_counters(struct switch_door *door, uint32_t ofport, struct switch_counters *ret,
                         int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    CLEANUP(collected_done) struct collected c = { .items = BUF_INIT };
    AUTO_BUF struct buf request = BUF_INIT;
    uint32_t xid = openflow_xid(&door->of);
    ofmsg_port_stats_request(&request, xid, ofport);
    if (read_all(door, &request, xid, collect_counters, &c, deadline_ms, err)) return -1;
    struct of_port_stats s;
    if (c.items.length < sizeof(s)) return err_set(err, ERR_NOT_FOUND, "no port %u", ofport);
    memcpy(&s, c.items.data, sizeof(s));
    *ret = (struct switch_counters){ s.rx_packets, s.tx_packets, s.rx_bytes,  s.tx_bytes,
                                     s.rx_dropped, s.tx_dropped, s.rx_errors, s.tx_errors };
    return 0;
}

static void collected_flows_done(struct collected *c) {
    size_t count = c->items.length / sizeof(struct of_flow);
    struct of_flow *flows = (struct of_flow *)(void *)c->items.data;
    for (size_t i = 0; i < count; i++) of_flow_done(&flows[i]);
    buf_done(&c->items);
}

static int collect_flows(const struct ofmsg *part, void *ctx, struct err *err) {
    struct collected *c = ctx;
    struct of_flow f;
    size_t at = 0;
    int got;
    while ((got = ofmsg_next_flow(part, &at, &f, err)) > 0) {
        struct err bad = ERR_INIT;
        /* A flow of somebody else's that we cannot read is still reported, as it is. */
        if (of_flow_finish(&f, &bad)) log_debug("odd flow", "reason=\"%s\"", bad.msg);
        buf_add(&c->items, &f, sizeof(f));
    }
    return got;
}

int switch_read_flows(struct switch_door *door, uint64_t cookie, uint64_t mask,
                      struct of_flow **ret_flows, size_t *ret_count, int timeout_ms,
                      struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    CLEANUP(collected_flows_done) struct collected c = { .items = BUF_INIT };
    AUTO_BUF struct buf request = BUF_INIT;
    uint32_t xid = openflow_xid(&door->of);
    ofmsg_flow_request(&request, xid, cookie, mask);
    if (read_all(door, &request, xid, collect_flows, &c, deadline_ms, err)) return -1;
    *ret_flows = collected_steal(&c, sizeof(**ret_flows), ret_count);
    return 0;
}

static int collect_meters(const struct ofmsg *part, void *ctx, struct err *err) {
    struct collected *c = ctx;
    struct of_meter_config m;
    size_t at = 0;
    int got;
    while ((got = ofmsg_next_meter(part, &at, &m, err)) > 0) {
        struct switch_meter meter = { m.id, m.rate_kbps, m.burst_kbit };
        buf_add(&c->items, &meter, sizeof(meter));
    }
    return got;
}

int switch_read_meters(struct switch_door *door, struct switch_meter **ret_meters,
                       size_t *ret_count, int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    CLEANUP(collected_done) struct collected c = { .items = BUF_INIT };
    AUTO_BUF struct buf request = BUF_INIT;
    uint32_t xid = openflow_xid(&door->of);
    ofmsg_meter_config_request(&request, xid);
    if (read_all(door, &request, xid, collect_meters, &c, deadline_ms, err)) return -1;
    *ret_meters = collected_steal(&c, sizeof(**ret_meters), ret_count);
    return 0;
}

/* --- changes --- */

int switch_apply(struct switch_door *door, const struct switch_change *changes, size_t count,
                 int timeout_ms, struct err *err) {
    if (count == 0) return 0;
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    AUTO_FREE struct of_change *list = xcalloc(count, sizeof(*list));
    for (size_t i = 0; i < count; i++)
        list[i] =
            (struct of_change){ changes[i].add ? OFPFC_ADD : OFPFC_DELETE_STRICT, changes[i].flow };
    if (openflow_bundle(&door->of, list, count, deadline_ms, err)) return blame_of(err);
    return 0;
}

static int meter_command(struct switch_door *d, enum of_meter_command command,
                         const struct switch_meter *meter, int64_t deadline_ms, struct err *err) {
    AUTO_BUF struct buf message = BUF_INIT;
    struct of_meter_config config = { meter->id, meter->rate_kbps, meter->burst_kbit };
    uint32_t xid = openflow_xid(&d->of);
    ofmsg_meter_mod(&message, xid, command, &config);
    return openflow_command(&d->of, &message, xid, deadline_ms, err);
}

int switch_set_meter(struct switch_door *door, const struct switch_meter *meter, int timeout_ms,
                     struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    struct err exists = ERR_INIT;
    if (meter_command(door, OFMC_ADD, meter, deadline_ms, &exists) == 0) return 0;
    if (exists.code == ERR_CONFLICT) {
        if (meter_command(door, OFMC_MODIFY, meter, deadline_ms, err) == 0) return 0;
    } else if (err) {
        *err = exists;
    }
    err_wrap(err, "meter %u", meter->id);
    return blame_of(err);
}

int switch_del_meter(struct switch_door *door, uint32_t id, int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    struct switch_meter meter = { .id = id };
    struct err gone = ERR_INIT;
    if (meter_command(door, OFMC_DELETE, &meter, deadline_ms, &gone) == 0) return 0;
    if (gone.code == ERR_NOT_FOUND) return 0;
    if (err) *err = gone;
    return blame_of(err);
}

int switch_barrier(struct switch_door *door, int timeout_ms, struct err *err) {
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    return openflow_barrier(&door->of, deadline_ms, err) ? blame_of(err) : 0;
}

int switch_packet_out(struct switch_door *door, uint32_t in_port, uint32_t out_port,
                      const void *frame, size_t length, int timeout_ms, struct err *err) {
    if (length > FRAME_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "a frame of %zu bytes", length);
    WITH_LOCK(&door->lock);
    int64_t deadline_ms = deadline_of(timeout_ms);
    if (of_ready(door, deadline_ms, err)) return -1;
    AUTO_BUF struct buf actions = BUF_INIT, message = BUF_INIT;
    uint32_t xid = openflow_xid(&door->of);
    of_action_output(&actions, out_port);
    ofmsg_packet_out(&message, xid, in_port, &actions, frame, length);
    return openflow_command(&door->of, &message, xid, deadline_ms, err) ? blame_of(err) : 0;
}

struct switch_sent switch_sent(struct switch_door *door) {
    WITH_LOCK(&door->lock);
    return (struct switch_sent){ door->of.flow_mods, door->of.bundles };
}
