#include "nodemgr/sliver_watch.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/console.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/waiting.h"

#include <stdio.h>

LOG_MODULE("nm.watch");

#define REFRESH_MS 15000

struct seen { /* a domain */
    struct domain_info info;
    int64_t since_ms;
};
struct ended { /* what the thread has to note on disk */
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    const char *outcome;
};
struct moving {
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
};
struct sliver_watch {
    struct agent *agent;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* for waiters */
    pthread_cond_t work;    /* for the thread */
    uint64_t version;
    bool started, ending, refresh;
    struct seen *seen;
    size_t seen_count;
    struct ended *ended;
    size_t ended_count;
    struct moving *moving;
    size_t moving_count;
};

/* --- the view; under lock --- */

static struct seen *find(struct sliver_watch *w, const char *name) {
    for (size_t i = 0; i < w->seen_count; i++)
        if (strcmp(w->seen[i].info.name, name) == 0) return &w->seen[i];
    return NULL;
}

static void touch(struct sliver_watch *w) {
    w->version++;
    pthread_cond_broadcast(&w->changed);
    pthread_cond_signal(&w->work);
}

static void note_state(struct sliver_watch *w, const struct domain_info *info, int64_t at_ms) {
    struct seen *s = find(w, info->name);
    if (s && s->info.state == info->state) return;
    if (!s) {
        w->seen = xrealloc_array(w->seen, w->seen_count + 1, sizeof *w->seen);
        s = &w->seen[w->seen_count++];
    }
    *s = (struct seen){ *info, at_ms };
    log_info("sliver state", "sliver=%s epoch=%lld state=%s", info->sliver, (long long)info->epoch,
             domain_state_name(info->state));
    touch(w);
}

static void note_gone(struct sliver_watch *w, const char *name) {
    struct seen *s = find(w, name);
    if (!s) return;
    log_info("sliver state", "sliver=%s epoch=%lld state=gone", s->info.sliver,
             (long long)s->info.epoch);
    *s = w->seen[--w->seen_count];
    touch(w);
}

static void note_outcome(struct sliver_watch *w, const struct hypervisor_event *e,
                         const char *outcome) {
    w->ended = xrealloc_array(w->ended, w->ended_count + 1, sizeof *w->ended);
    struct ended *out = &w->ended[w->ended_count++];
    *out = (struct ended){ .epoch = domain_name_epoch(e->name), .outcome = outcome };
    snprintf(out->sliver, sizeof out->sliver, "%s", e->sliver);
    touch(w);
}

static void domain_event(struct sliver_watch *w, const struct hypervisor_event *e) {
    struct domain_info info = { .epoch = domain_name_epoch(e->name), .state = DOMAIN_RUNNING };
    snprintf(info.name, sizeof info.name, "%s", e->name);
    snprintf(info.sliver, sizeof info.sliver, "%s", e->sliver);
    struct seen *known = find(w, e->name);
    switch (e->kind) {
    case DOMAIN_EVENT_INCOMING:
        info.state = DOMAIN_INCOMING;
        note_state(w, &info, e->at_ms);
        break;
    case DOMAIN_EVENT_RESUMED:
        /* libvirt says so of a target too, before it says that it is paused. */
        if (known && known->info.state == DOMAIN_INCOMING) break;
        note_state(w, &info, e->at_ms);
        break;
    case DOMAIN_EVENT_STARTED: note_state(w, &info, e->at_ms); break;
    case DOMAIN_EVENT_PAUSED:
    case DOMAIN_EVENT_PAUSED_MIGRATING:
        info.state = DOMAIN_PAUSED;
        note_state(w, &info, e->at_ms);
        break;
    case DOMAIN_EVENT_MIGRATED: note_gone(w, e->name); break;
    case DOMAIN_EVENT_STOPPED:
    case DOMAIN_EVENT_FAILED:
        note_gone(w, e->name);
        note_outcome(w, e, e->kind == DOMAIN_EVENT_FAILED ? "failed" : "stopped");
        break;
    case HYPERVISOR_CONNECTED:
    case HYPERVISOR_DISCONNECTED: break;
    }
}

void sliver_watch_event(struct sliver_watch *w, const struct hypervisor_event *event) {
    WITH_LOCK(&w->lock);
    if (event->kind != HYPERVISOR_CONNECTED) {
        domain_event(w, event);
        return;
    }
    w->refresh = true;
    pthread_cond_signal(&w->work);
}

void sliver_watch_again(struct sliver_watch *w) {
    WITH_LOCK(&w->lock);
    w->refresh = true;
    touch(w);
}

/* Takes over what libvirt has; domains that it does not have are gone. */
static void merge(struct sliver_watch *w, const struct domain_info *list, size_t count) {
    WITH_LOCK(&w->lock);
    for (size_t i = w->seen_count; i-- > 0;) {
        size_t k = 0;
        while (k < count && strcmp(list[k].name, w->seen[i].info.name) != 0) k++;
        if (k == count) note_gone(w, w->seen[i].info.name);
    }
    for (size_t i = 0; i < count; i++) note_state(w, &list[i], clock_wall_ms());
}

int sliver_watch_refresh(struct sliver_watch *w, struct err *err) {
    struct domain_info *list AUTO_FREE = NULL;
    size_t count;
    if (hypervisor_list(w->agent->hypervisor, &list, &count, err)) return -1;
    merge(w, list, count);
    return 0;
}

/* --- the thread --- */

static void write_outcomes(struct sliver_watch *w, struct ended *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        if (sliver_row_outcome(w->agent->db, list[i].sliver, list[i].epoch, list[i].outcome, &err))
            log_error("how a sliver ended was not noted", "sliver=%s cause=\"%s\"", list[i].sliver,
                      err.msg);
    }
}

static void attach_consoles(struct sliver_watch *w) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct err err = ERR_INIT;
    if (sliver_rows_read(w->agent->db, NULL, &rows, &err)) return;
    for (size_t i = 0; i < rows.count; i++) {
        struct sliver_paths paths AUTO_PATHS = { NULL };
        struct sliver_spec spec = { .epoch = rows.rows[i].epoch };
        snprintf(spec.sliver, sizeof spec.sliver, "%s", rows.rows[i].sliver);
        sliver_paths(w->agent, &spec, &paths);
        struct err none = ERR_INIT; /* no QEMU, no console */
        console_attach(w->agent->consoles, spec.sliver, spec.epoch, paths.console, &none);
    }
}

struct chores {
    struct ended *ended;
    size_t ended_count;
    bool refresh;
    uint64_t version; /* of the view that they are about */
};

/* Waits for something to do, or until `next`. False when it is over. */
static bool next_chores(struct sliver_watch *w, int64_t next, struct chores *ret) {
    WITH_LOCK(&w->lock);
    while (!w->ending && !w->refresh && w->version == ret->version)
        if (!waiting_until(&w->work, &w->lock, next)) break;
    ret->ended = STEAL(w->ended);
    ret->ended_count = w->ended_count;
    ret->refresh = w->refresh || clock_monotonic_ms() >= next;
    ret->version = w->version;
    w->ended_count = 0;
    w->refresh = false;
    return !w->ending;
}

static void *watch_main(void *arg) {
    struct sliver_watch *w = arg;
    struct chores chores = { .version = 0 };
    int64_t next = clock_monotonic_ms();
    while (next_chores(w, next, &chores)) {
        write_outcomes(w, chores.ended, chores.ended_count);
        free(STEAL(chores.ended));
        if (chores.refresh) {
            struct err err = ERR_INIT; /* libvirt is down: the hypervisor door says so */
            sliver_watch_refresh(w, &err);
            next = clock_monotonic_ms() + REFRESH_MS;
        }
        attach_consoles(w);
    }
    free(chores.ended);
    return NULL;
}

struct sliver_watch *sliver_watch_new(struct agent *a) {
    struct sliver_watch *w = xcalloc(1, sizeof *w);
    w->agent = a;
    pthread_mutex_init(&w->lock, NULL);
    waiting_init(&w->changed);
    waiting_init(&w->work);
    return w;
}

void sliver_watch_start(struct sliver_watch *w) {
    w->started = pthread_create(&w->thread, NULL, watch_main, w) == 0;
}

void sliver_watch_stop(struct sliver_watch *w) {
    if (!w) return;
    {
        WITH_LOCK(&w->lock);
        w->ending = true;
        touch(w);
    }
    if (w->started) pthread_join(w->thread, NULL);
}

void sliver_watch_free(struct sliver_watch *w) {
    if (!w) return;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    pthread_cond_destroy(&w->work);
    free(w->seen);
    free(w->ended);
    free(w->moving);
    free(w);
}

uint64_t sliver_watch_wait(struct sliver_watch *w, uint64_t seen, int64_t ms) {
    int64_t deadline = clock_monotonic_ms() + ms;
    WITH_LOCK(&w->lock);
    while (!w->ending && w->version <= seen)
        if (!waiting_until(&w->changed, &w->lock, deadline)) break;
    return w->version;
}

/* --- answers --- */

static size_t find_moving(struct sliver_watch *w, const char *sliver, int64_t epoch) {
    size_t i = 0;
    while (i < w->moving_count &&
           (w->moving[i].epoch != epoch || strcmp(w->moving[i].sliver, sliver) != 0))
        i++;
    return i;
}

void sliver_watch_migrating(struct sliver_watch *w, const char *sliver, int64_t epoch, bool on) {
    WITH_LOCK(&w->lock);
    size_t at = find_moving(w, sliver, epoch);
    if (on == (at < w->moving_count)) return;
    if (on) {
        w->moving = xrealloc_array(w->moving, w->moving_count + 1, sizeof *w->moving);
        w->moving[at].epoch = epoch;
        snprintf(w->moving[at].sliver, sizeof w->moving[at].sliver, "%s", sliver);
        w->moving_count++;
    } else {
        w->moving[at] = w->moving[--w->moving_count];
    }
    touch(w);
}

static json *state_json(const char *sliver, int64_t epoch, const char *state, bool migrating,
                        int64_t since_ms) {
    char when[CLOCK_TEXT_BYTES];
    json *out = json_object();
    json_set_str(out, "sliver", sliver);
    json_set_int(out, "epoch", epoch);
    json_set_str(out, "state", state);
    json_set_bool(out, "migrating", migrating);
    return json_set_str(out, "since", clock_rfc3339(since_ms, when));
}

/* What a row and the domain of its name (or none) amount to. */
static json *row_state(struct sliver_watch *w, const struct sliver_row *row) {
    char name[DOMAIN_NAME_BYTES];
    WITH_LOCK(&w->lock);
    struct seen *s = find(w, domain_name(row->sliver, row->epoch, name));
    bool moving = find_moving(w, row->sliver, row->epoch) < w->moving_count;
    if (s)
        return state_json(row->sliver, row->epoch, domain_state_name(s->info.state), moving,
                          s->since_ms);
    const char *state = row->incoming ? "absent" : *row->outcome ? row->outcome : "stopped";
    return state_json(row->sliver, row->epoch, state, moving, row->since_ms);
}

static bool has_row(const struct sliver_rows *rows, const struct domain_info *info) {
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].epoch == info->epoch && strcmp(rows->rows[i].sliver, info->sliver) == 0)
            return true;
    return false;
}

/* Domains that bear our mark and have no row: seen, reported, and left alone. */
static void add_strangers(struct sliver_watch *w, const struct sliver_rows *rows,
                          const char *sliver, json *out) {
    WITH_LOCK(&w->lock);
    for (size_t i = 0; i < w->seen_count; i++) {
        const struct domain_info *info = &w->seen[i].info;
        if (has_row(rows, info) || (sliver && strcmp(sliver, info->sliver) != 0)) continue;
        json_add(out, state_json(info->sliver, info->epoch, domain_state_name(info->state), false,
                                 w->seen[i].since_ms));
    }
}

static json *states_of(struct sliver_watch *w, const char *sliver, struct err *err) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    if (sliver_rows_read(w->agent->db, sliver, &rows, err)) return NULL;
    json *out = json_array();
    for (size_t i = 0; i < rows.count; i++) json_add(out, row_state(w, &rows.rows[i]));
    add_strangers(w, &rows, sliver, out);
    return out;
}

json *sliver_watch_all(struct sliver_watch *w, struct err *err) { return states_of(w, NULL, err); }

json *sliver_watch_at(struct sliver_watch *w, const char *sliver, int64_t epoch, struct err *err) {
    json *all AUTO_JSON = states_of(w, sliver, err);
    if (!all) return NULL;
    for (size_t i = 0; i < json_length(all); i++)
        if (json_get_int(json_at(all, i), "epoch", 0) == epoch) return json_ref(json_at(all, i));
    return state_json(sliver, epoch, "absent", false, clock_wall_ms());
}

json *sliver_watch_one(struct sliver_watch *w, const char *sliver, struct err *err) {
    json *all AUTO_JSON = states_of(w, sliver, err);
    json *best = NULL;
    if (!all) return NULL;
    for (size_t i = 0; i < json_length(all); i++)
        if (!best || json_get_int(json_at(all, i), "epoch", 0) > json_get_int(best, "epoch", 0))
            best = json_at(all, i);
    return best ? json_ref(best) : state_json(sliver, 0, "absent", false, clock_wall_ms());
}
