/*
 * What lies below the flow tables: the datapath's cache, and its routes. ovs-vswitchd is told by its control
 * socket, one connection for each command, so nothing here waits for the door's lock.
 */
#include "nodemgr/switch_internal.h"

#include "common/clock.h"
#include "nodemgr/cookie.h"
#include "nodemgr/ovsctl.h"

#include <stdatomic.h>

/* --- settle ---
 * `revalidator/wait` answers when a look through all cached connections has ended, but starts none, and
 * one that is due anyway may be half a second away. A change of the flow table starts one at once. So
 * while a thread waits for the answer, a flow that matches nothing is added and deleted again in one
 * bundle, until the answer is there. Twice, since the first answer may belong to a look that had begun
 * before our flows were changed. */
#define SETTLE_TOUCH_MS 2
#define SETTLE_TABLE 200 /* no flow leads there */

struct settle_wait {
    const char *run_dir;
    int64_t deadline_ms;
    struct err err;
    int failed;
    atomic_bool done;
};

static void *settle_main(void *arg) {
    static const char *const wait[] = { "revalidator/wait", NULL };
    struct settle_wait *w = arg;
    w->failed = ovsctl_run(w->run_dir, wait, NULL, w->deadline_ms, &w->err);
    atomic_store(&w->done, true);
    return NULL;
}

static int touch(struct switch_door *door, const struct of_flow *nothing, int64_t deadline_ms,
                 struct err *err) {
    const struct switch_change changes[] = { { true, nothing }, { false, nothing } };
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    return switch_apply(door, changes, COUNT_OF(changes), left_ms > 1 ? (int)left_ms : 1, err);
}

static int settle_once(struct switch_door *door, const struct of_flow *nothing,
                       int64_t deadline_ms, struct err *err) {
    struct settle_wait w = { .run_dir = door->run_dir, .deadline_ms = deadline_ms };
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, settle_main, &w);
    if (rc) return err_set_errno(err, ERR_UNAVAILABLE, rc, "start a thread");
    struct err late = ERR_INIT;
    while (!atomic_load(&w.done) && touch(door, nothing, deadline_ms, &late) == 0)
        usleep(SETTLE_TOUCH_MS * 1000);
    pthread_join(thread, NULL);
    if (!w.failed) return 0;
    if (err) *err = w.err;
    err_wrap(err, "wait for the datapath");
    return err_remedy(err, "see whether ovs-vswitchd is overloaded or stopped; the call can be repeated");
}

int switch_settle(struct switch_door *door, int timeout_ms, struct err *err) {
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    CLEANUP(of_flow_done) struct of_flow nothing;
    of_flow_init(&nothing, cookie_encode(COOKIE_NOTHING, 0, 0), SETTLE_TABLE, 0);
    if (of_flow_finish(&nothing, err)) return -1;
    return settle_once(door, &nothing, deadline_ms, err) ||
                   settle_once(door, &nothing, deadline_ms, err)
               ? -1
               : 0;
}

/* --- routes --- */

bool switch_routes_itself(const struct switch_door *door) {
    return strcmp(door->datapath_type, "netdev") == 0;
}

int switch_pin_route(struct switch_door *door, const char *peer, const char *device,
                     const char *gateway, int timeout_ms, struct err *err) {
    AUTO_FREE char *host = xasprintf("%s/32", peer);
    const char *const add[] = { "ovs/route/add", host, device, *gateway ? gateway : NULL, NULL };
    if (ovsctl_run(door->run_dir, add, NULL, clock_monotonic_ms() + timeout_ms, err) == 0) return 0;
    return err_wrap(err, "route to %s by %s", peer, device);
}

int switch_follows_host_routes(struct switch_door *door, bool *ret_follows, int timeout_ms,
                               struct err *err) {
    static const char *const show[] = { "ovs/route/show", NULL };
    AUTO_FREE char *table = NULL;
    if (ovsctl_run(door->run_dir, show, &table, clock_monotonic_ms() + timeout_ms, err)) return -1;
    *ret_follows = strstr(table, "Cached:") != NULL;
    return 0;
}
