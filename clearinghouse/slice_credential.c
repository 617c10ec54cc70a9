#include "slice_call.h"

#include "operator_credential.h"
#include "user_db.h"
#include "common/clock.h"
#include "common/credential.h"
#include "common/digest.h"

#include <stdio.h>

#define HOUR_MS 3600000LL

struct credential_call {
    struct slice_call call;
    struct user user;
};

static int load(struct db_conn *c, void *arg, struct err *err) {
    struct credential_call *k = arg;
    if (slice_call_open(c, &k->call, ACCESS_SEE, err) != 0) return -1;
    return user_db_get(c, access_name(k->call.req), &k->user, err);
}

/* What the caller may do to the slice at an aggregate, and for how long. */
static void fill(const struct credential_call *k, int64_t now_ms, struct credential *ret) {
    const struct slice *s = &k->call.slice;
    int64_t until_ms = now_ms + k->call.house->config->credential_hours * HOUR_MS;
    uint8_t serial[16];
    random_bytes(serial, sizeof serial);
    hex_text(serial, sizeof serial, ret->serial);
    snprintf(ret->owner, sizeof ret->owner, "%s", k->user.urn);
    snprintf(ret->target, sizeof ret->target, "%s", s->urn);
    snprintf(ret->role, sizeof ret->role, "%s", k->call.role);
    ret->privileges = privileges_of_role(ret->role);
    /* Shut down means: look, but do not touch. Operators clean up. */
    if (s->state == SLICE_SHUTDOWN && !access_is_operator(k->call.req))
        ret->privileges &= PRIV_INFO;
    ret->target_expires_ms = s->expires_ms;
    ret->expires_ms = until_ms < s->expires_ms ? until_ms : s->expires_ms;
    ret->keys = json_ref(k->user.ssh_keys);
}

static int sign(const struct credential_call *k, struct http_reply *reply, struct err *err) {
    const struct slice *s = &k->call.slice;
    const struct authority *a = &k->call.house->authority;
    int64_t now_ms = clock_wall_ms();
    if (s->state == SLICE_EXPIRED || s->expires_ms <= now_ms) {
        err_set(err, ERR_GONE, "slice %s has expired", s->urn);
        return err_remedy(err, "Make a new slice; the name is free again.");
    }
    struct credential c = { .serial = "" };
    fill(k, now_ms, &c);
    AUTO_FREE char *text = credential_sign(&c, a->ca_key_pem, a->ca_cert_pem, err);
    if (text) credential_answer(&c, text, reply);
    credential_done(&c);
    return text ? 0 : -1;
}

int slice_credential(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct house *h = ctx;
    struct credential_call k = { .call = { .house = h, .req = req } };
    int rc = slice_settle(h, err);
    if (rc == 0) rc = db_read(h->db, load, &k, err);
    if (rc == 0) rc = sign(&k, reply, err);
    user_done(&k.user);
    return rc;
}
