/*
 * Credentials, one file per slice: what the clearing house answered. A credential proves itself, so
 * while one lasts the CLI works without the clearing house.
 */
#include "session_internal.h"

#include "common/clock.h"
#include "common/ids.h"
#include "common/service.h"

#include <stdio.h>

#define MARGIN_MS 60000

static char *cache_path(const struct session *s, const char *of) {
    return xasprintf("%s/credentials/%s.json", s->dir, of);
}

void session_forget_credential(struct session *s, const char *of) {
    char *path AUTO_FREE = cache_path(s, of);
    unlink(path);
}

/* The cached answer while it lasts, and if it is ours; NULL otherwise. */
static json *from_cache(const struct session *s, const char *of) {
    char *path AUTO_FREE = cache_path(s, of);
    json *facts AUTO_JSON = access(path, F_OK) ? NULL : json_parse_file(path, NULL);
    const char *owner = json_get_str(facts, "owner"), *expires = json_get_str(facts, "expires");
    int64_t until;
    if (!owner || strcmp(owner, s->urn) || !expires || clock_parse_rfc3339(expires, &until) ||
        until < clock_wall_ms() + MARGIN_MS || !json_get_str(facts, "credential"))
        return NULL;
    return STEAL(facts);
}

static void to_cache(const struct session *s, const char *of, json *facts) {
    char *path AUTO_FREE = cache_path(s, of), *dir AUTO_FREE = session_path(s, "credentials");
    json_set_str(facts, "owner", s->urn);
    char *text AUTO_FREE = json_text(facts);
    /* A cache that cannot be written costs a call next time, no more. */
    if (dir_make(dir, 0700, NULL) == 0) file_write(path, text, strlen(text), 0600, NULL);
}

static json *ask_as_operator(struct session *s, struct err *err) {
    struct err one = ERR_INIT;
    json *facts =
        session_json(s, SESSION_CLEARINGHOUSE, NULL, "GET", NULL, &one, "/v1/credential");
    if (facts) return facts;
    if (one.code == ERR_FORBIDDEN) {
        err_set(&one, ERR_FORBIDDEN, "this is for operators, and %s is none", urn_name(s->urn));
        err_remedy(&one, "ask an operator of this testbed");
    }
    if (err) *err = one;
    return NULL;
}

static json *ask(struct session *s, const char *of, struct err *err) {
    if (strcmp(of, SESSION_AS_OPERATOR) == 0) return ask_as_operator(s, err);
    return session_json(s, SESSION_CLEARINGHOUSE, NULL, "GET", NULL, err, "/v1/slices/%s/credential",
                        of);
}

char *session_credential(struct session *s, const char *of, bool fresh, json **ret_facts,
                         struct err *err) {
    json *facts AUTO_JSON = fresh ? NULL : from_cache(s, of);
    if (!facts) {
        facts = ask(s, of, err);
        if (!facts) return NULL;
        to_cache(s, of, facts);
    }
    const char *text = json_get_str(facts, "credential");
    if (!text) {
        err_set(err, ERR_INTERNAL, "the clearing house answered without a credential");
        return NULL;
    }
    char *copy = xstrdup(text);
    if (ret_facts) *ret_facts = STEAL(facts);
    return copy;
}
