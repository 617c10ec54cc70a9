#include "nodemgr/forwarding.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/forwarding_plan.h"
#include "nodemgr/ofwire.h"

#include <stdio.h>

LOG_MODULE("nm.forwarding");

#define OUR_METER_MAX 0xffffu /* meter ids are port numbers */

struct forwarding {
    struct switch_door *door;
    pthread_mutex_t lock;  /* everything below */
    uint64_t generation;   /* of the connection by which the following was read; 0: unknown */
    struct flow_set *sets; /* what is installed, sorted by link; 0 is the pipeline itself */
    size_t set_count;
    struct switch_meter *meters; /* what is in the switch, in no order */
    size_t meter_count;
    size_t foreign;
    struct forwarding_uplink uplink;
};

/* One call of forwarding_apply*(). */
struct apply {
    struct forwarding *f;
    int64_t deadline_ms;
    struct port_table ports;
    struct flow_set *wanted; /* sorted by link */
    size_t wanted_count;
    struct switch_change *changes; /* deletions, then additions; point into sets and wanted */
    size_t change_count, change_capacity;
    struct forwarding_result result;
};

struct forwarding *forwarding_new(struct switch_door *door) {
    struct forwarding *f = xcalloc(1, sizeof(*f));
    f->door = door;
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

static void sets_free(struct flow_set *sets, size_t count) {
    for (size_t i = 0; i < count; i++) flow_set_done(&sets[i]);
    free(sets);
}

static void forget(struct forwarding *f) {
    sets_free(f->sets, f->set_count);
    free(f->meters);
    f->sets = NULL;
    f->meters = NULL;
    f->set_count = f->meter_count = 0;
    f->generation = 0;
}

void forwarding_forget(struct forwarding *f) {
    WITH_LOCK(&f->lock);
    forget(f);
}

void forwarding_set_uplink(struct forwarding *f, const struct forwarding_uplink *uplink) {
    WITH_LOCK(&f->lock);
    f->uplink = *uplink;
}

void forwarding_free(struct forwarding *f) {
    if (!f) return;
    forget(f);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static void apply_done(struct apply *a) {
    free(a->ports.ports);
    sets_free(a->wanted, a->wanted_count);
    free(a->changes);
}

static int left_ms(const struct apply *a) {
    int64_t left = a->deadline_ms - clock_monotonic_ms();
    return left > 0 ? (int)left : 0;
}

/* --- what is installed --- */

static int compare_sets(const void *a, const void *b) {
    uint32_t x = ((const struct flow_set *)a)->link, y = ((const struct flow_set *)b)->link;
    return x < y ? -1 : x > y;
}

static struct flow_set *find_set(struct flow_set *sets, size_t count, uint32_t link) {
    struct flow_set key = { .link = link };
    return count > 0 ? bsearch(&key, sets, count, sizeof(*sets), compare_sets) : NULL;
}

static int compare_by_link(const void *a, const void *b) {
    uint32_t x = (uint32_t)((const struct of_flow *)a)->cookie;
    uint32_t y = (uint32_t)((const struct of_flow *)b)->cookie;
    return x < y ? -1 : x > y;
}

/* The meter that a flow uses; 0: none. */
static uint32_t meter_of(const struct of_flow *flow) {
    const uint8_t *p = (const uint8_t *)flow->instructions.data;
    for (size_t at = 0; at + 8 <= flow->instructions.length; at += wire_get_u16(p + at + 2)) {
        if (wire_get_u16(p + at) == OFPIT_METER) return wire_get_u32(p + at + 4);
        if (wire_get_u16(p + at + 2) < 8) break;
    }
    return 0;
}

static struct switch_meter *find_meter(const struct forwarding *f, uint32_t id) {
    for (size_t i = 0; i < f->meter_count; i++)
        if (f->meters[i].id == id) return &f->meters[i];
    return NULL;
}

/* Sort jogak's flows (emptied from the array) into sets by link; count the others. */
static void take_flows(struct forwarding *f, struct of_flow *flows, size_t count) {
    struct cookie cookie;
    qsort(flows, count, sizeof(*flows), compare_by_link);
    f->sets = xcalloc(count + 1, sizeof(*f->sets));
    f->foreign = 0;
    for (size_t i = 0; i < count; i++) {
        if (!cookie_decode(flows[i].cookie, &cookie)) {
            f->foreign++;
            continue;
        }
        bool fresh = f->set_count == 0 || f->sets[f->set_count - 1].link != cookie.link;
        if (fresh) f->sets[f->set_count++] = (struct flow_set){ .link = cookie.link };
        struct flow_set *set = &f->sets[f->set_count - 1];
        uint32_t meter = meter_of(&flows[i]);
        if (meter) flow_set_add_meter(set, &(struct switch_meter){ .id = meter });
        flow_set_add(set, &flows[i]);
        flows[i] = (struct of_flow){ .cookie = 0 };
    }
}

/* Learn what the switch has, unless that is known. */
static int read_installed(struct apply *a, struct err *err) {
    struct forwarding *f = a->f;
    uint64_t generation = switch_generation(f->door);
    if (f->generation == generation) return 0;
    forget(f);
    struct of_flow *flows = NULL;
    size_t count = 0;
    if (switch_read_flows(f->door, 0, 0, &flows, &count, left_ms(a), err)) return -1;
    take_flows(f, flows, count);
    of_flows_free(flows, count);
    for (size_t i = 0; i < f->set_count; i++)
        if (flow_set_sort(&f->sets[i], err)) return -1;
    if (switch_read_meters(f->door, &f->meters, &f->meter_count, left_ms(a), err)) return -1;
    if (switch_generation(f->door) != generation)
        return err_set(err, ERR_UNAVAILABLE, "ovs-vswitchd restarted meanwhile; try again");
    f->generation = generation;
    log_info("flows read", "links=%zu flows=%zu foreign=%zu meters=%zu", f->set_count, count,
             f->foreign, f->meter_count);
    return 0;
}

/* --- what is wanted --- */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One port belongs to one vNIC. */
static int check_ports(const struct forwarding_link *links, size_t count, struct err *err) {
    size_t total = 0, used = 0;
    for (size_t i = 0; i < count; i++) total += links[i].vnic_count;
    AUTO_FREE const char **names = xcalloc(total + 1, sizeof(*names));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < links[i].vnic_count; j++)
            if (links[i].vnics[j].port) names[used++] = links[i].vnics[j].port;
    qsort(names, used, sizeof(*names), compare_names);
    for (size_t i = 1; i < used; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            return err_set(err, ERR_UNPROCESSABLE, "port %.32s is given to two vNICs", names[i]);
    return 0;
}

static int check_unique(const struct apply *a, struct err *err) {
    for (size_t i = 1; i < a->wanted_count; i++)
        if (a->wanted[i].link == a->wanted[i - 1].link)
            return err_set(err, ERR_UNPROCESSABLE, "network id %u is given to two links",
                           a->wanted[i].link);
    return 0;
}

static int plan(struct apply *a, const struct forwarding_link *links, size_t count,
                struct err *err) {
    if (count > FORWARDING_LINKS_MAX) return err_set(err, ERR_TOO_LARGE, "%zu links", count);
    if (check_ports(links, count, err)) return -1;
    a->wanted = xcalloc(count + 1, sizeof(*a->wanted));
    a->wanted_count = 1;
    if (forwarding_plan_base(&a->wanted[0], err)) return -1;
    for (size_t i = 0; i < count; i++) {
        struct flow_set *set = &a->wanted[a->wanted_count++];
        if (forwarding_plan_link(&links[i], &a->ports, &a->f->uplink, set, &a->result.missing_ports, err))
            return -1;
    }
    qsort(a->wanted, a->wanted_count, sizeof(*a->wanted), compare_sets);
    return check_unique(a, err);
}

/* --- the difference --- */

static void note(struct apply *a, bool add, const struct of_flow *flow) {
    if (a->change_count == a->change_capacity) {
        a->change_capacity = a->change_capacity ? 2 * a->change_capacity : 64;
        a->changes = xrealloc_array(a->changes, a->change_capacity, sizeof(*a->changes));
    }
    a->changes[a->change_count++] = (struct switch_change){ add, flow };
}

/* Count one flow and note what to do about it. Only one kind of change per walk, since all
 * deletions have to come before all additions: a port may move from one link to another. */
static void consider(struct apply *a, const struct of_flow *old, const struct of_flow *new,
                     bool additions) {
    if (additions == !new) return;
    if (!new) {
        a->result.deleted++;
        note(a, false, old);
        return;
    }
    if (old && of_flow_same(old, new)) {
        a->result.unchanged++;
        return;
    }
    if (old)
        a->result.changed++;
    else
        a->result.added++;
    note(a, true, new);
}

/* Walk two sorted sets side by side; either may be NULL. */
static void compare(struct apply *a, const struct flow_set *old, const struct flow_set *new,
                    bool additions) {
    size_t i = 0, j = 0, olds = old ? old->count : 0, news = new ? new->count : 0;
    while (i < olds || j < news) {
        int order = i == olds   ? 1
                    : j == news ? -1
                                : of_flow_compare(&old->flows[i], &new->flows[j]);
        consider(a, order <= 0 ? &old->flows[i] : NULL, order >= 0 ? &new->flows[j] : NULL,
                 additions);
        i += order <= 0;
        j += order >= 0;
    }
}

static void diff(struct apply *a, bool whole) {
    struct forwarding *f = a->f;
    for (size_t i = 0; whole && i < f->set_count; i++)
        if (!find_set(a->wanted, a->wanted_count, f->sets[i].link))
            compare(a, &f->sets[i], NULL, false);
    for (int additions = 0; additions <= 1; additions++)
        for (size_t i = 0; i < a->wanted_count; i++)
            compare(a, find_set(f->sets, f->set_count, a->wanted[i].link), &a->wanted[i],
                    additions);
}

/* --- meters: not part of a bundle, so made before it and removed after it --- */

static int set_meters(struct apply *a, const struct flow_set *set, struct err *err) {
    struct forwarding *f = a->f;
    for (size_t i = 0; i < set->meter_count; i++) {
        const struct switch_meter *wanted = &set->meters[i];
        struct switch_meter *known = find_meter(f, wanted->id);
        if (known && known->rate_kbps == wanted->rate_kbps &&
            known->burst_kbit == wanted->burst_kbit)
            continue;
        if (switch_set_meter(f->door, wanted, left_ms(a), err)) return -1;
        if (known) {
            *known = *wanted;
            continue;
        }
        f->meters = xrealloc_array(f->meters, f->meter_count + 1, sizeof(*f->meters));
        f->meters[f->meter_count++] = *wanted;
    }
    return 0;
}

static int set_all_meters(struct apply *a, struct err *err) {
    for (size_t i = 0; i < a->wanted_count; i++)
        if (set_meters(a, &a->wanted[i], err)) return -1;
    return 0;
}

/* Remove the meters of ours that no installed set uses. */
static int sweep_meters(struct apply *a, struct err *err) {
    struct forwarding *f = a->f;
    if (f->meter_count == 0) return 0;
    AUTO_FREE bool *used = xcalloc(OUR_METER_MAX + 1, sizeof(*used));
    for (size_t i = 0; i < f->set_count; i++)
        for (size_t j = 0; j < f->sets[i].meter_count; j++)
            if (f->sets[i].meters[j].id <= OUR_METER_MAX) used[f->sets[i].meters[j].id] = true;
    for (size_t i = 0; i < f->meter_count;) {
        uint32_t id = f->meters[i].id;
        if (id > OUR_METER_MAX || used[id]) {
            i++;
            continue;
        }
        if (switch_del_meter(f->door, id, left_ms(a), err)) return -1;
        f->meters[i] = f->meters[--f->meter_count];
    }
    return 0;
}

/* --- putting it together --- */

/* Remember the wanted sets as installed. */
static void remember(struct apply *a, bool whole) {
    struct forwarding *f = a->f;
    struct flow_set *merged = xcalloc(f->set_count + a->wanted_count + 1, sizeof(*merged));
    size_t count = 0;
    for (size_t i = 0; i < a->wanted_count; i++) {
        if (a->wanted[i].count > 0)
            merged[count++] = a->wanted[i];
        else
            flow_set_done(&a->wanted[i]);
    }
    for (size_t i = 0; i < f->set_count; i++) {
        if (whole || find_set(a->wanted, a->wanted_count, f->sets[i].link))
            flow_set_done(&f->sets[i]);
        else
            merged[count++] = f->sets[i];
    }
    qsort(merged, count, sizeof(*merged), compare_sets);
    free(f->sets);
    f->sets = merged;
    f->set_count = count;
    a->wanted_count = 0; /* handed over */
}

static int read_ports(struct apply *a, struct err *err) {
    if (switch_port_numbers(a->f->door, &a->ports.ports, &a->ports.count, left_ms(a), err))
        return -1;
    port_table_sort(&a->ports);
    return 0;
}

/* Send the difference. Whatever fails from here on: what is installed has to be read again. */
static int commit(struct apply *a, bool whole, struct err *err) {
    struct forwarding *f = a->f;
    if (set_all_meters(a, err) ||
        switch_apply(f->door, a->changes, a->change_count, left_ms(a), err) ||
        switch_generation(f->door) != f->generation) {
        if (switch_generation(f->door) != f->generation)
            err_set(err, ERR_UNAVAILABLE, "ovs-vswitchd restarted meanwhile; try again");
        forget(f);
        return -1;
    }
    remember(a, whole);
    return 0;
}

static int apply(struct forwarding *f, const struct forwarding_link *links, size_t count,
                 bool whole, struct forwarding_result *ret, int timeout_ms, struct err *err) {
    WITH_LOCK(&f->lock);
    CLEANUP(apply_done)
    struct apply a = { .f = f, .deadline_ms = clock_monotonic_ms() + timeout_ms };
    /* Reading the ports first also reconnects, so that the generation is the present one. */
    if (read_ports(&a, err) || read_installed(&a, err) || plan(&a, links, count, err)) return -1;
    diff(&a, whole);
    if (commit(&a, whole, err)) return err_wrap(err, "readjust forwarding");
    a.result.foreign = f->foreign;
    if (a.change_count > 0)
        log_info("forwarding readjusted",
                 "links=%zu added=%zu changed=%zu deleted=%zu "
                 "unchanged=%zu foreign=%zu missing=%zu",
                 count, a.result.added, a.result.changed, a.result.deleted, a.result.unchanged,
                 a.result.foreign, a.result.missing_ports);
    if (sweep_meters(&a, err)) {
        forget(f);
        return err_wrap(err, "remove unused meters");
    }
    *ret = a.result;
    return 0;
}

int forwarding_apply(struct forwarding *f, const struct forwarding_link *links, size_t count,
                     struct forwarding_result *ret, int timeout_ms, struct err *err) {
    return apply(f, links, count, true, ret, timeout_ms, err);
}

int forwarding_apply_links(struct forwarding *f, const struct forwarding_link *links, size_t count,
                           struct forwarding_result *ret, int timeout_ms, struct err *err) {
    return apply(f, links, count, false, ret, timeout_ms, err);
}

/* --- counters --- */

static void count_drop(struct forwarding_drops *d, const struct of_flow *flow) {
    struct cookie cookie;
    if (!cookie_decode(flow->cookie, &cookie)) return;
    switch (cookie.kind) {
    case COOKIE_CLOSED:
        d->closed += flow->packets;
        break;
    case COOKIE_SPOOFED:
        d->spoofed += flow->packets;
        break;
    case COOKIE_UNKNOWN:
        d->unknown += flow->packets;
        break;
    case COOKIE_BASE:
        d->unclassified += flow->packets;
        break;
    default:
        break;
    }
}

int forwarding_read_drops(struct forwarding *f, uint32_t vni, struct forwarding_drops *ret,
                          int timeout_ms, struct err *err) {
    struct of_flow *flows = NULL;
    size_t count = 0;
    uint64_t mask = COOKIE_OWNER_MASK | (vni ? COOKIE_LINK_MASK : 0);
    if (switch_read_flows(f->door, cookie_encode(COOKIE_BASE, 0, vni), mask, &flows, &count,
                          timeout_ms, err))
        return -1;
    *ret = (struct forwarding_drops){ .closed = 0 };
    for (size_t i = 0; i < count; i++) count_drop(ret, &flows[i]);
    of_flows_free(flows, count);
    return 0;
}
