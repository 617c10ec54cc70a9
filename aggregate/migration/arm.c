#include "arm.h"

#include "../placement.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("am.arm");

#define AT_ONCE 32

static const char SQL_HELD[] = "SELECT node FROM claim WHERE operation = ?1 AND sliver = ?1";
static const char SQL_LET_GO[] = "DELETE FROM claim WHERE operation = ?1 AND sliver = ?1";
static const char SQL_HOLD[] =
    "INSERT INTO claim (operation, sliver, node, vcpus, memory_mib, disk_mib, rate_kbps)"
    " VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
/* Nothing is held for them, or at a node that takes nobody, or at their own. */
static const char SQL_UNARMED[] =
    "SELECT sliver.id FROM sliver LEFT JOIN claim ON claim.operation = sliver.id"
    " LEFT JOIN node ON node.name = claim.node WHERE sliver.armed > 0 AND sliver.busy IS NULL"
    " AND sliver.allocation = 'provisioned' AND (claim.node IS NULL OR node.state <> 'ready'"
    " OR claim.node = sliver.node) LIMIT ?";

void arm_wish(const struct sliver *s, struct placement_wish *ret) {
    const json *policy = json_get(s->wanted, "migration");
    const char *prefer = json_get_str(policy, "prefer");
    *ret = (struct placement_wish){
        .name = s->name,
        .kind = s->kind,
        .avoid = s->node,
        .targets = json_get(policy, "targets"),
        .near = prefer && !strcmp(prefer, "location") ? json_get_str(policy, "near") : NULL,
        .backup = prefer && !strcmp(prefer, "backup") ? json_get_str(policy, "backup") : NULL,
        .vcpus = s->vcpus,
        .memory_mib = s->memory_mib,
        .disk_mib = s->disk_mib,
        .rate_kbps = s->rate_kbps,
    };
}

static bool wants_arms(const struct sliver *s) {
    const char *policy = json_get_str(json_get(s->wanted, "migration"), "policy");
    return policy && strcmp(policy, "dynamic") != 0;
}

static int held_at(struct db_conn *c, const char *sliver, char ret_node[64], struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_HELD, "s", sliver);
    if (!q) return -1;
    int rc = db_step(q, err);
    snprintf(ret_node, 64, "%s", rc == 1 ? db_text(q, "node") : "");
    return rc < 0 ? -1 : 0;
}

int arm_take(struct db_conn *c, const char *sliver, char ret_node[64], struct err *err) {
    return held_at(c, sliver, ret_node, err) || db_exec(c, NULL, err, SQL_LET_GO, "s", sliver) ? -1 : 0;
}

int arm_sliver(struct db_conn *c, struct aggregate *am, const struct sliver *s, json **ret_reasons,
               struct err *err) {
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    struct placement_wish wish;
    char held[64];
    if (!wants_arms(s)) return 0;
    if (held_at(c, s->id, held, err)) return -1;
    if (held[0]) return 0;
    arm_wish(s, &wish);
    if (node_all(c, &nodes, err) ||
        placement_choose(&nodes, &wish, 1, am->config->cpu_overcommit_percent, ret_reasons, err))
        return err_wrap(err, "no target to hold");
    const char *node = nodes.rows[wish.chosen].name;
    log_info("armed", "sliver=%s target=%s", s->id, node);
    return db_exec(c, NULL, err, SQL_HOLD, "ssiiii", s->id, node, s->vcpus, s->memory_mib, s->disk_mib,
                   s->rate_kbps);
}

/* --- the ticker --- */
static int unarmed_fn(struct db_conn *c, void *arg, struct err *err) {
    json *ids = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_UNARMED, "i", (int64_t)AT_ONCE);
    int rc = -1;
    while (q && (rc = db_step(q, err)) == 1) json_add(ids, json_string(db_text(q, "id")));
    return rc < 0 ? -1 : 0;
}

struct again {
    struct aggregate *am;
    const char *sliver;
};

static int again_fn(struct db_conn *c, void *arg, struct err *err) {
    struct again *a = arg;
    struct sliver s AUTO_SLIVER = { 0 };
    char held[64];
    if (sliver_get(c, a->sliver, &s, err)) return -1;
    if (s.busy[0]) return 0;
    return arm_take(c, s.id, held, err) || arm_sliver(c, a->am, &s, NULL, err) ? -1 : 0;
}

void arm_tick(struct aggregate *am) {
    struct err err = ERR_INIT;
    json *ids AUTO_JSON = json_array();
    if (db_read(am->db, unarmed_fn, ids, &err)) log_warn("arms not looked at", "error=%s", err.msg);
    for (size_t i = 0; i < json_length(ids); i++) {
        struct again a = { am, json_str(json_at(ids, i)) };
        struct err one = ERR_INIT;
        if (db_write(am->db, again_fn, &a, &one))
            log_debug("not armed", "sliver=%s error=%s", a.sliver, one.msg);
    }
}
