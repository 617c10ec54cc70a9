#include "node_db.h"

#include "common/clock.h"

#include <stdio.h>

static const char SQL_REPORT[] =
    "INSERT INTO node (name, urn, state, host, port, tunnel_port, vtep, boot_id, vcpus, memory_mib,"
    " disk_mib, rate_kbps, capabilities, added_ms, site)"
    " VALUES (?1, ?2, 'joining', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    " ON CONFLICT (name) DO UPDATE SET urn = ?2, host = ?3, port = ?4, tunnel_port = ?5, vtep = ?6,"
    " boot_id = ?7, vcpus = ?8, memory_mib = ?9, disk_mib = ?10, rate_kbps = ?11, capabilities = ?12,"
    " site = ?14"
    " WHERE (host, port, tunnel_port, vtep, boot_id, vcpus, memory_mib, disk_mib, rate_kbps,"
    " capabilities, site) IS NOT (?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?14)";
/* What slivers and claims use, beside what the node has. */
#define SQL_NODES \
    "SELECT node.*, COALESCE(u.vcpus, 0) AS used_vcpus, COALESCE(u.memory_mib, 0) AS used_memory," \
    " COALESCE(u.disk_mib, 0) AS used_disk, COALESCE(u.rate_kbps, 0) AS used_rate," \
    " COALESCE(u.slivers, 0) AS slivers FROM node LEFT JOIN (" \
    "  SELECT node, SUM(vcpus) AS vcpus, SUM(memory_mib) AS memory_mib, SUM(disk_mib) AS disk_mib," \
    "  SUM(rate_kbps) AS rate_kbps, SUM(there) AS slivers FROM (" \
    "   SELECT node, vcpus, memory_mib, disk_mib, rate_kbps, 1 AS there FROM sliver" \
    "    WHERE allocation <> 'unallocated'" \
    "   UNION ALL SELECT node, vcpus, memory_mib, disk_mib, rate_kbps, 0 FROM claim)" \
    "  GROUP BY node) AS u ON u.node = node.name "
static const char SQL_ALL[] = SQL_NODES "WHERE state <> 'retired' ORDER BY name";
static const char SQL_ONE[] = SQL_NODES "WHERE name = ?";
static const char SQL_STATE[] = "UPDATE node SET state = ?2 WHERE name = ?1";

int node_db_report(struct db_conn *c, const char *name, const char *urn, const json *report,
                   struct err *err) {
    const json *at = json_get(report, "addresses"), *has = json_get(report, "resources");
    const char *vtep = json_get_str(at, "vtep"), *site = json_get_str(report, "site");
    char *capabilities AUTO_FREE = json_text(json_get(report, "capabilities"));
    return db_exec(c, NULL, err, SQL_REPORT, "sssiissiiiisis", name, urn, json_get_str(at, "host"),
                   json_get_int(at, "port", 0), json_get_int(at, "tunnel_port", 0),
                   vtep ? vtep : "", json_get_str(report, "boot_id"),
                   json_get_int(has, "vcpus", 0), json_get_int(has, "memory_mib", 0),
                   json_get_int(has, "disk_mib", 0), json_get_int(has, "port_rate_kbps", 0),
                   capabilities, clock_wall_ms(), site ? site : "default");
}

int node_db_set_state(struct db_conn *c, const char *name, const char *state, struct err *err) {
    return db_exec(c, NULL, err, SQL_STATE, "ss", name, state);
}

static void from_row(struct db_stmt *q, struct node *n) {
    *n = (struct node){
        .port = db_int(q, "port"),
        .tunnel_port = db_int(q, "tunnel_port"),
        .vcpus = db_int(q, "vcpus"),
        .memory_mib = db_int(q, "memory_mib"),
        .disk_mib = db_int(q, "disk_mib"),
        .rate_kbps = db_int(q, "rate_kbps"),
        .used_vcpus = db_int(q, "used_vcpus"),
        .used_memory_mib = db_int(q, "used_memory"),
        .used_disk_mib = db_int(q, "used_disk"),
        .used_rate_kbps = db_int(q, "used_rate"),
        .slivers = db_int(q, "slivers"),
    };
    snprintf(n->name, sizeof n->name, "%s", db_text(q, "name"));
    snprintf(n->urn, sizeof n->urn, "%s", db_text(q, "urn"));
    snprintf(n->state, sizeof n->state, "%s", db_text(q, "state"));
    snprintf(n->host, sizeof n->host, "%s", db_text(q, "host"));
    snprintf(n->vtep, sizeof n->vtep, "%s", db_text(q, "vtep"));
    snprintf(n->site, sizeof n->site, "%s", db_text(q, "site"));
    const char *text = db_text(q, "capabilities");
    n->capabilities = json_parse(text, strlen(text), NULL);
}

int node_get(struct db_conn *c, const char *name, struct node *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_ONE, "s", name);
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc == 0) {
        err_set(err, ERR_NOT_FOUND, "there is no node %s", name);
        return err_remedy(err, "see `jogak node list`");
    }
    if (rc < 0) return -1;
    from_row(q, ret);
    return 0;
}

int node_all(struct db_conn *c, struct node_list *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_ALL, "");
    if (!q) return -1;
    struct node_list all CLEANUP(node_list_done) = { 0 };
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        all.rows = xrealloc_array(all.rows, all.count + 1, sizeof *all.rows);
        from_row(q, &all.rows[all.count++]);
    }
    if (rc < 0) return -1;
    *ret = all;
    all = (struct node_list){ 0 };
    return 0;
}

struct find {
    const char *name;
    struct node *ret;
};

static int find_fn(struct db_conn *c, void *arg, struct err *err) {
    struct find *f = arg;
    return node_get(c, f->name, f->ret, err);
}

int node_db_find(struct db *db, const char *name, struct node *ret, struct err *err) {
    struct find f = { name, ret };
    return db_read(db, find_fn, &f, err);
}
