#include "about.h"

#include "common/clock.h"

int about_show(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    (void)req;
    (void)err;
    struct aggregate *am = ctx;
    char when[CLOCK_TEXT_BYTES];
    reply->body = json_set_str(json_object(), "service", "aggregate");
    json_set_str(reply->body, "version", JOGAK_VERSION);
    json_set_str(reply->body, "urn", am->identity->urn);
    json_set_str(reply->body, "store_url", am->config->store_url);
    json_set_str(reply->body, "time", clock_rfc3339(clock_wall_ms(), when));
    return 0;
}
