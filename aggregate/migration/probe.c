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

enum verdict step_probe(struct run *r, struct err *ret_why) {
    if (r->m.step < 5) return VERDICT_UNDO; /* nothing was made on any node yet */
    json *source AUTO_JSON = ask(r, r->m.source, ret_why);
    if (!source) return VERDICT_WAIT;
    const char *at_source = sliver_state(source);
    if (strcmp(at_source, "running") == 0) return VERDICT_UNDO;
    json *target AUTO_JSON = ask(r, r->m.target, ret_why);
    if (!target) return VERDICT_WAIT;
    const char *at_target = sliver_state(target);
    log_info("probed", "migration=%s source=%s target=%s", r->m.id, at_source, at_target);
    if (step_phase_is(target, " arrived active delivered ") && strcmp(at_target, "absent"))
        return VERDICT_FORWARD;
    if (strcmp(at_source, "absent") && strcmp(at_source, "unknown")) return VERDICT_UNDO;
    if (strcmp(at_source, "absent") == 0 && strcmp(at_target, "absent") == 0) return VERDICT_LOST;
    return VERDICT_WAIT;
}

