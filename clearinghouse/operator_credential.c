#include "operator_credential.h"

#include "access.h"
#include "answer.h"
#include "house.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/pki.h"

#include <stdio.h>

#define HOUR_MS 3600000LL

void credential_answer(const struct credential *c, const char *text, struct http_reply *reply) {
    json *j = json_object();
    json_set_str(j, "credential", text);
    json_set_str(j, "owner", c->owner);
    json_set_str(j, "target", c->target);
    json_set_str(j, "role", c->role);
    reply->body = answer_set_time(j, "expires", c->expires_ms);
}

int operator_credential(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct house *h = ctx;
    const struct authority *a = &h->authority;
    struct pki_cert authority;
    if (pki_cert_read(a->ca_cert_pem, &authority, err)) return -1;
    struct credential c = { .keys = json_array() };
    uint8_t serial[16];
    random_bytes(serial, sizeof serial);
    hex_text(serial, sizeof serial, c.serial);
    snprintf(c.owner, sizeof c.owner, "%s", req->peer->urn);
    snprintf(c.target, sizeof c.target, "%s", authority.urn);
    snprintf(c.role, sizeof c.role, "operator");
    c.privileges = privileges_of_role(c.role);
    c.expires_ms = c.target_expires_ms = clock_wall_ms() + h->config->credential_hours * HOUR_MS;
    char *text AUTO_FREE = credential_sign(&c, a->ca_key_pem, a->ca_cert_pem, err);
    if (text) credential_answer(&c, text, reply);
    credential_done(&c);
    return text ? 0 : -1;
}
