/* What the audit reads in lists: for its rounds, for teaching an agent, and for who asks. */
#include "audit_db.h"

#include "common/clock.h"

static const char SQL_FENCES[] =
    "SELECT id, epoch FROM sliver WHERE allocation <> 'unallocated' ORDER BY id";
static const char SQL_SLICES[] =
    "SELECT slice FROM sliver WHERE node = ? AND allocation <> 'unallocated'"
    " AND allocation = 'provisioned' UNION SELECT slice FROM public_address"; /* of which it may be a gateway */
static const char SQL_NODES[] =
    "SELECT name FROM node LEFT JOIN audited ON audited.node = node.name"
    " WHERE state IN ('ready', 'draining', 'quarantined') AND port > 0"
    " AND (COALESCE(at_ms, 0) <= ?1 OR at_ms > ?2) ORDER BY COALESCE(at_ms, 0), name";
static const char SQL_AT_REST[] =
    "SELECT state FROM sliver WHERE id = ? AND node = ? AND epoch = ? AND busy IS NULL"
    " AND allocation = 'provisioned'";
static const char SQL_FINDINGS[] =
    "SELECT * FROM finding WHERE (?1 IS NULL OR node = ?1)"
    " AND (?2 IS NULL OR state = ?2) AND id < ?3 ORDER BY id DESC LIMIT ?4";
static const char SQL_LOOKS[] =
    "SELECT audited.*, node.state AS node_state,"
    " (SELECT COUNT(*) FROM finding WHERE finding.node = audited.node AND finding.state = 'open')"
    "  AS open,"
    " (SELECT COUNT(*) FROM finding WHERE finding.node = audited.node AND finding.state = 'ignored')"
    "  AS ignored"
    " FROM audited JOIN node ON node.name = audited.node WHERE node.state <> 'retired'"
    " AND (?1 IS NULL OR audited.node = ?1) ORDER BY audited.node";
static const char SQL_COUNT[] =
    "SELECT COUNT(*) AS n FROM finding WHERE (?1 IS NULL OR node = ?1) AND state = ?2";

struct list {
    const char *sql, *node, *state;
    int64_t number, limit;
    void (*add)(struct db_stmt *q, json *to);
    json *ret;
};

static int list_fn(struct db_conn *c, void *arg, struct err *err) {
    struct list *l = arg;
    struct db_stmt *q AUTO_STMT = NULL;
    if (l->sql == SQL_FINDINGS)
        q = db_query(c, err, l->sql, "ssii", l->node, l->state, l->number, l->limit);
    else if (l->sql == SQL_NODES) q = db_query(c, err, l->sql, "ii", l->number, clock_wall_ms());
    else if (l->sql == SQL_FENCES) q = db_query(c, err, l->sql, "");
    else q = db_query(c, err, l->sql, "s", l->node);
    int more = q ? 0 : -1;
    while (q && (more = db_step(q, err)) == 1) l->add(q, l->ret);
    return more;
}

static json *list(struct aggregate *am, struct list l, struct err *err) {
    json *all AUTO_JSON = l.ret = json_array();
    return db_read(am->db, list_fn, &l, err) ? NULL : STEAL(all);
}

static void add_fence(struct db_stmt *q, json *to) {
    json *one = json_set_str(json_object(), "sliver", db_text(q, "id"));
    json_add(to, json_set_int(one, "epoch", db_int(q, "epoch")));
}

json *audit_db_fences(struct aggregate *am, struct err *err) {
    return list(am, (struct list){ .sql = SQL_FENCES, .add = add_fence }, err);
}

static void add_slice(struct db_stmt *q, json *to) { json_add(to, json_string(db_text(q, "slice"))); }

json *audit_db_slices(struct aggregate *am, const char *node, struct err *err) {
    return list(am, (struct list){ .sql = SQL_SLICES, .node = node, .add = add_slice }, err);
}

static void add_node(struct db_stmt *q, json *to) { json_add(to, json_string(db_text(q, "name"))); }

json *audit_db_nodes(struct aggregate *am, int64_t not_since_ms, struct err *err) {
    return list(am, (struct list){ .sql = SQL_NODES, .number = not_since_ms, .add = add_node }, err);
}

static void add_finding(struct db_stmt *q, json *to) {
    char when[CLOCK_TEXT_BYTES];
    json *f = json_set_str(json_object(), "node", db_text(q, "node"));
    static const char *const texts[] = { "kind", "name", "what", "cause", "repair", "state" };
    for (size_t i = 0; i < COUNT_OF(texts); i++) json_set_str(f, texts[i], db_text(q, texts[i]));
    if (*db_text(q, "sliver")) json_set_str(f, "sliver", db_text(q, "sliver"));
    if (db_int(q, "epoch")) json_set_int(f, "epoch", db_int(q, "epoch"));
    if (*db_text(q, "problem")) json_set_str(f, "problem", db_text(q, "problem"));
    json_set_int(f, "tries", db_int(q, "tries"));
    json_set_int(f, "id", db_int(q, "id"));
    json_set_str(f, "since", clock_rfc3339(db_int(q, "since_ms"), when));
    json_set_str(f, "seen", clock_rfc3339(db_int(q, "seen_ms"), when));
    if (!db_null(q, "ended_ms"))
        json_set_str(f, "ended", clock_rfc3339(db_int(q, "ended_ms"), when));
    json_add(to, f);
}

json *audit_db_findings(struct aggregate *am, const char *node, const char *state,
                        int64_t before_id, int limit, struct err *err) {
    return list(am, (struct list){ .sql = SQL_FINDINGS, .node = node, .state = state,
                                   .number = before_id, .limit = limit, .add = add_finding },
                err);
}

static void add_look(struct db_stmt *q, json *to) {
    char when[CLOCK_TEXT_BYTES];
    json *l = json_set_str(json_object(), "node", db_text(q, "node"));
    json_set_str(l, "node_state", db_text(q, "node_state"));
    json_set_str(l, "at", clock_rfc3339(db_int(q, "at_ms"), when));
    json_set_int(l, "took_ms", db_int(q, "took_ms"));
    json_set_int(l, "items", db_int(q, "items"));
    json_set_int(l, "open", db_int(q, "open"));
    json_set_int(l, "ignored", db_int(q, "ignored"));
    if (*db_text(q, "problem")) json_set_str(l, "problem", db_text(q, "problem"));
    json_add(to, l);
}

json *audit_db_looks(struct aggregate *am, const char *node, struct err *err) {
    return list(am, (struct list){ .sql = SQL_LOOKS, .node = node, .add = add_look }, err);
}

struct count {
    const char *node, *state;
    int64_t *ret;
};

static int count_fn(struct db_conn *c, void *arg, struct err *err) {
    struct count *n = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_COUNT, "ss", n->node, n->state);
    if (!q || db_step(q, err) < 0) return -1;
    *n->ret = db_int(q, "n");
    return 0;
}

int audit_db_count(struct aggregate *am, const char *node, const char *state, int64_t *ret,
                   struct err *err) {
    struct count n = { node, state, ret };
    return db_read(am->db, count_fn, &n, err);
}

/* --- reports --- */
struct suspicion {
    const char *node;
    const json *states;
    bool found;
};

/* What an agent says of an incarnation, and what we must then say of a sliver at rest. */
static bool contradicts(const char *said, const char *ours) {
    bool runs = !strcmp(said, "running");
    if (!strcmp(ours, "ready")) return !strcmp(said, "failed") || !strcmp(said, "stopped");
    return runs && (!strcmp(ours, "failed") || !strcmp(ours, "stopped"));
}

static int suspicious_fn(struct db_conn *c, void *arg, struct err *err) {
    struct suspicion *s = arg;
    for (size_t i = 0; !s->found && i < json_length(s->states); i++) {
        const json *one = json_at(s->states, i);
        const char *id = json_get_str(one, "sliver"), *said = json_get_str(one, "state");
        if (!id || !said) continue;
        struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_AT_REST, "ssi", id, s->node,
                                               json_get_int(one, "epoch", 0));
        int row = q ? db_step(q, err) : -1;
        if (row < 0) return -1;
        if (row == 1) s->found = contradicts(said, db_text(q, "state"));
    }
    return 0;
}

int audit_db_suspicious(struct aggregate *am, const char *node, const json *states, bool *ret,
                        struct err *err) {
    struct suspicion s = { node, states, false };
    if (db_read(am->db, suspicious_fn, &s, err)) return -1;
    *ret = s.found;
    return 0;
}
