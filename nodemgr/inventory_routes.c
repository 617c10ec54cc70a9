#include "nodemgr/routes.h"

#include "nodemgr/fence.h"
#include "nodemgr/inventory.h"
#include "nodemgr/leftover.h"

int route_inventory(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    const char *after = http_query(req, "after");
    int64_t limit;
    if (http_query_int(req, "limit", 1, INVENTORY_PAGE, INVENTORY_PAGE, &limit, err)) return -1;
    reply->body = inventory_page(ctx, after ? after : "", limit, err);
    return reply->body ? 0 : -1;
}

static json *collect_one(struct agent *a, const json *item) {
    struct leftover what = {
        .kind = json_get_str(item, "kind"),
        .name = json_get_str(item, "name"),
        .sliver = json_get_str(item, "sliver"),
        .epoch = json_get_int(item, "epoch", 0),
    };
    struct err why = ERR_INIT;
    if (!what.sliver) what.sliver = "";
    int failed = leftover_collect(a, &what, &why);
    json *out = json_set_str(json_object(), "kind", what.kind);
    json_set_str(out, "name", what.name);
    json_set_bool(out, "removed", !failed);
    return failed ? json_set_str(out, "reason", why.msg) : out;
}

int route_inventory_collect(void *ctx, const struct http_request *req, struct http_reply *reply,
                            struct err *err) {
    const json *items = json_get(req->body, "items");
    json *results = json_array();
    (void)err;
    for (size_t i = 0; i < json_length(items); i++)
        json_add(results, collect_one(ctx, json_at(items, i)));
    reply->body = json_set(json_object(), "results", results);
    return 0;
}

int route_fences(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct agent *a = ctx;
    const json *list = json_get(req->body, "fences");
    size_t count = json_length(list);
    struct fence_mark *marks AUTO_FREE = xcalloc(count + 1, sizeof *marks);
    for (size_t i = 0; i < count; i++) { /* the schema has bounded both */
        const char *sliver = json_get_str(json_at(list, i), "sliver");
        memcpy(marks[i].sliver, sliver, UUID_TEXT_BYTES);
        marks[i].epoch = json_get_int(json_at(list, i), "epoch", 0);
    }
    if (fence_learn(a->db, marks, count, err)) return -1;
    reply->status = 204;
    return 0;
}
