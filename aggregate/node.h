/*
 * Nodes: the inventory, from the agents' reports.
 *
 *   joining --report--> ready <--> draining
 *      ready, draining --no report--> lost --report--> ready
 *      any --operator--> retired;  ready --operator--> quarantined --operator--> ready
 *      retired --operator asks for ready--> joining, and its next report makes it ready
 */
#ifndef JOGAK_AGGREGATE_NODE_H
#define JOGAK_AGGREGATE_NODE_H

#include "aggregate.h"

struct node {
    char name[64];
    char urn[256];
    char state[16];
    char host[256];
    int64_t port, tunnel_port;
    char vtep[64];
    int64_t vcpus, memory_mib, disk_mib, rate_kbps;             /* what slivers may have */
    int64_t used_vcpus, used_memory_mib, used_disk_mib, used_rate_kbps;
    int64_t slivers;
    json *capabilities;
    char site[64];
    int64_t *public_free;       /* addresses of its site that nobody has, shared by its nodes; NULL: none.
                                 * Into node_list.pools; address_offer() fills it in */
    const char *public_problem; /* a reason of placement why none can be given; NULL: none */
};
void node_done(struct node *n);
#define AUTO_NODE CLEANUP(node_done)
struct node_list {
    struct node *rows;
    size_t count;
    int64_t *pools; /* see node.public_free */
};
void node_list_done(struct node_list *l);

int node_get(struct db_conn *c, const char *name, struct node *ret, struct err *err);
/* All of them with what is used; retired ones are left out. */
int node_all(struct db_conn *c, struct node_list *ret, struct err *err);
int node_find(struct aggregate *am, const char *name, struct node *ret, struct err *err);
int node_set_state(struct db_conn *c, const char *name, const char *state, const char *why,
                   struct err *err);

/* When nodes were last heard, on the boot-time clock. After a start of the aggregate every node
 * counts as heard at that moment: nothing is concluded from our own absence. */
struct node_watch *node_watch_new(void);
void node_watch_free(struct node_watch *w);
void node_watch_heard(struct node_watch *w, const char *name, const json *slivers);
/* Milliseconds since the last report. */
int64_t node_watch_age_ms(struct node_watch *w, const char *name);
/* Marks those lost that were not heard for config->node_lost_ms. Called by the ticker. */
void node_watch_tick(struct aggregate *am);

/* Routes. */
int node_report(void *am, const struct http_request *req, struct http_reply *reply,
                struct err *err);
int node_list_route(void *am, const struct http_request *req, struct http_reply *reply,
                    struct err *err);
int node_show(void *am, const struct http_request *req, struct http_reply *reply, struct err *err);
int node_change(void *am, const struct http_request *req, struct http_reply *reply,
                struct err *err);

#endif
