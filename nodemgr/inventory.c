#include "nodemgr/inventory_internal.h"

#include "nodemgr/slice_forwarding.h"

#include <stdio.h>

json *inventory_add(struct inventory *v, const char *kind, const char *name, const char *ours,
                    const char *sliver, int64_t epoch) {
    if (v->count == v->capacity) {
        v->capacity = v->capacity ? 2 * v->capacity : 256;
        v->items = xrealloc_array(v->items, v->capacity, sizeof *v->items);
    }
    json *item = json_set_str(json_object(), "kind", kind);
    json_set_str(item, "name", name);
    json_set_str(item, "ours", ours);
    if (sliver && *sliver) json_set_str(item, "sliver", sliver);
    if (epoch > 0) json_set_int(item, "epoch", epoch);
    if (sliver && *sliver && epoch > 0)
        json_set_bool(item, "known", inventory_has_row(v, sliver, epoch));
    if (v->count < INVENTORY_MAX) return v->items[v->count++] = item;
    v->left_out++;
    json_put(v->items[v->count - 1]); /* the last place is reused: `complete` says so */
    return v->items[v->count - 1] = item;
}

bool inventory_has_row(const struct inventory *v, const char *sliver, int64_t epoch) {
    for (size_t i = 0; i < v->rows.count; i++)
        if (v->rows.rows[i].epoch == epoch && strcmp(v->rows.rows[i].sliver, sliver) == 0) return true;
    return false;
}

static void inventory_done(struct inventory *v) {
    sliver_rows_done(&v->rows);
    json_put(v->documents);
    json_put(v->migrations);
    free(v->ports);
    switch_names_free(v->bridges);
    for (size_t i = 0; i < v->count; i++) json_put(v->items[i]);
    free(v->items);
}

/* "port jg0123456789ab": the order of the list, and the cursor. */
static char *key_of(const json *item) {
    return xasprintf("%s %s", json_get_str(item, "kind"), json_get_str(item, "name"));
}

static int compare_items(const void *a, const void *b) {
    const json *x = *(json *const *)a, *y = *(json *const *)b;
    int kind = strcmp(json_get_str(x, "kind"), json_get_str(y, "kind"));
    return kind ? kind : strcmp(json_get_str(x, "name"), json_get_str(y, "name"));
}

static const struct source {
    const char *name;
    int (*read)(struct inventory *v, struct err *err);
} sources[] = {
    { "database", inventory_database }, { "libvirt", inventory_libvirt },
    { "switch", inventory_switch },     { "devices", inventory_devices },
    { "files", inventory_files },
};

static json *read_sources(struct inventory *v) {
    json *out = json_array();
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        struct err why = ERR_INIT;
        json *one = json_set_str(json_object(), "name", sources[i].name);
        int failed = sources[i].read(v, &why);
        json_set_bool(one, "ok", !failed);
        if (failed) json_set_str(one, "error", why.msg);
        json_add(out, one);
    }
    return out;
}

static void cut_page(const struct inventory *v, const char *after, int64_t limit, json *out) {
    json *page = json_array();
    int64_t taken = 0;
    size_t i = 0;
    for (; i < v->count && taken < limit; i++) {
        char *key AUTO_FREE = key_of(v->items[i]);
        if (strcmp(key, after) <= 0) continue;
        json_add(page, json_ref(v->items[i]));
        taken++;
    }
    json_set(out, "items", page);
    if (i == v->count || i == 0) return;
    char *last AUTO_FREE = key_of(v->items[i - 1]);
    json_set_str(out, "next", last);
}

json *inventory_page(struct agent *a, const char *after, int64_t limit, struct err *err) {
    struct inventory v CLEANUP(inventory_done) = { .agent = a };
    if (sliver_rows_read(a->db, NULL, &v.rows, err)) return NULL;
    v.documents = slice_forwarding_documents(a->forwarding, err);
    if (!v.documents) return NULL;
    json *out = json_set_str(json_object(), "start", a->start_id);
    json_set(out, "sources", read_sources(&v));
    json_set_bool(out, "complete", v.left_out == 0);
    if (v.count) qsort(v.items, v.count, sizeof *v.items, compare_items);
    cut_page(&v, after, limit, out);
    return out;
}
