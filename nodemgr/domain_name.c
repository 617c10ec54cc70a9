/* Names of domains, apart from their documents: the watchdog needs no more. */
#include "nodemgr/domain_xml.h"

#include <stdio.h>

#define NAME_PREFIX "jogak-"

char *domain_name(const char *sliver, int64_t epoch, char ret[DOMAIN_NAME_BYTES]) {
    snprintf(ret, DOMAIN_NAME_BYTES, NAME_PREFIX "%.8s-e%lld", sliver, (long long)epoch);
    return ret;
}

int64_t domain_name_epoch(const char *name) {
    size_t prefix = strlen(NAME_PREFIX);
    if (!name || strncmp(name, NAME_PREFIX, prefix) != 0) return 0;
    if (strlen(name) < prefix + 8 + 3 || strncmp(name + prefix + 8, "-e", 2) != 0) return 0;
    const char *digits = name + prefix + 10;
    if (strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 16) return 0;
    return strtoll(digits, NULL, 10);
}
