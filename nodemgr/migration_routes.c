#include "nodemgr/migration.h"
#include "nodemgr/routes.h"

int route_migration_put(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct agent *a = ctx;
    const char *id = route_uuid(req, 0, err);
    if (!id) return -1;
    reply->body = migration_put(a->migrations, id, req->body, err);
    return reply->body ? 0 : -1;
}

int route_migration_get(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct agent *a = ctx;
    const char *id = route_uuid(req, 0, err), *sliver = http_query(req, "sliver");
    int64_t seen, wait_ms;
    if (!id || http_query_int(req, "seen", 0, INT64_MAX, 0, &seen, err) ||
        http_query_int(req, "wait_ms", 0, 60000, 0, &wait_ms, err))
        return -1;
    if (sliver && !uuid_valid(sliver)) return err_set(err, ERR_INVALID, "?sliver= is not a UUID");
    reply->body = migration_get(a->migrations, id, sliver, (uint64_t)seen, wait_ms, err);
    return reply->body ? 0 : -1;
}

int route_migration_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                           struct err *err) {
    struct agent *a = ctx;
    const char *id = route_uuid(req, 0, err);
    int64_t epoch;
    if (!id || http_query_int(req, "epoch", 0, INT64_C(1) << 52, 0, &epoch, err) ||
        migration_forget(a->migrations, id, epoch, err))
        return -1;
    reply->status = 204;
    return 0;
}

int route_migration_verb(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    struct agent *a = ctx;
    const char *id = route_uuid(req, 0, err);
    if (!id) return -1;
    reply->body = migration_verb(a->migrations, id, req->params[1], req->body, err);
    return reply->body ? 0 : -1;
}
