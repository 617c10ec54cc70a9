/* Steps 9 to 12: after the commit. There is only forward; rows are repeated until they succeed. */
#include "steps_internal.h"

#include "../address.h"
#include "../agents.h"
#include "../forwarding.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("am.takeover");

/* The same verb at all ends at once. ret_* may be NULL. */
static int call_ends(struct run *r, int step, const char *verb, json **ret_source,
                     json **ret_target, struct err *err) {
    const char *nodes[2];
    size_t n = step_ends(r, nodes);
    struct agents_each *calls = xcalloc(n, sizeof *calls);
    for (size_t i = 0; i < n; i++) {
        snprintf(calls[i].node, sizeof calls[i].node, "%s", nodes[i]);
        snprintf(calls[i].path, sizeof calls[i].path, "/v1/migrations/%s/%s", r->m.id, verb);
        calls[i].method = "POST";
        calls[i].body = json_set_int(json_object(), "epoch", r->m.epoch);
        step_tell_turn(r, calls[i].body);
        calls[i].timeout_ms = step_timeout_ms(step);
    }
    size_t failed = agents_call_all(r->am, calls, n);
    for (size_t i = 0; i < n; i++)
        if (!calls[i].answer && err) *err = calls[i].err;
    if (ret_source && r->how->source) *ret_source = STEAL(calls[0].answer);
    if (ret_target) *ret_target = STEAL(calls[n - 1].answer);
    agents_each_done(calls, n);
    return failed ? -1 : 0;
}

/* --- 9: release --- */
int release_copy_run(struct run *r, struct err *err) {
    json *source AUTO_JSON = NULL, *target AUTO_JSON = NULL;
    struct err one = ERR_INIT;
    call_ends(r, 9, "release", &source, &target, &one);
    if (!target) {
        if (err) *err = one;
        return -1;
    }
    /* The source was pinned before the commit: it cannot run, so one that does not answer now
     * holds nothing up. What is left there goes when it comes back. */
    if (!source && r->how->source) {
        log_warn("source not released yet", "migration=%s node=%s error=%s", r->m.id, r->m.source,
                 one.msg);
        json_set_bool(r->m.facts, "source_pending", true);
        json_set_str(r->detail, "source", one.msg);
    }
    return 0;
}

/* --- 10: activate; 11: link; 12: forwarding --- */
int activate_run(struct run *r, struct err *err) {
    /* The target's flows first: a guest that wakes up sends at once. Until it does, nothing can. */
    if (forwarding_push_node(r->am, r->s.slice, r->m.target, NULL, err)) return -1;
    json *answer AUTO_JSON = step_call(r, 10, r->m.target, "activate", NULL, err);
    if (!answer) return -1;
    const char *at = json_get_str(answer, "resumed_at");
    if (at) json_set_str(r->m.facts, "resumed_at", at);
    return 0;
}

int link_run(struct run *r, struct err *err) {
    return forwarding_push_node(r->am, r->s.slice, r->m.target, NULL, err);
}

/* The frames that wait at a source that does not answer are gone with it; the sliver is not. */
static void drain_source(struct run *r) {
    struct err drain = ERR_INIT;
    if (json_has(r->m.facts, "source_pending")) { /* it did not answer in step 9: once more */
        json *released AUTO_JSON = step_call(r, 9, r->m.source, "release", NULL, &drain);
        if (released) json_del(r->m.facts, "source_pending");
    }
    json *drained AUTO_JSON = step_call(r, 12, r->m.source, "drain", NULL, &drain);
    if (drained) return;
    log_warn("frames at the source not drained", "migration=%s error=%s", r->m.id, drain.msg);
    json_set_str(r->detail, "undrained", drain.msg);
}

/* Whoever follows the slice's events (its DNS, say) hears of another public address when it answers. */
static int tell_address(struct run *r, struct err *err) {
    json *change = NULL;
    if (address_tell(r->am, &r->s, r->m.id, &change, err)) return -1; /* a full disk: the row runs again */
    if (change) json_set(r->m.facts, "address", change);
    if (json_has(r->m.facts, "address"))
        json_set(r->detail, "address", json_copy(json_get(r->m.facts, "address")));
    return 0;
}

int openflow_run(struct run *r, struct err *err) {
    struct err push = ERR_INIT;
    size_t nodes = 0;
    if (forwarding_push_moved(r->am, r->s.slice, r->m.source, &nodes, &push)) {
        log_warn("forwarding not set everywhere", "migration=%s error=%s", r->m.id, push.msg);
        json_set_str(r->detail, "behind", push.msg);
    }
    json_set_int(r->detail, "nodes", (int64_t)nodes);
    if (tell_address(r, err)) return -1;
    if (r->how->source) drain_source(r);
    json *delivered AUTO_JSON = step_call(r, 12, r->m.target, "deliver", NULL, err);
    if (!delivered) return -1;
    json_set_int(r->m.facts, "held_frames", json_get_int(delivered, "frames", 0));
    json_set_int(r->detail, "held_frames", json_get_int(delivered, "frames", 0));
    return 0;
}

