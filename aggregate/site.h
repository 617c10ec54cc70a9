/*
 * Sites: parts of the testbed with a way out of their own. Each has a pool of public IPv4 addresses and
 * a gateway, the node that translates them (nodemgr/forwarding.h). A node says in its report at which
 * site it is.
 */
#ifndef JOGAK_AGGREGATE_SITE_H
#define JOGAK_AGGREGATE_SITE_H

#include "aggregate.h"

#define SITE_NAME_BYTES 64
#define SITE_POOL_MAX 65536 /* addresses */

struct site {
    char name[SITE_NAME_BYTES];
    char gateway[64];      /* name of a node */
    uint32_t first, count; /* of the addresses that are given out; host order */
};
struct sites {
    struct site *rows;
    size_t count;
};
/* The [site.NAME] sections. Never NULL on success; free with sites_free(). Errors: ERR_INVALID, with the
 * section and a remedy: a pool that is none or overlaps another one, a missing key. */
struct sites *sites_read(const struct aggregate_config *config, struct err *err);
void sites_free(struct sites *s); /* NULL is fine */
/* NULL: there is no such site. `s` may be NULL. */
const struct site *site_named(const struct sites *s, const char *name);
/* Is the node the gateway of some site? `s` may be NULL. */
bool site_is_gateway(const struct sites *s, const char *node);

#endif
