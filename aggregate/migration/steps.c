#include "steps.h"

#include "../agents.h"
#include "../forwarding.h"
#include "../image.h"
#include "../placement.h"
#include "../reservation.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("am.steps");

#define PROGRESS_MS 200 /* how long one look at a copy waits; bounds the answer to a cancel */

static const char SQL_CLAIM[] =
    "INSERT INTO claim (operation, sliver, node, vcpus, memory_mib, disk_mib, rate_kbps)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
static const char SQL_TAKE_EPOCH[] = "UPDATE sliver SET last_epoch = last_epoch + 1 WHERE id = ?";
static const char SQL_LAST_EPOCH[] = "SELECT last_epoch FROM sliver WHERE id = ?";
static const char SQL_ENDS[] =
    "UPDATE migration SET source = ?2, target = ?3, source_epoch = ?4, epoch = ?5 WHERE id = ?1";
static const char SQL_UNCLAIM[] = "DELETE FROM claim WHERE operation = ?";

static int64_t timeout_of(int step) { return steps[step - 1].timeout_ms; }

static json *call(struct run *r, int step, const char *node, const char *verb, json *more,
                  struct err *err) {
    json *body AUTO_JSON = more ? more : json_object();
    json_set_int(body, "epoch", r->m.epoch);
    return agents_call(r->am, node, "POST", body, timeout_of(step), err, "/v1/migrations/%s/%s",
                       r->m.id, verb);
}

/* The same verb at both ends at once; ret_* may be NULL. */
static int call_both(struct run *r, int step, const char *verb, json **ret_source,
                     json **ret_target, struct err *err) {
    struct agents_each *calls = xcalloc(2, sizeof *calls);
    const char *const nodes[] = { r->m.source, r->m.target };
    for (size_t i = 0; i < 2; i++) {
        snprintf(calls[i].node, sizeof calls[i].node, "%s", nodes[i]);
        snprintf(calls[i].path, sizeof calls[i].path, "/v1/migrations/%s/%s", r->m.id, verb);
        calls[i].method = "POST";
        calls[i].body = json_set_int(json_object(), "epoch", r->m.epoch);
        calls[i].timeout_ms = timeout_of(step);
    }
    size_t failed = agents_call_all(r->am, calls, 2);
    for (size_t i = 0; i < 2; i++)
        if (!calls[i].answer && err) *err = calls[i].err;
    if (ret_source) *ret_source = STEAL(calls[0].answer);
    if (ret_target) *ret_target = STEAL(calls[1].answer);
    agents_each_done(calls, 2);
    return failed ? -1 : 0;
}

/* --- 1: policy --- */
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

/* --- 2: node, reservation, the next epoch --- */
static int choose(struct db_conn *c, struct run *r, struct err *err) {
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    if (node_all(c, &nodes, err)) return -1;
    struct placement_wish wish = {
        .name = r->s.name,
        .kind = r->s.kind,
        .node = r->m.wanted_target[0] ? r->m.wanted_target : NULL,
        .avoid = r->s.node,
        .vcpus = r->s.vcpus,
        .memory_mib = r->s.memory_mib,
        .disk_mib = r->s.disk_mib,
        .rate_kbps = r->s.rate_kbps,
    };
    if (wish.node && strcmp(wish.node, r->s.node) == 0)
        return err_set(err, ERR_CONFLICT, "sliver %s is on node %s already", r->s.name, wish.node);
    const json *targets = json_path(r->s.wanted, "migration.targets");
    json *reasons AUTO_JSON = NULL;
    int rc = -1;
    if (wish.node || !json_length(targets)) {
        rc = placement_choose(&nodes, &wish, 1, r->am->config->cpu_overcommit_percent, &reasons, err);
    } else { /* the policy's own list, in its order */
        for (size_t i = 0; rc && i < json_length(targets); i++) {
            wish.node = json_str(json_at(targets, i));
            json_put(STEAL(reasons));
            rc = placement_choose(&nodes, &wish, 1, r->am->config->cpu_overcommit_percent, &reasons,
                                  err);
        }
    }
    if (reasons) json_set(r->detail, "refused", json_ref(reasons));
    if (rc) return -1;
    snprintf(r->m.target, sizeof r->m.target, "%s", nodes.rows[wish.chosen].name);
    err_clear(err);
    return 0;
}

/* Also an attempt that fails uses one up: its target has seen it and will refuse it from then on. */
static int take_epoch(struct db_conn *c, struct run *r, struct err *err) {
    if (db_exec(c, NULL, err, SQL_TAKE_EPOCH, "s", r->s.id)) return -1;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_LAST_EPOCH, "s", r->s.id);
    if (!q || db_step(q, err) != 1) return -1;
    r->m.epoch = db_int(q, "last_epoch");
    return 0;
}

static int reserve_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    if (choose(c, r, err) || take_epoch(c, r, err)) return -1;
    snprintf(r->m.source, sizeof r->m.source, "%s", r->s.node);
    r->m.source_epoch = r->s.epoch;
    return db_exec(c, NULL, err, SQL_CLAIM, "sssiiii", r->m.id, r->s.id, r->m.target, r->s.vcpus,
                   r->s.memory_mib, r->s.disk_mib, r->s.rate_kbps) ||
                   db_exec(c, NULL, err, SQL_ENDS, "sssii", r->m.id, r->m.source, r->m.target,
                           r->m.source_epoch, r->m.epoch)
               ? -1
               : 0;
}

static int reserve_run(struct run *r, struct err *err) {
    if (!r->m.target[0]) {
        if (db_write(r->am->db, reserve_fn, r, err)) {
            r->m.target[0] = '\0';
            return -1;
        }
    }
    json_set_str(r->detail, "target", r->m.target);
    json_set_int(r->detail, "epoch", r->m.epoch);
    return 0;
}

static int unclaim_fn(struct db_conn *c, void *arg, struct err *err) {
    return db_exec(c, NULL, err, SQL_UNCLAIM, "s", arg);
}

static int reserve_undo(struct run *r, struct err *err) {
    return db_write(r->am->db, unclaim_fn, r->m.id, err);
}

/* --- 3: signal and delivery mode --- */
static int signal_run(struct run *r, struct err *err) {
    json *state AUTO_JSON = agents_call(r->am, r->m.source, "GET", NULL, timeout_of(3), err,
                                        "/v1/slivers/%s", r->s.id);
    if (!state) return -1;
    const char *is = json_get_str(state, "state");
    if (!is || (strcmp(is, "running") && strcmp(is, "paused")))
        return err_set(err, ERR_CONFLICT, "sliver %s is %s at node %s", r->s.name,
                       is ? is : "unknown", r->m.source);
    snprintf(r->m.delivery, sizeof r->m.delivery, "direct");
    json_set_str(r->detail, "signal", r->m.trigger);
    json_set_str(r->detail, "delivery", r->m.delivery);
    return journal_state(r->am, &r->m, "running", err);
}

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
    json *j = json_set_str(json_object(), "role", target ? "target" : "source");
    json_set_str(j, "sliver", r->s.id);
    json_set_int(j, "epoch", r->m.epoch);
    json_set_int(j, "source_epoch", r->m.source_epoch);
    json *p = json_set_str(json_object(), "urn", peer.urn);
    json_set_str(p, "host", peer.host);
    json_set(j, "peer", json_set_int(p, "tunnel_port", peer.tunnel_port));
    if (target) {
        struct owner_keys k = { .reservation = r->s.reservation };
        if (db_read(r->am->db, keys_fn, &k, err)) {
            json_put(j);
            return NULL;
        }
        json_set(j, "spec", sliver_spec(r->am, &r->s, r->m.target, r->m.epoch, k.keys));
        json_put(k.keys);
    }
    return j;
}

static int check_run(struct run *r, struct err *err) {
    /* Obtained now if it has to be, while nothing else is held up. */
    if (image_at_node(r->am, r->op, r->m.target, r->s.image, err)) return -1;
    struct agents_each *calls = xcalloc(2, sizeof *calls);
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(calls[i].node, sizeof calls[i].node, "%s", i ? r->m.target : r->m.source);
        snprintf(calls[i].path, sizeof calls[i].path, "/v1/migrations/%s", r->m.id);
        calls[i].method = "PUT";
        calls[i].timeout_ms = timeout_of(4);
        if (!(calls[i].body = migration_spec(r, i == 1, err))) rc = -1;
    }
    if (rc == 0 && agents_call_all(r->am, calls, 2)) {
        rc = -1;
        if (err) *err = calls[0].answer ? calls[1].err : calls[0].err;
    }
    agents_each_done(calls, 2);
    return rc;
}

static int forget_undo(struct run *r, struct err *err) {
    const char *const nodes[] = { r->m.source, r->m.target };
    for (size_t i = 0; i < 2; i++) {
        json *answer AUTO_JSON = agents_call(r->am, nodes[i], "DELETE", NULL, timeout_of(4), err,
                                             "/v1/migrations/%s", r->m.id);
        if (!answer) return -1;
    }
    return 0;
}

/* --- 5: the delivery network --- */
static int network_run(struct run *r, struct err *err) {
    json *target AUTO_JSON = call(r, 5, r->m.target, "prepare", NULL, err);
    if (!target) return -1;
    json *more = json_object();
    json_set(more, "destination_xml", json_copy(json_get(target, "destination_xml")));
    json *source AUTO_JSON = call(r, 5, r->m.source, "prepare", more, err);
    return source ? 0 : -1;
}

static int undo_at(struct run *r, const char *node, struct err *err) {
    json *body AUTO_JSON = json_set_int(json_object(), "epoch", r->m.epoch);
    json_set_int(body, "step", r->m.step);
    json *answer AUTO_JSON = agents_call(r->am, node, "POST", body, timeout_of(5), err,
                                         "/v1/migrations/%s/undo", r->m.id);
    return answer ? 0 : -1;
}

static int source_undo(struct run *r, struct err *err) { return undo_at(r, r->m.source, err); }

/* The source too: it has its end of the tunnel, and forgets nothing that it was not told to undo. */
static int network_undo(struct run *r, struct err *err) {
    return source_undo(r, err) || undo_at(r, r->m.target, err) ? -1 : 0;
}

/* --- 6: disk, memory --- */
static void tell_copy(struct run *r, const json *state) {
    json *p = json_set_str(json_object(), "doing", "copying");
    static const char *const fields[] = { "phase", "bytes_done", "bytes_total", "rate_mbps" };
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (json_has(state, fields[i])) json_set(p, fields[i], json_copy(json_get(state, fields[i])));
    json_set_int(p, "step", 6);
    operation_progress(r->am, r->op->id, p, NULL);
}

static bool phase_is(const json *state, const char *phases) {
    const char *phase = json_get_str(state, "phase");
    if (!phase) return false;
    char padded[64];
    snprintf(padded, sizeof padded, " %s ", phase);
    return strstr(phases, padded) != NULL;
}

static int agent_error(const json *state, const char *node, struct err *err) {
    const json *e = json_get(state, "error");
    const char *message = json_get_str(e, "message"), *remedy = json_get_str(e, "remedy");
    const char *phase = json_get_str(state, "phase");
    err_set(err, e ? err_from_name(json_get_str(e, "code")) : ERR_CONFLICT, "node %s: %s%s", node,
            message ? message : "the migration there is ", message ? "" : phase ? phase : "unknown");
    if (remedy) err_remedy(err, "%s", remedy);
    return -1;
}

static int copy_run(struct run *r, struct err *err) {
    json *started AUTO_JSON = call(r, 6, r->m.source, "copy", NULL, err);
    if (!started) return -1;
    int64_t seen = json_get_int(started, "sequence", 0), told = 0;
    for (;;) {
        if (operation_cancelled(r->am, r->op->id))
            return err_set(err, ERR_CANCELLED, "cancelled while copying");
        json *state AUTO_JSON =
            agents_call(r->am, r->m.source, "GET", NULL, timeout_of(6), err,
                        "/v1/migrations/%s?seen=%lld&wait_ms=%d", r->m.id, (long long)seen,
                        PROGRESS_MS);
        if (!state) return -1;
        seen = json_get_int(state, "sequence", seen);
        if (phase_is(state, " stopped pinned ")) {
            json_set_int(r->detail, "bytes", json_get_int(state, "bytes_done", 0));
            return 0;
        }
        if (!phase_is(state, " copying prepared ")) return agent_error(state, r->m.source, err);
        if (clock_monotonic_ms() - told >= PROGRESS_MS) {
            tell_copy(r, state);
            told = clock_monotonic_ms();
        }
    }
}

/* --- 7: stop; 8: confirm --- */
static int stop_run(struct run *r, struct err *err) {
    json *answer AUTO_JSON = call(r, 7, r->m.source, "stop", NULL, err);
    if (!answer) return -1;
    const char *at = json_get_str(answer, "paused_at");
    if (at) json_set_str(r->m.facts, "paused_at", at);
    return 0;
}

/* Until the target's libvirt says that everything is there. No cancelling any more: what arrives now
 * cannot be called back, only libvirt itself can still fail. */
static int await_arrival(struct run *r, struct err *err) {
    int64_t seen = -1, deadline = clock_monotonic_ms() + timeout_of(8);
    while (clock_monotonic_ms() < deadline) {
        json *state AUTO_JSON =
            agents_call(r->am, r->m.target, "GET", NULL, timeout_of(8), err,
                        "/v1/migrations/%s?seen=%lld&wait_ms=%d", r->m.id,
                        (long long)(seen < 0 ? 0 : seen), seen < 0 ? 0 : PROGRESS_MS);
        if (!state) return -1;
        seen = json_get_int(state, "sequence", 0);
        if (phase_is(state, " arrived active delivered ")) return 0;
        if (!phase_is(state, " prepared incoming ")) return agent_error(state, r->m.target, err);
    }
    return err_set(err, ERR_TIMEOUT, "the guest did not arrive at node %s within %lld ms",
                   r->m.target, (long long)timeout_of(8));
}

static int confirm_run(struct run *r, struct err *err) {
    if (await_arrival(r, err)) return -1;
    json *target AUTO_JSON = call(r, 8, r->m.target, "confirm", NULL, err);
    if (!target) return -1;
    json *source AUTO_JSON = call(r, 8, r->m.source, "confirm", NULL, err);
    return source ? 0 : -1;
}

/* --- 9: release --- */
static int release_step_run(struct run *r, struct err *err) {
    json *source AUTO_JSON = NULL, *target AUTO_JSON = NULL;
    struct err one = ERR_INIT;
    call_both(r, 9, "release", &source, &target, &one);
    if (!target) {
        if (err) *err = one;
        return -1;
    }
    /* The source was pinned before the commit: it cannot run, so one that does not answer now
     * holds nothing up. What is left there goes when it comes back. */
    if (!source) {
        log_warn("source not released yet", "migration=%s node=%s error=%s", r->m.id, r->m.source,
                 one.msg);
        json_set_bool(r->m.facts, "source_pending", true);
        json_set_str(r->detail, "source", one.msg);
    }
    return 0;
}

/* --- 10: activate; 11: link; 12: forwarding --- */
static int activate_run(struct run *r, struct err *err) {
    /* The target's flows first: a guest that wakes up sends at once. Until it does, nothing can. */
    if (forwarding_push_node(r->am, r->s.slice, r->m.target, NULL, err)) return -1;
    json *answer AUTO_JSON = call(r, 10, r->m.target, "activate", NULL, err);
    if (!answer) return -1;
    const char *at = json_get_str(answer, "resumed_at");
    if (at) json_set_str(r->m.facts, "resumed_at", at);
    return 0;
}

static int link_run(struct run *r, struct err *err) {
    return forwarding_push_node(r->am, r->s.slice, r->m.target, NULL, err);
}

static int openflow_run(struct run *r, struct err *err) {
    struct err push = ERR_INIT;
    size_t nodes = 0;
    if (forwarding_push_moved(r->am, r->s.slice, r->m.source, &nodes, &push)) {
        log_warn("forwarding not set everywhere", "migration=%s error=%s", r->m.id, push.msg);
        json_set_str(r->detail, "behind", push.msg);
    }
    json_set_int(r->detail, "nodes", (int64_t)nodes);
    struct err drain = ERR_INIT;
    if (json_has(r->m.facts, "source_pending")) { /* it did not answer in step 9: once more */
        json *released AUTO_JSON = call(r, 9, r->m.source, "release", NULL, &drain);
        if (released) json_del(r->m.facts, "source_pending");
    }
    json *drained AUTO_JSON = call(r, 12, r->m.source, "drain", NULL, &drain);
    if (!drained) { /* the frames that waited there are gone with it; the sliver is not */
        log_warn("frames at the source not drained", "migration=%s error=%s", r->m.id, drain.msg);
        json_set_str(r->detail, "undrained", drain.msg);
    }
    json *delivered AUTO_JSON = call(r, 12, r->m.target, "deliver", NULL, err);
    if (!delivered) return -1;
    json_set_int(r->m.facts, "held_frames", json_get_int(delivered, "frames", 0));
    json_set_int(r->detail, "held_frames", json_get_int(delivered, "frames", 0));
    return 0;
}

/* What the two ends say, in words of MigrationState and SliverState. */
static json *ask(struct run *r, const char *node, struct err *err) {
    return agents_call(r->am, node, "GET", NULL, timeout_of(4), err, "/v1/migrations/%s?sliver=%s",
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
    if (phase_is(target, " arrived active delivered ") && strcmp(at_target, "absent"))
        return VERDICT_FORWARD;
    if (strcmp(at_source, "absent") && strcmp(at_source, "unknown")) return VERDICT_UNDO;
    if (strcmp(at_source, "absent") == 0 && strcmp(at_target, "absent") == 0) return VERDICT_LOST;
    return VERDICT_WAIT;
}

const struct step steps[STEP_COUNT] = {
    { 1, "policy", "decide the migration policy", policy_run, NULL, 0 },
    { 2, "reserve", "select the node and reserve resources", reserve_run, reserve_undo, 0 },
    { 3, "signal", "agree on signal and delivery mode", signal_run, NULL, 5000 },
    { 4, "check", "check the resources one last time", check_run, forget_undo, 10000 },
    { 5, "network", "set up the delivery network", network_run, network_undo, 15000 },
    { 6, "copy", "copy image, disk and memory", copy_run, source_undo, 10000 },
    { 7, "stop", "stop the old sliver", stop_run, source_undo, 30000 },
    { 8, "confirm", "confirm completion", confirm_run, source_undo, 30000 },
    { 9, "release", "release the delivery network", release_step_run, NULL, 5000 },
    { 10, "activate", "activate the new sliver", activate_run, NULL, 10000 },
    { 11, "link", "activate its link virtualization", link_run, NULL, 5000 },
    { 12, "openflow", "readjust the OpenFlow forwarding", openflow_run, NULL, 5000 },
};
