#include "nodemgr/report.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/capability.h"
#include "nodemgr/lease.h"
#include "nodemgr/sliver_watch.h"
#include "nodemgr/underlay.h"

#include <stdio.h>

LOG_MODULE("nm.report");

#define REPORT_TIMEOUT_MS 5000
/* Several reports fit into a lease, and one that is lost takes no more than a third of it. */
#define REPORTS_PER_LEASE 4
#define TIMEOUTS_PER_LEASE 3
#define REPORT_SPACING_MS 100 /* between two, however much happens */

struct reporter {
    struct agent *agent;
    struct underlay *underlay;
    pthread_t thread;
    bool ending;
    int64_t sequence;
    int64_t lease_ms; /* the last one granted; 0: none yet */
    char state[32]; /* what the aggregate calls us */
};

static json *resources(const struct agent *a) {
    struct capability_resources r;
    const struct agent_config *c = a->config;
    capability_resources(c->base.state_dir, &r);
    json *out = json_object();
    json_set_int(out, "vcpus", c->vcpus ? c->vcpus : r.vcpus);
    json_set_int(out, "memory_mib", c->memory_mib ? c->memory_mib : r.memory_mib);
    json_set_int(out, "disk_mib", c->disk_mib ? c->disk_mib : r.disk_mib);
    json_set_int(out, "memory_free_mib", r.memory_free_mib);
    json_set_int(out, "disk_free_mib", r.disk_free_mib);
    return json_set_int(out, "port_rate_kbps", c->port_rate_kbps);
}

static json *addresses(const struct agent *a) {
    json *out = json_object();
    json_set_str(out, "host", a->config->base.advertise_host);
    json_set_int(out, "port", a->config->base.listen_port);
    json_set_int(out, "tunnel_port", a->config->tunnel_port);
    return json_set_str(out, "vtep", a->config->vtep_address);
}

json *report_node(struct agent *a) {
    json *out = json_object();
    json_set_str(out, "boot_id", a->boot_id);
    json_set_str(out, "version", JOGAK_VERSION);
    json_set_int(out, "uptime_ms", clock_boottime_ms());
    json_set(out, "addresses", addresses(a));
    json_set_str(out, "site", a->config->site);
    json_set(out, "capabilities", capability_json(a->capability));
    return json_set(out, "resources", resources(a));
}

static int64_t share_of_lease(const struct reporter *r, int64_t share, int64_t most_ms) {
    int64_t ms = r->lease_ms / share;
    return r->lease_ms == 0 || ms > most_ms ? most_ms : ms;
}

static int send_report(struct reporter *r, struct err *err) {
    struct agent *a = r->agent;
    json *slivers = sliver_watch_all(a->watch, err);
    if (!slivers) return -1;
    json *body AUTO_JSON = json_set(report_node(a), "slivers", slivers);
    json_set_int(body, "sequence", ++r->sequence);
    json_set_bool(body, "keeps_lease", lease_kept(a->lease));
    json_set_bool(body, "held", lease_holds(a->lease));
    char *url AUTO_FREE = xasprintf("%s/v1/nodes/%s/report", a->config->aggregate_url, a->name);
    int64_t sent_ms = clock_boottime_ms(); /* the lease counts from here, however long the answer takes */
    json *reply AUTO_JSON = http_json(a->client, "POST", url, body,
                                      share_of_lease(r, TIMEOUTS_PER_LEASE, REPORT_TIMEOUT_MS), err);
    if (!reply) return -1;
    r->lease_ms = json_get_int(reply, "lease_ms", 0);
    lease_granted(a->lease, sent_ms, r->lease_ms, json_get(reply, "slivers"));
    underlay_keep(r->underlay, json_get(reply, "vteps"));
    const char *state = json_get_str(reply, "state");
    if (state && strcmp(state, r->state) != 0) {
        log_info("the aggregate calls us", "state=%s lease_ms=%lld", state,
                 (long long)json_get_int(reply, "lease_ms", 0));
        snprintf(r->state, sizeof r->state, "%s", state);
    }
    return 0;
}

static bool ending(struct reporter *r) { return __atomic_load_n(&r->ending, __ATOMIC_ACQUIRE); }

static void *report_main(void *arg) {
    struct reporter *r = arg;
    bool told = false;
    uint64_t seen = 0;
    while (!ending(r)) {
        struct err err = ERR_INIT;
        int failed = send_report(r, &err);
        if (failed && !told) log_warn("report not delivered", "cause=\"%s\"", err.msg);
        if (!failed && told) log_info("reports are delivered again", "node=%s", r->agent->name);
        told = failed;
        seen = sliver_watch_wait(r->agent->watch, seen,
                                 share_of_lease(r, REPORTS_PER_LEASE,
                                                r->agent->config->report_interval_ms));
        if (!ending(r)) clock_sleep_ms(REPORT_SPACING_MS);
    }
    return NULL;
}

struct reporter *reporter_start(struct agent *a) {
    if (!*a->config->aggregate_url) return NULL;
    struct reporter *r = xcalloc(1, sizeof *r);
    r->agent = a;
    r->underlay = underlay_new(a->bridge);
    pthread_create(&r->thread, NULL, report_main, r);
    return r;
}

void reporter_stop(struct reporter *r) {
    if (!r) return;
    __atomic_store_n(&r->ending, true, __ATOMIC_RELEASE);
    sliver_watch_again(r->agent->watch); /* wakes the wait */
    pthread_join(r->thread, NULL);
    underlay_free(r->underlay);
    free(r);
}
