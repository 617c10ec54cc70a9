#include "schema_internal.h"

#include "clock.h"
#include "ids.h"

#include <arpa/inet.h>
#include <ctype.h>

static bool is_date_time(const char *s) {
    int64_t ms;
    return clock_parse_rfc3339(s, &ms) == 0;
}

/* scheme ":" and then only what RFC 3986 allows. */
static bool is_uri(const char *s) {
    if (!isalpha((unsigned char)*s)) return false;
    while (isalnum((unsigned char)*s) || (*s && strchr("+-.", *s))) s++;
    if (*s++ != ':' || !*s) return false;
    for (; *s; s++) {
        if (*s == '%' && !(isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])))
            return false;
        if (!isalnum((unsigned char)*s) && !strchr("%-._~:/?#[]@!$&'()*+,;=", *s)) return false;
    }
    return true;
}

static bool is_ipv4(const char *s) {
    struct in_addr a;
    return inet_pton(AF_INET, s, &a) == 1;
}
static bool is_ipv6(const char *s) {
    struct in6_addr a;
    return inet_pton(AF_INET6, s, &a) == 1;
}

static bool is_cidr(const char *s) {
    char address[64];
    size_t n = strcspn(s, "/");
    if (!s[n] || n >= sizeof address) return false;
    memcpy(address, s, n);
    address[n] = '\0';
    const char *prefix = s + n + 1;
    size_t digits = strspn(prefix, "0123456789");
    if (digits == 0 || digits > 3 || prefix[digits] || (prefix[0] == '0' && digits > 1))
        return false;
    int bits = atoi(prefix);
    return (is_ipv4(address) && bits <= 32) || (is_ipv6(address) && bits <= 128);
}

static bool is_mac(const char *s) {
    for (int i = 0; i < 6; i++, s += 3) {
        if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1])) return false;
        if (s[2] != (i < 5 ? ':' : '\0')) return false;
    }
    return true;
}

static bool is_urn(const char *s) {
    struct urn urn;
    return urn_parse(s, &urn, NULL) == 0;
}

schema_format_fn schema_format(const char *name, bool *ret_known) {
    static const struct { const char *name; schema_format_fn fn; } formats[] = {
        { "date-time", is_date_time }, { "uuid", uuid_valid }, { "uri", is_uri },
        { "ipv4", is_ipv4 }, { "ipv6", is_ipv6 }, { "cidr", is_cidr }, { "mac", is_mac },
        { "urn", is_urn }, { "name", name_valid },
        /* OpenAPI's, without a check of their own */
        { "int32", NULL }, { "int64", NULL }, { "float", NULL }, { "double", NULL },
        { "binary", NULL }, { "byte", NULL }, { "password", NULL },
    };
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        *ret_known = true;
        return formats[i].fn;
    }
    *ret_known = false;
    return NULL;
}
