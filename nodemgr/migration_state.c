/*
 * How a migration stands, as it is answered.
 */
#include "nodemgr/migration_internal.h"

#include "common/clock.h"
#include "nodemgr/netdev.h"
#include "nodemgr/sliver_watch.h"

static void set_time(json *out, const char *key, int64_t at_ms) {
    char when[CLOCK_TEXT_BYTES];
    if (at_ms) json_set_str(out, key, clock_rfc3339(at_ms, when));
}

static json *error_json(const struct err *err) {
    json *out = json_object();
    json_set_str(out, "code", err_name(err->code));
    json_set_str(out, "message", err->msg);
    return *err->remedy ? json_set_str(out, "remedy", err->remedy) : out;
}

static int64_t frames_held(struct migration *m) {
    const char **taps AUTO_FREE = migration_taps(m);
    int64_t sum = 0;
    for (size_t i = 0; taps[i]; i++) {
        struct netdev_gate gate;
        struct err none = ERR_INIT; /* no tap, no frames */
        if (netdev_gate_read(taps[i], &gate, &none) == 0) sum += gate.frames;
    }
    return sum;
}

json *migration_json(struct migration *m, struct err *err) {
    json *sliver = sliver_watch_at(migration_agent(m)->watch, m->spec.sliver, m->spec.epoch, err);
    json *out = json_object();
    json_set_str(out, "migration", m->id);
    json_set_str(out, "role", m->source ? "source" : "target");
    json_set_int(out, "held_frames", frames_held(m));
    json_set(out, "sliver", sliver);
    WITH_LOCK(&m->lock);
    json_set_int(out, "sequence", (int64_t)m->sequence);
    json_set_str(out, "phase", migration_phase_name(m->phase));
    json_set_int(out, "bytes_done", m->bytes_done);
    json_set_int(out, "bytes_total", m->bytes_total);
    json_set(out, "rate_mbps", json_double((double)m->rate_bps * 8 / 1e6));
    json_set_int(out, "frames", m->frames);
    json_set_bool(out, "converged", m->converged);
    json_set_str(out, "delivery", migration_delivery_name(m->delivery));
    if (*m->manifest) json_set_str(out, "manifest", m->manifest);
    set_time(out, "paused_at", m->paused_ms);
    set_time(out, "arrived_at", m->arrived_ms);
    set_time(out, "resumed_at", m->resumed_ms);
    return m->phase == PHASE_FAILED ? json_set(out, "error", error_json(&m->err)) : out;
}

json *migration_unknown_json(struct agent *a, const char *id, const char *sliver, struct err *err) {
    json *state = NULL;
    if (sliver && (sliver_watch_refresh(a->watch, err) ||
                   !(state = sliver_watch_one(a->watch, sliver, err))))
        return NULL;
    json *out = json_object();
    json_set_str(out, "migration", id);
    json_set_int(out, "sequence", 0);
    json_set_str(out, "phase", migration_phase_name(PHASE_UNKNOWN));
    json_set_int(out, "bytes_done", 0);
    json_set_int(out, "bytes_total", 0);
    json_set(out, "rate_mbps", json_double(0));
    json_set_int(out, "held_frames", 0);
    return json_set(out, "sliver", state);
}
