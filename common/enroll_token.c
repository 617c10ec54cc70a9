/*
 * The text of enrolment tokens; apart from enroll.c, so that who only makes tokens needs no client.
 */
#include "enroll.h"

#include "digest.h"
#include "ids.h"
#include "json.h"

#include <ctype.h>
#include <stdio.h>

#define TOKEN_MAX_BYTES 2048

static int token_fault(struct err *err, const char *what) {
    err_set(err, ERR_INVALID, "the enrolment token %s", what);
    return err_remedy(err, "copy the token as a whole, as it was given out, or ask for a new one");
}

/* Copies a member that must be a text and fit. */
static int take_str(const json *j, const char *key, char *ret, size_t size) {
    const char *text = json_get_str(j, key);
    if (!text || !*text || strlen(text) >= size) return -1;
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static int token_read(const json *j, struct enroll_token *ret, struct err *err) {
    struct enroll_token t = { .url = "" };
    struct urn urn;
    if (json_get_int(j, "v", 0) != 1) return token_fault(err, "is of another version");
    if (take_str(j, "url", t.url, sizeof t.url) || strncmp(t.url, "https://", 8) != 0)
        return token_fault(err, "names no https URL");
    if (take_str(j, "ca", t.ca_fingerprint, sizeof t.ca_fingerprint) ||
        !sha256_text_valid(t.ca_fingerprint))
        return token_fault(err, "names no authority");
    if (take_str(j, "urn", t.urn, sizeof t.urn) || urn_parse(t.urn, &urn, err))
        return token_fault(err, "names no URN");
    if (take_str(j, "secret", t.secret, sizeof t.secret))
        return token_fault(err, "holds no secret");
    *ret = t;
    return 0;
}

int enroll_token_parse(const char *text, struct enroll_token *ret, struct err *err) {
    size_t blanks = strspn(text, " \t\r\n"), length = strnlen(text + blanks, TOKEN_MAX_BYTES + 1);
    if (length > TOKEN_MAX_BYTES) return token_fault(err, "is too long");
    char *tight AUTO_FREE = xstrndup(text + blanks, length);
    while (length > 0 && isspace((unsigned char)tight[length - 1])) tight[--length] = '\0';
    size_t decoded_length = 0;
    uint8_t *decoded AUTO_FREE = base64url_decode(tight, &decoded_length);
    if (!decoded || decoded_length == 0) return token_fault(err, "cannot be read");
    json *j AUTO_JSON = json_parse((const char *)decoded, decoded_length, NULL);
    if (!j || json_kind(j) != JSON_OBJECT) return token_fault(err, "cannot be read");
    return token_read(j, ret, err);
}

char *enroll_token_text(const struct enroll_token *t) {
    json *j AUTO_JSON = json_object();
    json_set_int(j, "v", 1);
    json_set_str(j, "url", t->url);
    json_set_str(j, "ca", t->ca_fingerprint);
    json_set_str(j, "urn", t->urn);
    json_set_str(j, "secret", t->secret);
    char *text AUTO_FREE = json_text(j);
    return base64url_encode(text, strlen(text));
}
