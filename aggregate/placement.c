#include "placement.h"

#include <stdio.h>

static bool supports(const struct node *n, const char *kind) {
    const json *kinds = json_get(n->capabilities, "kinds");
    for (size_t i = 0; i < json_length(kinds); i++)
        if (strcmp(json_str(json_at(kinds, i)), kind) == 0) return true;
    return false;
}

/* Its place in the list, 0 for the first; -1: not in it. */
static int preference(const json *targets, const char *node) {
    for (size_t i = 0; i < json_length(targets); i++)
        if (strcmp(json_str(json_at(targets, i)), node) == 0) return (int)i;
    return -1;
}

static bool at_home(const struct node *n, const struct placement_wish *w) {
    return w->has_site && strcmp(w->has_site, n->site) == 0;
}

static bool takes_address(const struct node *n, const struct placement_wish *w) {
    return w->is_public && !at_home(n, w);
}

struct placement_refusal placement_fits(const struct node *n, const struct placement_wish *w,
                                        int64_t overcommit) {
    if (w->avoid && strcmp(n->name, w->avoid) == 0) return (struct placement_refusal){ "not_wanted", 0, 0 };
    if (w->node && strcmp(n->name, w->node)) return (struct placement_refusal){ "not_wanted", 0, 0 };
    if (json_length(w->targets) && preference(w->targets, n->name) < 0)
        return (struct placement_refusal){ "not_wanted", 0, 0 };
    const char *barred = w->barred ? json_get_str(w->barred, n->name) : NULL;
    if (barred) return (struct placement_refusal){ barred, 0, 0 };
    if (strcmp(n->state, "ready")) return (struct placement_refusal){ "state", 0, 0 };
    if (!supports(n, w->kind)) return (struct placement_refusal){ "kind", 0, 0 };
    bool address = takes_address(n, w);
    if (w->stays && w->has_site && !at_home(n, w)) return (struct placement_refusal){ "other_site", 0, 0 };
    if (address && n->public_problem) return (struct placement_refusal){ n->public_problem, 0, 0 };
    const struct placement_refusal sums[] = {
        { "vcpus", w->vcpus, n->vcpus * overcommit / 100 - n->used_vcpus },
        { "memory_mib", w->memory_mib, n->memory_mib - n->used_memory_mib },
        { "disk_mib", w->disk_mib, n->disk_mib - n->used_disk_mib },
        /* a rate of 0 is "not known": nothing is promised and nothing refused */
        { "rate_kbps", n->rate_kbps ? w->rate_kbps : 0, n->rate_kbps - n->used_rate_kbps },
        { "public_addresses", address, n->public_free ? *n->public_free : 0 },
    };
    for (size_t i = 0; i < COUNT_OF(sums); i++)
        if (sums[i].need > 0 && sums[i].need > sums[i].free) return sums[i];
    return (struct placement_refusal){ 0 };
}

void placement_use(struct node *n, const struct placement_wish *w, int sign) {
    n->used_vcpus += sign * w->vcpus;
    n->used_memory_mib += sign * w->memory_mib;
    n->used_disk_mib += sign * w->disk_mib;
    n->used_rate_kbps += sign * w->rate_kbps;
    if (n->public_free && takes_address(n, w)) *n->public_free -= sign;
}

/* The permille of memory that stays free, less a quarter for each of this request's slivers that is
 * there already. A site that is preferred comes before both, the policy's own order of targets before that, and
 * a backup node before everything. */
int64_t placement_score(const struct node *n, const struct placement_wish *w, int64_t own) {
    int64_t total = n->memory_mib > 0 ? n->memory_mib : 1;
    int64_t later = json_length(w->targets) ? preference(w->targets, n->name) : 0;
    return (n->memory_mib - n->used_memory_mib - w->memory_mib) * 1000 / total - 250 * own -
           later * 1000000 + (w->near && strcmp(w->near, n->site) == 0 ? 10000 : 0) +
           (w->backup && strcmp(w->backup, n->name) == 0 ? 100000000 : 0);
}

static json *refusal_json(const struct placement_wish *w, const struct node *n,
                          const struct placement_refusal *r) {
    json *j = json_object();
    json_set_str(j, "sliver", w->name);
    json_set_str(j, "node", n->name);
    json_set_str(j, "reason", r->reason);
    if (r->need) {
        json_set_int(j, "need", r->need);
        json_set_int(j, "free", r->free);
    }
    return j;
}

int placement_refuse(const struct node_list *nodes, const struct placement_wish *w,
                     int64_t overcommit, json **ret_reasons, struct err *err) {
    json *reasons = json_array();
    struct buf b AUTO_BUF = BUF_INIT;
    bool known = !w->node;
    for (size_t i = 0; i < nodes->count; i++) {
        const struct node *n = &nodes->rows[i];
        if (w->node && strcmp(n->name, w->node) == 0) known = true;
        struct placement_refusal r = placement_fits(n, w, overcommit);
        if (!r.reason) continue;
        json_add(reasons, refusal_json(w, n, &r));
        if (strcmp(r.reason, "not_wanted") == 0) continue;
        buf_printf(&b, "%s%s: %s", b.length ? "; " : "", n->name, r.reason);
        if (strcmp(r.reason, "state") == 0) buf_printf(&b, " is %s", n->state);
        if (r.need) buf_printf(&b, " %lld needed, %lld free", (long long)r.need, (long long)r.free);
    }
    if (!known)
        json_add(reasons, json_set_str(json_set_str(json_set_str(json_object(), "sliver", w->name),
                                                    "node", w->node), "reason", "unknown_node"));
    if (ret_reasons) *ret_reasons = reasons;
    else json_put(reasons);
    err_set(err, ERR_NO_SPACE, "no node can take sliver %s (%s)", w->name,
            !known ? "the node it asks for is not known" : b.length ? b.data : "there are no others");
    return err_remedy(err, "see `jogak node list`; ask for less, or free some");
}

int placement_choose(struct node_list *nodes, struct placement_wish *wishes, size_t count,
                     int64_t overcommit, json **ret_reasons, struct err *err) {
    int64_t *own AUTO_FREE = xcalloc(nodes->count, sizeof *own);
    for (size_t i = 0; i < count; i++) wishes[i].chosen = -1;
    for (size_t placed = 0; placed < count; placed++) {
        /* Those that name a node first, then by memory. */
        struct placement_wish *w = NULL;
        for (size_t i = 0; i < count; i++) {
            struct placement_wish *x = &wishes[i];
            if (x->chosen >= 0) continue;
            if (!w || (x->node && !w->node) ||
                (!x->node == !w->node && x->memory_mib > w->memory_mib))
                w = x;
        }
        int64_t best_score = 0;
        for (size_t i = 0; i < nodes->count; i++) {
            if (placement_fits(&nodes->rows[i], w, overcommit).reason) continue;
            int64_t s = placement_score(&nodes->rows[i], w, own[i]);
            if (w->chosen < 0 || s > best_score) w->chosen = (int)i, best_score = s;
        }
        if (w->chosen < 0) return placement_refuse(nodes, w, overcommit, ret_reasons, err);
        placement_use(&nodes->rows[w->chosen], w, 1);
        own[w->chosen]++;
    }
    return 0;
}
