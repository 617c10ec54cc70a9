#include "nodemgr/checkpoint.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/capture.h"
#include "nodemgr/checkpoint_db.h"
#include "nodemgr/fence.h"
#include "nodemgr/migration.h"
#include "nodemgr/migration_db.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/waiting.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>

LOG_MODULE("nm.checkpoint");

#define WORKING_MAX 2 /* at once; a capture takes disk and processor */
#define KNOWN_MAX 256 /* finished ones beyond that are forgotten, oldest first */
#define RECOVER_PAUSE_MS 500

enum checkpoint_state { CAPTURING, UPLOADING, COMPLETE, FAILED };
static const char *const names[] = { "capturing", "uploading", "complete", "failed" };

struct checkpoint {
    struct checkpoints *all;
    struct checkpoint *next;
    unsigned users; /* under all->lock, as all of it but give_up */
    char id[UUID_TEXT_BYTES], sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    enum checkpoint_state state;
    int64_t taken_ms, pause_ms;
    struct state_result sent;
    struct err err;
    atomic_bool give_up;
};
struct checkpoints {
    struct agent *agent;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct checkpoint *first; /* newest first */
    unsigned working, threads;
    bool ending;
};

/* --- the list; under lock --- */

/* Not inlined: the compiler would take the list's reference for the last one. */
__attribute__((noinline)) static void unref(struct checkpoint *c) {
    if (--c->users == 0) free(c);
}

static struct checkpoint *find(struct checkpoints *all, const char *id) {
    struct checkpoint *c = all->first;
    while (c && strcmp(c->id, id) != 0) c = c->next;
    return c;
}

static void list(struct checkpoint *c) {
    c->next = c->all->first;
    c->all->first = c;
    c->users++;
}

static void unlist(struct checkpoint *c) {
    struct checkpoint **at = &c->all->first;
    while (*at && *at != c) at = &(*at)->next;
    if (!*at) return;
    *at = c->next;
    unref(c);
}

static bool is_over(const struct checkpoint *c) { return c->state >= COMPLETE; }

static struct checkpoint *checkpoint_new(struct checkpoints *all, const char *id,
                                         const char *sliver, int64_t epoch) {
    struct checkpoint *c = xcalloc(1, sizeof *c);
    c->all = all;
    c->epoch = epoch;
    snprintf(c->id, sizeof c->id, "%s", id);
    snprintf(c->sliver, sizeof c->sliver, "%s", sliver);
    return c;
}

/* --- answers and rows --- */

static void set_error(json *out, const struct err *err) {
    json *error = json_object();
    json_set_str(error, "code", err_name(err->code));
    json_set_str(error, "message", err->msg);
    if (*err->remedy) json_set_str(error, "remedy", err->remedy);
    json_set(out, "error", error);
}

static json *answer(const struct checkpoint *c) {
    char when[CLOCK_TEXT_BYTES];
    json *out = json_object();
    json_set_str(out, "checkpoint", c->id);
    json_set_str(out, "sliver", c->sliver);
    json_set_int(out, "epoch", c->epoch);
    json_set_str(out, "state", names[c->state]);
    if (c->state == COMPLETE) json_set_str(out, "manifest", c->sent.digest);
    if (c->taken_ms) json_set_str(out, "taken_at", clock_rfc3339(c->taken_ms, when));
    if (c->taken_ms) json_set_int(out, "pause_ms", c->pause_ms);
    json_set_int(out, "bytes_total", c->sent.bytes_total);
    json_set_int(out, "bytes_new", c->sent.bytes_new);
    json_set_int(out, "bytes_sent", c->sent.bytes_sent);
    if (c->state == FAILED) set_error(out, &c->err);
    return out;
}

static json *locked_answer(struct checkpoint *c) {
    WITH_LOCK(&c->all->lock);
    return answer(c);
}

/* The one function that changes the state. A disk that does not take it is logged: the next start then
 * finds a checkpoint that was under way, which is safe. */
static void set_state(struct checkpoint *c, enum checkpoint_state state) {
    struct err err = ERR_INIT;
    {
        WITH_LOCK(&c->all->lock);
        c->state = state;
        pthread_cond_broadcast(&c->all->changed);
    }
    log_info("checkpoint", "checkpoint=%s sliver=%s epoch=%lld state=%s", c->id, c->sliver,
             (long long)c->epoch, names[state]);
    json *row AUTO_JSON = locked_answer(c);
    if (checkpoint_db_put(c->all->agent->db, row, &err))
        log_error("the state of a checkpoint is not on disk", "checkpoint=%s cause=\"%s\"", c->id,
                  err.msg);
}

static void fail(struct checkpoint *c, const struct err *why) {
    {
        WITH_LOCK(&c->all->lock);
        c->err = *why;
    }
    log_warn("checkpoint failed", "checkpoint=%s sliver=%s cause=\"%s\"", c->id, c->sliver,
             why->msg);
    set_state(c, FAILED);
}

/* --- the worker --- */

static int check_running(struct agent *a, const struct checkpoint *c, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    struct domain_info info;
    if (fence_check(a->db, c->sliver, c->epoch, err) ||
        hypervisor_state(a->hypervisor, domain_name(c->sliver, c->epoch, name), &info, err))
        return -1;
    if (migrations_has(a->migrations, c->sliver))
        return err_set(err, ERR_CONFLICT, "sliver %s is in a migration", c->sliver);
    if (info.state == DOMAIN_RUNNING) return 0;
    err_set(err, ERR_CONFLICT, "sliver %s is %s", c->sliver, domain_state_name(info.state));
    return err_remedy(err, "Only a running sliver has a state to take.");
}

static void close_connection(struct hypervisor_migration **h) { hypervisor_migration_close(*h); }

static int take(struct checkpoint *c, const struct sliver_spec *spec, struct capture *ret,
                struct err *err) {
    struct agent *a = c->all->agent;
    char *directory AUTO_FREE = xasprintf("%s/states/%s", a->config->base.state_dir, c->id);
    struct hypervisor_migration *connection CLEANUP(close_connection) =
        hypervisor_migration_open(a->hypervisor, err);
    if (!connection) return -1;
    WITH_SLIVER(a->locks, c->sliver);
    if (atomic_load(&c->give_up)) return err_set(err, ERR_CANCELLED, "it was called off");
    if (check_running(a, c, err) || capture_begin(a, spec, directory, ret, err) ||
        capture_live(a, connection, spec, ret, err))
        return -1;
    WITH_LOCK(&c->all->lock);
    c->taken_ms = ret->taken_ms;
    c->pause_ms = ret->pause_ms;
    return 0;
}

static int work(struct checkpoint *c, struct err *err) {
    struct agent *a = c->all->agent;
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    struct capture capture CLEANUP(capture_done) = { .directory = NULL };
    struct state_result sent;
    json *document AUTO_JSON = migration_db_spec(a->db, c->sliver, c->epoch, err);
    if (!document || spec_read(document, &spec, err) || take(c, &spec, &capture, err)) return -1;
    set_state(c, UPLOADING);
    if (capture_upload(a, &spec, &capture, false, &c->give_up, NULL, NULL, &sent, err)) return -1;
    WITH_LOCK(&c->all->lock);
    c->sent = sent;
    return 0;
}

static bool await_turn(struct checkpoint *c) {
    struct checkpoints *all = c->all;
    WITH_LOCK(&all->lock);
    while (all->working >= WORKING_MAX && !atomic_load(&c->give_up))
        pthread_cond_wait(&all->changed, &all->lock);
    all->working++;
    return !atomic_load(&c->give_up);
}

static void *work_main(void *arg) {
    struct checkpoint *c = arg;
    struct checkpoints *all = c->all;
    struct err err = ERR_INIT;
    int failed = await_turn(c) ? work(c, &err) : err_set(&err, ERR_CANCELLED, "it was called off");
    if (failed) fail(c, &err);
    else set_state(c, COMPLETE);
    WITH_LOCK(&all->lock);
    all->working--;
    all->threads--;
    unref(c);
    pthread_cond_broadcast(&all->changed);
    return NULL;
}

/* Under lock. */
static int start_worker(struct checkpoint *c, struct err *err) {
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    c->users++;
    c->all->threads++;
    int failed = pthread_create(&thread, &detached, work_main, c);
    pthread_attr_destroy(&detached);
    if (!failed) return 0;
    c->all->threads--;
    unref(c);
    return err_set(err, ERR_UNAVAILABLE, "no thread for a checkpoint of sliver %s", c->sliver);
}

/* --- the routes' work --- */

static struct checkpoint *of_sliver(struct checkpoints *all, const char *sliver, const char *id,
                                    struct err *err) {
    struct checkpoint *c = find(all, id);
    if (c && strcmp(c->sliver, sliver) == 0) return c;
    err_set(err, ERR_NOT_FOUND, "this node knows no checkpoint %s of sliver %s", id, sliver);
    return NULL;
}

/* The oldest finished one gives way; rows as well. */
static void make_room(struct checkpoints *all) {
    size_t count = 0;
    struct checkpoint *oldest = NULL;
    for (struct checkpoint *c = all->first; c; c = c->next) {
        count++;
        if (is_over(c)) oldest = c;
    }
    struct err err = ERR_INIT;
    if (count < KNOWN_MAX || !oldest) return;
    if (checkpoint_db_delete(all->agent->db, oldest->id, &err))
        log_warn("an old checkpoint is not forgotten", "cause=\"%s\"", err.msg);
    else unlist(oldest);
}

static int refuse(struct checkpoints *all, const char *sliver, struct err *err) {
    size_t count = 0;
    for (struct checkpoint *c = all->first; c; c = c->next, count++)
        if (!is_over(c) && strcmp(c->sliver, sliver) == 0)
            return err_set(err, ERR_BUSY, "checkpoint %s of sliver %s is under way", c->id, sliver);
    if (all->ending || count >= KNOWN_MAX)
        return err_set(err, ERR_BUSY, "this node has enough to do with %zu checkpoints", count);
    return 0;
}

static json *begin(struct checkpoints *all, const char *sliver, const char *id, int64_t epoch,
                   struct err *err) {
    if (refuse(all, sliver, err)) return NULL;
    struct checkpoint *c = checkpoint_new(all, id, sliver, epoch);
    list(c);
    json *out = answer(c);
    if (checkpoint_db_put(all->agent->db, out, err) == 0 && start_worker(c, err) == 0) return out;
    checkpoint_db_delete(all->agent->db, id, NULL);
    unlist(c);
    json_put(out);
    return NULL;
}

json *checkpoint_put(struct checkpoints *all, const char *sliver, const char *id, int64_t epoch,
                     struct err *err) {
    struct agent *a = all->agent;
    {
        WITH_LOCK(&all->lock);
        struct checkpoint *known = find(all, id);
        if (known && strcmp(known->sliver, sliver) == 0 && known->epoch == epoch)
            return answer(known);
        if (known) {
            err_set(err, ERR_CONFLICT, "checkpoint %s is of sliver %s at epoch %lld", id,
                    known->sliver, (long long)known->epoch);
            return NULL;
        }
    }
    json *spec AUTO_JSON = NULL;
    if (fence_check(a->db, sliver, epoch, err) ||
        !(spec = migration_db_spec(a->db, sliver, epoch, err)))
        return NULL;
    WITH_LOCK(&all->lock);
    make_room(all);
    return begin(all, sliver, id, epoch, err);
}

json *checkpoint_get(struct checkpoints *all, const char *sliver, const char *id, int64_t wait_ms,
                     struct err *err) {
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    WITH_LOCK(&all->lock);
    struct checkpoint *c = of_sliver(all, sliver, id, err);
    if (!c) return NULL;
    c->users++;
    while (!is_over(c) && !all->ending)
        if (!waiting_until(&all->changed, &all->lock, deadline)) break;
    json *out = answer(c);
    unref(c);
    return out;
}

int checkpoint_forget(struct checkpoints *all, const char *sliver, const char *id,
                      struct err *err) {
    struct err unknown = ERR_INIT;
    WITH_LOCK(&all->lock);
    struct checkpoint *c = of_sliver(all, sliver, id, &unknown);
    if (!c) return 0;
    atomic_store(&c->give_up, true);
    pthread_cond_broadcast(&all->changed);
    c->users++;
    while (!is_over(c)) pthread_cond_wait(&all->changed, &all->lock);
    int failed = checkpoint_db_delete(all->agent->db, id, err);
    if (!failed) unlist(c);
    unref(c);
    return failed;
}

/* --- life --- */

struct checkpoints *checkpoints_new(struct agent *a) {
    struct checkpoints *all = xcalloc(1, sizeof *all);
    all->agent = a;
    pthread_mutex_init(&all->lock, NULL);
    waiting_init(&all->changed);
    return all;
}

/* Of an agent that died: captures of its checkpoints and migrations, none of which can be used. */
static void remove_leftovers(struct agent *a) {
    char *path AUTO_FREE = xasprintf("%s/states", a->config->base.state_dir);
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!uuid_valid(e->d_name)) continue;
        char *below AUTO_FREE = xasprintf("%s/%s", path, e->d_name);
        capture_remove(below);
        log_info("a state left by an earlier run is removed", "path=%s", below);
    }
    closedir(dir);
}

/* Until it runs, or is gone, or another one has taken it over. */
static bool recovered(struct checkpoint *c) {
    struct agent *a = c->all->agent;
    char name[DOMAIN_NAME_BYTES];
    struct domain_info info;
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    struct err err = ERR_INIT;
    WITH_SLIVER(a->locks, c->sliver);
    if (fence_check(a->db, c->sliver, c->epoch, &err)) return true;
    if (migrations_has(a->migrations, c->sliver)) return true;
    json *document AUTO_JSON = migration_db_spec(a->db, c->sliver, c->epoch, &err);
    if (!document || spec_read(document, &spec, &err)) return true;
    domain_name(c->sliver, c->epoch, name);
    if (hypervisor_state(a->hypervisor, name, &info, &err)) return false;
    if (info.state != DOMAIN_PAUSED) return true;
    log_info("a guest that an earlier run had paused goes on", "sliver=%s", c->sliver);
    return capture_resume(a, &spec, &err) == 0;
}

static void *recover_main(void *arg) {
    struct checkpoint *c = arg;
    struct checkpoints *all = c->all;
    struct err err = ERR_INIT;
    while (!recovered(c) && !atomic_load(&c->give_up)) clock_sleep_ms(RECOVER_PAUSE_MS);
    err_set(&err, ERR_UNAVAILABLE, "the agent was restarted during the checkpoint");
    if (!atomic_load(&c->give_up)) fail(c, &err); /* else once more at the next start */
    WITH_LOCK(&all->lock);
    all->threads--;
    unref(c);
    pthread_cond_broadcast(&all->changed);
    return NULL;
}

static enum checkpoint_state state_of(const char *name) {
    for (size_t i = 0; name && i < COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0) return (enum checkpoint_state)i;
    return FAILED;
}

static void found(void *ctx, const json *row) {
    struct checkpoints *all = ctx;
    const json *error = json_get(row, "error");
    struct checkpoint *c = checkpoint_new(all, json_get_str(row, "checkpoint"),
                                          json_get_str(row, "sliver"),
                                          json_get_int(row, "epoch", 0));
    const char *digest = json_get_str(row, "manifest"), *at = json_get_str(row, "taken_at");
    c->state = state_of(json_get_str(row, "state"));
    snprintf(c->sent.digest, sizeof c->sent.digest, "%s", digest ? digest : "");
    c->sent.bytes_total = json_get_int(row, "bytes_total", 0);
    c->sent.bytes_new = json_get_int(row, "bytes_new", 0);
    c->sent.bytes_sent = json_get_int(row, "bytes_sent", 0);
    c->pause_ms = json_get_int(row, "pause_ms", 0);
    if (at && clock_parse_rfc3339(at, &c->taken_ms)) c->taken_ms = 0;
    if (c->state == FAILED)
        err_set(&c->err, err_from_name(json_get_str(error, "code")), "%s",
                error ? json_get_str(error, "message") : "");
    WITH_LOCK(&all->lock);
    list(c);
    if (is_over(c)) return;
    pthread_t thread;
    c->users++;
    all->threads++;
    if (pthread_create(&thread, NULL, recover_main, c) == 0) pthread_detach(thread);
    else abort(); /* no memory for a thread: the supervisor starts us again */
}

int checkpoints_start(struct checkpoints *all, struct err *err) {
    remove_leftovers(all->agent);
    return checkpoint_db_each(all->agent->db, found, all, err);
}

void checkpoints_stop(struct checkpoints *all) {
    if (!all) return;
    WITH_LOCK(&all->lock);
    all->ending = true;
    for (struct checkpoint *c = all->first; c; c = c->next) atomic_store(&c->give_up, true);
    pthread_cond_broadcast(&all->changed);
    while (all->threads > 0) pthread_cond_wait(&all->changed, &all->lock);
}

void checkpoints_free(struct checkpoints *all) {
    if (!all) return;
    while (all->first) unlist(all->first);
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->changed);
    free(all);
}
