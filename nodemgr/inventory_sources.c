#include "nodemgr/inventory_internal.h"

#include "nodemgr/cookie.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/lease.h"
#include "nodemgr/leftover_files.h"
#include "nodemgr/migration_db.h"
#include "nodemgr/netdev.h"
#include "nodemgr/slice_forwarding.h"
#include "nodemgr/sliver_parts.h"

#include <stdio.h>

#define SWITCH_MS 5000

/* --- our own database --- */

static void add_migration(void *ctx, const char *id, const char *phase, const json *document) {
    struct inventory *v = ctx;
    json *item = inventory_add(v, "migration", id, OURS, json_get_str(document, "sliver"),
                               json_get_int(document, "epoch", 0));
    json_set_str(item, "state", phase);
    json_set_bool(v->migrations, id, true);
}

int inventory_database(struct inventory *v, struct err *err) {
    for (size_t i = 0; i < v->rows.count; i++) {
        const struct sliver_row *r = &v->rows.rows[i];
        char name[UUID_TEXT_BYTES + 24];
        snprintf(name, sizeof name, "%s-e%lld", r->sliver, (long long)r->epoch);
        json *item = inventory_add(v, "row", name, OURS, r->sliver, r->epoch);
        json_set_str(item, "state", r->incoming ? "incoming" : *r->outcome ? r->outcome : "own");
    }
    for (size_t i = 0; i < json_length(v->documents); i++) {
        const json *d = json_at(v->documents, i);
        json *item = inventory_add(v, "forwarding", json_get_str(d, "slice"), OURS, NULL, 0);
        json_set_int(item, "generation", json_get_int(d, "generation", 0));
    }
    v->migrations = json_object();
    return migration_db_each(v->agent->db, add_migration, v, err);
}

/* --- libvirt --- */

int inventory_libvirt(struct inventory *v, struct err *err) {
    struct domain_survey *list AUTO_FREE = NULL;
    size_t count;
    if (hypervisor_survey(v->agent->hypervisor, &list, &count, err)) return -1;
    for (size_t i = 0; i < count; i++) {
        const struct domain_survey *d = &list[i];
        int64_t named = domain_name_epoch(d->name);
        bool whole = d->epoch > 0 && d->epoch == named;
        const char *ours = whole ? OURS : d->epoch > 0 || named > 0 ? UNCLEAR : FOREIGN;
        json *item = inventory_add(v, "domain", d->name, ours, whole ? d->sliver : NULL,
                                   whole ? d->epoch : 0);
        const char *state = d->active ? domain_state_name(d->state) : "defined";
        /* For the want of a lease: they go on by themselves. */
        if (d->state == DOMAIN_PAUSED && lease_holds(v->agent->lease)) state = "held";
        json_set_str(item, "state", state);
    }
    return 0;
}

/* --- Open vSwitch --- */

struct flow_count {
    uint32_t link;
    int64_t flows;
};

static struct flow_count *count_of(struct flow_count **list, size_t *count, uint32_t link) {
    for (size_t i = 0; i < *count; i++)
        if ((*list)[i].link == link) return &(*list)[i];
    *list = xrealloc_array(*list, *count + 1, sizeof **list);
    (*list)[*count] = (struct flow_count){ link, 0 };
    return &(*list)[(*count)++];
}

static int add_flows(struct inventory *v, struct err *err) {
    struct of_flow *flows = NULL;
    size_t count = 0, links = 0;
    struct flow_count *by_link AUTO_FREE = NULL;
    int64_t foreign = 0;
    if (switch_read_flows(v->agent->bridge, 0, 0, &flows, &count, SWITCH_MS, err)) return -1;
    for (size_t i = 0; i < count; i++) {
        struct cookie cookie;
        if (!cookie_decode(flows[i].cookie, &cookie)) foreign++;
        else if (cookie.link) count_of(&by_link, &links, cookie.link)->flows++;
    }
    of_flows_free(flows, count);
    for (size_t i = 0; i < links; i++) {
        char name[24];
        snprintf(name, sizeof name, "vni-%u", by_link[i].link);
        json *item = inventory_add(v, "flow", name, OURS, NULL, 0);
        json_set_int(item, "count", by_link[i].flows);
        json_set_int(item, "vni", by_link[i].link);
        json_set_bool(item, "known", slice_forwarding_lists(v->documents, by_link[i].link));
    }
    if (foreign) json_set_int(inventory_add(v, "flow", "others", FOREIGN, NULL, 0), "count", foreign);
    return 0;
}

int inventory_switch(struct inventory *v, struct err *err) {
    char **ports CLEANUP(leftover_names_done) = NULL;
    if (switch_list_ports(v->agent->bridge, &v->ports, &v->port_count, SWITCH_MS, err) ||
        switch_foreign(v->agent->bridge, &ports, &v->bridges, SWITCH_MS, err))
        return -1;
    for (size_t i = 0; i < v->port_count; i++) {
        const struct switch_port *p = &v->ports[i];
        if (!strcmp(p->name, SWITCH_VXLAN_PORT) || !strcmp(p->name, v->agent->config->uplink)) continue;
        const char *ours = uuid_valid(p->sliver) && p->epoch ? OURS : UNCLEAR;
        inventory_add(v, "port", p->name, ours, p->sliver, (int64_t)p->epoch);
    }
    for (char **n = ports; n && *n; n++) inventory_add(v, "port", *n, FOREIGN, NULL, 0);
    for (char **n = v->bridges; n && *n; n++) inventory_add(v, "bridge", *n, FOREIGN, NULL, 0);
    return add_flows(v, err);
}

/* --- the kernel --- */

/* By its label; else by its port; else by its name, which is made from the owner's. */
static bool owner_of(const struct inventory *v, const struct netdev_facts *f,
                     char ret_sliver[UUID_TEXT_BYTES], int64_t *ret_epoch) {
    if (sliver_tap_owner(f->label, ret_sliver, ret_epoch)) return true;
    for (size_t i = 0; i < v->port_count; i++) {
        const struct switch_port *p = &v->ports[i];
        if (strcmp(p->name, f->name) != 0 || !uuid_valid(p->sliver)) continue;
        memcpy(ret_sliver, p->sliver, UUID_TEXT_BYTES); /* which it is, so it fits */
        *ret_epoch = (int64_t)p->epoch;
        return true;
    }
    for (size_t i = 0; i < v->rows.count; i++) {
        const struct sliver_row *r = &v->rows.rows[i];
        const json *vnics = json_get(r->document, "vnics");
        for (size_t k = 0; vnics && k < json_length(vnics); k++) {
            char name[IFNAMSIZ];
            const char *vnic = json_get_str(json_at(vnics, k), "name");
            if (!vnic || strcmp(sliver_tap_name(r->sliver, r->epoch, vnic, name), f->name) != 0)
                continue;
            memcpy(ret_sliver, r->sliver, UUID_TEXT_BYTES);
            *ret_epoch = r->epoch;
            return true;
        }
    }
    return false;
}

/* Devices of the userspace datapath are taps, too: its bridges', and its own. */
static bool of_the_switch(const struct inventory *v, const char *name) {
    if (strncmp(name, "ovs-", 4) == 0 || strcmp(name, v->agent->config->bridge) == 0) return true;
    for (char **n = v->bridges; n && *n; n++)
        if (strcmp(*n, name) == 0) return true;
    return false;
}

int inventory_devices(struct inventory *v, struct err *err) {
    char **names CLEANUP(leftover_names_done) = netdev_list("", err);
    if (!names) return -1;
    for (char **n = names; *n; n++) {
        struct netdev_facts facts;
        struct err gone = ERR_INIT;
        char sliver[UUID_TEXT_BYTES] = "";
        int64_t epoch = 0;
        if (netdev_read(*n, &facts, &gone) || strcmp(facts.kind, "tun") != 0) continue;
        if (of_the_switch(v, *n)) continue;
        bool prefixed = strncmp(*n, SLIVER_TAP_PREFIX, strlen(SLIVER_TAP_PREFIX)) == 0;
        bool owned = prefixed && owner_of(v, &facts, sliver, &epoch);
        json *item = inventory_add(v, "tap", *n, owned ? OURS : prefixed ? UNCLEAR : FOREIGN, sliver,
                                   epoch);
        json_set_str(item, "state", facts.carrier ? "in use" : "unused");
    }
    return 0;
}

/* --- files --- */

struct place {
    struct inventory *v;
    const char *prefix; /* of the items' names, with its slash */
    const char *sliver; /* whose directory it is; "" : the names tell */
};

static int add_file(void *ctx, const char *name, struct err *err) {
    const struct place *p = ctx;
    char sliver[UUID_TEXT_BYTES] = "";
    int64_t epoch = leftover_file_epoch(name);
    (void)err;
    if (*p->sliver) snprintf(sliver, sizeof sliver, "%s", p->sliver);
    else snprintf(sliver, sizeof sliver, "%.36s", name);
    bool ours = uuid_valid(sliver) && epoch > 0;
    char *path AUTO_FREE = xasprintf("%s%s", p->prefix, name);
    inventory_add(p->v, "file", path, ours ? OURS : UNCLEAR, ours ? sliver : NULL, ours ? epoch : 0);
    return 0;
}

static int add_home(void *ctx, const char *name, struct err *err) {
    const struct place *p = ctx;
    char *prefix AUTO_FREE = xasprintf("slivers/%s/", name);
    char *path AUTO_FREE = xasprintf("%s/%s", p->v->agent->config->base.state_dir, prefix);
    struct place files = { p->v, prefix, name };
    if (uuid_valid(name)) return leftover_each(path, add_file, &files, err);
    inventory_add(p->v, "file", prefix, UNCLEAR, NULL, 0);
    return 0;
}

static int add_image(void *ctx, const char *name, struct err *err) {
    struct inventory *v = ctx;
    char digest[SHA256_TEXT_BYTES];
    (void)err;
    snprintf(digest, sizeof digest, "%.64s", name);
    inventory_add(v, "image", name, sha256_text_valid(digest) ? OURS : UNCLEAR, NULL, 0);
    return 0;
}

static int add_migration_directory(void *ctx, const char *name, struct err *err) {
    struct inventory *v = ctx;
    (void)err;
    if (!uuid_valid(name)) return 0;
    char *path AUTO_FREE = xasprintf("migrate/%s", name);
    json *item = inventory_add(v, "directory", path, OURS, NULL, 0);
    json_set_bool(item, "known", v->migrations && json_has(v->migrations, name));
    return 0;
}

int inventory_files(struct inventory *v, struct err *err) {
    const struct agent_config *c = v->agent->config;
    char *slivers AUTO_FREE = xasprintf("%s/slivers", c->base.state_dir);
    char *images AUTO_FREE = xasprintf("%s/images", c->base.state_dir);
    char *consoles AUTO_FREE = xasprintf("%s/console", c->run_dir);
    char *migrate AUTO_FREE = xasprintf("%s/migrate", c->run_dir);
    struct place homes = { v, "", "" }, sockets = { v, "console/", "" };
    return leftover_each(slivers, add_home, &homes, err) ||
                   leftover_each(images, add_image, v, err) ||
                   leftover_each(consoles, add_file, &sockets, err) ||
                   leftover_each(migrate, add_migration_directory, v, err)
               ? -1
               : 0;
}
