#include "nodemgr/lease.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/lease_hold.h"
#include "nodemgr/pin.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/waiting.h"
#include "nodemgr/watchdog_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

LOG_MODULE("nm.lease");

#define LOOK_MS 1000   /* between two looks of the thread while nothing happens */
#define REPEAT_MS 500  /* between two rounds of pausing or resuming */

struct lease {
    struct agent *agent;
    struct lease_page *page;
    char *path, *unfenced;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, ending;
    json *slivers; /* those that may be here, as the aggregate last said while some were held; NULL: nothing new */
};

/* --- marks of the unfenced --- */

static char *mark_path(const struct agent *a, const struct sliver_spec *spec) {
    char name[DOMAIN_NAME_BYTES];
    return xasprintf("%s/unfenced/%s", a->config->run_dir, domain_name(spec->sliver, spec->epoch, name));
}

int lease_mark(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    if (!spec->unfenced) return 0;
    char *path AUTO_FREE = mark_path(a, spec);
    int fd AUTO_FD = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? 0 : err_set_errno(err, ERR_UNAVAILABLE, errno, "make %s", path);
}

void lease_unmark(struct agent *a, const struct sliver_spec *spec) {
    char *path AUTO_FREE = mark_path(a, spec);
    unlink(path);
}

/* The run directory was emptied, or an older agent started them. */
static void mark_all(struct agent *a) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct err err = ERR_INIT;
    if (sliver_rows_read(a->db, NULL, &rows, &err)) return;
    for (size_t i = 0; i < rows.count; i++) {
        struct sliver_spec spec = { .epoch = rows.rows[i].epoch };
        snprintf(spec.sliver, sizeof spec.sliver, "%s", rows.rows[i].sliver);
        spec.unfenced = json_get_bool(rows.rows[i].document, "unfenced", false);
        if (lease_mark(a, &spec, &err)) log_warn("not marked", "cause=\"%s\"", err.msg);
    }
}

/* --- the thread --- */

static void look_after_watchdog(struct lease *l) {
    struct err err = ERR_INIT;
    if (lease_page_watched(l->page, clock_boottime_ms())) return;
    if (watchdog_start(l->path, l->unfenced, &err))
        log_error("no watchdog", "cause=\"%s\" remedy=\"%s\"", err.msg, err.remedy);
}

/* What the thread is to do now. */
struct chore {
    bool hold;
    json *slivers; /* let these go; owned */
};

static struct chore next_chore(struct lease *l) {
    WITH_LOCK(&l->lock);
    struct chore c = { .hold = false };
    c.hold = lease_page_closing(l->page, clock_boottime_ms());
    if (!c.hold) c.slivers = STEAL(l->slivers);
    return c;
}

/* Until it is time to hold, or something is new. False when it is over. */
static bool wait_for_more(struct lease *l, int64_t at_least_ms) {
    int64_t left = lease_page_left_ms(l->page, clock_boottime_ms());
    int64_t ms = left > LOOK_MS ? LOOK_MS : left < at_least_ms ? at_least_ms : left;
    int64_t until = clock_monotonic_ms() + ms;
    WITH_LOCK(&l->lock);
    while (!l->ending && !(l->slivers && left > 0))
        if (!waiting_until(&l->changed, &l->lock, until)) break;
    return !l->ending;
}

static void *lease_main(void *arg) {
    struct lease *l = arg;
    do {
        look_after_watchdog(l);
        struct chore c = next_chore(l);
        if (c.hold) lease_hold_all(l->agent, l->page);
        if (c.slivers) lease_let_go(l->agent, l->page, c.slivers);
        json_put(c.slivers);
    } while (wait_for_more(l, REPEAT_MS));
    return NULL;
}

struct lease *lease_open(struct agent *a, struct err *err) {
    const struct agent_config *c = a->config;
    if (!*c->aggregate_url) return NULL;
    struct lease *l = xcalloc(1, sizeof *l);
    l->agent = a;
    l->path = xasprintf("%s/lease", c->run_dir);
    l->unfenced = xasprintf("%s/unfenced", c->run_dir);
    pthread_mutex_init(&l->lock, NULL);
    waiting_init(&l->changed);
    if (!dir_make(l->unfenced, 0700, err)) l->page = lease_page_make(l->path, a->boot_id, err);
    if (!l->page) {
        lease_close(l);
        return NULL;
    }
    /* Guests without a lease: an older agent's, since those of before the boot are gone. */
    if (atomic_load(&l->page->until_ms) == 0)
        atomic_store(&l->page->until_ms, clock_boottime_ms() + LEASE_FIRST_MS);
    atomic_store(&l->page->agent, (int32_t)getpid());
    mark_all(a);
    look_after_watchdog(l);
    log_info("lease", "left_ms=%lld held=%d",
             (long long)(atomic_load(&l->page->until_ms) - clock_boottime_ms()), lease_holds(l));
    return l;
}

void lease_start(struct lease *l) {
    if (l) l->started = pthread_create(&l->thread, NULL, lease_main, l) == 0;
}

void lease_stop(struct lease *l) {
    if (!l || !l->started) return;
    {
        WITH_LOCK(&l->lock);
        l->ending = true;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_join(l->thread, NULL);
    l->started = false;
}

void lease_close(struct lease *l) {
    if (!l) return;
    lease_page_close(l->page);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    json_put(l->slivers);
    free(l->path);
    free(l->unfenced);
    free(l);
}

/* --- questions and news --- */

int lease_check(struct lease *l, const struct sliver_spec *spec, struct err *err) {
    if (!l || (spec && spec->unfenced)) return 0;
    bool granted = atomic_load(&l->page->length_ms) > 0;
    if (granted && !lease_page_ended(l->page, clock_boottime_ms())) return 0;
    err_set(err, ERR_UNAVAILABLE, "this node has no lease, so nothing may be started here");
    return err_remedy(err, "The node must reach the aggregate: see the agent's log for why reports fail.");
}

bool lease_kept(struct lease *l) { return l && lease_page_watched(l->page, clock_boottime_ms()); }

bool lease_holds(struct lease *l) { return l && lease_holds_any(l->page); }

void lease_granted(struct lease *l, int64_t sent_ms, int64_t lease_ms, const json *slivers) {
    if (!l || lease_ms <= 0) return;
    /* First the lease, then whom it lets run: the watchdog looks at it before each signal. */
    atomic_store(&l->page->length_ms, lease_ms);
    atomic_store(&l->page->until_ms, sent_ms + lease_ms);
    if (!slivers || lease_page_ended(l->page, clock_boottime_ms())) return;
    lease_thaw(l->page, PIN_DIRECTORY, slivers);
    WITH_LOCK(&l->lock);
    json_put(l->slivers);
    l->slivers = json_copy(slivers);
    pthread_cond_broadcast(&l->changed);
}

void lease_take_over(struct lease *l, const char *domain) {
    if (l) lease_hold_add(l->page, HOLD_PAUSED, domain);
}

void lease_end_frozen(struct lease *l, const char *domain) {
    struct err none = ERR_INIT; /* it is gone */
    if (!l || !lease_hold_has(l->page, HOLD_FROZEN, domain)) return;
    struct pin *qemu = pin_open(domain, &none);
    if (qemu && pin_kill(qemu, &none) == 0) pin_gone(qemu, LOOK_MS);
    pin_close(qemu);
    lease_hold_remove(l->page, HOLD_FROZEN, domain);
}
