#include "image.h"

#include "agents.h"
#include "common/http_client.h"

#define STORE_MS 10000
#define WAIT_MS 500

json *image_resolve(struct aggregate *am, const char *name, struct err *err) {
    char *url AUTO_FREE = xasprintf("%s/v1/images/%s", am->config->store_url, name);
    json *image AUTO_JSON = http_json(am->client, "GET", url, NULL, STORE_MS, err);
    if (!image) {
        err_wrap(err, "image %s", name);
        if (err && err->code == ERR_NOT_FOUND)
            err_remedy(err, "see `jogak image list`; upload it with `jogak image upload`");
        return NULL;
    }
    json *j = json_object();
    json_set_str(j, "digest", json_get_str(image, "digest"));
    json_set_str(j, "format", json_get_str(image, "format"));
    return json_set_int(j, "virtual_size_bytes", json_get_int(image, "virtual_size_bytes", 0));
}

static void tell(struct aggregate *am, const struct operation *op, const char *node,
                 const json *answer) {
    json *p = json_set_str(json_object(), "doing", "fetching the image");
    json_set_str(p, "node", node);
    json_set_int(p, "bytes_done", json_get_int(answer, "bytes_done", 0));
    json_set_int(p, "bytes_total", json_get_int(answer, "bytes_total", 0));
    operation_progress(am, op->id, p, NULL);
}

int image_at_node(struct aggregate *am, const struct operation *op, const char *node,
                  const json *image, struct err *err) {
    json *body AUTO_JSON = json_object();
    json_set_str(body, "store_url", am->config->store_url);
    json_set_int(body, "wait_ms", WAIT_MS);
    for (;;) {
        if (op && operation_cancelled(am, op->id))
            return err_set(err, ERR_CANCELLED, "cancelled while node %s fetched the image", node);
        json *answer AUTO_JSON = agents_call(am, node, "PUT", body, WAIT_MS + 5000, err,
                                             "/v1/images/%s", json_get_str(image, "digest"));
        if (!answer) return -1;
        const char *state = json_get_str(answer, "state");
        if (state && strcmp(state, "present") == 0) return 0;
        if (state && strcmp(state, "failed") == 0) {
            const json *e = json_get(answer, "error");
            const char *why = json_get_str(e, "message");
            return err_set(err, err_from_name(json_get_str(e, "code")),
                           "node %s could not fetch the image: %s", node, why ? why : "no reason");
        }
        if (op) tell(am, op, node, answer);
    }
}
