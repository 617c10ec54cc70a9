#include "ids.h"

#include "digest.h"

#include <stdio.h>
#include <string.h>

#define URN_PREFIX "urn:publicid:IDN+"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define NAME_CHARS LETTERS DIGITS "._-"

char *uuid_new(char buf[UUID_TEXT_BYTES]) {
    uint8_t b[16];
    random_bytes(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4, RFC 9562 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant 10 */
    char hex[33];
    hex_text(b, sizeof b, hex);
    snprintf(buf, UUID_TEXT_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
    return buf;
}

bool uuid_valid(const char *text) {
    if (!text || strlen(text) != UUID_TEXT_BYTES - 1) return false;
    for (int i = 0; i < UUID_TEXT_BYTES - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i])) return false;
    }
    return true;
}

/* Copies the part that ends before `end`; false when it is empty, too long or has other
 * characters than `allowed`. */
static bool take_part(const char *from, const char *end, const char *allowed, char *ret,
                      size_t size) {
    size_t length = (size_t)(end - from);
    if (length == 0 || length >= size || strspn(from, allowed) < length) return false;
    memcpy(ret, from, length);
    ret[length] = '\0';
    return true;
}

/* "top" or "top:project", where ':' only stands between non-empty parts. */
static bool authority_valid(const char *authority) {
    size_t n = strlen(authority);
    return authority[0] != ':' && authority[n - 1] != ':' && !strstr(authority, "::");
}

static bool split(const char *text, struct urn *ret) {
    size_t prefix = strlen(URN_PREFIX);
    if (!text || strnlen(text, URN_MAX_BYTES) >= URN_MAX_BYTES) return false;
    if (strncmp(text, URN_PREFIX, prefix) != 0) return false;
    const char *authority = text + prefix, *plus = strchr(authority, '+');
    const char *plus2 = plus ? strchr(plus + 1, '+') : NULL;
    return plus2 &&
           take_part(authority, plus, NAME_CHARS ":", ret->authority, sizeof ret->authority) &&
           take_part(plus + 1, plus2, LETTERS DIGITS "-", ret->type, sizeof ret->type) &&
           take_part(plus2 + 1, text + strlen(text), NAME_CHARS, ret->name, sizeof ret->name) &&
           authority_valid(ret->authority);
}

int urn_parse(const char *text, struct urn *ret_urn, struct err *err) {
    struct urn urn;
    if (!split(text, &urn)) {
        err_set(err, ERR_INVALID, "\"%.255s\" is not a URN", text ? text : "");
        return err_remedy(err, "write " URN_PREFIX "<authority>+<type>+<name>, in letters, digits, "
                               "'.', '_' and '-'");
    }
    *ret_urn = urn;
    return 0;
}

char *urn_text(char *buf, const char *authority, const char *type, const char *name) {
    snprintf(buf, URN_MAX_BYTES, URN_PREFIX "%s+%s+%s", authority, type, name);
    return buf;
}

bool urn_is(const char *text, const char *type, const char *authority) {
    struct urn urn;
    return split(text, &urn) && strcmp(urn.type, type) == 0 &&
           (!authority || strcmp(urn.authority, authority) == 0);
}

const char *urn_name(const char *text) {
    struct urn urn;
    return split(text, &urn) ? strrchr(text, '+') + 1 : "";
}

bool name_valid_slice(const char *name) {
    size_t n = name ? strlen(name) : 0;
    return n >= 1 && n <= 19 && name[0] != '-' && strspn(name, LETTERS DIGITS "-") == n;
}

bool name_valid(const char *name) {
    size_t n = name ? strlen(name) : 0;
    return n >= 1 && n <= 63 && strchr("._-", name[0]) == NULL && strspn(name, NAME_CHARS) == n;
}
