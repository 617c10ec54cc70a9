/*
 * The registry: where the aggregates and the stores are. A service reports itself at each start
 * (PUT /v1/services/self); operators may register and remove any. {service} in a path is its URN,
 * or "am:name", "ss:name".
 */
#ifndef JOGAK_CLEARINGHOUSE_REGISTRY_H
#define JOGAK_CLEARINGHOUSE_REGISTRY_H

#include "common/http.h"

int registry_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err);
int registry_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                  struct err *err);
int registry_put_self(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err);
int registry_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err);
int registry_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err);

#endif
