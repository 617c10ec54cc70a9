#include "certificate.h"

#include "access.h"
#include "answer.h"
#include "certificate_db.h"
#include "house.h"
#include "common/clock.h"
#include "common/log.h"

LOG_MODULE("ch.certificate");

#define DAY_MS 86400000LL

char *certificate_issue(const struct house *h, const char *csr, const char *urn, const json *hosts,
                        struct pki_cert *ret_facts, struct err *err) {
    const char *names[AUTHORITY_HOSTS_MAX + 1] = { NULL };
    size_t count = hosts ? json_length(hosts) : 0;
    bool user = urn_is(urn, "user", NULL);
    if (user && count) {
        err_set(err, ERR_UNPROCESSABLE, "a user's certificate names no hosts");
        return NULL;
    }
    if (count > AUTHORITY_HOSTS_MAX) {
        err_set(err, ERR_TOO_LARGE, "more than %d hosts", AUTHORITY_HOSTS_MAX);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) names[i] = json_str(json_at(hosts, i));
    int64_t days = user ? h->config->user_days : h->config->service_days;
    return authority_issue(&h->authority, csr, urn, names,
                           user ? PKI_USE_CLIENT : PKI_USE_CLIENT | PKI_USE_SERVER,
                           clock_wall_ms() + days * DAY_MS, ret_facts, err);
}

json *certificate_answer(const struct house *h, const char *pem, const struct pki_cert *facts) {
    json *j = json_object();
    json_set_str(j, "certificate", pem);
    json_set_str(j, "ca", h->authority.ca_cert_pem);
    json_set_str(j, "urn", facts->urn);
    return answer_set_time(j, "expires", facts->not_after_ms);
}

struct renewal {
    const char *serial;
    json *hosts;
    struct pki_cert facts;
};

static int read_hosts(struct db_conn *c, void *arg, struct err *err) {
    struct renewal *r = arg;
    r->hosts = certificate_db_hosts(c, r->serial, err);
    return r->hosts ? 0 : -1;
}

static int store(struct db_conn *c, void *arg, struct err *err) {
    struct renewal *r = arg;
    return certificate_db_insert(c, &r->facts, r->hosts, clock_wall_ms(), err);
}

int certificate_renew(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    struct house *h = ctx;
    struct renewal r = { .serial = req->peer->serial };
    AUTO_JSON json *hosts = json_copy(json_get(req->body, "hosts"));
    if (!json_has(req->body, "hosts")) { /* as in the certificate that is renewed */
        if (db_read(h->db, read_hosts, &r, err) != 0) return -1;
        json_put(hosts);
        hosts = r.hosts;
    }
    r.hosts = hosts;
    AUTO_FREE char *pem =
        certificate_issue(h, json_get_str(req->body, "csr"), req->peer->urn, hosts, &r.facts, err);
    if (!pem || db_write(h->db, store, &r, err) != 0) return -1;
    log_info("certificate renewed", "urn=%s serial=%s", r.facts.urn, r.facts.serial);
    reply->body = certificate_answer(h, pem, &r.facts);
    return 0;
}

struct revocation {
    const char *serial, *urn;
    int changes;
    json *serials, *urns;
};

static int store_revocation(struct db_conn *c, void *arg, struct err *err) {
    struct revocation *r = arg;
    int64_t now = clock_wall_ms();
    return r->serial ? certificate_db_revoke_serial(c, r->serial, now, &r->changes, err)
                     : certificate_db_revoke_urn(c, r->urn, now, &r->changes, err);
}

int revocation_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    struct house *h = ctx;
    struct revocation r = { .serial = json_get_str(req->body, "serial"),
                            .urn = json_get_str(req->body, "urn") };
    if (!r.serial == !r.urn)
        return err_set(err, ERR_INVALID, "give either a serial or a urn to revoke");
    if (db_write(h->db, store_revocation, &r, err) != 0 ||
        standing_refresh_revoked(&h->standing, h->db, err) != 0)
        return -1;
    if (r.changes == 0)
        return err_set(err, ERR_NOT_FOUND, "%s has no certificate left to revoke",
                       r.serial ? r.serial : r.urn);
    log_info("certificates revoked", "what=%s count=%d by=%s", r.serial ? r.serial : r.urn,
             r.changes, access_name(req));
    reply->body = json_set_int(json_object(), "revoked", r.changes);
    return 0;
}

static int read_revoked(struct db_conn *c, void *arg, struct err *err) {
    struct revocation *r = arg;
    r->serials = certificate_db_revoked(c, clock_wall_ms(), err);
    r->urns = r->serials ? certificate_db_disabled(c, err) : NULL;
    return r->urns ? 0 : -1;
}

int revocation_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err) {
    (void)req;
    struct house *h = ctx;
    struct revocation r = { 0 };
    if (db_read(h->db, read_revoked, &r, err) != 0) {
        json_put(r.serials);
        return -1;
    }
    reply->body = json_set(json_set(json_object(), "serials", r.serials), "users", r.urns);
    return 0;
}
