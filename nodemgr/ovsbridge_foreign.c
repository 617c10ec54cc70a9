#include "nodemgr/ovsbridge.h"

struct names {
    char **list;
    size_t count;
};

static void names_add(struct names *n, const char *name) {
    n->list = xrealloc_array(n->list, n->count + 2, sizeof *n->list);
    n->list[n->count++] = xstrdup(name);
    n->list[n->count] = NULL;
}

static json *rows_of(const char *table, const char *first, const char *second) {
    const char *const columns[] = { first, second };
    return ovsdb_select(table, json_array(), ovsdb_strings(columns, COUNT_OF(columns)));
}

/* Was the interface of that name made by us? */
static bool made_by_us(json *interfaces, const char *name) {
    for (size_t i = 0; i < json_length(interfaces); i++) {
        json *row = json_at(interfaces, i);
        const char *its = json_get_str(row, "name");
        if (its && strcmp(its, name) == 0)
            return ovsdb_map_get(json_get(row, "external_ids"), OVSBRIDGE_ID_BRIDGE) != NULL;
    }
    return false;
}

static void add_ports(json *results, json *bridge_row, const char *bridge, struct names *ret) {
    json *ports = ovsdb_rows(results, 1), *interfaces = ovsdb_rows(results, 2);
    for (size_t i = 0; ports && i < json_length(ports); i++) {
        json *row = json_at(ports, i);
        const char *uuid = ovsdb_uuid_text(json_get(row, "_uuid")), *name = json_get_str(row, "name");
        if (!uuid || !name || strcmp(name, bridge) == 0) continue; /* a bridge's own port */
        if (ovsdb_set_has_uuid(json_get(bridge_row, "ports"), uuid) && !made_by_us(interfaces, name))
            names_add(ret, name);
    }
}

int ovsbridge_foreign(struct ovsdb *db, const char *bridge, char ***ret_ports, char ***ret_bridges,
                      int64_t deadline_ms, struct err *err) {
    json *ops = json_array();
    json_add(ops, rows_of("Bridge", "name", "ports"));
    json_add(ops, rows_of("Port", "_uuid", "name"));
    json_add(ops, rows_of("Interface", "name", "external_ids"));
    AUTO_JSON json *results = ovsdb_transact(db, ops, deadline_ms, err);
    if (!results) return -1;
    struct names ports = { NULL, 0 }, bridges = { NULL, 0 };
    json *rows = ovsdb_rows(results, 0);
    for (size_t i = 0; rows && i < json_length(rows); i++) {
        const char *name = json_get_str(json_at(rows, i), "name");
        if (!name) continue;
        if (strcmp(name, bridge) == 0) add_ports(results, json_at(rows, i), bridge, &ports);
        else names_add(&bridges, name);
    }
    *ret_ports = ports.list;
    *ret_bridges = bridges.list;
    return 0;
}
