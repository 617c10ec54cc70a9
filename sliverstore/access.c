#include "access.h"

#include "store.h"
#include "common/credential.h"
#include "common/ids.h"
#include "common/log.h"

LOG_MODULE("ss.access");

static const struct { const char *type; unsigned roles; } by_type[] = {
    { "user", ROLE_USER }, { "am", ROLE_AGGREGATE },    { "node", ROLE_NODE },
    { "ss", ROLE_STORE },  { "sa", ROLE_CLEARINGHOUSE },
};

static bool shows_operator(const struct store *s, const struct http_request *req) {
    const char *text = http_header(req, CREDENTIAL_HEADER);
    struct credential c = { 0 };
    struct err err = ERR_INIT;
    if (!text) return false;
    if (credential_verify(text, s->identity->ca_pem, req->peer->urn, &c, &err)) {
        log_info("credential not accepted", "peer=%s error=\"%s\"", req->peer->urn, err.msg);
        return false;
    }
    bool is = strcmp(c.role, "operator") == 0;
    credential_done(&c);
    return is;
}

unsigned access_roles(void *ctx, const struct http_request *req) {
    const struct store *s = ctx;
    unsigned roles = ROLE_ANYONE;
    if (!req->peer || !urn_is(req->peer->urn, req->peer->type, s->authority)) return roles;
    for (size_t i = 0; i < COUNT_OF(by_type); i++)
        if (strcmp(req->peer->type, by_type[i].type) == 0) roles |= by_type[i].roles;
    if ((roles & ROLE_USER) && shows_operator(s, req)) roles |= ROLE_OPERATOR;
    return roles;
}

struct caller access_caller(const struct http_request *req) {
    return (struct caller){
        .urn = req->peer->urn,
        .reads_all = req->roles & (ROLE_OPERATOR | ROLE_SERVICE),
        .operator_ = req->roles & ROLE_OPERATOR,
    };
}
