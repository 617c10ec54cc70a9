#include "info.h"

#include "answer.h"
#include "house.h"
#include "common/clock.h"

int info_get(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err) {
    (void)req, (void)err;
    const struct house *h = ctx;
    json *j = json_object();
    json_set_str(j, "service", "clearinghouse");
    json_set_str(j, "version", JOGAK_VERSION);
    json_set_str(j, "urn", h->authority.service_urn);
    json_set_str(j, "authority", h->authority.urn);
    reply->body = answer_set_time(j, "time", clock_wall_ms());
    return 0;
}

int info_ca(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err) {
    (void)req, (void)err;
    const struct house *h = ctx;
    reply->text = xstrdup(h->authority.ca_cert_pem);
    reply->text_length = strlen(reply->text);
    reply->content_type = "application/x-pem-file";
    return 0;
}
