#include "nodemgr/ovsbridge.h"

#include "common/log.h"

#include <stdio.h>

LOG_MODULE("nm.ovsbridge");

#define MARK "jogak" /* in a bridge's external_ids: it is ours */

/* --- waiting for ovs-vswitchd --- */

#define STRINGS(...) \
    ovsdb_strings((const char *const[]){ __VA_ARGS__ }, \
                  COUNT_OF(((const char *const[]){ __VA_ARGS__ })))

/* Raise next_cfg and read it back: the last two operations of every change. */
static void add_next_cfg(json *operations) {
    json_add(operations, ovsdb_mutate("Open_vSwitch", json_array(), "next_cfg", "+=", json_int(1)));
    json_add(operations, ovsdb_select("Open_vSwitch", json_array(), STRINGS("next_cfg")));
}

static int read_cfg(struct ovsdb *db, int64_t *ret_cur, int64_t deadline_ms, struct err *err) {
    json *operations = json_array();
    json_add(operations, ovsdb_select("Open_vSwitch", json_array(), STRINGS("cur_cfg")));
    AUTO_JSON json *results = ovsdb_transact(db, operations, deadline_ms, err);
    if (!results) return -1;
    *ret_cur = json_get_int(json_at(ovsdb_rows(results, 0), 0), "cur_cfg", 0);
    return 0;
}

static int await_cfg(struct ovsdb *db, int64_t wanted, int64_t deadline_ms, struct err *err) {
    for (;;) {
        int64_t current = 0;
        if (read_cfg(db, &current, deadline_ms, err)) return -1;
        if (current >= wanted) return 0;
        if (ovsdb_await_update(db, deadline_ms, err)) {
            if (err && err->code == ERR_TIMEOUT) err_wrap(err, "waiting for ovs-vswitchd");
            return -1;
        }
    }
}

/* Run the operations (takes) and wait until ovs-vswitchd has put them into effect. */
static json *change(struct ovsdb *db, json *operations, int64_t deadline_ms, struct err *err) {
    json *columns = STRINGS("cur_cfg");
    add_next_cfg(operations);
    if (ovsdb_watch(db, "Open_vSwitch", columns, deadline_ms, err)) {
        json_put(operations);
        return NULL;
    }
    AUTO_JSON json *results = ovsdb_transact(db, operations, deadline_ms, err);
    if (!results) {
        if (stream_is_open(&db->stream)) ovsdb_unwatch(db, deadline_ms, NULL);
        return NULL;
    }
    json *row = json_at(ovsdb_rows(results, json_length(results) - 1), 0);
    if (await_cfg(db, json_get_int(row, "next_cfg", 0), deadline_ms, err)) return NULL;
    if (ovsdb_unwatch(db, deadline_ms, err)) return NULL;
    return STEAL(results);
}

/* --- the bridge --- */

static json *name_is(const char *name) { return ovsdb_where("name", "==", json_string(name)); }

static json *one_pair(const char *key, const char *value) {
    json *pairs = json_array();
    json_add(pairs, ovsdb_pair(key, value));
    return ovsdb_map(pairs);
}

static json *one_named(const char *name) {
    json *elements = json_array();
    json_add(elements, ovsdb_named_uuid(name));
    return ovsdb_set(elements);
}

static json *bridge_row(const char *datapath_type) {
    json *row = json_object();
    json_set_str(row, "fail_mode", "secure");
    json_set_str(row, "datapath_type", datapath_type);
    return json_set(row, "protocols", ovsdb_set(STRINGS("OpenFlow13", "OpenFlow14")));
}

static int insert_bridge(struct ovsdb *db, const char *bridge, const char *datapath_type,
                         int64_t deadline_ms, struct err *err) {
    json *interface = json_object();
    json_set_str(interface, "name", bridge);
    json_set_str(interface, "type", "internal");
    json *port = json_object();
    json_set_str(port, "name", bridge);
    json_set(port, "interfaces", ovsdb_named_uuid("interface"));
    json *row = bridge_row(datapath_type);
    json_set_str(row, "name", bridge);
    json_set(row, "ports", ovsdb_named_uuid("port"));
    json_set(row, "external_ids", one_pair(MARK, "true"));
    json *ops = json_array();
    json_add(ops, ovsdb_insert("Interface", interface, "interface"));
    json_add(ops, ovsdb_insert("Port", port, "port"));
    json_add(ops, ovsdb_insert("Bridge", row, "bridge"));
    json_add(ops,
             ovsdb_mutate("Open_vSwitch", json_array(), "bridges", "insert", one_named("bridge")));
    AUTO_JSON json *results = change(db, ops, deadline_ms, err);
    if (results) log_info("bridge made", "bridge=%s datapath=%s", bridge, datapath_type);
    return results ? 0 : -1;
}

/* A bridge that somebody else made and uses is not ours to change. */
static int check_ours(const json *row, const char *bridge, struct err *err) {
    json *ports = json_get(row, "ports");
    bool used = !ovsdb_uuid_text(ports) && json_length(json_at(ports, 1)) > 1;
    if (ovsdb_map_get(json_get(row, "external_ids"), MARK) || !used) return 0;
    err_set(err, ERR_CONFLICT, "bridge %s has ports and was not made by jogak", bridge);
    return err_remedy(err,
                      "name another bridge in the agent's configuration, or hand this one "
                      "over: ovs-vsctl set bridge %s external_ids:jogak=true",
                      bridge);
}

static int update_bridge(struct ovsdb *db, const char *bridge, const char *datapath_type,
                         int64_t deadline_ms, struct err *err) {
    json *ops = json_array();
    json_add(ops, ovsdb_update("Bridge", name_is(bridge), bridge_row(datapath_type)));
    json_add(ops, ovsdb_mutate("Bridge", name_is(bridge), "external_ids", "insert",
                               one_pair(MARK, "true")));
    AUTO_JSON json *results = change(db, ops, deadline_ms, err);
    return results ? 0 : -1;
}

int ovsbridge_ensure(struct ovsdb *db, const char *bridge, const char *datapath_type,
                     int64_t deadline_ms, struct err *err) {
    json *ops = json_array();
    json_add(ops, ovsdb_select("Bridge", name_is(bridge), STRINGS("ports", "external_ids")));
    AUTO_JSON json *results = ovsdb_transact(db, ops, deadline_ms, err);
    if (!results) return -1;
    json *row = json_at(ovsdb_rows(results, 0), 0);
    if (!row) return insert_bridge(db, bridge, datapath_type, deadline_ms, err);
    if (check_ours(row, bridge, err)) return -1;
    return update_bridge(db, bridge, datapath_type, deadline_ms, err);
}

/* --- ports --- */

static json *interface_columns(void) {
    return STRINGS("name", "type", "ofport", "error", "external_ids");
}

static void copy_text(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from ? from : "");
}

static void read_interface(const json *row, struct switch_port *p) {
    *p = (struct switch_port){ .ofport = 0 };
    json *ids = json_get(row, "external_ids");
    json *ofport = ovsdb_atom(json_get(row, "ofport"));
    int64_t number = json_kind(ofport) == JSON_INT ? json_int_value(ofport) : 0;
    const char *epoch = ovsdb_map_get(ids, OVSBRIDGE_ID_EPOCH);
    p->ofport = number > 0 && number < (int64_t)OF_PORT_MAX ? (uint32_t)number : 0;
    p->epoch = epoch ? strtoull(epoch, NULL, 10) : 0;
    copy_text(p->name, sizeof(p->name), json_get_str(row, "name"));
    copy_text(p->type, sizeof(p->type), json_get_str(row, "type"));
    copy_text(p->sliver, sizeof(p->sliver), ovsdb_map_get(ids, OVSBRIDGE_ID_SLIVER));
    copy_text(p->vnic, sizeof(p->vnic), ovsdb_map_get(ids, OVSBRIDGE_ID_VNIC));
    copy_text(p->error, sizeof(p->error), json_str(ovsdb_atom(json_get(row, "error"))));
}

/* A port without QoS settings loses its queueing discipline whenever ovs-vswitchd looks at it, and
 * with it a tap's gate (netdev.h). This type makes ovs-vswitchd leave it alone. All ports share
 * one row, since rows of QoS outlive the ports that name them. */
#define QOS_NOOP "linux-noop"

/* A port of the bridge as it is now. */
struct found {
    json *results;    /* owns what follows */
    const char *uuid; /* NULL: there is none of that name */
    json *interface;  /* its row */
    const char *qos;  /* a QoS row of type linux-noop; NULL: there is none */
};

static void found_done(struct found *f) { json_put(f->results); }

/* Find a port by name. Errors: ERR_UNAVAILABLE when there is no such bridge, ERR_CONFLICT when
 * another bridge has the port. */
static int find_port(struct ovsdb *db, const char *bridge, const char *name, struct found *ret,
                     int64_t deadline_ms, struct err *err) {
    json *columns = interface_columns();
    json_add(columns, json_string("options"));
    json *ops = json_array();
    json_add(ops, ovsdb_select("Bridge", name_is(bridge), STRINGS("ports")));
    json_add(ops, ovsdb_select("Port", name_is(name), STRINGS("_uuid")));
    json_add(ops, ovsdb_select("Interface", name_is(name), columns));
    json_add(ops, ovsdb_select("QoS", ovsdb_where("type", "==", json_string(QOS_NOOP)),
                               STRINGS("_uuid")));
    AUTO_JSON json *results = ovsdb_transact(db, ops, deadline_ms, err);
    if (!results) return -1;
    json *bridge_found = json_at(ovsdb_rows(results, 0), 0);
    if (!bridge_found) {
        err_set(err, ERR_UNAVAILABLE, "Open vSwitch has no bridge %s", bridge);
        return err_remedy(err, "restart jogak-nodemgr, which makes it");
    }
    json *port = json_at(ovsdb_rows(results, 1), 0);
    const char *uuid = ovsdb_uuid_text(json_get(port, "_uuid"));
    if (uuid && !ovsdb_set_has_uuid(json_get(bridge_found, "ports"), uuid))
        return err_set(err, ERR_CONFLICT, "port %s is on another bridge than %s", name, bridge);
    ret->uuid = uuid;
    ret->interface = json_at(ovsdb_rows(results, 2), 0);
    ret->qos = ovsdb_uuid_text(json_get(json_at(ovsdb_rows(results, 3), 0), "_uuid"));
    ret->results = STEAL(results);
    return 0;
}

/* Every pair is in the map. */
static bool map_has(const json *map, const json *pairs) {
    for (size_t i = 0; i < json_length(pairs); i++) {
        const json *pair = json_at(pairs, i);
        const char *value = ovsdb_map_get(map, json_str(json_at(pair, 0)));
        if (!value || strcmp(value, json_str(json_at(pair, 1))) != 0) return false;
    }
    return true;
}

/* How many of the keys are in the map. */
static size_t map_count(const json *map, const char *const *keys, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += ovsdb_map_get(map, keys[i]) != NULL;
    return found;
}

static const char *const our_ids[] = { OVSBRIDGE_ID_BRIDGE, OVSBRIDGE_ID_SLIVER, OVSBRIDGE_ID_VNIC,
                                       OVSBRIDGE_ID_EPOCH };

/* The interface is as wanted, and ovs-vswitchd has opened its device. */
static bool is_right(const json *row, const struct ovsbridge_interface *wanted) {
    struct switch_port port;
    read_interface(row, &port);
    json *ids = json_get(row, "external_ids"), *options = json_get(row, "options");
    return port.ofport > 0 && !port.error[0] && strcmp(port.type, wanted->type) == 0 &&
           map_has(ids, wanted->ids) &&
           map_count(ids, our_ids, COUNT_OF(our_ids)) == json_length(wanted->ids) &&
           (!wanted->options || (map_has(options, wanted->options) &&
                                 json_length(json_at(options, 1)) == json_length(wanted->options)));
}

/* Operations that put a new interface and port on the bridge. Takes ids and options. */
static json *insert_ops(const char *bridge, const struct ovsbridge_interface *wanted,
                        const char *qos) {
    json *interface = json_object();
    json_set_str(interface, "name", wanted->name);
    json_set_str(interface, "type", wanted->type);
    json_set(interface, "external_ids", ovsdb_map(wanted->ids));
    if (wanted->options) json_set(interface, "options", ovsdb_map(wanted->options));
    json *port = json_object();
    json_set_str(port, "name", wanted->name);
    json_set(port, "interfaces", ovsdb_named_uuid("interface"));
    json *ops = json_array();
    if (!*wanted->type || strcmp(wanted->type, "system") == 0) {
        json_set(port, "qos", qos ? ovsdb_uuid(qos) : ovsdb_named_uuid("qos"));
        if (!qos)
            json_add(ops, ovsdb_insert("QoS", json_set_str(json_object(), "type", QOS_NOOP), "qos"));
    }
    json_add(ops, ovsdb_insert("Interface", interface, "interface"));
    json_add(ops, ovsdb_insert("Port", port, "port"));
    json_add(ops, ovsdb_mutate("Bridge", name_is(bridge), "ports", "insert", one_named("port")));
    return ops;
}

/* Operations that bring an existing interface up to date; ids of others in it are kept. */
static json *update_ops(const struct ovsbridge_interface *wanted) {
    json *row = json_set_str(json_object(), "type", wanted->type);
    if (wanted->options) json_set(row, "options", ovsdb_map(wanted->options));
    json *ops = json_array();
    json_add(ops, ovsdb_update("Interface", name_is(wanted->name), row));
    json_add(ops, ovsdb_mutate("Interface", name_is(wanted->name), "external_ids", "delete",
                               ovsdb_set(ovsdb_strings(our_ids, COUNT_OF(our_ids)))));
    json_add(ops, ovsdb_mutate("Interface", name_is(wanted->name), "external_ids", "insert",
                               ovsdb_map(wanted->ids)));
    return ops;
}

static int read_port(struct ovsdb *db, const char *name, struct switch_port *ret,
                     int64_t deadline_ms, struct err *err) {
    json *ops = json_array();
    json_add(ops, ovsdb_select("Interface", name_is(name), interface_columns()));
    AUTO_JSON json *results = ovsdb_transact(db, ops, deadline_ms, err);
    if (!results) return -1;
    json *row = json_at(ovsdb_rows(results, 0), 0);
    if (!row) return err_set(err, ERR_CONFLICT, "port %s was removed meanwhile", name);
    read_interface(row, ret);
    return 0;
}

int ovsbridge_ensure_port(struct ovsdb *db, const char *bridge,
                          const struct ovsbridge_interface *wanted, struct switch_port *ret,
                          enum ovsbridge_change *ret_change, int64_t deadline_ms, struct err *err) {
    AUTO_JSON json *ids = wanted->ids, *options = wanted->options;
    CLEANUP(found_done) struct found found = { .results = NULL };
    if (find_port(db, bridge, wanted->name, &found, deadline_ms, err)) return -1;
    if (found.uuid && is_right(found.interface, wanted)) {
        read_interface(found.interface, ret);
        *ret_change = OVSBRIDGE_UNCHANGED;
        return 0;
    }
    struct ovsbridge_interface handed = *wanted;
    handed.ids = STEAL(ids);
    handed.options = STEAL(options);
    json *ops = found.uuid ? update_ops(&handed) : insert_ops(bridge, &handed, found.qos);
    AUTO_JSON json *results = change(db, ops, deadline_ms, err);
    if (!results) return -1;
    *ret_change = found.uuid ? OVSBRIDGE_UPDATED : OVSBRIDGE_ADDED;
    return read_port(db, wanted->name, ret, deadline_ms, err);
}

int ovsbridge_del_port(struct ovsdb *db, const char *bridge, const char *name, int64_t deadline_ms,
                       struct err *err) {
    CLEANUP(found_done) struct found found = { .results = NULL };
    if (find_port(db, bridge, name, &found, deadline_ms, err)) return -1;
    if (!found.uuid) return 0;
    if (!ovsdb_map_get(json_get(found.interface, "external_ids"), OVSBRIDGE_ID_BRIDGE))
        return err_set(err, ERR_CONFLICT, "port %s was not made by jogak", name);
    json *ops = json_array();
    json_add(ops,
             ovsdb_mutate("Bridge", name_is(bridge), "ports", "delete", ovsdb_uuid(found.uuid)));
    AUTO_JSON json *results = change(db, ops, deadline_ms, err);
    return results ? 0 : -1;
}

int ovsbridge_list(struct ovsdb *db, const char *bridge, struct switch_port **ret_ports,
                   size_t *ret_count, int64_t deadline_ms, struct err *err) {
    json *ops = json_array();
    json_add(ops, ovsdb_select("Interface",
                               ovsdb_where("external_ids", "includes",
                                           one_pair(OVSBRIDGE_ID_BRIDGE, bridge)),
                               interface_columns()));
    AUTO_JSON json *results = ovsdb_transact(db, ops, deadline_ms, err);
    if (!results) return -1;
    json *rows = ovsdb_rows(results, 0);
    size_t count = rows ? json_length(rows) : 0;
    struct switch_port *ports = xcalloc(count + 1, sizeof(*ports));
    for (size_t i = 0; i < count; i++) read_interface(json_at(rows, i), &ports[i]);
    *ret_ports = ports;
    *ret_count = count;
    return 0;
}
