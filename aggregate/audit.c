#include "audit.h"

#include "agents.h"
#include "audit_db.h"
#include "audit_repair.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/log.h"
#include "event.h"

#include <stdio.h>

LOG_MODULE("am.audit");

#define INVENTORY_MS 15000
#define PAGES_MAX 60
#define DUE_MAX 256
#define BREATH_MS 1000 /* of the thread, when nothing is due */

struct auditor {
    struct aggregate *am;
    pthread_t thread;
    pthread_mutex_t lock; /* the list of those that are due at once */
    pthread_cond_t changed;
    pthread_mutex_t looking; /* one look at a time: repairs of two must not cross */
    bool stopping;
    char due[DUE_MAX][64];
    size_t due_count;
};

/* --- the inventory of a node, all pages of it --- */

/* A cursor is one of our own items' keys, but a name from a foreign device may be in it. */
static void put_escaped(struct buf *b, const char *text) {
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || *text == '-' || *text == '_' || *text == '.';
        if (plain) buf_add(b, text, 1);
        else buf_printf(b, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* Answers of agents are not held against a schema: what the comparison relies on is. */
static bool is_sound(const json *item) {
    const char *sliver = json_get_str(item, "sliver");
    return json_get_str(item, "kind") && json_get_str(item, "name") && json_get_str(item, "ours") &&
           (!sliver || uuid_valid(sliver));
}

static void take_items(json *whole, const json *page) {
    const json *items = json_get(page, "items");
    for (size_t i = 0; items && i < json_length(items); i++) {
        if (is_sound(json_at(items, i))) json_add(json_get(whole, "items"), json_ref(json_at(items, i)));
        else json_set_bool(whole, "complete", false);
    }
    if (!items || !audit_whole(page)) json_set_bool(whole, "complete", false);
}

static json *fetch(struct aggregate *am, const char *node, struct err *err) {
    json *whole AUTO_JSON = NULL;
    struct buf after AUTO_BUF = BUF_INIT;
    for (int page = 0; page < PAGES_MAX; page++) {
        json *one AUTO_JSON = agents_call(am, node, "GET", NULL, INVENTORY_MS, err,
                                          "/v1/inventory?after=%s", after.data ? after.data : "");
        if (!one) return NULL;
        const char *next = json_get_str(one, "next");
        if (!whole) {
            whole = json_copy(one);
            json_set(whole, "items", json_array());
        }
        take_items(whole, one);
        if (!next) return STEAL(whole);
        buf_done(&after);
        after = (struct buf)BUF_INIT;
        put_escaped(&after, next);
    }
    json_set_bool(whole, "complete", false);
    return STEAL(whole);
}

/* --- one look --- */
static char *problem_of(const json *inventory) {
    const json *sources = json_get(inventory, "sources");
    for (size_t i = 0; sources && i < json_length(sources); i++) {
        const json *s = json_at(sources, i);
        if (json_get_bool(s, "ok", false)) continue;
        const char *why = json_get_str(s, "error");
        return xasprintf("%s: %s", json_get_str(s, "name"), why ? why : "no answer");
    }
    if (json_get_bool(inventory, "complete", false)) return xstrdup("");
    return xstrdup("there are more things on this node than an inventory holds");
}

/* A new process of its agent: it is taught before anything else is thought of it. Its start is noted only when
 * that succeeded, so that it is tried again. */
static const char *meet(struct aggregate *am, const char *node, const json *inventory) {
    const char *start = json_get_str(inventory, "start");
    char known[37];
    struct err err = ERR_INIT;
    if (!start || audit_db_start(am, node, known, &err)) return NULL;
    if (!strcmp(known, start) || audit_teach(am, node, &err) == 0) return start;
    log_warn("agent not taught", "node=%s cause=\"%s\"", node, err.msg);
    return NULL;
}

static int compare(struct aggregate *am, struct audit_look *look, const json *inventory,
                   struct err *err) {
    struct audit_view view AUTO_VIEW = { .node = NULL };
    struct audit_findings found AUTO_FINDINGS = { NULL, 0 };
    if (audit_db_view(am, look->node, inventory, &view, err)) return -1;
    audit_compare(&view, inventory, &found);
    look->view = &view;
    look->inventory = inventory;
    if (audit_db_note(am, look, &found, err)) return -1;
    audit_repair(am, look->node, look->at_ms, &found);
    return 0;
}

static int look_at(struct aggregate *am, const char *node, struct err *err) {
    struct audit_look look = { .node = node, .at_ms = clock_wall_ms(), .problem = "" };
    int64_t begun = clock_monotonic_ms();
    struct err failed = ERR_INIT, ignored = ERR_INIT;
    json *inventory AUTO_JSON = fetch(am, node, &failed);
    look.took_ms = clock_monotonic_ms() - begun;
    if (!inventory) {
        look.problem = failed.msg;
        audit_db_note(am, &look, NULL, &ignored);
        if (err) *err = failed;
        return -1;
    }
    char *problem AUTO_FREE = problem_of(inventory);
    look.problem = problem;
    look.whole = audit_whole(inventory);
    look.items = (int64_t)json_length(json_get(inventory, "items"));
    look.start = meet(am, node, inventory);
    return compare(am, &look, inventory, err);
}

int audit_node(struct aggregate *am, const char *node, int64_t *ret_open, struct err *err) {
    struct auditor *a = am->auditor;
    if (a) pthread_mutex_lock(&a->looking);
    int failed = look_at(am, node, err);
    if (a) pthread_mutex_unlock(&a->looking);
    if (failed) return -1;
    return ret_open ? audit_db_count(am, node, "open", ret_open, err) : 0;
}

/* --- the thread --- */
static void make_due(struct auditor *a, const char *node) {
    WITH_LOCK(&a->lock);
    for (size_t i = 0; i < a->due_count; i++)
        if (strcmp(a->due[i], node) == 0) return;
    if (a->due_count < DUE_MAX) snprintf(a->due[a->due_count++], sizeof a->due[0], "%s", node);
    pthread_cond_signal(&a->changed);
}

void audit_reported(struct aggregate *am, const char *node, const json *slivers) {
    struct err err = ERR_INIT;
    bool suspicious = false;
    if (!am->auditor || !slivers || !json_length(slivers)) return;
    if (audit_db_suspicious(am, node, slivers, &suspicious, &err))
        log_warn("report not compared", "node=%s cause=\"%s\"", node, err.msg);
    if (suspicious) make_due(am->auditor, node);
}

static bool take_due(struct auditor *a, char ret[64]) {
    WITH_LOCK(&a->lock);
    if (!a->due_count) return false;
    memcpy(ret, a->due[--a->due_count], 64);
    return true;
}

static void look_by_itself(struct auditor *a, const char *node) {
    struct err err = ERR_INIT;
    if (audit_node(a->am, node, NULL, &err))
        log_info("node not audited", "node=%s cause=\"%s\"", node, err.msg);
}

static void rest(struct auditor *a) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += BREATH_MS / 1000;
    WITH_LOCK(&a->lock);
    while (!a->stopping && !a->due_count)
        if (pthread_cond_timedwait(&a->changed, &a->lock, &until)) break;
}

static void *auditor_main(void *arg) {
    struct auditor *a = arg;
    int64_t interval = a->am->config->audit_interval_ms;
    char node[64];
    while (!a->stopping) {
        struct err err = ERR_INIT;
        while (!a->stopping && take_due(a, node)) look_by_itself(a, node);
        json *nodes AUTO_JSON =
            interval ? audit_db_nodes(a->am, clock_wall_ms() - interval, &err) : json_array();
        if (nodes && json_length(nodes)) look_by_itself(a, json_str(json_at(nodes, 0)));
        else rest(a);
    }
    return NULL;
}

int auditor_start(struct aggregate *am, struct err *err) {
    struct auditor *a = xcalloc(1, sizeof *a);
    a->am = am;
    pthread_mutex_init(&a->lock, NULL);
    pthread_mutex_init(&a->looking, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&a->thread, NULL, auditor_main, a);
    if (rc) {
        free(a);
        return err_set_errno(err, ERR_INTERNAL, rc, "cannot start the auditor");
    }
    am->auditor = a;
    return 0;
}

void auditor_stop(struct aggregate *am) {
    struct auditor *a = am->auditor;
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    am->auditor = NULL;
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    pthread_mutex_destroy(&a->looking);
    free(a);
}
