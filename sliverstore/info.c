#include "info.h"

#include "store.h"
#include "common/clock.h"

int info_get(void *ctx, const struct http_request *req, struct http_reply *reply,
             struct err *err) {
    const struct store *s = ctx;
    char now[CLOCK_TEXT_BYTES];
    (void)req;
    (void)err;
    reply->body = json_set_str(json_object(), "service", "sliverstore");
    json_set_str(reply->body, "version", JOGAK_VERSION);
    json_set_str(reply->body, "urn", s->identity->urn);
    json_set_str(reply->body, "time", clock_rfc3339(clock_wall_ms(), now));
    return 0;
}
