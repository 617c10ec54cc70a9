#include "nodemgr/routes.h"

#include "common/clock.h"
#include "nodemgr/image_cache.h"
#include "nodemgr/report.h"
#include "nodemgr/slice_forwarding.h"

const char *route_uuid(const struct http_request *req, size_t index, struct err *err) {
    const char *text = req->params[index];
    if (uuid_valid(text)) return text;
    err_set(err, ERR_INVALID, "\"%.64s\" in the path is not a UUID", text ? text : "");
    return NULL;
}

int route_info(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct agent *a = ctx;
    char now[CLOCK_TEXT_BYTES];
    (void)req;
    (void)err;
    reply->body = json_object();
    json_set_str(reply->body, "service", "nodemgr");
    json_set_str(reply->body, "version", JOGAK_VERSION);
    json_set_str(reply->body, "urn", a->identity.urn);
    json_set_str(reply->body, "time", clock_rfc3339(clock_wall_ms(), now));
    return 0;
}

int route_node(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct agent *a = ctx;
    (void)req;
    (void)err;
    reply->body = report_node(a);
    json_set_str(reply->body, "urn", a->identity.urn);
    json_set_str(reply->body, "name", a->name);
    return 0;
}

int route_image_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    struct agent *a = ctx;
    reply->body = image_cache_want(a->images, req->params[0], json_get_str(req->body, "store_url"),
                                   json_get_int(req->body, "wait_ms", 0), err);
    return reply->body ? 0 : -1;
}

int route_forwarding_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    struct agent *a = ctx;
    const char *slice = route_uuid(req, 0, err);
    int64_t settle_ms;
    if (!slice || http_query_int(req, "settle_ms", 0, 1000, 0, &settle_ms, err) ||
        slice_forwarding_put(a->forwarding, slice, req->body, settle_ms, err))
        return -1;
    reply->status = 204;
    return 0;
}

int route_forwarding_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                            struct err *err) {
    struct agent *a = ctx;
    const char *slice = route_uuid(req, 0, err);
    if (!slice || slice_forwarding_delete(a->forwarding, slice, err)) return -1;
    reply->status = 204;
    return 0;
}
