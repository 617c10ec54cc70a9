#include "steps_internal.h"

#include "../agents.h"

#include <stdio.h>

int64_t step_timeout_ms(int step) { return steps[step - 1].timeout_ms; }

void step_turn(struct run *r) {
    json_set_int(r->m.facts, "turn", json_get_int(r->m.facts, "turn", 0) + 1);
}

void step_tell_turn(const struct run *r, json *body) {
    int64_t turn = json_get_int(r->m.facts, "turn", 0);
    if (turn) json_set_int(body, "turn", turn); /* none yet: agents of an older release know no such word */
}

json *step_call(struct run *r, int step, const char *node, const char *verb, json *more,
                struct err *err) {
    json *body AUTO_JSON = more ? more : json_object();
    json_set_int(body, "epoch", r->m.epoch);
    step_tell_turn(r, body);
    return agents_call(r->am, node, "POST", body, step_timeout_ms(step), err,
                       "/v1/migrations/%s/%s", r->m.id, verb);
}

json *step_look(struct run *r, int step, const char *node, int64_t seen, int wait_ms,
                struct err *err) {
    return agents_call(r->am, node, "GET", NULL, step_timeout_ms(step), err,
                       "/v1/migrations/%s?seen=%lld&wait_ms=%d", r->m.id, (long long)seen, wait_ms);
}

bool step_phase_is(const json *state, const char *phases) {
    const char *phase = json_get_str(state, "phase");
    if (!phase) return false;
    char padded[64];
    snprintf(padded, sizeof padded, " %s ", phase);
    return strstr(phases, padded) != NULL;
}

int step_agent_error(const json *state, const char *node, struct err *err) {
    const json *e = json_get(state, "error");
    const char *message = json_get_str(e, "message"), *remedy = json_get_str(e, "remedy");
    const char *phase = json_get_str(state, "phase");
    err_set(err, e ? err_from_name(json_get_str(e, "code")) : ERR_CONFLICT, "node %s: %s%s", node,
            message ? message : "the migration there is ", message ? "" : phase ? phase : "unknown");
    if (remedy) err_remedy(err, "%s", remedy);
    return -1;
}

size_t step_ends(const struct run *r, const char *ret_nodes[2]) {
    size_t n = 0;
    if (r->how->source) ret_nodes[n++] = r->m.source;
    ret_nodes[n++] = r->m.target;
    return n;
}

static int policy_run(struct run *r, struct err *err) {
    const json *policy = json_get(r->s.wanted, "migration");
    if (!json_get_bool(policy, "movable", true)) {
        err_set(err, ERR_CONFLICT, "sliver %s is not movable by its policy", r->s.name);
        return err_remedy(err, "set migration.movable: true in its topology file");
    }
    const char *kind = json_get_str(policy, "policy");
    snprintf(r->m.policy, sizeof r->m.policy, "%s", kind ? kind : "dynamic");
    json_set_str(r->detail, "policy", r->m.policy);
    return journal_state(r->am, &r->m, "running", err);
}

/* The signal has to hold still, and both ends of the delivery have to be fit for it. */
static int signal_run(struct run *r, struct err *err) {
    if (delivery_decide(r, err)) return -1;
    json_set_str(r->detail, "signal", r->m.trigger);
    json_set_str(r->detail, "delivery", r->m.delivery);
    return journal_state(r->am, &r->m, "running", err);
}

const struct step steps[STEP_COUNT] = {
    { 1, "policy", "decide the migration policy", policy_run, NULL, 0 },
    { 2, "reserve", "select the node and reserve resources", choose_run, choose_undo, 0 },
    { 3, "signal", "agree on signal and delivery mode", signal_run, NULL, 5000 },
    { 4, "check", "check the resources one last time", check_run, check_undo, 10000 },
    { 5, "network", "set up the delivery network", network_run, network_undo, 15000 },
    { 6, "copy", "copy image, disk and memory", copy_run, source_undo, 10000 },
    { 7, "stop", "stop the old sliver", stop_run, source_undo, 30000 },
    { 8, "confirm", "confirm completion", confirm_run, source_undo, 30000 },
    { 9, "release", "release the delivery network", release_copy_run, NULL, 5000 },
    { 10, "activate", "activate the new sliver", activate_run, NULL, 10000 },
    { 11, "link", "activate its link virtualization", link_run, NULL, 5000 },
    { 12, "openflow", "readjust the OpenFlow forwarding", openflow_run, NULL, 5000 },
};
