/*
 * Users: made by operators; each may read and edit its own e-mail address and ssh keys.
 * {user} in a path is the name, or "self" for the caller.
 */
#ifndef JOGAK_CLEARINGHOUSE_USER_H
#define JOGAK_CLEARINGHOUSE_USER_H

#include "common/http.h"

/* Handlers, see route_fn; ctx is the house. */
int user_post(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);
int user_list(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);
int user_get(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);
int user_patch(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);
int user_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err);

#endif
