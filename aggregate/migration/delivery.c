#include "delivery.h"

#include "../agents.h"
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

int delivery_decide(struct run *r, struct err *err) {
    if (source_is_fit(r, err)) return -1;
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
