#include "moves.h"

#include "../placement.h"

#include <stdio.h>

/* What one row needs of the placement. */
struct candidate {
    struct move *row;
    struct sliver s;
};
struct plan {
    struct candidate *rows;
    struct placement_wish *wishes;
    size_t count;
};

static void plan_done(struct plan *p) {
    for (size_t i = 0; i < p->count; i++) sliver_done(&p->rows[i].s);
    free(p->rows);
    free(p->wishes);
}

static void set(struct move *row, enum move_state state, const char *reason, const char *why) {
    row->state = state;
    row->target[0] = '\0';
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    snprintf(row->why, sizeof row->why, "%.599s", why);
}

/* One that is still being made is waited for; a failed or stopped one has nothing to move. */
static bool may_move(const struct sliver *s, struct move *row) {
    char why[200];
    if (!json_get_bool(json_get(s->wanted, "migration"), "movable", true)) {
        set(row, MOVE_STAYS, "not_movable", "not movable by its policy");
        return false;
    }
    if (!strcmp(s->state, "ready") || !strcmp(s->state, "migrating") || s->busy[0]) return true;
    snprintf(why, sizeof why, "it is %s; only a ready one can be moved", s->state);
    set(row, MOVE_STAYS, "sliver_state", why);
    return false;
}

static struct placement_wish wish_of(const struct sliver *s, const struct move_rule *rule) {
    const json *targets = json_path(s->wanted, "migration.targets");
    return (struct placement_wish){
        .name = s->name,
        .kind = s->kind,
        .node = rule->to,
        .avoid = rule->avoid ? rule->avoid : rule->to ? NULL : s->node,
        .targets = rule->to ? NULL : targets,
        .vcpus = s->vcpus,
        .memory_mib = s->memory_mib,
        .disk_mib = s->disk_mib,
        .rate_kbps = s->rate_kbps,
    };
}

/* Those to be placed now, into p. */
static int collect(struct db_conn *c, struct moves *m, struct plan *p, struct err *err) {
    for (size_t i = 0; i < m->count; i++) {
        struct move *row = &m->rows[i];
        struct candidate *one = &p->rows[p->count];
        if (row->state != MOVE_BLOCKED) continue;
        if (sliver_get(c, row->sliver, &one->s, err)) return -1;
        one->row = row;
        p->count++; /* so that it is freed; taken back when it is not to be placed */
        bool elsewhere = false;
        if (moves_claimed_elsewhere(c, m->operation, row->sliver, &elsewhere, err)) return -1;
        if (elsewhere) set(row, MOVE_BLOCKED, "busy", "another operation moves it");
        if (!elsewhere && may_move(&one->s, row)) continue;
        sliver_done(&one->s);
        p->count--;
    }
    return 0;
}

/* Each of the refused with its own nodes' reasons. */
static void refuse(struct candidate *one, const json *reasons) {
    struct buf b AUTO_BUF = BUF_INIT;
    for (size_t i = 0; i < json_length(reasons) && b.length < 400; i++) {
        const json *r = json_at(reasons, i);
        const char *sliver = json_get_str(r, "sliver_id"), *reason = json_get_str(r, "reason");
        if (!sliver || strcmp(sliver, one->s.id) || !strcmp(reason, "not_wanted")) continue;
        buf_printf(&b, "%s%s: %s", b.length ? "; " : "", json_get_str(r, "node"), reason);
        if (json_has(r, "need"))
            buf_printf(&b, " %lld needed, %lld free", (long long)json_get_int(r, "need", 0),
                       (long long)json_get_int(r, "free", 0));
    }
    char why[500];
    snprintf(why, sizeof why, "no node can take it (%s)", b.length ? b.data : "there is no other");
    set(one->row, MOVE_FAILED, "no_space", why);
}

static int settle(struct db_conn *c, struct moves *m, const struct plan *p,
                  const struct node_list *nodes, bool claim, const json *reasons,
                  struct err *err) {
    for (size_t i = 0; i < p->count; i++) {
        struct candidate *one = &p->rows[i];
        if (p->wishes[i].chosen < 0) {
            refuse(one, reasons);
            continue;
        }
        const char *target = nodes->rows[p->wishes[i].chosen].name;
        set(one->row, MOVE_WAITING, "", "");
        snprintf(one->row->target, sizeof one->row->target, "%s", target);
        if (claim && moves_claim(c, m->operation, &one->s, target, err)) return -1;
    }
    return 0;
}

/* Slivers of different slices may have the same name; while they are placed they are known by their id. */
static void give_names(const struct plan *p, json *reasons) {
    for (size_t i = 0; i < json_length(reasons); i++) {
        json *r = json_at(reasons, i);
        for (size_t k = 0; k < p->count; k++) {
            if (strcmp(json_get_str(r, "sliver"), p->rows[k].s.id)) continue;
            json_set_str(r, "sliver_id", p->rows[k].s.id);
            json_set_str(r, "sliver", p->rows[k].s.name);
            json_set_str(r, "slice", p->rows[k].row->slice);
            break;
        }
    }
}

static int say_refused(const struct moves *m, struct err *err) {
    struct buf b AUTO_BUF = BUF_INIT;
    size_t refused = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct move *row = &m->rows[i];
        if (row->state != MOVE_FAILED || strcmp(row->reason, "no_space")) continue;
        if (refused++ && b.length > 500) continue;
        buf_printf(&b, "%s%s of %s: %s", refused > 1 ? "; " : "", row->name, row->slice, row->why);
    }
    err_set(err, ERR_NO_SPACE, "%zu of %zu slivers find no place elsewhere: %s", refused, m->count,
            b.length ? b.data : "");
    return err_remedy(err, "make room on other nodes (jogak node list), or release some");
}

int moves_place(struct db_conn *c, struct aggregate *am, struct moves *m,
                const struct move_rule *rule, bool claim, json **ret_reasons, struct err *err) {
    struct plan p CLEANUP(plan_done) = { xcalloc(m->count + 1, sizeof *p.rows),
                                         xcalloc(m->count + 1, sizeof *p.wishes), 0 };
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    if (collect(c, m, &p, err) || node_all(c, &nodes, err)) return -1;
    for (size_t i = 0; i < p.count; i++) {
        p.wishes[i] = wish_of(&p.rows[i].s, rule);
        p.wishes[i].name = p.rows[i].s.id;
    }
    json *reasons AUTO_JSON = NULL;
    struct err none = ERR_INIT;
    int failed = placement_search(&nodes, p.wishes, p.count, am->config->cpu_overcommit_percent,
                                  &reasons, &none);
    give_names(&p, reasons);
    if (settle(c, m, &p, &nodes, claim, reasons, err)) return -1;
    if (ret_reasons) *ret_reasons = STEAL(reasons);
    return failed ? say_refused(m, err) : 0;
}

size_t moves_refusals(const struct moves *m, json *reasons) {
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct move *row = &m->rows[i];
        if (row->state == MOVE_WAITING || row->state == MOVE_MOVED) continue;
        json *j = json_set_str(json_object(), "sliver", row->name);
        json_set_str(j, "sliver_id", row->sliver);
        json_set_str(j, "slice", row->slice);
        json_set_str(j, "reason", row->reason);
        json_add(reasons, json_set_str(j, "why", row->why));
        n++;
    }
    return n;
}
