#include "lease.h"

#include "common/clock.h"
#include "common/log.h"
#include "lease_db.h"

#include <stdio.h>

LOG_MODULE("am.lease");

struct lease {
    char node[64];
    int64_t until_ms;  /* monotonic clock: no lease of it ends later, without the margin */
    int64_t length_ms; /* on disk: the longest that it may hold; 0: it enforces none */
    struct lease *next;
};

struct leases {
    pthread_mutex_t lock;
    int64_t lease_ms, margin_ms, start_ms;
    struct lease *first;
};

static struct lease *find(struct leases *l, const char *node) {
    for (struct lease *i = l->first; i; i = i->next)
        if (strcmp(i->node, node) == 0) return i;
    return NULL;
}

static struct lease *add(struct leases *l, const char *node) {
    struct lease *i = xcalloc(1, sizeof *i);
    snprintf(i->node, sizeof i->node, "%s", node);
    i->next = l->first;
    return l->first = i;
}

/* Our predecessor may have granted one at the instant before it ended. */
static void take_over(void *ctx, const char *node, int64_t length_ms) {
    struct leases *l = ctx;
    struct lease *i = add(l, node);
    i->length_ms = length_ms;
    i->until_ms = l->start_ms + length_ms;
}

struct leases *leases_open(struct db *db, const struct aggregate_config *config, struct err *err) {
    struct leases *l = xcalloc(1, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->lease_ms = config->lease_ms;
    l->margin_ms = config->lease_margin_ms;
    l->start_ms = clock_monotonic_ms();
    if (lease_db_each(db, take_over, l, err) == 0) return l;
    leases_close(l);
    return NULL;
}

void leases_close(struct leases *l) {
    if (!l) return;
    for (struct lease *i = l->first, *next; i; i = next) {
        next = i->next;
        free(i);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* --- questions --- */

int64_t lease_left_ms(struct aggregate *am, const char *node) {
    struct leases *l = am->leases;
    if (!l) return -1;
    WITH_LOCK(&l->lock);
    const struct lease *i = find(l, node);
    if (!i || i->length_ms == 0) return -1;
    int64_t left = i->until_ms + l->margin_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

bool lease_is_over(struct aggregate *am, const char *node) { return lease_left_ms(am, node) == 0; }

bool lease_fences(const struct sliver *s) {
    const json *rules = json_get(s->wanted, "migration");
    const char *on_loss = json_get_str(rules, "on_node_loss");
    const char *on_down = json_get_str(rules, "on_down");
    bool recovered = on_loss ? strcmp(on_loss, "none") != 0
                             : json_get_int(rules, "checkpoint_interval_s", 0) > 0;
    if (on_down && strcmp(on_down, "none") != 0) recovered = true;
    return json_get_bool(rules, "fenced", recovered);
}

int lease_check_over(struct aggregate *am, const struct sliver *s, struct err *err) {
    int64_t left = lease_left_ms(am, s->node);
    if (!lease_fences(s)) {
        err_set(err, ERR_CONFLICT, "sliver %s is unfenced, so it may still run on %s", s->name, s->node);
        return err_remedy(err, "Bring node %s back, or release the sliver.", s->node);
    }
    if (left == 0) return 0;
    if (left < 0) {
        err_set(err, ERR_CONFLICT, "the agent of node %s enforces no lease, so sliver %s may still run there",
                s->node, s->name);
        return err_remedy(err, "Bring node %s back.", s->node);
    }
    err_set(err, ERR_CONFLICT, "the lease of node %s ends in %lld ms at the latest", s->node,
            (long long)left);
    return err_remedy(err, "Wait for that long: until then sliver %s may run there.", s->name);
}

int64_t lease_until_ms(struct aggregate *am, const char *node) {
    struct leases *l = am->leases;
    if (!l) return 0;
    WITH_LOCK(&l->lock);
    const struct lease *i = find(l, node);
    return i && i->length_ms ? clock_wall_ms() + i->until_ms - clock_monotonic_ms() : 0;
}

/* --- grants --- */

/* What has to be on disk before the answer. A longer lease is noted at once; a shorter one when every longer one
 * has ended, which our predecessor may have granted; and that an agent enforces none, at once. */
static bool has_to_note(const struct leases *l, const struct lease *i, bool keeps, int64_t now_ms) {
    if (!keeps) return i->length_ms != 0;
    if (l->lease_ms > i->length_ms) return true;
    return l->lease_ms < i->length_ms && now_ms > l->start_ms + i->length_ms + l->margin_ms;
}

/* In memory; *ret_note: the length that must go to disk, or -1. */
static int64_t extend(struct leases *l, const char *node, bool keeps, int64_t *ret_note) {
    WITH_LOCK(&l->lock);
    int64_t now = clock_monotonic_ms();
    struct lease *i = find(l, node);
    if (!i) i = add(l, node);
    *ret_note = has_to_note(l, i, keeps, now) ? (keeps ? l->lease_ms : 0) : -1;
    if (*ret_note >= 0) {
        log_info("lease length", "node=%s from=%lld to=%lld", node, (long long)i->length_ms,
                 (long long)*ret_note);
        i->length_ms = *ret_note;
    }
    if (now + l->lease_ms > i->until_ms) i->until_ms = now + l->lease_ms;
    return l->lease_ms;
}

int lease_grant(struct db_conn *c, struct aggregate *am, const char *node, bool keeps, bool held,
                struct lease_grant *ret, struct err *err) {
    int64_t note = -1;
    *ret = (struct lease_grant){ .lease_ms = am->config->lease_ms };
    if (am->leases) ret->lease_ms = extend(am->leases, node, keeps, &note);
    if (note >= 0 && lease_db_set(c, node, note, err)) return -1;
    return held ? lease_db_slivers(c, node, &ret->slivers, err) : 0;
}

int lease_grant_known(struct aggregate *am, const char *node, bool keeps, struct lease_grant *ret) {
    struct leases *l = am->leases;
    if (!l || !keeps) return -1;
    WITH_LOCK(&l->lock);
    struct lease *i = find(l, node);
    int64_t now = clock_monotonic_ms();
    if (!i || has_to_note(l, i, keeps, now)) return -1;
    if (now + l->lease_ms > i->until_ms) i->until_ms = now + l->lease_ms;
    *ret = (struct lease_grant){ .lease_ms = l->lease_ms };
    return 0;
}
