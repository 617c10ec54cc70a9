#include "audit_compare.h"

#include <stdarg.h>
#include <stdio.h>

const char *audit_repair_name(enum audit_repair r) {
    static const char *const names[] = {
        [REPAIR_NONE] = "none",             [REPAIR_CLEANUP] = "cleanup",
        [REPAIR_COLLECT] = "collect",       [REPAIR_FORGET] = "forget",
        [REPAIR_FORWARDING] = "forwarding", [REPAIR_ADOPT] = "adopt",
        [REPAIR_STATE] = "state",
    };
    return names[r];
}

void audit_findings_done(struct audit_findings *f) {
    free(f->rows);
    *f = (struct audit_findings){ NULL, 0 };
}

const struct audit_sliver *audit_sliver_of(const struct audit_view *v, const char *id) {
    for (size_t i = 0; id && i < v->sliver_count; i++)
        if (strcmp(v->slivers[i].id, id) == 0) return &v->slivers[i];
    return NULL;
}

enum audit_standing audit_standing(const struct audit_sliver *s, const char *node, int64_t epoch) {
    if (!s) return STANDING_UNKNOWN;
    if (epoch > s->last_epoch) return STANDING_AHEAD;
    if (s->moving) return STANDING_MOVING;
    if (strcmp(s->allocation, "unallocated") == 0) return STANDING_ENDED;
    bool owner = strcmp(s->node, node) == 0;
    if (owner && epoch == s->epoch) return STANDING_HERE;
    /* A DELETE up to this epoch would take the owner's incarnation along. */
    if (owner && epoch > s->epoch) return STANDING_AHEAD;
    return s->armed ? STANDING_MOVING : STANDING_OLD;
}

/* --- the look at one inventory --- */
struct look {
    const struct audit_view *v;
    const json *inventory, *items;
    struct audit_findings *out;
    bool strangers; /* slivers that we do not know are there: perhaps we are an old copy */
};

static bool source_ok(const json *inventory, const char *name) {
    const json *sources = json_get(inventory, "sources");
    for (size_t i = 0; sources && i < json_length(sources); i++) {
        const char *its = json_get_str(json_at(sources, i), "name");
        if (its && strcmp(its, name) == 0) return json_get_bool(json_at(sources, i), "ok", false);
    }
    return false;
}

bool audit_whole(const json *inventory) {
    static const char *const names[] = { "database", "libvirt", "switch", "devices", "files" };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!source_ok(inventory, names[i])) return false;
    return json_get_bool(inventory, "complete", false);
}

static struct audit_finding *find_named(struct look *l, const char *kind, const char *name,
                                        const char *what) {
    for (size_t i = 0; i < l->out->count; i++) {
        struct audit_finding *f = &l->out->rows[i];
        if (!strcmp(f->kind, kind) && !strcmp(f->name, name) && !strcmp(f->what, what)) return f;
    }
    return NULL;
}

/* One finding per (kind, name, what). */
static struct audit_finding *add(struct look *l, const char *kind, const char *name,
                                 const char *what, enum audit_repair repair, const char *cause, ...)
    __attribute__((format(printf, 6, 7)));
static struct audit_finding *add(struct look *l, const char *kind, const char *name,
                                 const char *what, enum audit_repair repair, const char *cause, ...) {
    struct audit_finding *f = find_named(l, kind, name, what);
    if (f) return f;
    l->out->rows = xrealloc_array(l->out->rows, l->out->count + 1, sizeof *l->out->rows);
    f = &l->out->rows[l->out->count++];
    *f = (struct audit_finding){ .repair = repair };
    snprintf(f->kind, sizeof f->kind, "%s", kind);
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->what, sizeof f->what, "%s", what);
    va_list ap;
    va_start(ap, cause);
    vsnprintf(f->cause, sizeof f->cause, cause, ap);
    va_end(ap);
    return f;
}

static void about(struct audit_finding *f, const char *sliver, int64_t epoch) {
    snprintf(f->sliver, sizeof f->sliver, "%s", sliver);
    f->epoch = epoch;
}

/* --- things of a sliver --- */
static const json *item_of(const json *items, const char *kind, const struct audit_sliver *s) {
    for (size_t i = 0; items && i < json_length(items); i++) {
        const json *item = json_at(items, i);
        const char *id = json_get_str(item, "sliver");
        if (id && !strcmp(json_get_str(item, "kind"), kind) && !strcmp(id, s->id) &&
            json_get_int(item, "epoch", 0) == s->epoch)
            return item;
    }
    return NULL;
}

bool audit_shows(const json *inventory, const struct audit_sliver *s) {
    const json *items = json_get(inventory, "items");
    return item_of(items, "domain", s) || item_of(items, "row", s);
}

static void not_adopted(struct look *l, const struct audit_sliver *s) {
    if (strcmp(s->allocation, "provisioned")) return;
    about(add(l, "sliver", s->id, "not-adopted", REPAIR_ADOPT,
              "it is there, but its agent's database does not have it: was the database lost?"),
          s->id, s->epoch);
}

/* A whole incarnation is removed by its epoch; a part that its agent knows no incarnation of, by itself. */
static enum audit_repair removal(const json *item) {
    static const char *const parts[] = { "port", "tap", "file" };
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!strcmp(json_get_str(item, "kind"), parts[i]) && !json_get_bool(item, "known", true))
            return REPAIR_COLLECT;
    return REPAIR_CLEANUP;
}

static bool owner_has_it(const struct look *l, const struct audit_sliver *s) {
    return strcmp(s->node, l->v->node) ? s->owner_has_it : audit_shows(l->inventory, s);
}

static void of_sliver(struct look *l, const json *item) {
    const char *kind = json_get_str(item, "kind"), *name = json_get_str(item, "name");
    const char *id = json_get_str(item, "sliver");
    int64_t epoch = json_get_int(item, "epoch", 0);
    const struct audit_sliver *s = audit_sliver_of(l->v, id);
    struct audit_finding *f = NULL;
    switch (audit_standing(s, l->v->node, epoch)) {
    case STANDING_MOVING: return;
    case STANDING_HERE:
        if (!json_get_bool(item, "known", true) && (!strcmp(kind, "domain") || strstr(name, "/disk-")))
            not_adopted(l, s);
        return;
    case STANDING_UNKNOWN:
        f = add(l, kind, name, "unknown-sliver", REPAIR_NONE,
                "this aggregate never had that sliver: of another testbed, or our database is an old copy");
        break;
    case STANDING_AHEAD:
        f = add(l, kind, name, "ahead", REPAIR_NONE,
                "of an epoch that was never given out (the last is %lld): our database may be an old copy",
                (long long)s->last_epoch);
        break;
    case STANDING_OLD:
        f = add(l, kind, name, "old", removal(item),
                "of an earlier incarnation; sliver %s is at node %s at epoch %lld", s->name, s->node,
                (long long)s->epoch);
        break;
    case STANDING_ENDED:
        f = add(l, kind, name, "ended", removal(item), "sliver %s was released", s->name);
        break;
    }
    about(f, id, epoch);
    f->withheld = audit_standing(s, l->v->node, epoch) == STANDING_OLD && !owner_has_it(l, s);
}

static void unclear(struct look *l, const json *item) {
    add(l, json_get_str(item, "kind"), json_get_str(item, "name"), "unclear", REPAIR_NONE,
        "it looks like ours, but nothing tells whose it is: look at it and remove it by hand");
}

static void foreign(struct look *l, const json *item) {
    add(l, json_get_str(item, "kind"), json_get_str(item, "name"), "foreign", REPAIR_NONE,
        "not ours; left alone")
        ->foreign = true;
}

/* --- things of a link, a migration, a slice --- */
static const struct audit_link *link_of(const struct audit_view *v, int64_t vni) {
    for (size_t i = 0; i < v->link_count; i++)
        if (v->links[i].vni == vni) return &v->links[i];
    return NULL;
}

static void tell_forwarding(struct look *l, const char *slice, const char *cause) {
    struct audit_finding *f = add(l, "forwarding", slice, "missing", REPAIR_FORWARDING, "%s", cause);
    snprintf(f->slice, sizeof f->slice, "%s", slice);
}

static void of_link(struct look *l, const json *item) {
    const struct audit_link *link = link_of(l->v, json_get_int(item, "vni", -1));
    const char *name = json_get_str(item, "name");
    if (json_get_bool(item, "known", true) || (link && link->moving)) return;
    if (link && link->here)
        tell_forwarding(l, link->slice, "its flows are there, but its agent has no document of them");
    else if (!link && l->strangers)
        add(l, "flow", name, "unclear", REPAIR_NONE, "of a link that this aggregate does not have");
    else
        add(l, "flow", name, "leftover", REPAIR_COLLECT, "flows of a link that has nothing at this node");
}

static void of_migration(struct look *l, const json *item) {
    const char *kind = json_get_str(item, "kind"), *name = json_get_str(item, "name");
    const char *slash = strchr(name, '/'), *id = slash ? slash + 1 : name;
    if (!strcmp(kind, "directory") && json_get_bool(item, "known", false)) return; /* its row tells */
    const json *open = json_get(l->v->migrations, id);
    if (!open)
        add(l, kind, name, "unclear", REPAIR_NONE, "of a migration that this aggregate does not have");
    else if (!json_bool_value(open))
        add(l, kind, name, "leftover", strcmp(kind, "migration") ? REPAIR_COLLECT : REPAIR_FORGET,
            "of a migration that has ended");
}

/* Which function judges which kind; a kind without a row here is only listed. */
static const struct rule {
    const char *kind;
    void (*judge)(struct look *l, const json *item);
} rules[] = {
    { "domain", of_sliver }, { "row", of_sliver },          { "port", of_sliver },
    { "tap", of_sliver },    { "file", of_sliver },         { "flow", of_link },
    { "bridge", unclear },   { "migration", of_migration }, { "directory", of_migration },
};

static void judge(struct look *l, const json *item) {
    const char *kind = json_get_str(item, "kind"), *ours = json_get_str(item, "ours");
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (strcmp(rules[i].kind, kind)) continue;
        bool nobodys = rules[i].judge == of_sliver && !json_get_str(item, "sliver");
        if (!strcmp(ours, "no")) foreign(l, item);
        else if (!strcmp(ours, "unknown") || nobodys) unclear(l, item);
        else rules[i].judge(l, item);
    }
}

/* --- what should be there --- */
static int64_t count_of(const struct look *l, const char *kind, const struct audit_sliver *s) {
    int64_t n = 0;
    for (size_t i = 0; i < json_length(l->items); i++) {
        const json *item = json_at(l->items, i);
        const char *id = json_get_str(item, "sliver");
        n += id && !strcmp(json_get_str(item, "kind"), kind) && !strcmp(id, s->id) &&
             json_get_int(item, "epoch", 0) == s->epoch;
    }
    return n;
}

static void becomes(struct look *l, const struct audit_sliver *s, const char *what,
                    const char *state, const char *cause) {
    struct audit_finding *f = add(l, "sliver", s->id, what, REPAIR_STATE, "%s", cause);
    about(f, s->id, s->epoch);
    snprintf(f->state, sizeof f->state, "%s", state);
}

/* How a domain that is not there any more has ended, as the agent's row tells. */
static const struct ending {
    const char *row, *state, *cause;
} endings[] = {
    { "stopped", "stopped", "its guest shut itself down" },
    { "failed", "failed", "its QEMU ended by itself: it crashed or was killed" },
    { "own", "failed", "its domain is gone and nobody saw it end: was the node started again?" },
    { "incoming", "failed", "its domain is gone since it arrived" },
    { "", "failed", "its node has nothing of it any more" },
};

static void gone(struct look *l, const struct audit_sliver *s) {
    const json *row = item_of(l->items, "row", s);
    const char *outcome = row ? json_get_str(row, "state") : "";
    for (size_t i = 0; i < COUNT_OF(endings); i++)
        if (!strcmp(endings[i].row, outcome ? outcome : "")) {
            becomes(l, s, "not-running", endings[i].state, endings[i].cause);
            return;
        }
}

static bool says_it_runs(const struct audit_sliver *s) {
    return !strcmp(s->state, "ready") || !strcmp(s->state, "migrating");
}

static void check_domain(struct look *l, const struct audit_sliver *s) {
    const json *domain = item_of(l->items, "domain", s);
    const char *state = domain ? json_get_str(domain, "state") : "absent";
    bool running = !strcmp(state, "running");
    if (!strcmp(state, "held")) return; /* until its node's lease is renewed */
    if (says_it_runs(s) && (!strcmp(state, "absent") || !strcmp(state, "failed"))) gone(l, s);
    else if (!strcmp(s->state, "ready") && !running)
        about(add(l, "sliver", s->id, "paused", REPAIR_NONE,
                  "its guest is %s and no operation has paused it: jogak sliver start", state),
              s->id, s->epoch);
    else if (running && strcmp(s->state, "ready"))
        becomes(l, s, "running", "ready", "it runs");
}

static void check_ports(struct look *l, const struct audit_sliver *s) {
    int64_t ports = count_of(l, "port", s);
    if (strcmp(s->state, "ready") || ports >= s->vnics || !item_of(l->items, "domain", s)) return;
    about(add(l, "sliver", s->id, "no-port", REPAIR_NONE,
              "it has %lld of its %lld ports in the switch: stop and start it", (long long)ports,
              (long long)s->vnics),
          s->id, s->epoch);
}

static bool has_forwarding(const struct look *l, const char *slice) {
    for (size_t i = 0; i < json_length(l->items); i++)
        if (!strcmp(json_get_str(json_at(l->items, i), "kind"), "forwarding") &&
            !strcmp(json_get_str(json_at(l->items, i), "name"), slice))
            return true;
    return false;
}

static void check_sliver(struct look *l, const struct audit_sliver *s) {
    if (audit_standing(s, l->v->node, s->epoch) != STANDING_HERE) return;
    if (strcmp(s->allocation, "provisioned") || !strcmp(s->state, "notready") ||
        !strcmp(s->state, "configuring"))
        return;
    if (source_ok(l->inventory, "libvirt") && source_ok(l->inventory, "database")) check_domain(l, s);
    if (source_ok(l->inventory, "switch")) check_ports(l, s);
    if (source_ok(l->inventory, "database") && s->vnics && !strcmp(s->state, "ready") &&
        !has_forwarding(l, s->slice))
        tell_forwarding(l, s->slice, "its agent has no document of the slice's forwarding");
}

static bool any_strangers(const struct look *l) {
    for (size_t i = 0; i < json_length(l->items); i++) {
        const json *item = json_at(l->items, i);
        const char *id = json_get_str(item, "sliver");
        if (!id) continue;
        enum audit_standing at = audit_standing(audit_sliver_of(l->v, id), l->v->node,
                                                json_get_int(item, "epoch", 0));
        if (at == STANDING_UNKNOWN || at == STANDING_AHEAD) return true;
    }
    return false;
}

void audit_compare(const struct audit_view *v, const json *inventory, struct audit_findings *ret) {
    struct look l = { .v = v, .inventory = inventory, .items = json_get(inventory, "items"),
                      .out = ret };
    if (!l.items) return;
    l.strangers = any_strangers(&l);
    for (size_t i = 0; i < json_length(l.items); i++) judge(&l, json_at(l.items, i));
    if (!json_get_bool(inventory, "complete", false)) return; /* what is not shown may be there */
    for (size_t i = 0; i < v->sliver_count; i++) check_sliver(&l, &v->slivers[i]);
}
