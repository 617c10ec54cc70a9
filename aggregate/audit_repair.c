#include "audit_repair.h"

#include "agents.h"
#include "audit_db.h"
#include "common/log.h"
#include "event.h"
#include "forwarding.h"
#include "migration/debt.h"
#include "reservation.h"
#include "sliver.h"

LOG_MODULE("am.audit");

#define CALL_MS 10000
#define COLLECT_MS 30000
#define COLLECT_MAX 256 /* things in one call */
#define FENCES_MAX 1000

struct repair {
    struct aggregate *am;
    const char *node;
    int64_t begun_ms;
    const struct audit_finding *f;
    struct err why; /* of what failed outside of the database */
    bool done;
    json *keys; /* of the sliver's owner */
    struct sliver sliver;
};

static int note_fn(struct db_conn *c, void *arg, struct err *err) {
    struct repair *r = arg;
    return audit_db_tried(c, r->node, r->f, r->done, r->why.msg, err);
}

static void note(struct repair *r) {
    struct err err = ERR_INIT;
    if (db_write(r->am->db, note_fn, r, &err))
        log_error("a repair was not noted", "node=%s cause=\"%s\"", r->node, err.msg);
}

/* --- in a transaction: the repair, and that it was tried --- */
static int cleanup_fn(struct db_conn *c, void *arg, struct err *err) {
    struct repair *r = arg;
    struct audit_sliver s;
    if (audit_db_still(c, r->f->sliver, r->begun_ms, &s, err)) return -1;
    enum audit_standing at = audit_standing(&s, r->node, r->f->epoch);
    if (at != STANDING_OLD && at != STANDING_ENDED)
        return err_set(err, ERR_CONFLICT, "sliver %s has changed meanwhile", s.name);
    return debt_add(c, r->node, r->f->sliver, r->f->epoch, "", err) ||
                   audit_db_tried(c, r->node, r->f, false, "", err)
               ? -1
               : 0;
}

static int state_fn(struct db_conn *c, void *arg, struct err *err) {
    struct repair *r = arg;
    struct audit_sliver s;
    if (audit_db_still(c, r->f->sliver, r->begun_ms, &s, err)) return -1;
    if (audit_standing(&s, r->node, r->f->epoch) != STANDING_HERE)
        return err_set(err, ERR_CONFLICT, "sliver %s has moved meanwhile", s.name);
    const char *reason = strcmp(r->f->state, "ready") ? r->f->cause : "";
    return sliver_set_state(c, s.id, r->f->state, reason, err) ||
                   audit_db_tried(c, r->node, r->f, true, "", err)
               ? -1
               : 0;
}

static int forwarding_fn(struct db_conn *c, void *arg, struct err *err) {
    struct repair *r = arg;
    return forwarding_owe(c, r->f->slice, r->node, err) ||
                   audit_db_tried(c, r->node, r->f, false, "", err)
               ? -1
               : 0;
}

static void in_transaction(struct repair *r, db_fn fn) {
    if (db_write(r->am->db, fn, r, &r->why) == 0) return;
    if (r->why.code != ERR_CONFLICT)
        log_warn("not repaired", "node=%s kind=%s name=%s cause=\"%s\"", r->node, r->f->kind,
                 r->f->name, r->why.msg);
}

static void cleanup(struct repair *r) { in_transaction(r, cleanup_fn); }
static void set_state(struct repair *r) { in_transaction(r, state_fn); }
static void tell_forwarding(struct repair *r) { in_transaction(r, forwarding_fn); }

/* --- by a call --- */
static void forget(struct repair *r) {
    json *answer AUTO_JSON = agents_call(r->am, r->node, "DELETE", NULL, CALL_MS, &r->why,
                                         "/v1/migrations/%s", r->f->name);
    note(r);
}

static int spec_fn(struct db_conn *c, void *arg, struct err *err) {
    struct repair *r = arg;
    struct audit_sliver s;
    struct reservation res AUTO_RESERVATION = { .keys = NULL };
    if (audit_db_still(c, r->f->sliver, r->begun_ms, &s, err) ||
        sliver_get(c, r->f->sliver, &r->sliver, err) ||
        reservation_get(c, r->sliver.reservation, &res, err))
        return -1;
    r->keys = json_copy(res.keys);
    return 0;
}

static void adopt(struct repair *r) {
    if (db_read(r->am->db, spec_fn, r, &r->why) == 0) {
        json *spec AUTO_JSON =
            sliver_spec(r->am, &r->sliver, r->node, r->sliver.epoch, r->keys);
        json *answer AUTO_JSON = agents_call(r->am, r->node, "PUT", spec, CALL_MS, &r->why,
                                             "/v1/slivers/%s?adopt=true", r->f->sliver);
    }
    sliver_done(&r->sliver);
    json_put(STEAL(r->keys));
    note(r);
}

/* Told once more with each look, so that who reads the list knows why nothing happens. */
static void hold_back(struct repair *r) {
    err_set(&r->why, ERR_CONFLICT, "left alone, since the sliver's owner was not seen to have it");
    note(r);
}

static void (*const by_repair[])(struct repair *) = {
    [REPAIR_CLEANUP] = cleanup, [REPAIR_FORGET] = forget, [REPAIR_FORWARDING] = tell_forwarding,
    [REPAIR_ADOPT] = adopt,     [REPAIR_STATE] = set_state,
};

/* --- leftovers: many in one call --- */
static json *collect_item(const struct audit_finding *f) {
    json *item = json_set_str(json_object(), "kind", f->kind);
    json_set_str(item, "name", f->name);
    if (f->sliver[0]) json_set_str(item, "sliver", f->sliver);
    return f->epoch ? json_set_int(item, "epoch", f->epoch) : item;
}

static const char *refusal(const json *results, const struct audit_finding *f) {
    for (size_t i = 0; results && i < json_length(results); i++) {
        const json *one = json_at(results, i);
        const char *kind = json_get_str(one, "kind"), *name = json_get_str(one, "name");
        if (kind && name && !strcmp(kind, f->kind) && !strcmp(name, f->name))
            return json_get_str(one, "reason");
    }
    return NULL;
}

static bool to_collect(const struct audit_finding *f) {
    return f->repair == REPAIR_COLLECT && !f->withheld;
}

static void collect(struct repair *r, const struct audit_findings *found) {
    json *items = json_array();
    json *body AUTO_JSON = json_set(json_object(), "items", items);
    for (size_t i = 0; i < found->count && json_length(items) < COLLECT_MAX; i++)
        if (to_collect(&found->rows[i])) json_add(items, collect_item(&found->rows[i]));
    if (!json_length(items)) return;
    struct err failed = ERR_INIT;
    json *answer AUTO_JSON = agents_call(r->am, r->node, "POST", body, COLLECT_MS, &failed,
                                         "/v1/inventory/collect");
    size_t asked = json_length(items);
    for (size_t i = 0; i < found->count && asked; i++) {
        if (!to_collect(&found->rows[i])) continue;
        const char *reason = answer ? refusal(json_get(answer, "results"), &found->rows[i]) : NULL;
        r->f = &found->rows[i];
        r->why = failed;
        if (reason) err_set(&r->why, ERR_CONFLICT, "%s", reason);
        note(r);
        asked--;
    }
}

void audit_repair(struct aggregate *am, const char *node, int64_t begun_ms,
                  const struct audit_findings *found) {
    struct repair r = { .am = am, .node = node, .begun_ms = begun_ms };
    for (size_t i = 0; i < found->count; i++) {
        r.f = &found->rows[i];
        err_clear(&r.why);
        if (r.f->withheld) {
            hold_back(&r);
            continue;
        }
        if ((size_t)r.f->repair < COUNT_OF(by_repair) && by_repair[r.f->repair])
            by_repair[r.f->repair](&r);
    }
    collect(&r, found);
    events_wake(am->events);
}

/* --- a new process of the agent --- */
struct lesson {
    const char *node;
    const json *slices;
};

static int owe_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct lesson *l = arg;
    for (size_t i = 0; i < json_length(l->slices); i++)
        if (forwarding_owe(c, json_str(json_at(l->slices, i)), l->node, err)) return -1;
    return 0;
}

static int teach_fences(struct aggregate *am, const char *node, struct err *err) {
    json *all AUTO_JSON = audit_db_fences(am, err);
    if (!all) return -1;
    for (size_t at = 0; at < json_length(all); at += FENCES_MAX) {
        json *part = json_array();
        json *body AUTO_JSON = json_set(json_object(), "fences", part);
        for (size_t i = at; i < json_length(all) && i < at + FENCES_MAX; i++)
            json_add(part, json_ref(json_at(all, i)));
        json *answer AUTO_JSON = agents_call(am, node, "POST", body, CALL_MS, err, "/v1/fences");
        if (!answer) return -1;
    }
    return 0;
}

int audit_teach(struct aggregate *am, const char *node, struct err *err) {
    if (teach_fences(am, node, err)) return -1;
    json *slices AUTO_JSON = audit_db_slices(am, node, err);
    struct lesson l = { node, slices };
    if (!slices || db_write(am->db, owe_fn, &l, err)) return -1;
    log_info("agent taught", "node=%s slices=%zu", node, json_length(slices));
    return 0;
}
