/*
 * The route table: one row per route, and everything that happens before a handler runs.
 *
 * For each request, in order: find the row (404; 405 with Allow), find the caller's roles (table's
 * function), authorize (401/403), bound and parse the body, check it against the row's request
 * schema (400), run the handler, check the reply's schema (in debug builds and tests), add the
 * request id, and turn a struct err into application/problem+json {type, title, status, detail,
 * code, remedy, request_id}. A test holds the rows against the OpenAPI document, both ways.
 */
#ifndef JOGAK_ROUTE_H
#define JOGAK_ROUTE_H

#include "http.h"

/* Roles are bits; a row names which may call it. What a role means for one object (member of the
 * slice, lead of the project) is decided in the handler through the service's own check. */
enum role {
    ROLE_ANYONE = 1,      /* also without a certificate */
    ROLE_USER = 2,        /* any valid user certificate */
    ROLE_OPERATOR = 4,    /* a user with operator rights */
    ROLE_AGGREGATE = 8,   /* certificate of type am */
    ROLE_NODE = 16,       /* certificate of type node */
    ROLE_STORE = 32,      /* certificate of type ss */
    ROLE_CLEARINGHOUSE = 64, /* certificate of type sa */
};
#define ROLE_SERVICE (ROLE_AGGREGATE | ROLE_NODE | ROLE_STORE | ROLE_CLEARINGHOUSE)
#define ROLE_SIGNED_IN (ROLE_USER | ROLE_OPERATOR | ROLE_SERVICE)

/* 0: reply filled; -1: err filled. Borrows the request for the duration of the call. */
typedef int (*route_fn)(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err);

struct route {
    const char *method;   /* "GET" ... */
    const char *pattern;  /* "/v1/slices/{slice}/members/{user}"; a param is one path segment */
    route_fn handler;
    unsigned roles;
    const char *request;  /* schema name, e.g. "aggregate#NewReservation"; NULL: no JSON body */
    const char *reply;    /* schema name of the good reply; NULL: none or not JSON */
    size_t body_max;      /* bytes; 0: HTTP_BODY_MAX */
    bool raw;             /* the body is bytes (chunks), not JSON */
};

struct route_table {
    const struct route *rows;
    size_t count;
    void *ctx; /* handed to handlers */
    /* Roles of the caller (req->peer, and credentials in headers); the default (NULL) derives them
     * from the URN's type alone. Must be quick and must not block on anything remote. */
    unsigned (*roles_of)(void *ctx, const struct http_request *req);
};

/* Checks at start that all schemas exist and that no two rows collide. */
int route_table_check(const struct route_table *t, struct err *err);
/* Runs a request through the table; used by the server door and by tests without a network.
 * Always fills reply. req->method, path, peer, raw, raw_length must be set. */
void route_dispatch(const struct route_table *t, struct http_request *req,
                    struct http_reply *reply);
/* Before a body is read: is there such a route, may this caller use it, and may it send `length`
 * bytes? 0, or -1 with the error that route_dispatch() would answer. */
int route_admit(const struct route_table *t, struct http_request *req, uint64_t length,
                struct err *err);
/* How many body bytes a request may have, before it is read; 0 when there is no such route. */
size_t route_body_max(const struct route_table *t, const char *method, const char *path);
#define ROUTE_ALLOW_BYTES 64 /* as http_reply's allow */
/* The methods that this path has, "GET, POST"; false when there is no such path at all. */
bool route_allow(const struct route_table *t, const char *path, char ret[ROUTE_ALLOW_BYTES]);
/* Checks good replies against their schema: a broken one becomes 500 and is logged. On from the
 * start in debug builds only; tests switch it on. For the whole process. */
void route_check_replies(bool on);
/* The row that a path of this method would reach; NULL when none. */
const struct route *route_find(const struct route_table *t, const char *method, const char *path);
/* The roles that route_dispatch() would give this caller. */
unsigned route_roles(const struct route_table *t, const struct http_request *req);
/* Makes the reply a problem+json of this error, dropping what it held. */
void route_problem(struct http_reply *reply, const struct err *err);
void http_reply_done(struct http_reply *reply); /* frees what it owns */

#endif
