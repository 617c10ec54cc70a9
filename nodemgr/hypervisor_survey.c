#include "nodemgr/hypervisor_internal.h"

#include <stdio.h>

/* The epoch in <jogak:sliver ... epoch='3'/>; 0 when the domain does not bear our mark. */
static int64_t marked_epoch(virDomainPtr d) {
    char *mark AUTO_FREE = virDomainGetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, DOMAIN_XML_NAMESPACE,
                                                VIR_DOMAIN_AFFECT_CURRENT);
    const char *at = mark ? strstr(mark, " epoch=") : NULL;
    long long epoch = 0;
    if (!at || sscanf(at + 8, "%lld", &epoch) != 1 || epoch < 1) return 0; /* past the quote */
    return epoch;
}

static int look(virDomainPtr d, struct domain_survey *ret, struct err *err) {
    int state, reason;
    const char *name = virDomainGetName(d);
    if (virDomainGetState(d, &state, &reason, 0) < 0 || virDomainGetUUIDString(d, ret->sliver) < 0)
        return hypervisor_failed(err, "look at %s", name);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    ret->state = hypervisor_state_of(state, reason);
    ret->active = virDomainIsActive(d) == 1;
    ret->epoch = marked_epoch(d);
    return 0;
}

int hypervisor_survey(struct hypervisor *h, struct domain_survey **ret, size_t *ret_count,
                      struct err *err) {
    virConnectPtr c AUTO_CONNECTION = hypervisor_connection(h, err);
    if (!c) return -1;
    virDomainPtr *domains;
    int count = virConnectListAllDomains(c, &domains, 0);
    if (count < 0) return hypervisor_failed(err, "list libvirt's domains");
    struct domain_survey *list = xcalloc((size_t)count + 1, sizeof *list);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        struct err ended = ERR_INIT; /* meanwhile */
        if (look(domains[i], &list[used], &ended) == 0) used++;
        virDomainFree(domains[i]);
    }
    free(domains);
    *ret = list;
    *ret_count = used;
    return 0;
}
