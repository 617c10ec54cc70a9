#include "schema_internal.h"

#include "yaml.h"

#include <assert.h>
#include <stdio.h>

#define COMPONENTS "/components/schemas/"

struct named_schema {
    char *name; /* "aggregate#Sliver" */
    const struct schema *schema;
};
/* Filled by schema_load() before threads start, then only read. */
static struct schema_set *embedded;
static struct named_schema *named;
static size_t named_count;

struct schema_set *schema_set_new(void) {
    struct schema_set *set = xcalloc(1, sizeof *set);
    set->bucket_count = 1024;
    set->buckets = xcalloc(set->bucket_count, sizeof(*set->buckets));
    return set;
}

static void members_done(struct schema_members *m) {
    for (size_t i = 0; i < m->count; i++)
        if (m->items[i].has_regex) regfree(&m->items[i].regex);
    free(m->items);
}

static void node_free(struct schema *s) {
    if (s->has_pattern) regfree(&s->pattern);
    members_done(&s->properties);
    members_done(&s->pattern_properties);
    free(s->prefix_items.items);
    free(s->all_of.items);
    free(s->any_of.items);
    free(s->one_of.items);
    free(s);
}

void schema_set_free(struct schema_set *set) {
    if (!set) return;
    while (set->nodes) {
        struct schema *s = set->nodes;
        set->nodes = s->next;
        node_free(s);
    }
    for (size_t i = 0; i < set->document_count; i++) {
        free(set->documents[i].name);
        json_put(set->documents[i].value);
    }
    free(set->documents);
    free(set->buckets);
    free(set);
}

void schema_set_add(struct schema_set *set, const char *name, json *value) {
    set->documents = xrealloc_array(set->documents, set->document_count + 1,
                                    sizeof *set->documents);
    set->documents[set->document_count++] = (struct schema_document){ xstrdup(name), value };
}

static const struct schema_document *find_document(const struct schema_set *set, const char *name,
                                                   size_t n) {
    if (n > 5 && memcmp(name + n - 5, ".yaml", 5) == 0) n -= 5;
    for (size_t i = 0; i < set->document_count; i++)
        if (strlen(set->documents[i].name) == n && memcmp(set->documents[i].name, name, n) == 0)
            return &set->documents[i];
    return NULL;
}

const json *schema_set_document(const struct schema_set *set, const char *name, size_t n) {
    const struct schema_document *d = find_document(set, name, n);
    return d ? d->value : NULL;
}

/* One reference token, "~1" and "~0" decoded, into key. Returns what follows it. */
static const char *take_token(const char *p, char *key, size_t size) {
    size_t n = 0;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~' && (p[1] == '0' || p[1] == '1')) c = *++p == '0' ? '~' : '/';
        if (n + 1 < size) key[n++] = c;
    }
    key[n] = '\0';
    return p;
}

static const json *element(const json *array, const char *key) {
    char *end;
    unsigned long i = strtoul(key, &end, 10);
    return *key && !*end && i < json_length(array) ? json_at(array, i) : NULL;
}

const json *schema_pointer(const json *document, const char *pointer) {
    const json *at = document;
    while (at && *pointer == '/') {
        char key[256];
        pointer = take_token(pointer + 1, key, sizeof key);
        at = json_kind(at) == JSON_ARRAY ? element(at, key) : json_get(at, key);
    }
    return *pointer ? NULL : at;
}

const struct schema *schema_resolve(struct schema_set *set,
                                    const struct schema_document *document, const char *ref,
                                    struct err *err) {
    size_t n = strcspn(ref, "#");
    const struct schema_document *target = n ? find_document(set, ref, n) : document;
    const char *fragment = ref[n] ? ref + n + 1 : "";
    char pointer[512];
    bool is_name = *fragment && *fragment != '/';
    snprintf(pointer, sizeof pointer, "%s%s", is_name ? COMPONENTS : "", fragment);
    const json *source = target ? schema_pointer(target->value, pointer) : NULL;
    if (!source) {
        err_set(err, ERR_INTERNAL, "there is no schema %s", ref);
        return NULL;
    }
    return schema_node(set, target, source, err);
}

/* --- the embedded documents --- */

static int add_named(const struct schema_document *d, const char *name, const json *source,
                     struct err *err) {
    const struct schema *s = schema_node(embedded, d, source, err);
    if (!s) return err_wrap(err, "%s.yaml", d->name);
    named = xrealloc_array(named, named_count + 1, sizeof *named);
    named[named_count++] = (struct named_schema){ xasprintf("%s#%s", d->name, name), s };
    return 0;
}

/* An OpenAPI document has schemas among its components; any other document is one itself. */
static int load_schemas(const struct schema_document *d, struct err *err) {
    if (!json_has(d->value, "openapi")) return add_named(d, "", d->value, err);
    const json *schemas = json_path(d->value, "components.schemas");
    size_t it = 0;
    const char *name;
    json *source;
    while (json_next(schemas, &it, &name, &source))
        if (add_named(d, name, source, err)) return err_wrap(err, "schema %s", name);
    return 0;
}

static int compare_named(const void *a, const void *b) {
    return strcmp(((const struct named_schema *)a)->name, ((const struct named_schema *)b)->name);
}

/* names NULL: every document is wanted. */
static bool wanted(const char *const *names, const char *name) {
    if (!names) return true;
    while (*names && strcmp(*names, name) != 0) names++;
    return *names != NULL;
}

static int load_documents(const char *const *names, struct err *err) {
    for (size_t i = 0; i < schema_source_count; i++) {
        const struct schema_source *source = &schema_sources[i];
        if (!wanted(names, source->name)) continue;
        char file[128];
        snprintf(file, sizeof file, "%s.yaml", source->name);
        json *value = yaml_parse(file, source->text, source->length, NULL, err);
        if (!value) return -1;
        if (names) json_del(value, "paths"); /* most of it, and no schemas */
        schema_set_add(embedded, source->name, value);
    }
    for (size_t i = 0; i < embedded->document_count; i++)
        if (load_schemas(&embedded->documents[i], err)) return -1;
    if (named_count) qsort(named, named_count, sizeof *named, compare_named);
    return 0;
}

int schema_load(struct err *err) { return schema_load_only(NULL, err); }

int schema_load_only(const char *const *names, struct err *err) {
    if (embedded) return 0;
    embedded = schema_set_new();
    if (load_documents(names, err) == 0) return 0;
    schema_unload();
    err->code = ERR_INTERNAL;
    return -1;
}

void schema_unload(void) {
    for (size_t i = 0; i < named_count; i++) free(named[i].name);
    free(named);
    named = NULL;
    named_count = 0;
    schema_set_free(STEAL(embedded));
}

const json *schema_document(const char *name) {
    return embedded ? schema_set_document(embedded, name, strlen(name)) : NULL;
}

/* "aggregate.yaml#/components/schemas/Sliver" and "aggregate#Sliver" both become the latter. */
static bool shorten(const char *name, char *ret, size_t size) {
    size_t n = strcspn(name, "#");
    const char *fragment = name[n] ? name + n + 1 : "";
    if (n > 5 && memcmp(name + n - 5, ".yaml", 5) == 0) n -= 5;
    if (strncmp(fragment, COMPONENTS, strlen(COMPONENTS)) == 0) fragment += strlen(COMPONENTS);
    int length = snprintf(ret, size, "%.*s#%s", (int)n, name, fragment);
    return length > 0 && (size_t)length < size;
}

const struct schema *schema_find(const char *name, struct err *err) {
    char text[256];
    struct named_schema key = { text, NULL };
    const struct named_schema *found = NULL;
    if (shorten(name, text, sizeof text) && named_count)
        found = bsearch(&key, named, named_count, sizeof *named, compare_named);
    if (found) return found->schema;
    err_set(err, ERR_INTERNAL, "there is no schema %s%s", name,
            embedded ? "" : " (schema_load() was not called)");
    return NULL;
}

/* --- schemas from elsewhere --- */

struct schema *schema_compile(const json *document, struct err *err) {
    struct schema_set *set = schema_set_new();
    schema_set_add(set, "", json_copy(document));
    const struct schema *root = schema_node(set, &set->documents[0], set->documents[0].value, err);
    if (!root) {
        schema_set_free(set);
        return NULL;
    }
    set->root = root;
    return (struct schema *)(uintptr_t)root;
}

void schema_free(struct schema *s) {
    if (!s) return;
    assert(s->set->root == s); /* only what schema_compile() returned */
    schema_set_free(s->set);
}
