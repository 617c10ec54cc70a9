/*
 * Slivers: what was promised, to whom, where, at which epoch.
 *
 * Allocation (GENI):   unallocated -> allocated -> provisioned -> unallocated
 * Operational state:
 *   notready -> configuring -> ready <-> migrating
 *                   |            |  \-> stopped -> ready
 *                   +-> failed <-+
 *                         \-> migrating: brought back from a checkpoint, or with its node -> ready
 * `busy` names the one operation that may work on it.
 */
#ifndef JOGAK_AGGREGATE_SLIVER_H
#define JOGAK_AGGREGATE_SLIVER_H

#include "aggregate.h"

#define SLIVER_VNICS_MAX 16

struct vnic {
    char name[64], link[64], mac[18];
    int64_t position, rate_kbps, vni, mtu;
    json *addresses;
    char router[16];         /* of its link, IPv4; "": none */
    bool is_public;
    char public_address[16]; /* IPv4, "": none (address.h) */
    char public_site[64];    /* whose it is */
};
struct sliver {
    char id[37], urn[256], slice[37], reservation[37], name[64];
    char allocation[16], state[16], reason[512];
    char node[64], kind[8], busy[37];
    int64_t epoch, vcpus, memory_mib, disk_mib, rate_kbps, created_ms;
    json *wanted, *image;
    struct vnic vnics[SLIVER_VNICS_MAX];
    size_t vnic_count;
};
void sliver_done(struct sliver *s);
/* The vNIC that is to have a public address; NULL: none. */
const struct vnic *sliver_public_vnic(const struct sliver *s);
#define AUTO_SLIVER CLEANUP(sliver_done)
struct sliver_list {
    struct sliver *rows;
    size_t count;
};
void sliver_list_done(struct sliver_list *l);
#define AUTO_SLIVERS CLEANUP(sliver_list_done)

/* In a transaction; with vNICs. */
int sliver_get(struct db_conn *c, const char *id, struct sliver *ret, struct err *err);
/* Those not unallocated: of a slice, a reservation or a node. */
int sliver_of_slice(struct db_conn *c, const char *slice, struct sliver_list *ret, struct err *err);
int sliver_of_reservation(struct db_conn *c, const char *reservation, struct sliver_list *ret,
                          struct err *err);
int sliver_of_node(struct db_conn *c, const char *node, struct sliver_list *ret, struct err *err);
int sliver_add(struct db_conn *c, const struct sliver *s, struct err *err);
/* Change the operational state (logged, told). ERR_CONFLICT when the table does not allow it. */
int sliver_set_state(struct db_conn *c, const char *id, const char *state, const char *reason,
                     struct err *err);
int sliver_set_allocation(struct db_conn *c, const char *id, const char *allocation,
                          struct err *err);
int sliver_set_image(struct db_conn *c, const char *id, const json *image, struct err *err);
/* The commit of a migration: another owner, at a higher epoch. ERR_STALE_EPOCH otherwise. */
int sliver_set_owner(struct db_conn *c, const char *id, const char *node, int64_t epoch,
                     struct err *err);
/* ERR_CONFLICT naming the operation that has it already. */
int sliver_set_busy(struct db_conn *c, const char *id, const char *operation, struct err *err);
int sliver_clear_busy(struct db_conn *c, const char *operation, struct err *err);

/* In transactions of their own. */
int sliver_find(struct aggregate *am, const char *id, struct sliver *ret, struct err *err);
int sliver_list_of(struct aggregate *am, const char *slice, struct sliver_list *ret,
                   struct err *err);
int sliver_change_state(struct aggregate *am, const char *id, const char *state,
                        const char *reason, struct err *err);

json *sliver_json(const struct sliver *s);
/* SliverSpec for an agent (docs/architecture.md); slice_urn for the seed. */
json *sliver_spec(struct aggregate *am, const struct sliver *s, const char *node, int64_t epoch,
                  const json *owner_keys);

/* Routes. */
int sliver_list_route(void *am, const struct http_request *req, struct http_reply *reply,
                      struct err *err);
int sliver_show(void *am, const struct http_request *req, struct http_reply *reply,
                struct err *err);
int sliver_console(void *am, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int sliver_power(void *am, const struct http_request *req, struct http_reply *reply,
                 struct err *err);
/* The sliver of the path, with the caller's right to it checked. */
int sliver_of_request(struct aggregate *am, const struct http_request *req, unsigned need,
                      struct sliver *ret, struct err *err);

#endif
