/*
 * Placement of many slivers at once, with going back.
 *
 * The largest first, each where it leaves most room: that is placement_choose(), and mostly it is enough.
 * Where it is not, the same order is tried again depth first over all nodes, best node first, so that no
 * request is called impossible only since an early choice was unlucky. The tries are bounded: bin packing
 * has no bound of its own. What then still has no place is named, sliver by sliver.
 */
#include "placement.h"

#include <stdio.h>

#define TRIES_MAX 20000
#define NAMED_MAX 700 /* characters of the message; *ret_reasons has all */

struct search {
    struct node_list *nodes;
    struct placement_wish *wishes, **order;
    size_t count;
    int64_t overcommit, *own;
    int tries;
};

static int by_size(const void *a, const void *b) {
    const struct placement_wish *x = *(struct placement_wish *const *)a;
    const struct placement_wish *y = *(struct placement_wish *const *)b;
    bool bound_x = x->node || json_length(x->targets), bound_y = y->node || json_length(y->targets);
    if (bound_x != bound_y) return bound_x ? -1 : 1;
    if (x->memory_mib != y->memory_mib) return x->memory_mib > y->memory_mib ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void take(struct search *s, struct placement_wish *w, int node) {
    w->chosen = node;
    placement_use(&s->nodes->rows[node], w, 1);
    s->own[node]++;
}

static void give_back(struct search *s, struct placement_wish *w) {
    placement_use(&s->nodes->rows[w->chosen], w, -1);
    s->own[w->chosen]--;
    w->chosen = -1;
}

/* The best node that was not tried yet; -1: none. */
static int best(const struct search *s, const struct placement_wish *w, const bool *tried) {
    int found = -1;
    int64_t best_score = 0;
    for (size_t i = 0; i < s->nodes->count; i++) {
        const struct node *n = &s->nodes->rows[i];
        if ((tried && tried[i]) || placement_fits(n, w, s->overcommit).reason) continue;
        int64_t score = placement_score(n, w, s->own[i]);
        if (found < 0 || score > best_score) found = (int)i, best_score = score;
    }
    return found;
}

/* Depth is bounded by the size of a request, and each level holds one byte per node. */
static bool place_from(struct search *s, size_t i) {
    if (i == s->count) return true;
    bool *tried AUTO_FREE = xcalloc(s->nodes->count + 1, sizeof *tried);
    for (int node; s->tries++ < TRIES_MAX && (node = best(s, s->order[i], tried)) >= 0;) {
        tried[node] = true;
        take(s, s->order[i], node);
        if (place_from(s, i + 1)) return true;
        give_back(s, s->order[i]);
    }
    return false;
}

/* What can be placed is; the others are refused, each with the reason of each node. */
static int place_some(struct search *s, json **ret_reasons, struct err *err) {
    json *reasons = json_array();
    struct buf names AUTO_BUF = BUF_INIT;
    struct err first = ERR_INIT;
    size_t refused = 0;
    for (size_t i = 0; i < s->count; i++) {
        int node = best(s, s->order[i], NULL);
        if (node >= 0) {
            take(s, s->order[i], node);
            continue;
        }
        json *mine AUTO_JSON = NULL;
        struct err one = ERR_INIT;
        placement_refuse(s->nodes, s->order[i], s->overcommit, &mine, &one);
        for (size_t k = 0; k < json_length(mine); k++) json_add(reasons, json_ref(json_at(mine, k)));
        if (!refused++) first = one;
        if (names.length < NAMED_MAX) buf_printf(&names, "%s%s", refused > 1 ? "; " : "", one.msg);
    }
    if (ret_reasons) *ret_reasons = reasons;
    else json_put(reasons);
    if (!refused) return err_set(err, ERR_INTERNAL, "placement has lost its way");
    err_set(err, ERR_NO_SPACE, "%s%s", names.data, names.length >= NAMED_MAX ? "; and others" : "");
    return err_remedy(err, "%s", first.remedy);
}

int placement_search(struct node_list *nodes, struct placement_wish *wishes, size_t count,
                     int64_t overcommit, json **ret_reasons, struct err *err) {
    struct placement_wish **order AUTO_FREE = xcalloc(count + 1, sizeof *order);
    int64_t *own AUTO_FREE = xcalloc(nodes->count + 1, sizeof *own);
    struct search s = { .nodes = nodes, .wishes = wishes, .order = order, .count = count,
                        .overcommit = overcommit, .own = own };
    for (size_t i = 0; i < count; i++) {
        order[i] = &wishes[i];
        wishes[i].chosen = -1;
    }
    qsort(order, count, sizeof *order, by_size);
    if (place_from(&s, 0)) return 0;
    return place_some(&s, ret_reasons, err);
}
