#include "access.h"

#include "common/clock.h"
#include "common/ids.h"

#include <stdio.h>

#define CACHE_SLOTS 512
#define CACHE_WAYS 4 /* places that one credential may have */
#define CACHE_MS 60000

struct slot {
    char *text; /* the credential as it was shown; NULL when empty */
    char owner[256];
    int64_t until_ms; /* monotonic */
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
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        credential_done(&c->slots[i].credential);
        free(c->slots[i].text);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void credential_copy(struct credential *to, const struct credential *from) {
    *to = *from;
    to->keys = from->keys ? json_copy(from->keys) : NULL;
}

/* Where its few places begin: by the text's end, where its signature is. */
static struct slot *bucket_of(struct credential_cache *c, const char *text) {
    size_t n = strlen(text);
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = n > 32 ? n - 32 : 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    return &c->slots[h % (CACHE_SLOTS / CACHE_WAYS) * CACHE_WAYS];
}

static bool is_of(const struct slot *s, const char *owner, const char *text) {
    return s->text && strcmp(s->text, text) == 0 && strcmp(s->owner, owner) == 0;
}

static bool cache_get(struct credential_cache *c, const char *owner, const char *text,
                      struct credential *ret) {
    WITH_LOCK(&c->lock);
    struct slot *s = bucket_of(c, text);
    for (size_t i = 0; i < CACHE_WAYS; i++, s++) {
        if (!is_of(s, owner, text)) continue;
        if (clock_monotonic_ms() >= s->until_ms || clock_wall_ms() >= s->credential.expires_ms)
            return false;
        credential_copy(ret, &s->credential);
        return true;
    }
    return false;
}

/* In the place of itself, or of the oldest. */
static void cache_put(struct credential_cache *c, const char *owner, const char *text,
                      const struct credential *cred) {
    WITH_LOCK(&c->lock);
    struct slot *first = bucket_of(c, text), *s = first;
    for (size_t i = 0; i < CACHE_WAYS && !is_of(s, owner, text); i++)
        if (is_of(&first[i], owner, text) || first[i].until_ms < s->until_ms) s = &first[i];
    credential_done(&s->credential);
    free(s->text);
    s->text = xstrdup(text);
    snprintf(s->owner, sizeof s->owner, "%s", owner);
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
    if (cache_get(am->credentials, req->peer->urn, text, ret)) return 0;
    if (credential_verify(text, am->identity->ca_pem, req->peer->urn, ret, err)) return -1;
    cache_put(am->credentials, req->peer->urn, text, ret);
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
