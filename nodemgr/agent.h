/*
 * The node agent: its parts, wired by main.c, and its configuration.
 *
 * Threads: one per HTTP connection (calls return when the thing is done), libvirt's event loop and
 * the keeper of its connection (hypervisor.h), the watcher of slivers (sliver_watch.h), the reporter
 * (report.h), the keeper of the lease (lease.h), the reader of consoles (console.h), the tunnel's, one per
 * fetched image, one per checkpoint, and one per migration whose copy or fetch is at work here.
 */
#ifndef JOGAK_NODEMGR_AGENT_H
#define JOGAK_NODEMGR_AGENT_H

#include "common/db.h"
#include "common/http_client.h"
#include "common/ids.h"
#include "common/route.h"
#include "common/service.h"

struct agent_config {
    struct service_config base;
    char *aggregate_url; /* "" reports to nobody */
    char *bridge, *datapath, *vtep_address, *run_dir;
    char *site, *uplink, *uplink_router;
    char *libvirt_uri, *libvirt_socket, *cpu_model;
    int64_t tunnel_port, report_interval_ms;
    int64_t vcpus, memory_mib, disk_mib, port_rate_kbps; /* 0: as found */
};

struct agent {
    const struct agent_config *config;
    struct identity identity;
    const char *name; /* the node's, from its URN */
    char boot_id[UUID_TEXT_BYTES];
    char start_id[UUID_TEXT_BYTES]; /* of this process, so that who asks sees that it is a new one */
    struct db *db;
    struct http_client *client; /* to the aggregate and the store */
    struct hypervisor *hypervisor;
    struct switch_door *bridge;
    struct slice_forwarding *forwarding;
    struct capability *capability;
    struct image_cache *images;
    struct sliver_locks *locks;
    struct sliver_watch *watch;
    struct console_hub *consoles;
    struct migrations *migrations;
    struct checkpoints *checkpoints;
    struct lease *lease; /* NULL: no aggregate, no lease needed */
    struct reporter *reporter;
};

/* The table of routes.c; ctx is the agent. */
extern const struct route agent_routes[];
extern const size_t agent_route_count;

#endif
