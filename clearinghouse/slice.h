/*
 * Slices: made by leads and members of a project, who become their leads. {slice} in a path is the
 * UUID, or "project:name". The life cycle and the rules of expiry are in slice_state.h.
 */
#ifndef JOGAK_CLEARINGHOUSE_SLICE_H
#define JOGAK_CLEARINGHOUSE_SLICE_H

#include "slice_db.h"
#include "common/http.h"

struct house;

/* Stores as expired what is due by the wall clock. Called before anything looks at a slice, and
 * every second; costs a comparison when nothing is due. */
int slice_settle(struct house *h, struct err *err);

/* A slice with this expiry is being stored. Only inside a database function. */
void slice_expiry_hint(struct house *h, int64_t expires_ms);

int slice_post(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);
int slice_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);
int slice_get(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);
int slice_patch(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err);
int slice_renew(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err);
int slice_shutdown(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int slice_member_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err);
int slice_member_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err);
/* GET .../credential: the caller's credential for the slice, signed by the authority. */
int slice_credential(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err);

#endif
