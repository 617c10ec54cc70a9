#include "nodemgr/routes.h"

#include "nodemgr/sliver.h"
#include "nodemgr/sliver_watch.h"

int route_sliver_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    struct agent *a = ctx;
    (void)req;
    if (sliver_watch_refresh(a->watch, err)) return -1;
    json *slivers = sliver_watch_all(a->watch, err);
    if (!slivers) return -1;
    reply->body = json_set(json_object(), "slivers", slivers);
    return 0;
}

/* What the answer of all of them is. */
static int answer_state(struct agent *a, const char *sliver, struct http_reply *reply,
                        struct err *err) {
    if (sliver_watch_refresh(a->watch, err)) return -1;
    reply->body = sliver_watch_one(a->watch, sliver, err);
    return reply->body ? 0 : -1;
}

int route_sliver_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    const char *sliver = route_uuid(req, 0, err);
    return sliver ? answer_state(ctx, sliver, reply, err) : -1;
}

int route_sliver_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct agent *a = ctx;
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    const char *sliver = route_uuid(req, 0, err);
    if (!sliver || spec_read(req->body, &spec, err)) return -1;
    if (strcmp(spec.sliver, sliver) != 0)
        return err_set(err, ERR_INVALID, "the path names sliver %s, the body %s", sliver,
                       spec.sliver);
    const char *adopt = http_query(req, "adopt");
    bool only_adopt = adopt && strcmp(adopt, "true") == 0;
    if (only_adopt ? sliver_adopt(a, &spec, err) : sliver_put(a, &spec, err)) return -1;
    return answer_state(a, sliver, reply, err);
}

int route_sliver_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct agent *a = ctx;
    const char *sliver = route_uuid(req, 0, err);
    int64_t epoch;
    if (!sliver || http_query_int(req, "epoch", 1, INT64_C(1) << 52, 0, &epoch, err)) return -1;
    if (epoch == 0) return err_set(err, ERR_INVALID, "?epoch= is needed");
    if (sliver_delete(a, sliver, epoch, err)) return -1;
    reply->status = 204;
    return 0;
}

int route_sliver_power(void *ctx, const struct http_request *req, struct http_reply *reply,
                       struct err *err) {
    struct agent *a = ctx;
    const char *sliver = route_uuid(req, 0, err);
    const char *action = json_get_str(req->body, "action");
    if (!sliver || !action) return -1;
    enum sliver_power power = strcmp(action, "start") == 0  ? SLIVER_START
                              : strcmp(action, "stop") == 0 ? SLIVER_STOP
                                                            : SLIVER_REBOOT;
    if (sliver_power(a, sliver, json_get_int(req->body, "epoch", 0), power, err)) return -1;
    return answer_state(a, sliver, reply, err);
}
