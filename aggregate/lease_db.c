#include "lease_db.h"

static const char SQL_EACH[] = "SELECT name, lease_ms FROM node WHERE state <> 'retired'";
static const char SQL_SET[] = "UPDATE node SET lease_ms = ?2 WHERE name = ?1";
static const char SQL_SLIVERS[] =
    "SELECT id AS sliver, epoch FROM sliver WHERE node = ?1 AND allocation <> 'unallocated'"
    " UNION SELECT sliver, epoch FROM migration WHERE target = ?1 AND epoch > 0"
    " AND state IN ('running', 'undoing')";

struct each {
    lease_db_fn fn;
    void *ctx;
};

static int each_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct each *e = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_EACH, "");
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1) e->fn(e->ctx, db_text(q, "name"), db_int(q, "lease_ms"));
    return rc;
}

int lease_db_each(struct db *db, lease_db_fn fn, void *ctx, struct err *err) {
    struct each e = { fn, ctx };
    return db_read(db, each_fn, &e, err);
}

int lease_db_set(struct db_conn *c, const char *node, int64_t lease_ms, struct err *err) {
    return db_exec(c, NULL, err, SQL_SET, "si", node, lease_ms);
}

int lease_db_slivers(struct db_conn *c, const char *node, json **ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_SLIVERS, "s", node);
    if (!q) return -1;
    json *all AUTO_JSON = json_array();
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        json *one = json_set_str(json_object(), "sliver", db_text(q, "sliver"));
        json_add(all, json_set_int(one, "epoch", db_int(q, "epoch")));
    }
    if (rc < 0) return -1;
    *ret = STEAL(all);
    return 0;
}
