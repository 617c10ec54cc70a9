/*
 * Reservations, in two phases.
 *
 *   POST /v1/reservations            allocate: capacity, names, MACs, network ids; a short hold
 *   POST .../{id}/provision          an operation that makes it real; a lease until the slice ends
 *   POST .../{id}/renew              a longer lease
 *   DELETE .../{id}                  an operation that removes its slivers
 *   POST /v1/slices/{slice}/plan     what a topology file would change; changes nothing
 *   POST /v1/slices/{slice}/release  an operation that removes some slivers, or all
 */
#ifndef JOGAK_AGGREGATE_RESERVATION_H
#define JOGAK_AGGREGATE_RESERVATION_H

#include "sliver.h"

struct reservation {
    char id[37], slice[37], state[16], owner[256];
    int64_t created_ms, expires_ms;
    json *keys;
};
void reservation_done(struct reservation *r);
#define AUTO_RESERVATION CLEANUP(reservation_done)

int reservation_get(struct db_conn *c, const char *id, struct reservation *ret, struct err *err);
int reservation_set_state(struct db_conn *c, const char *id, const char *state, struct err *err);
/* Drops holds that were never provisioned, and starts the release of leases that have ended. */
void reservation_tick(struct aggregate *am);

int reservation_allocate(void *am, const struct http_request *req, struct http_reply *reply,
                         struct err *err);
int reservation_list(void *am, const struct http_request *req, struct http_reply *reply,
                     struct err *err);
int reservation_show(void *am, const struct http_request *req, struct http_reply *reply,
                     struct err *err);
int reservation_provision(void *am, const struct http_request *req, struct http_reply *reply,
                          struct err *err);
int reservation_renew(void *am, const struct http_request *req, struct http_reply *reply,
                      struct err *err);
int reservation_release(void *am, const struct http_request *req, struct http_reply *reply,
                        struct err *err);
int reservation_plan(void *am, const struct http_request *req, struct http_reply *reply,
                     struct err *err);
int reservation_release_slivers(void *am, const struct http_request *req,
                                struct http_reply *reply, struct err *err);

#endif
