#include "nodemgr/routes.h"

int route_checkpoint_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    (void)ctx, (void)req, (void)reply;
    return err_set(err, ERR_UNSUPPORTED, "checkpoints cannot be taken yet");
}

int route_checkpoint_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    return route_checkpoint_put(ctx, req, reply, err);
}

int route_checkpoint_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                            struct err *err) {
    return route_checkpoint_put(ctx, req, reply, err);
}
