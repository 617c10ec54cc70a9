/*
 * Steps 4 to 8: everything before the commit that nodes take part in.
 *
 * The rows are the same for each delivery; the table in delivery.c says what of them there is to do.
 */
#include "steps_internal.h"

#include "../agents.h"
#include "../image.h"
#include "../reservation.h"
#include "bandwidth.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("am.transfer");

/* --- 4: the last check, at both ends --- */
struct owner_keys {
    const char *reservation;
    json *keys;
};

static int keys_fn(struct db_conn *c, void *arg, struct err *err) {
    struct owner_keys *k = arg;
    struct reservation res AUTO_RESERVATION = { 0 };
    if (reservation_get(c, k->reservation, &res, err)) return -1;
    k->keys = STEAL(res.keys);
    return 0;
}

static json *migration_spec(struct run *r, bool target, struct err *err) {
    struct node peer AUTO_NODE = { 0 };
    if (node_find(r->am, target ? r->m.source : r->m.target, &peer, err)) return NULL;
    json *j AUTO_JSON = json_set_str(json_object(), "role", target ? "target" : "source");
    if (strcmp(r->how->name, "direct")) /* the default; agents of an older release know no other */
        json_set_str(j, "delivery", r->how->name);
    json_set_str(j, "sliver", r->s.id);
    json_set_int(j, "epoch", r->m.epoch);
    json_set_int(j, "source_epoch", r->m.source_epoch);
    json *p = json_set_str(json_object(), "urn", peer.urn);
    json_set_str(p, "host", peer.host);
    json_set(j, "peer", json_set_int(p, "tunnel_port", peer.tunnel_port));
    if (target) {
        struct owner_keys k = { .reservation = r->s.reservation };
        if (db_read(r->am->db, keys_fn, &k, err)) return NULL;
        json_set(j, "spec", sliver_spec(r->am, &r->s, r->m.target, r->m.epoch, k.keys));
        json_put(k.keys);
    }
    return STEAL(j);
}

int check_run(struct run *r, struct err *err) {
    /* Obtained now if it has to be, while nothing else is held up. */
    if (image_at_node(r->am, r->op, r->m.target, r->s.image, err)) return -1;
    const char *ends[2];
    size_t n = step_ends(r, ends);
    struct agents_each *calls = xcalloc(n, sizeof *calls);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        snprintf(calls[i].node, sizeof calls[i].node, "%s", ends[i]);
        snprintf(calls[i].path, sizeof calls[i].path, "/v1/migrations/%s", r->m.id);
        calls[i].method = "PUT";
        calls[i].timeout_ms = step_timeout_ms(4);
        if (!(calls[i].body = migration_spec(r, ends[i] == r->m.target, err))) rc = -1;
    }
    if (rc == 0 && agents_call_all(r->am, calls, n)) {
        rc = -1;
        if (err) *err = calls[0].answer ? calls[n - 1].err : calls[0].err;
    }
    agents_each_done(calls, n);
    return rc;
}

int check_undo(struct run *r, struct err *err) {
    const char *ends[2];
    size_t n = step_ends(r, ends);
    for (size_t i = 0; i < n; i++) {
        json *answer AUTO_JSON = agents_call(r->am, ends[i], "DELETE", NULL, step_timeout_ms(4),
                                             err, "/v1/migrations/%s?epoch=%lld", r->m.id,
                                             (long long)r->m.epoch);
        if (!answer && leave_end(r, ends[i], err)) return -1;
    }
    return 0;
}

/* --- 5: the delivery network --- */
int network_run(struct run *r, struct err *err) {
    json *target AUTO_JSON = step_call(r, 5, r->m.target, "prepare", NULL, err);
    if (!target) return -1;
    if (!r->how->source) return 0;
    json *more = json_object();
    if (json_has(target, "destination_xml"))
        json_set(more, "destination_xml", json_copy(json_get(target, "destination_xml")));
    json *source AUTO_JSON = step_call(r, 5, r->m.source, "prepare", more, err);
    return source ? 0 : -1;
}

static int64_t patience_ms(const struct run *r) { return r->am->config->node_lost_ms; }

/* Nothing at the target can run or forward before the commit, so one that does not answer holds the
 * source up only for a while. The source has the guest: it is waited for until its lease is over. What is left
 * to do there is done when it comes back. */
int leave_end(struct run *r, const char *node, struct err *err) {
    bool target = strcmp(node, r->m.target) == 0;
    if (!err || (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT)) return -1;
    bool waited = target && clock_monotonic_ms() - r->undo_since_ms >= patience_ms(r);
    if (!waited && !delivery_gone(r, node)) return -1;
    log_warn("node to be cleared later", "migration=%s node=%s error=%s", r->m.id, node, err->msg);
    json_set_bool(r->m.facts, target ? "target_owes" : "source_owes", true);
    json_set_str(r->detail, target ? "target" : "source", err->msg);
    err_clear(err);
    return 0;
}

static int undo_at(struct run *r, const char *node, struct err *err) {
    json *body = json_set_int(json_object(), "step", r->m.step);
    json *answer AUTO_JSON = step_call(r, 5, node, "undo", body, err);
    return answer ? 0 : leave_end(r, node, err);
}

int source_undo(struct run *r, struct err *err) {
    return r->how->source ? undo_at(r, r->m.source, err) : 0;
}

/* The source too: it has its end of the tunnel, and forgets nothing that it was not told to undo. */
int network_undo(struct run *r, struct err *err) {
    return source_undo(r, err) || undo_at(r, r->m.target, err) ? -1 : 0;
}

/* --- 6: disk, memory --- */
static void tell_progress(struct run *r, int step, const char *doing, const json *state) {
    json *p = json_set_str(json_object(), "doing", doing);
    static const char *const fields[] = { "phase", "bytes_done", "bytes_total", "rate_mbps" };
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (json_has(state, fields[i])) json_set(p, fields[i], json_copy(json_get(state, fields[i])));
    json_set_str(p, "delivery", r->m.delivery);
    json_set_int(p, "attempt", r->m.attempt);
    json_set_int(p, "step", step);
    operation_progress(r->am, r->op->id, p, NULL);
}

/* Only a limit that is wanted is told: agents of an older release know none. */
static json *copy_body(int64_t max_kbps) {
    return max_kbps ? json_set_int(json_object(), "max_kbps", max_kbps) : NULL;
}

/* Others have begun or ended, so the share is another one. */
static void keep_to_share(struct run *r, int64_t *told_kbps) {
    int64_t share = bandwidth_share_kbps(r->am, r->m.source, r->m.target);
    if (share == *told_kbps) return;
    struct err none = ERR_INIT; /* it may have just ended; then the next look says so */
    json *answer AUTO_JSON = step_call(r, 6, r->m.source, "copy", copy_body(share), &none);
    if (answer) *told_kbps = share;
}

int copy_run(struct run *r, struct err *err) {
    if (!r->how->source) return 0;
    int64_t share_kbps = bandwidth_share_kbps(r->am, r->m.source, r->m.target);
    json *started AUTO_JSON = step_call(r, 6, r->m.source, "copy", copy_body(share_kbps), err);
    if (!started) return -1;
    if (!r->how->copies) return 0;
    int64_t seen = json_get_int(started, "sequence", 0), told = 0;
    for (;;) {
        if (operation_cancelled(r->am, r->op->id))
            return err_set(err, ERR_CANCELLED, "cancelled while copying");
        json *state AUTO_JSON = step_look(r, 6, r->m.source, seen, STEP_LOOK_MS, err);
        if (!state) return -1;
        seen = json_get_int(state, "sequence", seen);
        if (step_phase_is(state, " stopped pinned ")) {
            json_set_int(r->detail, "bytes", json_get_int(state, "bytes_done", 0));
            return 0;
        }
        if (!step_phase_is(state, " copying prepared "))
            return step_agent_error(state, r->m.source, err);
        if (clock_monotonic_ms() - told >= STEP_LOOK_MS) {
            tell_progress(r, 6, r->how->manifest ? "saving into the store" : "copying", state);
            told = clock_monotonic_ms();
            keep_to_share(r, &share_kbps);
        }
    }
}

/* --- 7: stop; 8: confirm --- */
int stop_run(struct run *r, struct err *err) {
    if (!r->how->source) return delivery_source_is_out(r, err);
    json *answer AUTO_JSON = step_call(r, 7, r->m.source, "stop", NULL, err);
    if (!answer) return -1;
    const char *at = json_get_str(answer, "paused_at");
    if (at) json_set_str(r->m.facts, "paused_at", at);
    return 0;
}

/* A wait ends when it has what it wants, or when nothing has moved for the step's time. */
struct patience {
    int64_t bytes, deadline_ms;
};

static bool moves_on(struct patience *p, const json *state) {
    int64_t bytes = json_get_int(state, "bytes_done", 0), now = clock_monotonic_ms();
    if (!p->deadline_ms || bytes != p->bytes) {
        p->deadline_ms = now + step_timeout_ms(8);
        p->bytes = bytes;
    }
    return now < p->deadline_ms;
}

/* The paused source's state is in the store as a whole once it names the manifest. */
static int await_manifest(struct run *r, struct err *err) {
    struct patience p = { 0, 0 };
    int64_t seen = 0;
    while (!json_has(r->m.facts, "manifest")) {
        json *state AUTO_JSON = step_look(r, 8, r->m.source, seen, p.deadline_ms ? STEP_LOOK_MS : 0, err);
        if (!state) return -1;
        seen = json_get_int(state, "sequence", 0);
        const char *manifest = json_get_str(state, "manifest");
        if (manifest) {
            json_set_str(r->m.facts, "manifest", manifest);
            break;
        }
        if (!step_phase_is(state, " stopped pinned "))
            return step_agent_error(state, r->m.source, err);
        if (!moves_on(&p, state))
            return err_set(err, ERR_TIMEOUT, "node %s does not get the state into the store",
                           r->m.source);
        tell_progress(r, 8, "saving into the store", state);
    }
    return 0;
}

static int fetch(struct run *r, struct err *err) {
    bool known = json_has(r->m.facts, "manifest");
    if (r->how->manifest && !known && await_manifest(r, err)) return -1;
    json *body = json_object();
    if (r->how->manifest)
        json_set_str(body, "manifest", json_get_str(r->m.facts, "manifest"));
    json *answer AUTO_JSON = step_call(r, 8, r->m.target, "fetch", body, err);
    return answer ? 0 : -1;
}

#define ASK_SOURCE_MS 1000 /* a guest that has left takes less to arrive */

/* A source whose agent was started again has given up: nothing comes any more, and the target cannot know.
 * One that does not answer says nothing. */
static bool source_gave_up(struct run *r, struct err *err) {
    struct err none = ERR_INIT;
    json *state AUTO_JSON = step_look(r, 8, r->m.source, 0, 0, &none);
    if (!state || !step_phase_is(state, " failed undone ")) return false;
    step_agent_error(state, r->m.source, err);
    return true;
}

/* Until the target says that everything is there. No cancelling any more: what arrives now
 * cannot be called back, only libvirt itself can still fail. */
static int await_arrival(struct run *r, struct err *err) {
    struct patience p = { 0, 0 };
    int64_t seen = 0, ask_ms = clock_monotonic_ms() + ASK_SOURCE_MS;
    for (;;) {
        json *state AUTO_JSON = step_look(r, 8, r->m.target, seen, p.deadline_ms ? STEP_LOOK_MS : 0, err);
        if (!state) return -1;
        seen = json_get_int(state, "sequence", 0);
        if (step_phase_is(state, " arrived active delivered ")) return 0;
        if (!step_phase_is(state, " prepared incoming "))
            return step_agent_error(state, r->m.target, err);
        if (!moves_on(&p, state))
            return err_set(err, ERR_TIMEOUT, "the guest did not arrive at node %s within %lld ms",
                           r->m.target, (long long)step_timeout_ms(8));
        if (r->how->fetches) tell_progress(r, 8, "fetching from the store", state);
        else if (clock_monotonic_ms() >= ask_ms) {
            if (source_gave_up(r, err)) return -1;
            ask_ms = clock_monotonic_ms() + ASK_SOURCE_MS;
        }
    }
}

int confirm_run(struct run *r, struct err *err) {
    if ((r->how->fetches && fetch(r, err)) || await_arrival(r, err)) return -1;
    json *target AUTO_JSON = step_call(r, 8, r->m.target, "confirm", NULL, err);
    if (!target) return -1;
    /* One whose lease is over needs no pin, and could not be asked for it. The commit looks again. */
    if (!r->how->source || json_get_bool(r->m.facts, "by_lease", false)) return 0;
    json *source AUTO_JSON = step_call(r, 8, r->m.source, "confirm", NULL, err);
    return source ? 0 : -1;
}
