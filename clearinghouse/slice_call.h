/*
 * One call to a slice's route: what slice.c and slice_credential.c share.
 */
#ifndef JOGAK_CLEARINGHOUSE_SLICE_CALL_H
#define JOGAK_CLEARINGHOUSE_SLICE_CALL_H

#include "access.h"
#include "house.h"
#include "slice.h"
#include "common/route.h"

struct slice_call {
    struct house *house;
    const struct http_request *req;
    struct slice slice;
    char role[16]; /* the caller's in this slice */
    json *shown;   /* the slice as the API shows it */
};

/* The slice with its members; the caller owns it. NULL with err. */
json *slice_json(struct db_conn *c, const struct slice *s, struct err *err);

/* Inside a database function: loads the slice that params[0] names, judges the caller and, on a
 * change, If-Match. */
int slice_call_open(struct db_conn *c, struct slice_call *call, enum access_right right,
                    struct err *err);
/* Fills call->shown. */
int slice_call_show(struct db_conn *c, struct slice_call *call, struct err *err);
/* Settles what has expired, runs fn(call) as a transaction, answers with call->shown. */
int slice_call_write(struct slice_call *call, db_fn fn, unsigned status, struct http_reply *reply,
                     struct err *err);

#endif
