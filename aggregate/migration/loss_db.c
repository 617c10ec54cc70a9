#include "loss_db.h"

#include "common/clock.h"

#include <stdio.h>

#define AT_ONCE 32

static const char SQL_DUE[] =
    "SELECT sliver.id FROM sliver JOIN node ON node.name = sliver.node"
    " WHERE node.state IN ('lost', 'retired') AND sliver.allocation = 'provisioned'"
    " AND sliver.busy IS NULL AND (sliver.state IN ('ready', 'configuring')"
    " OR (sliver.state = 'failed' AND sliver.lost_ms IS NOT NULL)) AND sliver.retry_ms <= ?"
    " ORDER BY sliver.retry_ms, sliver.id LIMIT ?";
/* One that its user stopped has no reason; what has a reason went down by itself. */
static const char SQL_DOWN[] =
    "SELECT sliver.id FROM sliver JOIN node ON node.name = sliver.node WHERE sliver.on_down > 0"
    " AND sliver.allocation = 'provisioned' AND sliver.busy IS NULL AND sliver.reason <> ''"
    " AND (sliver.state = 'stopped' OR (sliver.state = 'failed' AND EXISTS (SELECT 1 FROM checkpoint"
    " WHERE checkpoint.sliver = sliver.id AND checkpoint.state = 'complete')))"
    " AND node.state IN ('ready', 'draining') AND sliver.retry_ms <= ? LIMIT ?";
static const char SQL_BACK[] =
    "SELECT sliver.id FROM sliver JOIN node ON node.name = sliver.node"
    " WHERE node.state IN ('ready', 'draining') AND sliver.lost_ms IS NOT NULL AND sliver.busy IS NULL"
    " AND sliver.state = 'failed' AND sliver.retry_ms <= ? ORDER BY sliver.retry_ms LIMIT 1";
static const char SQL_MARK[] =
    "UPDATE sliver SET lost_ms = COALESCE(lost_ms, ?2), retry_ms = ?3 WHERE id = ?1";
static const char SQL_CLEAR[] = "UPDATE sliver SET lost_ms = NULL, retry_ms = 0 WHERE id = ?";

static int ids_of(struct db_conn *c, const char *sql, json **ret_slivers, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, sql, "ii", clock_wall_ms(), (int64_t)AT_ONCE);
    json *ids AUTO_JSON = json_array();
    int rc = -1;
    while (q && (rc = db_step(q, err)) == 1) json_add(ids, json_string(db_text(q, "id")));
    if (rc < 0) return -1;
    *ret_slivers = STEAL(ids);
    return 0;
}

int loss_db_due(struct db_conn *c, json **ret_slivers, struct err *err) {
    return ids_of(c, SQL_DUE, ret_slivers, err);
}

int loss_db_down(struct db_conn *c, json **ret_slivers, struct err *err) {
    return ids_of(c, SQL_DOWN, ret_slivers, err);
}

int loss_db_back(struct db_conn *c, char ret_sliver[37], struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_BACK, "i", clock_wall_ms());
    if (!q) return -1;
    int rc = db_step(q, err);
    snprintf(ret_sliver, 37, "%s", rc == 1 ? db_text(q, "id") : "");
    return rc < 0 ? -1 : 0;
}

int loss_db_mark(struct db_conn *c, const char *sliver, int64_t since_ms, int64_t retry_ms,
                 struct err *err) {
    return db_exec(c, NULL, err, SQL_MARK, "sii", sliver, since_ms, retry_ms);
}

int loss_db_clear(struct db_conn *c, const char *sliver, struct err *err) {
    return db_exec(c, NULL, err, SQL_CLEAR, "s", sliver);
}
