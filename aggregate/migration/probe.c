/* What the two ends say, in words of MigrationState and SliverState, and what follows from it. */
#include "steps_internal.h"

#include "../agents.h"
#include "common/log.h"

LOG_MODULE("am.probe");

static json *ask(struct run *r, const char *node, struct err *err) {
    return agents_call(r->am, node, "GET", NULL, step_timeout_ms(4), err, "/v1/migrations/%s?sliver=%s",
                       r->m.id, r->s.id);
}

static const char *sliver_state(const json *state) {
    const char *text = json_get_str(json_get(state, "sliver"), "state");
    return text ? text : "unknown";
}

static bool has_arrived(const json *target) {
    return step_phase_is(target, " arrived active delivered ") && strcmp(sliver_state(target), "absent");
}

/* The source does not answer. Once its lease is over its guest does not run any more. */
static enum verdict without_source(struct run *r, struct err *ret_why) {
    if (!delivery_gone(r, r->m.source)) return VERDICT_WAIT;
    json *target AUTO_JSON = ask(r, r->m.target, ret_why);
    if (!target || !has_arrived(target)) return VERDICT_UNDO;
    json_set_bool(r->m.facts, "by_lease", true);
    return VERDICT_FORWARD;
}

/* The target does not answer. It runs nothing before it is told to; but it may have all there is. */
static enum verdict without_target(struct run *r, const char *at_source) {
    if (!delivery_gone(r, r->m.target)) return VERDICT_WAIT;
    if (strcmp(at_source, "absent") == 0) return VERDICT_LOST;
    return strcmp(at_source, "unknown") ? VERDICT_UNDO : VERDICT_WAIT;
}

enum verdict step_probe(struct run *r, struct err *ret_why) {
    if (r->m.step < 5) return VERDICT_UNDO; /* nothing was made on any node yet */
    if (!r->how->source) return VERDICT_UNDO; /* nobody waits for it: it can be tried again */
    json *source AUTO_JSON = ask(r, r->m.source, ret_why);
    if (!source) return without_source(r, ret_why);
    json_del(r->m.facts, "by_lease");
    const char *at_source = sliver_state(source);
    if (strcmp(at_source, "running") == 0) return VERDICT_UNDO;
    /* An agent that was restarted in the midst of it cannot let the guest go any more, only keep it. */
    bool there = strcmp(at_source, "absent") && strcmp(at_source, "unknown");
    if (there && step_phase_is(source, " failed ")) return VERDICT_UNDO;
    json *target AUTO_JSON = ask(r, r->m.target, ret_why);
    if (!target) return without_target(r, at_source);
    const char *at_target = sliver_state(target);
    log_info("probed", "migration=%s source=%s target=%s", r->m.id, at_source, at_target);
    if (has_arrived(target)) return VERDICT_FORWARD;
    if (there) return VERDICT_UNDO;
    if (strcmp(at_source, "absent") == 0 && strcmp(at_target, "absent") == 0) return VERDICT_LOST;
    return VERDICT_WAIT;
}
