#include "credential.h"

#include "clock.h"
#include "ids.h"
#include "pki.h"

#include <stdio.h>

#define VERSION 1
#define KEY_MAX_BYTES 8192 /* of one ssh key */
#define ALL (PRIV_INFO | PRIV_ALLOCATE | PRIV_OPERATE | PRIV_MIGRATE | PRIV_SHUTDOWN)

static const struct {
    enum privilege bit;
    const char *name;
} privilege_names[] = {
    { PRIV_INFO, "info" },       { PRIV_ALLOCATE, "allocate" }, { PRIV_OPERATE, "operate" },
    { PRIV_MIGRATE, "migrate" }, { PRIV_SHUTDOWN, "shutdown" },
};
static const struct {
    const char *name;
    unsigned privileges;
} roles[] = {
    { "lead", ALL },
    { "member", ALL & ~(unsigned)PRIV_SHUTDOWN },
    { "auditor", PRIV_INFO },
    { "operator", ALL },
};

unsigned privileges_of_role(const char *role) {
    for (size_t i = 0; role && i < COUNT_OF(roles); i++)
        if (strcmp(roles[i].name, role) == 0) return roles[i].privileges;
    return 0;
}

/* --- making --- */

static json *privileges_json(unsigned bits) {
    json *list = json_array();
    for (size_t i = 0; i < COUNT_OF(privilege_names); i++)
        if (bits & privilege_names[i].bit) json_add(list, json_string(privilege_names[i].name));
    return list;
}

static char *content_of(const struct credential *c, const char *authority_urn) {
    char expires[CLOCK_TEXT_BYTES], target_expires[CLOCK_TEXT_BYTES];
    json *j AUTO_JSON = json_object();
    json_set_int(j, "v", VERSION);
    json_set_str(j, "serial", c->serial);
    json_set_str(j, "owner", c->owner);
    json_set_str(j, "target", c->target);
    json_set_str(j, "authority", authority_urn);
    json_set_str(j, "role", c->role);
    json_set(j, "privileges", privileges_json(c->privileges));
    json_set(j, "keys", c->keys ? json_copy(c->keys) : json_array());
    json_set_str(j, "expires", clock_rfc3339(c->expires_ms, expires));
    json_set_str(j, "target_expires", clock_rfc3339(c->target_expires_ms, target_expires));
    return json_text(j);
}

char *credential_sign(const struct credential *c, const char *key_pem, const char *cert_pem,
                      struct err *err) {
    struct pki_cert signer;
    if (pki_cert_read(cert_pem, &signer, err)) return NULL;
    char *content AUTO_FREE = content_of(c, signer.urn);
    char *text AUTO_FREE = pki_sign(content, key_pem, cert_pem, err);
    if (!text) return NULL;
    if (strlen(text) > CREDENTIAL_MAX_BYTES) {
        err_set(err, ERR_TOO_LARGE, "the credential would have %zu bytes", strlen(text));
        err_remedy(err, "keep fewer or shorter ssh keys (ed25519 keys are short)");
        return NULL;
    }
    return STEAL(text);
}

/* --- verifying --- */

static int malformed(struct err *err, const char *what) {
    return err_set(err, ERR_INTEGRITY, "the credential's %s is not valid", what);
}

static int take_str(const json *j, const char *key, char *ret, size_t size, struct err *err) {
    const char *text = json_get_str(j, key);
    if (!text || !*text || strlen(text) >= size) return malformed(err, key);
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static int take_time(const json *j, const char *key, int64_t *ret_ms, struct err *err) {
    const char *text = json_get_str(j, key);
    return text && clock_parse_rfc3339(text, ret_ms) == 0 ? 0 : malformed(err, key);
}

/* Privileges that this version does not know give nothing. */
static unsigned privileges_bits(const json *list) {
    unsigned bits = 0;
    for (size_t i = 0; i < json_length(list); i++) {
        const char *name = json_str(json_at(list, i));
        for (size_t k = 0; name && k < COUNT_OF(privilege_names); k++)
            if (strcmp(name, privilege_names[k].name) == 0) bits |= privilege_names[k].bit;
    }
    return bits;
}

static int check_keys(const json *keys, struct err *err) {
    if (!keys || json_kind(keys) != JSON_ARRAY || json_length(keys) > CREDENTIAL_KEYS_MAX)
        return malformed(err, "keys");
    for (size_t i = 0; i < json_length(keys); i++) {
        const char *key = json_str(json_at(keys, i));
        if (!key || strlen(key) > KEY_MAX_BYTES || strpbrk(key, "\r\n"))
            return malformed(err, "keys");
    }
    return 0;
}

static int read_content(const json *j, struct credential *ret, struct err *err) {
    const json *privileges = json_get(j, "privileges");
    json *keys = json_get(j, "keys");
    if (json_get_int(j, "v", 0) != VERSION) return malformed(err, "version");
    if (take_str(j, "serial", ret->serial, sizeof ret->serial, err) ||
        take_str(j, "owner", ret->owner, sizeof ret->owner, err) ||
        take_str(j, "target", ret->target, sizeof ret->target, err) ||
        take_str(j, "role", ret->role, sizeof ret->role, err) ||
        take_time(j, "expires", &ret->expires_ms, err) ||
        take_time(j, "target_expires", &ret->target_expires_ms, err) || check_keys(keys, err))
        return -1;
    if (!privileges || json_kind(privileges) != JSON_ARRAY) return malformed(err, "privileges");
    ret->privileges = privileges_bits(privileges);
    ret->keys = json_copy(keys);
    return 0;
}

/* "example.org" of "example.org:demo". */
static void top_authority(char *authority) { authority[strcspn(authority, ":")] = '\0'; }

/* Only the authority gives rights, and only over its own slices. */
static int check_signer(const json *j, const struct credential *c, const char *signer_urn,
                        struct err *err) {
    struct urn signer, target;
    const char *named = json_get_str(j, "authority");
    if (urn_parse(signer_urn, &signer, err)) return -1;
    if (strcmp(signer.type, "authority") != 0 && strcmp(signer.type, "sa") != 0)
        return err_set(err, ERR_INTEGRITY, "the credential is signed by %s, not by the authority",
                       signer_urn);
    if (!named || strcmp(named, signer_urn) != 0) return malformed(err, "authority");
    if (!urn_is(c->owner, "user", signer.authority)) return malformed(err, "owner");
    const char *kind = strcmp(c->role, "operator") == 0 && urn_is(c->target, "authority", NULL)
                           ? "authority" /* an operator's holds everywhere, and names no slice */
                           : "slice";
    if (!urn_is(c->target, kind, NULL) || urn_parse(c->target, &target, err))
        return malformed(err, "target");
    top_authority(target.authority);
    return strcmp(target.authority, signer.authority) ? malformed(err, "target") : 0;
}

static int check_use(const struct credential *c, const char *owner_urn, struct err *err) {
    int64_t now = clock_wall_ms();
    if (strcmp(c->owner, owner_urn) != 0)
        return err_set(err, ERR_FORBIDDEN, "the credential belongs to %s, the caller is %s",
                       c->owner, owner_urn);
    if (c->expires_ms > c->target_expires_ms) return malformed(err, "expires");
    if (c->target_expires_ms <= now) {
        err_set(err, ERR_FORBIDDEN, "%s has expired", c->target);
        return err_remedy(err, "renew the slice, then get a new credential");
    }
    if (c->expires_ms <= now) {
        err_set(err, ERR_FORBIDDEN, "the credential for %s has expired", c->target);
        return err_remedy(err, "get a new credential from the clearing house");
    }
    return 0;
}

int credential_verify(const char *text, const char *ca_pem, const char *owner_urn,
                      struct credential *ret, struct err *err) {
    if (strnlen(text, CREDENTIAL_MAX_BYTES + 1) > CREDENTIAL_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the credential is longer than %d bytes",
                       CREDENTIAL_MAX_BYTES);
    char signer_urn[256];
    char *content AUTO_FREE = pki_verify(text, ca_pem, signer_urn, err);
    if (!content) return err_wrap(err, "credential");
    json *j AUTO_JSON = json_parse(content, strlen(content), NULL);
    if (!j || json_kind(j) != JSON_OBJECT) return malformed(err, "content");
    struct credential c = { .keys = NULL };
    if (read_content(j, &c, err) || check_signer(j, &c, signer_urn, err) ||
        check_use(&c, owner_urn, err)) {
        credential_done(&c);
        return -1;
    }
    *ret = c;
    return 0;
}

void credential_done(struct credential *c) {
    if (!c) return;
    json_put(c->keys);
    c->keys = NULL;
}
