#include "bandwidth.h"

/* Those that copy, or are about to: between the network's set-up and the guest's stop. */
static const char SQL_AT_WORK[] =
    "SELECT COUNT(*) AS all_, SUM(?1 IN (migration.source, target)) AS at_source,"
    " SUM(?2 IN (migration.source, target)) AS at_target FROM migration JOIN operation USING (id)"
    " WHERE operation.state IN ('running', 'cancelling') AND migration.state = 'running'"
    " AND committed = 0 AND step BETWEEN 5 AND 8";

struct share {
    const char *source, *target;
    int64_t all, at_source, at_target;
};

static int count_fn(struct db_conn *c, void *arg, struct err *err) {
    struct share *s = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_AT_WORK, "ss", s->source, s->target);
    if (!q || db_step(q, err) != 1) return -1;
    s->all = db_int(q, "all_");
    if (!s->all) return 0;
    s->at_source = db_int(q, "at_source");
    s->at_target = db_int(q, "at_target");
    return 0;
}

int64_t bandwidth_share_kbps(struct aggregate *am, const char *source, const char *target) {
    struct share s = { .source = source, .target = target };
    const struct { int64_t budget; const int64_t *users; } limits[] = {
        { am->config->migration_kbps, &s.all },
        { am->config->node_migration_kbps, &s.at_source },
        { am->config->node_migration_kbps, &s.at_target },
    };
    if (!am->config->migration_kbps && !am->config->node_migration_kbps) return 0;
    if (db_read(am->db, count_fn, &s, NULL)) return 0;
    int64_t share = 0;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        if (!limits[i].budget) continue;
        int64_t mine = limits[i].budget / (*limits[i].users > 0 ? *limits[i].users : 1);
        if (mine < 1) mine = 1;
        if (!share || mine < share) share = mine;
    }
    return share;
}
