/*
 * Projects: operators make and delete them; leads edit them and their members; members of any role
 * see them.
 */
#ifndef JOGAK_CLEARINGHOUSE_PROJECT_H
#define JOGAK_CLEARINGHOUSE_PROJECT_H

#include "common/http.h"

int project_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err);
int project_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err);
int project_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err);
int project_patch(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err);
int project_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int project_member_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                       struct err *err);
int project_member_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                          struct err *err);

#endif
