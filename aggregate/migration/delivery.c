#include "delivery.h"

#include "../agents.h"
#include "../checkpoint.h"
#include "../lease.h"
#include "common/clock.h"
#include "loss.h"
#include "steps_internal.h"

#include <stdio.h>

static const struct delivery rows[] = {
    { "direct", .source = true, .copies = true },
    { "store", .source = true, .copies = true, .manifest = true, .fetches = true },
    { "fresh", .source = true, .fetches = true },
    { "fresh", .fetches = true },
    { "checkpoint", .manifest = true, .fetches = true },
};

const struct delivery *delivery_named(const char *name, bool alone) {
    for (size_t i = 0; name && i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].name, name) == 0 && rows[i].source != alone) return &rows[i];
    return &rows[0];
}

bool delivery_alone(const struct migration *m) { return json_get_bool(m->facts, "alone", false); }

/* The request's word, or the policy's, or: direct first. */
static const char *wanted(const struct run *r) {
    const char *asked = json_get_str(r->op->input, "delivery");
    const char *policy = json_get_str(json_get(r->s.wanted, "migration"), "delivery");
    return asked ? asked : policy ? policy : "auto";
}

static void decided(struct run *r, const char *name, bool alone) {
    json_set_bool(r->m.facts, "alone", alone);
    r->how = delivery_named(name, alone);
    snprintf(r->m.delivery, sizeof r->m.delivery, "%s", r->how->name);
}

/* The guest has to be there for its state to be given away. */
static int source_is_fit(struct run *r, struct err *err) {
    json *state AUTO_JSON = agents_call(r->am, r->m.source, "GET", NULL, step_timeout_ms(3), err,
                                        "/v1/slivers/%s", r->s.id);
    if (!state) return -1;
    const char *is = json_get_str(state, "state");
    if (is && (!strcmp(is, "running") || !strcmp(is, "paused"))) return 0;
    err_set(err, ERR_CONFLICT, "sliver %s is %s at node %s", r->s.name, is ? is : "unknown",
            r->m.source);
    return err_remedy(err, "see `jogak sliver show %s`", r->s.name);
}

/* --- without the source --- */
bool delivery_gone(const struct run *r, const char *node) {
    return lease_fences(&r->s) && lease_is_over(r->am, node);
}

/* It has to be known that the guest does not run there: its node's lease is over, or the node says so. */
int delivery_source_is_out(struct run *r, struct err *err) {
    json_set_bool(r->m.facts, "by_lease", delivery_gone(r, r->m.source));
    if (json_get_bool(r->m.facts, "by_lease", false)) return 0;
    json *state AUTO_JSON = agents_call(r->am, r->m.source, "GET", NULL, step_timeout_ms(3), err,
                                        "/v1/slivers/%s", r->s.id);
    if (!state) return -1;
    const char *is = json_get_str(state, "state");
    if (is && (!strcmp(is, "absent") || !strcmp(is, "stopped") || !strcmp(is, "failed"))) return 0;
    return err_set(err, ERR_CONFLICT, "node %s is back: sliver %s is %s there", r->m.source, r->s.name,
                   is ? is : "unknown");
}

struct find_state {
    struct run *r;
    enum loss_plan plan;
    const char *why;
    struct checkpoint newest;
};

static int find_state_fn(struct db_conn *c, void *arg, struct err *err) {
    struct find_state *f = arg;
    const char *signal = strcmp(f->r->m.trigger, "down") ? "lost" : "down";
    bool found = false;
    f->plan = loss_plan(c, &f->r->s, signal, &f->why, err);
    return f->plan == LOSS_CHECKPOINT ? checkpoint_newest(c, f->r->s.id, &f->newest, &found, err) : 0;
}

/* How old the state is stands in the operation: work since then is lost. */
static void note_checkpoint(struct run *r, const struct checkpoint *k) {
    char when[CLOCK_TEXT_BYTES];
    json *j = json_set_str(json_object(), "id", k->id);
    json_set_str(j, "taken", clock_rfc3339(k->taken_ms, when));
    json_set_int(j, "age_ms", clock_wall_ms() - k->taken_ms);
    json_set_int(j, "epoch", k->epoch);
    json_set(r->detail, "checkpoint", json_ref(j));
    json_set(r->m.facts, "checkpoint", j);
    json_set_str(r->m.facts, "manifest", k->manifest);
}

static int decide_alone(struct run *r, struct err *err) {
    struct find_state f = { .r = r, .why = "" };
    if (delivery_source_is_out(r, err) || db_read(r->am->db, find_state_fn, &f, err)) return -1;
    if (f.plan == LOSS_WAIT) {
        err_set(err, ERR_GONE, "sliver %s cannot be resumed elsewhere: %s", r->s.name, f.why);
        return err_remedy(err, "create it anew: jogak apply");
    }
    if (f.plan == LOSS_CHECKPOINT) note_checkpoint(r, &f.newest);
    decided(r, f.plan == LOSS_CHECKPOINT ? "checkpoint" : "fresh", true);
    return 0;
}

int delivery_decide(struct run *r, struct err *err) {
    if (!strcmp(r->m.trigger, "lost") || !strcmp(r->m.trigger, "down")) return decide_alone(r, err);
    if (source_is_fit(r, err) || checkpoint_settle(r->am, r->s.id, err)) return -1;
    if (r->m.attempt > 1 && r->m.delivery[0]) decided(r, r->m.delivery, false);
    else decided(r, strcmp(wanted(r), "auto") ? wanted(r) : "direct", false);
    return 0;
}

const char *delivery_after(const struct run *r, const struct err *why) {
    if (strcmp(r->m.delivery, "direct") || strcmp(wanted(r), "auto")) return NULL;
    /* What failed earlier, or because somebody asked to stop, would fail again in the same way. */
    if (r->m.step < 4 || why->code == ERR_CANCELLED || r->am->stopping) return NULL;
    return "store";
}
