#include "access.h"

#include "common/clock.h"
#include "common/digest.h"
#include "common/ids.h"

#include <stdio.h>

#define CACHE_SLOTS 512
#define CACHE_MS 60000

struct slot {
    char key[SHA256_TEXT_BYTES]; /* digest of owner and credential text; "" when empty */
    int64_t until_ms;            /* monotonic */
    struct credential credential;
};
struct credential_cache {
    pthread_mutex_t lock;
    struct slot slots[CACHE_SLOTS];
};

struct credential_cache *credential_cache_new(void) {
    struct credential_cache *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void credential_cache_free(struct credential_cache *c) {
    if (!c) return;
    for (size_t i = 0; i < CACHE_SLOTS; i++) credential_done(&c->slots[i].credential);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void credential_copy(struct credential *to, const struct credential *from) {
    *to = *from;
    to->keys = from->keys ? json_copy(from->keys) : NULL;
}

static bool cache_get(struct credential_cache *c, const char *key, struct credential *ret) {
    WITH_LOCK(&c->lock);
    struct slot *s = &c->slots[strtoul((char[]){ key[0], key[1], key[2], 0 }, NULL, 16) % CACHE_SLOTS];
    if (strcmp(s->key, key) || clock_monotonic_ms() >= s->until_ms ||
        clock_wall_ms() >= s->credential.expires_ms)
        return false;
    credential_copy(ret, &s->credential);
    return true;
}

static void cache_put(struct credential_cache *c, const char *key, const struct credential *cred) {
    WITH_LOCK(&c->lock);
    struct slot *s = &c->slots[strtoul((char[]){ key[0], key[1], key[2], 0 }, NULL, 16) % CACHE_SLOTS];
    credential_done(&s->credential);
    memcpy(s->key, key, sizeof s->key);
    s->until_ms = clock_monotonic_ms() + CACHE_MS;
    credential_copy(&s->credential, cred);
}

/* The caller's credential, verified. */
static int shown_credential(struct aggregate *am, const struct http_request *req,
                            struct credential *ret, struct err *err) {
    const char *text = http_header(req, CREDENTIAL_HEADER);
    if (!text) {
        err_set(err, ERR_UNAUTHENTICATED, "the request carries no %s header", CREDENTIAL_HEADER);
        return err_remedy(err, "get one: GET /v1/slices/<slice>/credential at the clearing house");
    }
    char *both AUTO_FREE = xasprintf("%s\n%s", req->peer->urn, text);
    char key[SHA256_TEXT_BYTES];
    sha256_text(both, strlen(both), key);
    if (cache_get(am->credentials, key, ret)) return 0;
    if (credential_verify(text, am->identity->ca_pem, req->peer->urn, ret, err)) return -1;
    cache_put(am->credentials, key, ret);
    return 0;
}

static bool is_operator(const struct credential *c) { return strcmp(c->role, "operator") == 0; }

unsigned access_roles(void *ctx, const struct http_request *req) {
    static const struct { const char *type; unsigned role; } by_type[] = {
        { "user", ROLE_USER }, { "am", ROLE_AGGREGATE }, { "node", ROLE_NODE },
        { "ss", ROLE_STORE },  { "sa", ROLE_CLEARINGHOUSE },
    };
    unsigned roles = ROLE_ANYONE;
    for (size_t i = 0; i < COUNT_OF(by_type); i++)
        if (strcmp(req->peer->type, by_type[i].type) == 0) roles |= by_type[i].role;
    if ((roles & ROLE_USER) && http_header(req, CREDENTIAL_HEADER)) {
        struct credential c = { 0 };
        if (shown_credential(ctx, req, &c, NULL) == 0) {
            if (is_operator(&c)) roles |= ROLE_OPERATOR;
            credential_done(&c);
        }
    }
    return roles;
}

int access_slice(struct aggregate *am, const struct http_request *req, const char *slice_urn,
                 enum privilege need, struct credential *ret, struct err *err) {
    struct credential c = { 0 };
    if (shown_credential(am, req, &c, err)) return -1;
    int rc = 0;
    if (strcmp(c.target, slice_urn) && !is_operator(&c))
        rc = err_set(err, ERR_FORBIDDEN, "the credential is for %s, not for %s", c.target, slice_urn);
    else if (!(c.privileges & need))
        rc = err_set(err, ERR_FORBIDDEN, "role %s of slice %s does not allow this", c.role, slice_urn);
    if (rc == 0 && ret) *ret = c;
    else credential_done(&c);
    return rc;
}

int access_slice_urn(struct aggregate *am, const char *param, char ret_urn[256], struct err *err) {
    struct urn urn;
    if (urn_is(param, "slice", NULL) && urn_parse(param, &urn, NULL) == 0) {
        snprintf(ret_urn, 256, "%s", param);
        return 0;
    }
    const char *colon = strchr(param, ':');
    char project[64];
    if (!colon || (size_t)(colon - param) >= sizeof project || !name_valid_slice(colon + 1))
        return err_set(err, ERR_INVALID, "%s names no slice; write project:slice", param);
    snprintf(project, sizeof project, "%.*s", (int)(colon - param), param);
    if (!name_valid(project)) return err_set(err, ERR_INVALID, "%s is no project name", project);
    char authority[200];
    snprintf(authority, sizeof authority, "%s:%s", am->authority, project);
    urn_text(ret_urn, authority, "slice", colon + 1);
    return 0;
}
