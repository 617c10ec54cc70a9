#include "debt.h"

#include "../agents.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("am.debt");

#define REMOVE_MS 30000

static const char SQL_ADD[] =
    "INSERT INTO debt (node, sliver, epoch, migration, since_ms, kind) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING";
static const char SQL_NO_UNDO[] =
    "DELETE FROM debt WHERE node = ? AND sliver = ? AND epoch <= ? AND kind = 'undo'";
static const char SQL_MIGRATION_EPOCH[] = "SELECT epoch FROM migration WHERE id = ?";
static const char SQL_DUE[] =
    "SELECT debt.* FROM debt JOIN node ON node.name = debt.node"
    " WHERE node.state IN ('ready', 'draining') AND (debt.operation IS NULL OR NOT EXISTS (SELECT 1"
    " FROM operation WHERE id = debt.operation AND state IN ('pending', 'running'))) LIMIT 8";
static const char SQL_TAKE[] =
    "UPDATE debt SET operation = ? WHERE node = ? AND sliver = ? AND epoch = ?";
static const char SQL_PAID[] = "DELETE FROM debt WHERE node = ? AND sliver = ? AND epoch = ?";
static const char SQL_NODES_OF[] = "SELECT node FROM debt WHERE migration = ?";
static const char SQL_ANY[] = "SELECT 1 AS there FROM debt LIMIT 1";

int debt_add(struct db_conn *c, const char *node, const char *sliver, int64_t epoch,
             const char *migration, struct err *err) {
    return db_exec(c, NULL, err, SQL_NO_UNDO, "ssi", node, sliver, epoch) ||
                   db_exec(c, NULL, err, SQL_ADD, "ssisis", node, sliver, epoch, migration,
                           clock_wall_ms(), "remove")
               ? -1
               : 0;
}

int debt_add_undo(struct db_conn *c, const char *node, const char *sliver, int64_t epoch,
                  const char *migration, struct err *err) {
    return db_exec(c, NULL, err, SQL_ADD, "ssisis", node, sliver, epoch, migration, clock_wall_ms(),
                   "undo");
}

int debt_nodes_of(struct db_conn *c, const char *migration, json *nodes, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_NODES_OF, "s", migration);
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1) json_set_str(nodes, db_text(q, "node"), "debt");
    return rc;
}

static int take(struct db_conn *c, struct db_stmt *q, struct err *err) {
    struct operation op AUTO_OPERATION = { .kind = "cleanup", .owner = "aggregate" };
    snprintf(op.node, sizeof op.node, "%s", db_text(q, "node"));
    snprintf(op.sliver, sizeof op.sliver, "%s", db_text(q, "sliver"));
    int64_t epoch = db_int(q, "epoch");
    json *input = json_set_int(json_object(), "epoch", epoch);
    json_set_str(input, "migration", db_text(q, "migration"));
    json_set_str(input, "what", db_text(q, "kind"));
    return operation_add(c, &op, input, err) ||
                   db_exec(c, NULL, err, SQL_TAKE, "sssi", op.id, op.node, op.sliver, epoch)
               ? -1
               : 0;
}

static int tick_fn(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_DUE, "");
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1)
        if (take(c, q, err)) return -1;
    return rc;
}

static int any_fn(struct db_conn *c, void *arg, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_ANY, "");
    if (!q) return -1;
    *(bool *)arg = db_step(q, err) == 1;
    return 0;
}

void debt_tick(struct aggregate *am) {
    struct err err = ERR_INIT;
    bool any = false;
    if (db_read(am->db, any_fn, &any, &err) == 0 && any && db_write(am->db, tick_fn, NULL, &err) == 0)
        work_wake(am->work);
    if (err.code) log_warn("debts not looked at", "error=%s", err.msg);
}

static int paid_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct operation *op = arg;
    return db_exec(c, NULL, err, SQL_PAID, "ssi", op->node, op->sliver,
                   json_get_int(op->input, "epoch", 0));
}

struct at {
    const char *migration;
    int64_t epoch;
};

static int epoch_fn(struct db_conn *c, void *arg, struct err *err) {
    struct at *a = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_MIGRATION_EPOCH, "s", a->migration);
    if (!q || db_step(q, err) < 0) return -1;
    a->epoch = db_int(q, "epoch");
    return 0;
}

/* The verbs of a migration carry its own epoch, not that of the incarnation at the source. */
static json *undo(struct aggregate *am, const struct operation *op, struct err *err) {
    struct at a = { .migration = json_get_str(op->input, "migration") };
    if (db_read(am->db, epoch_fn, &a, err)) return NULL;
    json *body AUTO_JSON = json_set_int(json_object(), "epoch", a.epoch);
    return agents_call(am, op->node, "POST", body, REMOVE_MS, err, "/v1/migrations/%s/undo",
                       a.migration);
}

static json *remove_incarnation(struct aggregate *am, const struct operation *op, struct err *err) {
    return agents_call(am, op->node, "DELETE", NULL, REMOVE_MS, err, "/v1/slivers/%s?epoch=%lld",
                       op->sliver, (long long)json_get_int(op->input, "epoch", 0));
}

int debt_run(struct aggregate *am, const struct operation *op, struct err *err) {
    const char *what = json_get_str(op->input, "what");
    bool undoes = what && strcmp(what, "undo") == 0;
    json *gone AUTO_JSON = undoes ? undo(am, op, err) : remove_incarnation(am, op, err);
    if (!gone) return -1;
    const char *migration = json_get_str(op->input, "migration");
    json *forgotten AUTO_JSON = NULL;
    if (migration && *migration) /* a debt that the audit found has none */
        forgotten = agents_call(am, op->node, "DELETE", NULL, REMOVE_MS, err, "/v1/migrations/%s",
                                migration);
    if (migration && *migration && !forgotten) return -1;
    struct operation copy = *op;
    return db_write(am->db, paid_fn, &copy, err);
}
