/* jogak-aggregate: options, wiring, wait. */
#include "access.h"
#include "agents.h"
#include "audit.h"
#include "aggregate.h"
#include "checkpoint.h"
#include "common/http_client.h"
#include "common/http_server.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/schema.h"
#include "common/upkeep.h"
#include "event.h"
#include "lease.h"
#include "migration/debt.h"
#include "migration/migration.h"
#include "migration/moves.h"
#include "node.h"
#include "operation.h"
#include "provision.h"
#include "routes.h"
#include "site.h"
#include "ticker.h"

#include <stdio.h>

LOG_MODULE("am.main");

/* More than there are cores: a handler waits for the disk, and those that wait share a commit. */
#define HTTP_THREADS 16

#define ROW(key, type, field, min, max, otherwise, unit, help) \
    { "aggregate", key, type, offsetof(struct aggregate_config, field), min, max, otherwise, unit, help }

static const struct config_row rows[] = {
    SERVICE_CONFIG_ROWS(struct aggregate_config, "aggregate", "8402"),
    ROW("store_url", CONFIG_STRING, store_url, 0, 0, "https://127.0.0.1:8403", NULL,
        "Where the sliver store is; nodes use it too."),
    ROW("hold_s", CONFIG_INT, hold_s, 10, 86400, "300", "s",
        "How long an allocation waits to be provisioned."),
    ROW("cpu_overcommit_percent", CONFIG_INT, cpu_overcommit_percent, 100, 6400, "400", "%",
        "Virtual processors given for each 100 real ones."),
    ROW("node_lost_ms", CONFIG_INT, node_lost_ms, 2000, 600000, "10000", "ms",
        "A node that does not report for so long is lost."),
    ROW("lease_ms", CONFIG_INT, lease_ms, 2000, 600000, "12000", "ms",
        "How long a node may run slivers after a report; without another it stops them."),
    ROW("lease_margin_ms", CONFIG_INT, lease_margin_ms, 500, 60000, "2000", "ms",
        "So long after the end of its lease a lost node's slivers may be started elsewhere."),
    ROW("audit_interval_ms", CONFIG_INT, audit_interval_ms, 0, 86400000, "30000", "ms",
        "How often what a node really has is compared with what it should have; 0: on demand only."),
    ROW("workers", CONFIG_INT, workers, 2, 32, "8", NULL, "Operations that run at once."),
    ROW("drain_parallel", CONFIG_INT, drain_parallel, 1, 32, "4", NULL,
        "Slivers that one drain or move of a slice moves at once."),
    ROW("migration_kbps", CONFIG_INT, migration_kbps, 0, INT64_C(1) << 40, "0", "kbit/s",
        "What all migrations together may use for copying; 0: no limit."),
    ROW("node_migration_kbps", CONFIG_INT, node_migration_kbps, 0, INT64_C(1) << 40, "0", "kbit/s",
        "What the migrations from and to one node may use together; 0: no limit."),
    { "site.*", "public_pool", CONFIG_TABLE, offsetof(struct aggregate_config, site_pools), 0, 0, NULL, NULL,
      "Public IPv4 addresses for slivers at that site, e.g. 203.0.113.16/28." },
    { "site.*", "gateway", CONFIG_TABLE, offsetof(struct aggregate_config, site_gateways), 0, 0, NULL, NULL,
      "The node of that site which translates them; its agent needs an uplink." },
};

static const struct operation_kind kinds[] = {
    { "provision", provision_run, NULL },
    { "release", release_run, NULL },
    { "power", power_run, NULL },
    { "migrate", migration_run, migration_may_cancel },
    { "drain", moves_run, NULL },
    { "move", moves_run, NULL },
    { "cleanup", debt_run, NULL },
    { "audit", audit_run, NULL },
    { "checkpoint", checkpoint_run, NULL },
};

static int open_all(struct aggregate *am, struct err *err) {
    struct service_config *base = &am->config->base;
    struct urn urn;
    if (identity_open(base, "am", am->identity, err) || urn_parse(am->identity->urn, &urn, err))
        return -1;
    snprintf(am->authority, sizeof am->authority, "%s", urn.authority);
    char *path AUTO_FREE = xasprintf("%s/aggregate.db", base->state_dir);
    if (!(am->db = db_open(path, aggregate_migrations, aggregate_migration_count, true, err)))
        return -1;
    if (!(am->sites = sites_read(am->config, err))) return -1;
    if (!(am->leases = leases_open(am->db, am->config, err))) return -1;
    am->client = http_client_new(&(struct http_client_options){ .key_pem = am->identity->key_pem,
                                                                .cert_pem = am->identity->cert_pem,
                                                                .ca_pem = am->identity->ca_pem },
                                 err);
    am->agents = agents_new(am->identity, err);
    am->events = events_new();
    am->credentials = credential_cache_new();
    am->nodes = node_watch_new();
    return am->client && am->agents ? 0 : -1;
}

static void close_all(struct aggregate *am) {
    node_watch_free(am->nodes);
    sites_free(am->sites);
    leases_close(am->leases);
    credential_cache_free(am->credentials);
    events_free(am->events);
    agents_free(am->agents);
    http_client_free(am->client);
    db_close(am->db);
    identity_done(am->identity);
}

static int serve(struct aggregate *am, struct service *service, struct err *err) {
    const struct service_config *base = &am->config->base;
    struct route_table table = { aggregate_routes, aggregate_route_count, am, access_roles };
    if (route_table_check(&table, err)) return -1;
    if (!work_start(am, kinds, COUNT_OF(kinds), (unsigned)am->config->workers, err)) return -1;
    struct ticker *ticker = ticker_start(am, err);
    struct http_server *server = NULL;
    if (ticker && auditor_start(am, err) == 0)
        server = http_server_start(&(struct http_server_options){ .address = base->listen_address,
                                                                  .port = (uint16_t)base->listen_port,
                                                                  .key_pem = am->identity->key_pem,
                                                                  .cert_pem = am->identity->cert_pem,
                                                                  .ca_pem = am->identity->ca_pem,
                                                                  .threads = HTTP_POOL,
                                                                  .thread_count = HTTP_THREADS },
                                   &table, err);
    if (server) {
        log_info("serving", "urn=%s address=%s port=%lld", am->identity->urn, base->listen_address,
                 (long long)base->listen_port);
        struct upkeep *upkeep = upkeep_start(base, am->identity, true, err);
        service_wait(service);
        upkeep_stop(upkeep);
    }
    am->stopping = true;
    events_wake(am->events);
    http_server_stop(server);
    ticker_stop(ticker);
    work_stop(am->work);
    auditor_stop(am); /* after the workers, which look at nodes under its lock */
    return server ? 0 : -1;
}

int main(int argc, char **argv) {
    struct aggregate_config config = { 0 };
    struct service service = { "aggregate", rows, COUNT_OF(rows), &config };
    int status = service_begin(&service, argc, argv);
    if (status >= 0) return status;
    struct identity identity = { 0 };
    struct aggregate am = { .config = &config, .identity = &identity };
    struct err err = ERR_INIT;
    static const char *const documents[] = { "common", "topology", "aggregate", NULL };
    status = schema_load_only(documents, &err) || open_all(&am, &err) || serve(&am, &service, &err);
    if (status)
        log_error("cannot serve", "error=\"%s\" remedy=\"%s\"", err.msg, err.remedy);
    close_all(&am);
    config_free(rows, COUNT_OF(rows), &config);
    return status ? 1 : 0;
}
