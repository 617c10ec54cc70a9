/*
 * Consoles over HTTP. The caller is a user; that it may see this sliver is said by a ticket, which the
 * aggregate signs and anybody can check: {sliver, owner, expires}.
 */
#include "nodemgr/routes.h"

#include "common/clock.h"
#include "common/pki.h"
#include "nodemgr/console.h"

#include <stdio.h>

#define STREAM_WAIT_MS 500

static int refuse(struct err *err, const char *why) {
    err_set(err, ERR_FORBIDDEN, "the console's ticket is not valid: %s", why);
    return err_remedy(err, "Ask the aggregate for a new one (jogak console does).");
}

static int check_ticket(const json *ticket, const char *sliver, const struct http_request *req,
                        struct err *err) {
    const char *of = json_get_str(ticket, "sliver"), *owner = json_get_str(ticket, "owner");
    const char *expires = json_get_str(ticket, "expires");
    int64_t expires_ms;
    if (!of || strcmp(of, sliver) != 0) return refuse(err, "it is for another sliver");
    if (!owner || strcmp(owner, req->peer->urn) != 0) return refuse(err, "it is another user's");
    if (!expires || clock_parse_rfc3339(expires, &expires_ms) || expires_ms <= clock_wall_ms())
        return refuse(err, "it has expired");
    return 0;
}

static const char *admitted(struct agent *a, const struct http_request *req, struct err *err) {
    const char *sliver = route_uuid(req, 0, err), *text = http_query(req, "ticket");
    char signer[256];
    if (!sliver) return NULL;
    if (!text) {
        refuse(err, "there is none");
        return NULL;
    }
    char *content AUTO_FREE = pki_verify(text, a->identity.ca_pem, signer, err);
    if (!content) return NULL;
    json *ticket AUTO_JSON = json_parse(content, strlen(content), err);
    if (!ticket) return NULL;
    if (!urn_is(signer, "am", NULL)) {
        refuse(err, "no aggregate has signed it");
        return NULL;
    }
    return check_ticket(ticket, sliver, req, err) ? NULL : sliver;
}

struct reader {
    struct console_hub *hub;
    struct console_place place;
    char sliver[UUID_TEXT_BYTES];
};

static int64_t stream(void *ctx, char *buf, size_t size) {
    struct reader *r = ctx;
    int64_t n = console_read(r->hub, r->sliver, &r->place, buf, size, STREAM_WAIT_MS);
    return n > 0 ? n : n == 0 ? HTTP_STREAM_AGAIN : 0;
}

int route_console_read(void *ctx, const struct http_request *req, struct http_reply *reply,
                       struct err *err) {
    struct agent *a = ctx;
    const char *sliver = admitted(a, req, err);
    char none;
    struct console_place from = { 0 };
    if (!sliver) return -1;
    if (console_read(a->consoles, sliver, &from, &none, 0, 0) < 0)
        return err_set(err, ERR_NOT_FOUND, "sliver %s has no console at this node", sliver);
    struct reader *r = xcalloc(1, sizeof *r);
    r->hub = a->consoles;
    snprintf(r->sliver, sizeof r->sliver, "%s", sliver);
    reply->content_type = "application/octet-stream";
    reply->stream = stream;
    reply->stream_ctx = r;
    reply->stream_free = free;
    return 0;
}

int route_console_write(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct agent *a = ctx;
    const char *sliver = admitted(a, req, err);
    if (!sliver || console_write(a->consoles, sliver, req->raw, req->raw_length, err)) return -1;
    reply->status = 204;
    return 0;
}
