#include "nodemgr/checkpoint.h"
#include "nodemgr/routes.h"

static int answer(json *state, struct http_reply *reply) {
    reply->body = state;
    return state ? 0 : -1;
}

int route_checkpoint_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    struct agent *a = ctx;
    const char *sliver = route_uuid(req, 0, err), *id = sliver ? route_uuid(req, 1, err) : NULL;
    if (!id) return -1;
    int64_t epoch = json_get_int(req->body, "epoch", 0);
    return answer(checkpoint_put(a->checkpoints, sliver, id, epoch, err), reply);
}

int route_checkpoint_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    struct agent *a = ctx;
    const char *sliver = route_uuid(req, 0, err), *id = sliver ? route_uuid(req, 1, err) : NULL;
    int64_t wait_ms;
    if (!id || http_query_int(req, "wait_ms", 0, 60000, 0, &wait_ms, err)) return -1;
    return answer(checkpoint_get(a->checkpoints, sliver, id, wait_ms, err), reply);
}

int route_checkpoint_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                            struct err *err) {
    struct agent *a = ctx;
    const char *sliver = route_uuid(req, 0, err), *id = sliver ? route_uuid(req, 1, err) : NULL;
    if (!id || checkpoint_forget(a->checkpoints, sliver, id, err)) return -1;
    reply->status = 204;
    return 0;
}
