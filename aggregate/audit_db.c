#include "audit_db.h"

#include "common/clock.h"
#include "common/log.h"
#include "event.h"

#include <stdio.h>

LOG_MODULE("am.audit");

#define REPAIRED_KEPT_MS (7 * 86400000LL)

/* A cleanup is the audit's own work, or a debt's: it does not move the sliver. */
#define OPEN_STATES "('pending', 'running', 'cancelling')"
#define SLIVER_COLUMNS \
    "SELECT sliver.*, (SELECT COUNT(*) FROM vnic WHERE vnic.sliver = sliver.id) AS vnics," \
    " (busy IS NOT NULL OR EXISTS (SELECT 1 FROM operation WHERE operation.sliver = sliver.id" \
    "   AND operation.state IN " OPEN_STATES " AND kind <> 'cleanup')" \
    "  OR EXISTS (SELECT 1 FROM migration WHERE migration.sliver = sliver.id" \
    "   AND migration.state IN ('running', 'undoing'))) AS moving," \
    " EXISTS (SELECT 1 FROM migration WHERE migration.sliver = sliver.id" \
    "  AND migration.state = 'armed') AS armed," \
    " EXISTS (SELECT 1 FROM seen WHERE seen.sliver = sliver.id AND seen.node = sliver.node" \
    "  AND seen.epoch = sliver.epoch) AS owner_has_it FROM sliver "
static const char SQL_OF_NODE[] =
    SLIVER_COLUMNS "WHERE node = ? AND allocation <> 'unallocated'";
static const char SQL_ONE[] = SLIVER_COLUMNS "WHERE id = ?";
static const char SQL_LINK[] =
    "SELECT link.vni, link.slice,"
    " EXISTS (SELECT 1 FROM sliver WHERE sliver.slice = link.slice AND sliver.node = ?1"
    "  AND allocation <> 'unallocated' AND allocation = 'provisioned')"
    " OR EXISTS (SELECT 1 FROM public_address WHERE slice = link.slice) AS here," /* a gateway, say */
    " EXISTS (SELECT 1 FROM sliver WHERE sliver.slice = link.slice"
    "  AND allocation <> 'unallocated' AND busy IS NOT NULL) AS moving"
    " FROM link WHERE vni = ?2";
static const char SQL_MIGRATION[] =
    "SELECT (migration.state IN ('armed', 'running', 'undoing') OR operation.state IN " OPEN_STATES
    ") AS open FROM migration JOIN operation USING (id) WHERE id = ?";
static const char SQL_TOUCHED[] =
    "SELECT 1 AS there FROM operation WHERE (sliver = ?1 OR (sliver IS NULL AND slice = ?2))"
    " AND updated_ms >= ?3 AND kind <> 'cleanup' AND slice = ?2 LIMIT 1";

static const char SQL_FOUND[] =
    "INSERT INTO finding (node, kind, name, what, sliver, epoch, cause, repair, state, since_ms,"
    " seen_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)"
    " ON CONFLICT (node, kind, name, what) DO UPDATE SET sliver = ?5, epoch = ?6, cause = ?7,"
    " repair = ?8, seen_ms = ?10, state = ?9, ended_ms = NULL,"
    " since_ms = CASE WHEN finding.state = 'repaired' THEN ?10 ELSE finding.since_ms END,"
    " tries = CASE WHEN finding.state = 'repaired' THEN 0 ELSE finding.tries END";
static const char SQL_KNOWN[] =
    "SELECT state FROM finding WHERE node = ? AND kind = ? AND name = ? AND what = ?";
static const char SQL_OVER[] =
    "UPDATE finding SET state = 'repaired', ended_ms = ?2, problem = ''"
    " WHERE node = ?1 AND state = 'open' AND tries > 0 AND seen_ms <> ?2";
static const char SQL_FORGOTTEN[] =
    "DELETE FROM finding WHERE node = ?1 AND seen_ms <> ?2 AND (state = 'ignored' OR"
    " (state = 'open' AND tries = 0))";
static const char SQL_OLD[] = "DELETE FROM finding WHERE state = 'repaired' AND ended_ms < ?";
static const char SQL_LOOKED[] =
    "INSERT INTO audited (node, at_ms, took_ms, start, items, problem) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    " ON CONFLICT (node) DO UPDATE SET at_ms = ?2, took_ms = ?3, problem = ?6,"
    " start = CASE WHEN ?4 = '' THEN start ELSE ?4 END,"
    " items = CASE WHEN ?4 = '' THEN items ELSE ?5 END";
static const char SQL_SEEN[] =
    "INSERT INTO seen (sliver, node, epoch) VALUES (?1, ?2, ?3) ON CONFLICT (sliver) DO UPDATE"
    " SET node = ?2, epoch = ?3 WHERE seen.node <> ?2 OR seen.epoch <> ?3";
static const char SQL_UNSEEN[] = "DELETE FROM seen WHERE sliver = ? AND node = ?";
static const char SQL_START[] = "SELECT start FROM audited WHERE node = ?";
static const char SQL_TRIED[] =
    "UPDATE finding SET tries = tries + ?8, problem = ?5, state = CASE WHEN ?6 THEN 'repaired' ELSE"
    " state END, ended_ms = CASE WHEN ?6 THEN ?7 ELSE ended_ms END"
    " WHERE node = ?1 AND kind = ?2 AND name = ?3 AND what = ?4";

/* --- what should be --- */
static void text(struct db_stmt *q, const char *column, char *to, size_t size) {
    const char *value = db_text(q, column);
    snprintf(to, size, "%s", value ? value : "");
}
#define TEXT(q, s, field) text(q, #field, (s)->field, sizeof (s)->field)

static void from_row(struct db_stmt *q, struct audit_sliver *s) {
    *s = (struct audit_sliver){
        .epoch = db_int(q, "epoch"),
        .last_epoch = db_int(q, "last_epoch"),
        .vnics = db_int(q, "vnics"),
        .moving = db_int(q, "moving") != 0,
        .armed = db_int(q, "armed") != 0,
        .owner_has_it = db_int(q, "owner_has_it") != 0,
    };
    if (s->last_epoch < s->epoch) s->last_epoch = s->epoch;
    TEXT(q, s, id);
    TEXT(q, s, name);
    TEXT(q, s, slice);
    TEXT(q, s, allocation);
    TEXT(q, s, state);
    TEXT(q, s, node);
}

struct view {
    const char *node;
    const json *inventory;
    struct audit_view *ret;
};

static int add_slivers(struct db_conn *c, struct audit_view *v, const char *sql, const char *key,
                       struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, sql, "s", key);
    int more = q ? 0 : -1;
    while (q && (more = db_step(q, err)) == 1) {
        v->slivers = xrealloc_array(v->slivers, v->sliver_count + 1, sizeof *v->slivers);
        from_row(q, &v->slivers[v->sliver_count++]);
    }
    return more;
}

/* Only of flows that their agent cannot explain: there are few of those, and many links. */
static int add_link(struct db_conn *c, struct audit_view *v, const json *item, struct err *err) {
    if (strcmp(json_get_str(item, "kind"), "flow") || json_get_bool(item, "known", true)) return 0;
    struct db_stmt *q AUTO_STMT =
        db_query(c, err, SQL_LINK, "si", v->node, json_get_int(item, "vni", -1));
    int row = q ? db_step(q, err) : -1;
    if (row != 1) return row;
    v->links = xrealloc_array(v->links, v->link_count + 1, sizeof *v->links);
    struct audit_link *l = &v->links[v->link_count++];
    *l = (struct audit_link){ .vni = db_int(q, "vni"), .here = db_int(q, "here") != 0,
                              .moving = db_int(q, "moving") != 0 };
    TEXT(q, l, slice);
    return 0;
}

static int add_migration(struct db_conn *c, struct audit_view *v, const json *item,
                         struct err *err) {
    const char *kind = json_get_str(item, "kind"), *name = json_get_str(item, "name");
    if (strcmp(kind, "migration") && strcmp(kind, "directory")) return 0;
    const char *slash = strchr(name, '/'), *id = slash ? slash + 1 : name;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_MIGRATION, "s", id);
    int row = q ? db_step(q, err) : -1;
    if (row == 1) json_set_bool(v->migrations, id, db_int(q, "open") != 0);
    return row < 0 ? -1 : 0;
}

static int view_fn(struct db_conn *c, void *arg, struct err *err) {
    struct view *w = arg;
    struct audit_view *v = w->ret;
    const json *items = json_get(w->inventory, "items");
    if (add_slivers(c, v, SQL_OF_NODE, w->node, err)) return -1;
    for (size_t i = 0; items && i < json_length(items); i++) {
        const json *item = json_at(items, i);
        const char *id = json_get_str(item, "sliver");
        if (add_migration(c, v, item, err) || add_link(c, v, item, err)) return -1;
        if (id && !audit_sliver_of(v, id) && add_slivers(c, v, SQL_ONE, id, err)) return -1;
    }
    return 0;
}

int audit_db_view(struct aggregate *am, const char *node, const json *inventory,
                  struct audit_view *ret, struct err *err) {
    *ret = (struct audit_view){ .node = node, .migrations = json_object() };
    struct view w = { node, inventory, ret };
    return db_read(am->db, view_fn, &w, err);
}

void audit_view_done(struct audit_view *v) {
    free(v->slivers);
    free(v->links);
    json_put(v->migrations);
    *v = (struct audit_view){ .node = NULL };
}

int audit_db_still(struct db_conn *c, const char *sliver, int64_t since_ms, struct audit_sliver *ret,
                   struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_ONE, "s", sliver);
    int row = q ? db_step(q, err) : -1;
    if (row < 0) return -1;
    if (row == 0) return err_set(err, ERR_NOT_FOUND, "there is no sliver %s", sliver);
    from_row(q, ret);
    struct db_stmt *touched AUTO_STMT =
        db_query(c, err, SQL_TOUCHED, "ssi", sliver, ret->slice, since_ms);
    int busy = touched ? db_step(touched, err) : -1;
    if (busy < 0) return -1;
    if (busy || ret->moving)
        return err_set(err, ERR_CONFLICT, "an operation works on sliver %s", ret->name);
    return 0;
}

/* --- findings --- */
struct note {
    const struct audit_look *look;
    const struct audit_findings *found;
};

static int tell(struct db_conn *c, const char *node, const struct audit_finding *f,
                const char *state, struct err *err) {
    json *data = json_set_str(json_object(), "node", node);
    json_set_str(data, "kind", f->kind);
    json_set_str(data, "name", f->name);
    json_set_str(data, "what", f->what);
    json_set_str(data, "cause", f->cause);
    json_set_str(data, "state", state);
    return event_add(c, "audit.finding", NULL, data, err);
}

static int note_one(struct db_conn *c, const struct audit_look *l, const struct audit_finding *f,
                    struct err *err) {
    const char *state = f->foreign ? "ignored" : "open";
    bool fresh;
    {
        struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_KNOWN, "ssss", l->node, f->kind, f->name, f->what);
        int row = q ? db_step(q, err) : -1;
        if (row < 0) return -1;
        fresh = row == 0 || strcmp(db_text(q, "state"), state) != 0;
    }
    if (db_exec(c, NULL, err, SQL_FOUND, "sssssisssi", l->node, f->kind, f->name, f->what, f->sliver,
                f->epoch, f->cause, audit_repair_name(f->repair), state, l->at_ms))
        return -1;
    if (!fresh || f->foreign) return 0;
    log_warn("found by the audit", "node=%s kind=%s name=%s what=%s cause=\"%s\"", l->node, f->kind,
             f->name, f->what, f->cause);
    return tell(c, l->node, f, state, err);
}

static int note_seen(struct db_conn *c, const struct audit_look *l, struct err *err) {
    const struct audit_view *v = l->view;
    for (size_t i = 0; v && i < v->sliver_count; i++) {
        const struct audit_sliver *s = &v->slivers[i];
        if (audit_standing(s, v->node, s->epoch) != STANDING_HERE) continue;
        bool there = audit_shows(l->inventory, s);
        if (there && db_exec(c, NULL, err, SQL_SEEN, "ssi", s->id, v->node, s->epoch)) return -1;
        if (!there && l->whole && db_exec(c, NULL, err, SQL_UNSEEN, "ss", s->id, v->node)) return -1;
    }
    return 0;
}

static int note_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct note *n = arg;
    const struct audit_look *l = n->look;
    if (note_seen(c, l, err)) return -1;
    for (size_t i = 0; n->found && i < n->found->count; i++)
        if (note_one(c, l, &n->found->rows[i], err)) return -1;
    if (n->found && l->whole &&
        (db_exec(c, NULL, err, SQL_OVER, "si", l->node, l->at_ms) ||
         db_exec(c, NULL, err, SQL_FORGOTTEN, "si", l->node, l->at_ms)))
        return -1;
    if (db_exec(c, NULL, err, SQL_OLD, "i", l->at_ms - REPAIRED_KEPT_MS)) return -1;
    return db_exec(c, NULL, err, SQL_LOOKED, "siisis", l->node, l->at_ms, l->took_ms,
                   l->start ? l->start : "", l->items, l->problem);
}

int audit_db_note(struct aggregate *am, const struct audit_look *look,
                  const struct audit_findings *found, struct err *err) {
    struct note n = { look, found };
    return db_write(am->db, note_fn, &n, err);
}

int audit_db_tried(struct db_conn *c, const char *node, const struct audit_finding *f, bool done,
                   const char *problem, struct err *err) {
    if (db_exec(c, NULL, err, SQL_TRIED, "sssssiii", node, f->kind, f->name, f->what, problem,
                (int64_t)done, clock_wall_ms(), (int64_t)!f->withheld))
        return -1;
    return done ? tell(c, node, f, "repaired", err) : 0;
}

struct start {
    const char *node;
    char *ret;
};

static int start_fn(struct db_conn *c, void *arg, struct err *err) {
    struct start *s = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_START, "s", s->node);
    int row = q ? db_step(q, err) : -1;
    if (row == 1) snprintf(s->ret, 37, "%s", db_text(q, "start"));
    return row < 0 ? -1 : 0;
}

int audit_db_start(struct aggregate *am, const char *node, char ret[37], struct err *err) {
    struct start s = { node, ret };
    ret[0] = '\0';
    return db_read(am->db, start_fn, &s, err);
}
