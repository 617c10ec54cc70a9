#include "site.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

void sites_free(struct sites *s) {
    if (!s) return;
    free(s->rows);
    free(s);
}

const struct site *site_named(const struct sites *s, const char *name) {
    for (size_t i = 0; s && i < s->count; i++)
        if (strcmp(s->rows[i].name, name) == 0) return &s->rows[i];
    return NULL;
}

bool site_is_gateway(const struct sites *s, const char *node) {
    for (size_t i = 0; s && i < s->count; i++)
        if (strcmp(s->rows[i].gateway, node) == 0) return true;
    return false;
}

static bool is_name(const char *text) {
    size_t length = strlen(text);
    if (length == 0 || length >= SITE_NAME_BYTES || !isalnum((unsigned char)text[0])) return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == length;
}

/* "203.0.113.16/28". The network's own address and its broadcast address are not given out. */
static int read_pool(const char *text, struct site *ret, struct err *err) {
    char address[INET_ADDRSTRLEN];
    struct in_addr parsed;
    size_t length = strcspn(text, "/");
    char *end = NULL;
    long bits = text[length] && isdigit((unsigned char)text[length + 1]) ? strtol(text + length + 1, &end, 10) : -1;
    if (length >= sizeof address || bits < 16 || bits > 32 || *end)
        return err_set(err, ERR_INVALID, "public_pool \"%s\" is no IPv4 network of at most %d addresses", text,
                       SITE_POOL_MAX);
    snprintf(address, sizeof address, "%.*s", (int)length, text);
    if (inet_pton(AF_INET, address, &parsed) != 1)
        return err_set(err, ERR_INVALID, "public_pool \"%s\" is no IPv4 network", text);
    uint32_t whole = UINT32_C(1) << (32 - bits), host = ntohl(parsed.s_addr);
    if (host & (whole - 1))
        return err_set(err, ERR_INVALID, "public_pool \"%s\" does not begin at a multiple of its size", text);
    ret->first = whole > 2 ? host + 1 : host;
    ret->count = whole > 2 ? whole - 2 : whole;
    return 0;
}

static int check_apart(const struct sites *s, const struct site *fresh, struct err *err) {
    for (size_t i = 0; i < s->count; i++) {
        const struct site *other = &s->rows[i];
        if (fresh->first < other->first + other->count && other->first < fresh->first + fresh->count)
            return err_set(err, ERR_INVALID, "its public_pool overlaps that of [site.%s]", other->name);
    }
    return 0;
}

static int read_site(struct sites *s, const char *name, const char *pool, const char *gateway,
                     struct err *err) {
    struct site fresh = { .count = 0 };
    if (!is_name(name)) return err_set(err, ERR_INVALID, "a site's name is a lower-case word of at most 63 letters");
    if (!pool) return err_set(err, ERR_INVALID, "public_pool is missing");
    if (!gateway || !is_name(gateway)) return err_set(err, ERR_INVALID, "gateway must name a node");
    snprintf(fresh.name, sizeof fresh.name, "%s", name);
    snprintf(fresh.gateway, sizeof fresh.gateway, "%s", gateway);
    if (read_pool(pool, &fresh, err) || check_apart(s, &fresh, err)) return -1;
    s->rows = xrealloc_array(s->rows, s->count + 1, sizeof *s->rows);
    s->rows[s->count++] = fresh;
    return 0;
}

struct sites *sites_read(const struct aggregate_config *config, struct err *err) {
    struct sites *s = xcalloc(1, sizeof *s);
    const struct config_entry *families[] = { config->site_pools, config->site_gateways };
    for (size_t i = 0; i < COUNT_OF(families); i++)
        for (const struct config_entry *e = families[i]; e; e = e->next) {
            if (site_named(s, e->name)) continue;
            if (read_site(s, e->name, config_entry_of(config->site_pools, e->name),
                          config_entry_of(config->site_gateways, e->name), err) == 0)
                continue;
            err_wrap(err, "[site.%s]", e->name);
            err_remedy(err, "write [site.NAME] with, say, public_pool = 203.0.113.16/28 and gateway = h1");
            sites_free(s);
            return NULL;
        }
    return s;
}
