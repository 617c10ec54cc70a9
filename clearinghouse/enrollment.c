#include "enrollment.h"

#include "access.h"
#include "answer.h"
#include "certificate.h"
#include "certificate_db.h"
#include "enrollment_db.h"
#include "house.h"
#include "operator_token.h"
#include "user_db.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/enroll.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("ch.enrollment");

#define HOUR_MS 3600000LL

char *enrollment_new(const struct house *h, const char *urn, struct enrollment *ret) {
    struct enroll_token token = { .url = "" };
    uint8_t random[32];
    random_bytes(random, sizeof random);
    memset(ret, 0, sizeof *ret);
    hex_text(random, 6, ret->selector);
    random_bytes(random, sizeof random);
    AUTO_FREE char *url = house_url(h);
    AUTO_FREE char *rest = base64url_encode(random, sizeof random);
    snprintf(token.secret, sizeof token.secret, "%s.%s", ret->selector, rest);
    snprintf(token.url, sizeof token.url, "%s", url);
    snprintf(token.urn, sizeof token.urn, "%s", urn);
    struct pki_cert ca;
    struct err impossible = ERR_INIT;
    if (pki_cert_read(h->authority.ca_cert_pem, &ca, &impossible) == 0)
        snprintf(token.ca_fingerprint, sizeof token.ca_fingerprint, "%s", ca.fingerprint);
    sha256_text(token.secret, strlen(token.secret), ret->secret_hash);
    snprintf(ret->urn, sizeof ret->urn, "%s", urn);
    ret->created_ms = clock_wall_ms();
    ret->expires_ms = ret->created_ms + h->config->token_hours * HOUR_MS;
    return enroll_token_text(&token);
}

/* --- POST /v1/enrollments --- */

struct making {
    struct enrollment row;
    const char *user; /* NULL for services and nodes */
};

static int check_user(struct db_conn *c, const char *name, struct err *err) {
    AUTO_USER struct user u = { .name = "" };
    if (user_db_get(c, name, &u, err) != 0) {
        if (err && err->code == ERR_NOT_FOUND)
            err_set(err, ERR_UNPROCESSABLE, "no user %.63s; make the user first", name);
        return -1;
    }
    return u.disabled ? err_set(err, ERR_FORBIDDEN, "user %s is disabled", name) : 0;
}

static int make(struct db_conn *c, void *arg, struct err *err) {
    struct making *m = arg;
    if (m->user && check_user(c, m->user, err) != 0) return -1;
    return enrollment_db_insert(c, &m->row, err);
}

int enrollment_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    struct house *h = ctx;
    const char *type = json_get_str(req->body, "type"), *name = json_get_str(req->body, "name");
    if (!name_valid(name))
        return err_set(err, ERR_UNPROCESSABLE, "\"%.63s\" can not be a name", name);
    char urn[URN_MAX_BYTES];
    urn_text(urn, h->authority.name, type, name);
    struct making m = { .user = strcmp(type, "user") == 0 ? name : NULL };
    AUTO_FREE char *token = enrollment_new(h, urn, &m.row);
    if (db_write(h->db, make, &m, err) != 0) return -1;
    log_info("enrolment token made", "urn=%s selector=%s by=%s", urn, m.row.selector,
             access_name(req));
    reply->status = 201;
    reply->body = json_set_str(json_object(), "token", token);
    json_set_str(reply->body, "urn", urn);
    answer_set_time(reply->body, "expires", m.row.expires_ms);
    return 0;
}

/* --- POST /v1/enroll --- */

struct enrolling {
    char selector[32];
    int found;
    struct enrollment row;
    char key_id[65];
    const json *hosts;
    struct pki_cert facts;
};

static int read_row(struct db_conn *c, void *arg, struct err *err) {
    struct enrolling *e = arg;
    e->found = enrollment_db_get(c, e->selector, &e->row, err);
    return e->found < 0 ? -1 : 0;
}

static int count_wrong(struct db_conn *c, void *arg, struct err *err) {
    struct enrolling *e = arg;
    return enrollment_db_count_wrong(c, e->selector, err);
}

static int refuse_secret(struct err *err) {
    err_set(err, ERR_FORBIDDEN, "the secret is not that of a usable token");
    return err_remedy(err,
                      "Use the token exactly as it was given, or ask an operator for another.");
}

/* The right secret of a token that is not void? */
static int check_secret(struct house *h, struct enrolling *e, const char *secret, const char *from,
                        struct err *err) {
    const char *dot = strchr(secret, '.');
    size_t length = dot ? (size_t)(dot - secret) : 0;
    if (length > 0 && length < sizeof e->selector) memcpy(e->selector, secret, length);
    if (db_read(h->db, read_row, e, err) != 0) return -1;
    char hash[SHA256_TEXT_BYTES];
    sha256_text(secret, strlen(secret), hash);
    if (e->found && e->row.wrong < ENROLLMENT_WRONG_MAX && secret_equal(hash, e->row.secret_hash))
        return 0;
    throttle_wrong(&h->throttle, from);
    if (e->found && db_write(h->db, count_wrong, e, err) != 0) return -1;
    log_warn("wrong enrolment secret", "address=%s selector_known=%d", from, e->found);
    return refuse_secret(err);
}

/* Once; but an answer can be lost, so the same key may ask again for a while. */
static int check_usable(const struct enrollment *row, const char *key_id, int64_t now_ms,
                        struct err *err) {
    int64_t since = now_ms - row->used_ms;
    bool repeat = row->used_ms && strcmp(row->key_id, key_id) == 0 &&
                  since <= ENROLLMENT_REPEAT_MS && since >= -ENROLLMENT_REPEAT_MS;
    if (repeat) return 0;
    if (row->used_ms)
        err_set(err, ERR_GONE, "the token for %s has been used", row->urn);
    else if (row->expires_ms <= now_ms)
        err_set(err, ERR_GONE, "the token for %s has expired", row->urn);
    else
        return 0;
    return err_remedy(err, "Ask an operator for another token.");
}

/* All checks again: what was read before the certificate was issued may have changed since. */
static int use(struct db_conn *c, void *arg, struct err *err) {
    struct enrolling *e = arg;
    int64_t now = clock_wall_ms();
    int found = enrollment_db_get(c, e->selector, &e->row, err);
    if (found <= 0) return found < 0 ? -1 : refuse_secret(err);
    if (check_usable(&e->row, e->key_id, now, err) != 0) return -1;
    if (urn_is(e->row.urn, "user", NULL) && check_user(c, urn_name(e->row.urn), err) != 0)
        return -1;
    if (enrollment_db_use(c, e->selector, e->key_id, now, err) != 0) return -1;
    return certificate_db_insert(c, &e->facts, e->hosts, now, err);
}

int enrollment_enroll(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    struct house *h = ctx;
    const char *csr = json_get_str(req->body, "csr");
    struct enrolling e = { .found = 0 };
    if (throttle_check(&h->throttle, req->peer->address, err) != 0) {
        snprintf(reply->retry_after, sizeof reply->retry_after, "60");
        return -1;
    }
    if (check_secret(h, &e, json_get_str(req->body, "secret"), req->peer->address, err) != 0 ||
        pki_csr_key_id(csr, e.key_id, err) != 0 ||
        check_usable(&e.row, e.key_id, clock_wall_ms(), err) != 0)
        return -1;
    AUTO_JSON json *hosts = json_copy(json_get(req->body, "hosts"));
    if (!hosts) hosts = json_array();
    e.hosts = hosts;
    AUTO_FREE char *pem = certificate_issue(h, csr, e.row.urn, hosts, &e.facts, err);
    if (!pem || db_write(h->db, use, &e, err) != 0) return -1;
    log_info("enrolled", "urn=%s serial=%s address=%s", e.row.urn, e.facts.serial,
             req->peer->address);
    operator_token_used(h, e.row.urn);
    reply->body = certificate_answer(h, pem, &e.facts);
    return 0;
}
