/*
 * The aggregate manager: what its rooms share.
 *
 * Data goes one way: routes.c -> a noun (node, reservation, sliver, migration, operation) -> its
 * _db.c -> the database door. Whatever has to wait for a node is an operation (operation.h), run
 * by the workers; only they, and the ticker (ticker.c), call agents (agents.h).
 */
#ifndef JOGAK_AGGREGATE_H
#define JOGAK_AGGREGATE_H

#include "common/db.h"
#include "common/http.h"
#include "common/service.h"

struct aggregate_config {
    struct service_config base;
    char *store_url;
    int64_t hold_s;            /* how long an allocation lives before it must be provisioned */
    int64_t cpu_overcommit_percent;
    int64_t node_lost_ms;      /* without a report, a node is lost after so long */
    int64_t lease_ms;          /* how long a node may run slivers after a report (lease.h) */
    int64_t lease_margin_ms;   /* beyond that, before its slivers may be started elsewhere */
    struct config_entry *site_pools, *site_gateways; /* site.h */
    int64_t workers;           /* threads that run operations */
    int64_t drain_parallel;    /* moves at once, of one drain */
    int64_t migration_kbps, node_migration_kbps; /* for copying, in all and at one node; 0: no limit */
    int64_t audit_interval_ms; /* between two looks at what a node has; 0: only on demand */
};

struct aggregate {
    struct aggregate_config *config;
    struct identity *identity;
    struct db *db;
    struct http_client *client; /* to the store */
    struct agents *agents;
    struct work *work;
    struct auditor *auditor;
    struct events *events;
    struct credential_cache *credentials;
    struct leases *leases;    /* that nodes may hold */
    struct sites *sites;      /* with public addresses; NULL: none */
    struct node_watch *nodes; /* when each node was last heard, on the boot-time clock */
    char authority[128];
    volatile bool stopping;
};

extern const struct db_migration aggregate_migrations[];
extern const size_t aggregate_migration_count;

#endif
