/*
 * jogak-nodemgr: the node agent. Configuration, wiring, and the order in which parts start and end.
 */
#include "nodemgr/agent.h"

#include "common/http_server.h"
#include "common/log.h"
#include "common/schema.h"
#include "common/upkeep.h"
#include "nodemgr/adopt.h"
#include "nodemgr/capability.h"
#include "nodemgr/checkpoint.h"
#include "nodemgr/console.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/image_cache.h"
#include "nodemgr/lease.h"
#include "nodemgr/migration.h"
#include "nodemgr/report.h"
#include "nodemgr/slice_forwarding.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/sliver_watch.h"
#include "nodemgr/switch.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

LOG_MODULE("nm.main");

extern const struct db_migration nodemgr_migrations[];
extern const size_t nodemgr_migration_count;

#define ROW(key, type, field, min, max, otherwise, unit, help) \
    { "agent", key, type, offsetof(struct agent_config, field), min, max, otherwise, unit, help }

static const struct config_row rows[] = {
    SERVICE_CONFIG_ROWS(struct agent_config, "nodemgr", "8404"),
    ROW("aggregate_url", CONFIG_STRING, aggregate_url, 0, 0, "", NULL,
        "Where to report, e.g. https://aggregate.example.org:8402."),
    ROW("bridge", CONFIG_STRING, bridge, 0, 0, "br-int", NULL,
        "The Open vSwitch bridge that slivers are plugged into; made when there is none."),
    ROW("datapath", CONFIG_STRING, datapath, 0, 0, "auto", NULL,
        "system (kernel), netdev (userspace), or auto: system where the kernel has it."),
    ROW("vtep_address", CONFIG_STRING, vtep_address, 0, 0, "", NULL,
        "This node's IPv4 address for frames between nodes (VXLAN)."),
    ROW("site", CONFIG_STRING, site, 0, 0, "default", NULL,
        "Where this node is; slivers get the public addresses of its site."),
    ROW("uplink", CONFIG_STRING, uplink, 0, 0, "", NULL,
        "On a site's gateway: the network device that leads outside. It is put into the bridge."),
    ROW("uplink_router", CONFIG_STRING, uplink_router, 0, 0, "", NULL,
        "On a site's gateway: IPv4 address of the router outside, on the uplink."),
    ROW("tunnel_port", CONFIG_INT, tunnel_port, 1, 65535, "8405", NULL,
        "TCP port of the migration tunnel."),
    ROW("report_interval_ms", CONFIG_INT, report_interval_ms, 100, 60000, "2000", "ms",
        "Time between two reports."),
    ROW("vcpus", CONFIG_INT, vcpus, 0, 65536, "0", NULL,
        "Virtual CPUs that slivers may have; 0: as many as the node has CPUs."),
    ROW("memory_mib", CONFIG_INT, memory_mib, 0, INT64_C(1) << 30, "0", "MiB",
        "Memory that slivers may have; 0: all there is."),
    ROW("disk_mib", CONFIG_INT, disk_mib, 0, INT64_C(1) << 40, "0", "MiB",
        "Disk that slivers may have; 0: the size of the file system of state_dir."),
    ROW("port_rate_kbps", CONFIG_INT, port_rate_kbps, 0, INT64_C(1) << 40, "0", "kbit/s",
        "Rate of the node's physical interface; 0: not known."),
    ROW("libvirt_uri", CONFIG_STRING, libvirt_uri, 0, 0, "qemu:///system", NULL,
        "How to reach libvirt."),
    ROW("libvirt_socket", CONFIG_STRING, libvirt_socket, 0, 0, "/run/libvirt/libvirt-sock", NULL,
        "libvirt's socket, that migrations from other nodes are connected to."),
    ROW("cpu_model", CONFIG_STRING, cpu_model, 0, 0, "", NULL,
        "CPU model of all slivers, the same on all nodes; empty: QEMU's most compatible one."),
    ROW("run_dir", CONFIG_STRING, run_dir, 0, 0, "/run/jogak", NULL,
        "Where the sockets of consoles and migrations are."),
};

static void on_event(void *ctx, const struct hypervisor_event *event) {
    struct agent *a = ctx;
    sliver_watch_event(a->watch, event);
    migrations_event(a->migrations, event);
}

static int read_boot_id(char ret[UUID_TEXT_BYTES], struct err *err) {
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    size_t n = f ? fread(ret, 1, UUID_TEXT_BYTES - 1, f) : 0;
    if (f) fclose(f);
    ret[n] = '\0';
    return uuid_valid(ret) ? 0 : err_set(err, ERR_UNAVAILABLE, "the kernel tells no boot id");
}

/* QEMU may run as another user and must be able to pass through; the files are its own. */
static int make_directories(const struct agent_config *c, struct err *err) {
    static const char *const below_state[] = { "images", "slivers", "states" };
    static const char *const below_run[] = { "console", "migrate" };
    if (chmod(c->base.state_dir, 0711) < 0)
        return err_set(err, ERR_UNAVAILABLE, "make %s passable", c->base.state_dir);
    for (size_t i = 0; i < COUNT_OF(below_state); i++) {
        char *path AUTO_FREE = xasprintf("%s/%s", c->base.state_dir, below_state[i]);
        if (dir_make(path, 0711, err)) return -1;
    }
    for (size_t i = 0; i < COUNT_OF(below_run); i++) {
        char *path AUTO_FREE = xasprintf("%s/%s", c->run_dir, below_run[i]);
        if (dir_make(path, 0711, err)) return -1;
    }
    return 0;
}

static const char *datapath(const char *wanted) {
    if (strcmp(wanted, "auto") != 0) return wanted;
    return access("/sys/module/openvswitch", F_OK) == 0 ? "system" : "netdev";
}

static int open_base(struct agent *a, struct err *err) {
    const struct agent_config *c = a->config;
    char *database AUTO_FREE = xasprintf("%s/nodemgr.db", c->base.state_dir);
    char *images AUTO_FREE = xasprintf("%s/images", c->base.state_dir);
    static const char *const documents[] = { "common", "nodemgr", NULL };
    if (schema_load_only(documents, err) || read_boot_id(a->boot_id, err) || make_directories(c, err)) return -1;
    if (identity_open(&c->base, "node", &a->identity, err)) return -1;
    a->name = urn_name(a->identity.urn);
    uuid_new(a->start_id);
    struct http_client_options client = {
        .key_pem = a->identity.key_pem,
        .cert_pem = a->identity.cert_pem,
        .ca_pem = a->identity.ca_pem,
        .user_agent = "jogak-nodemgr/" JOGAK_VERSION,
    };
    a->client = http_client_new(&client, err);
    if (!a->client) return -1;
    a->db = db_open(database, nodemgr_migrations, nodemgr_migration_count, true, err);
    if (!a->db) return -1;
    struct err why = ERR_INIT;
    a->lease = lease_open(a, &why);
    if (why.code != ERR_NONE) {
        *err = why;
        return -1;
    }
    a->images = image_cache_open(images, a->client, err);
    return a->images ? 0 : -1;
}

static int start_parts(struct agent *a, struct err *err) {
    const struct agent_config *c = a->config;
    struct switch_config bridge = { .bridge = c->bridge, .datapath_type = datapath(c->datapath) };
    char libvirt[32], qemu[32];
    struct err later = ERR_INIT;
    if (adopt_files(a, err)) return -1;
    a->capability = capability_open(c->base.state_dir, a->boot_id);
    a->locks = sliver_locks_new();
    a->bridge = switch_new(&bridge);
    if (!(a->forwarding = slice_forwarding_start(a, err))) return -1;
    a->consoles = console_hub_start(err);
    if (!a->consoles) return -1;
    a->migrations = migrations_new(a);
    a->checkpoints = checkpoints_new(a);
    a->watch = sliver_watch_new(a);
    a->hypervisor = hypervisor_open(c->libvirt_uri, on_event, a, err);
    if (!a->hypervisor) return -1;
    sliver_watch_start(a->watch);
    if (hypervisor_wait(a->hypervisor, 2000, &later) == 0 &&
        hypervisor_versions(a->hypervisor, libvirt, qemu, &later) == 0)
        capability_set_libvirt(a->capability, libvirt);
    if (adopt_fences(a, &later))
        log_warn("what runs here was not looked at", "cause=\"%s\"", later.msg);
    if (migrations_start(a->migrations, err)) return -1;
    if (checkpoints_start(a->checkpoints, err)) return -1;
    lease_start(a->lease);
    return 0;
}

static void end_parts(struct agent *a) {
    reporter_stop(a->reporter);
    lease_stop(a->lease);
    checkpoints_stop(a->checkpoints);
    migrations_stop(a->migrations);
    slice_forwarding_stop(a->forwarding);
    sliver_watch_stop(a->watch);
    hypervisor_close(a->hypervisor); /* the last event has come */
    sliver_watch_free(a->watch);
    checkpoints_free(a->checkpoints);
    migrations_free(a->migrations);
    console_hub_stop(a->consoles);
    switch_free(a->bridge);
    sliver_locks_free(a->locks);
    capability_free(a->capability);
    lease_close(a->lease);
    image_cache_close(a->images);
    db_close(a->db);
    http_client_free(a->client);
    identity_done(&a->identity);
}

static int serve(struct service *s, struct agent *a, struct err *err) {
    const struct route_table table = { .rows = agent_routes, .count = agent_route_count, .ctx = a };
    struct http_server_options options = {
        .address = a->config->base.listen_address,
        .port = (uint16_t)a->config->base.listen_port,
        .key_pem = a->identity.key_pem,
        .cert_pem = a->identity.cert_pem,
        .ca_pem = a->identity.ca_pem,
        .threads = HTTP_PER_CONNECTION,
    };
    if (route_table_check(&table, err)) return -1;
    struct http_server *server = http_server_start(&options, &table, err);
    if (!server) return -1;
    a->reporter = reporter_start(a);
    log_info("serving", "node=%s address=%s port=%lld", a->name, options.address,
             (long long)a->config->base.listen_port);
    struct upkeep *upkeep = upkeep_start(&a->config->base, &a->identity, false, err);
    service_wait(s);
    upkeep_stop(upkeep);
    http_server_stop(server);
    return 0;
}

int main(int argc, char **argv) {
    static struct agent_config config;
    static struct agent agent;
    struct service service = { "nodemgr", rows, COUNT_OF(rows), &config };
    struct err err = ERR_INIT;
    mallopt(M_ARENA_MAX, 2); /* many threads that do little: arenas of their own only cost memory */
    int status = service_begin(&service, argc, argv);
    if (status >= 0) return status;
    agent.config = &config;
    int failed = open_base(&agent, &err) || start_parts(&agent, &err) ||
                 serve(&service, &agent, &err);
    if (failed) log_error("the agent ends", "cause=\"%s\" remedy=\"%s\"", err.msg, err.remedy);
    end_parts(&agent);
    service_end(&service);
    return failed ? 1 : 0;
}
