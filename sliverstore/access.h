/*
 * Who may do what: operators, aggregates and nodes read everything, users what is theirs or
 * public. Operators are users who show the clearing house's credential of role "operator".
 */
#ifndef JOGAK_SLIVERSTORE_ACCESS_H
#define JOGAK_SLIVERSTORE_ACCESS_H

#include "common/route.h"

/* For the route table; ctx is the store. */
unsigned access_roles(void *ctx, const struct http_request *req);

/* What the database functions have to know of the caller. */
struct caller {
    const char *urn;  /* borrowed from the request */
    bool reads_all;   /* sees every image */
    bool operator_;   /* may change every image */
};
struct caller access_caller(const struct http_request *req);

#endif
