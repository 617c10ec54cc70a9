/*
 * From json to nodes. One row per keyword; a keyword without a row is refused, so that a typing
 * error in a schema cannot switch a check off.
 *
 * Nodes are found again by the address of their json, and enter the set before their parts are
 * compiled: so recursive schemas end.
 * Source: JSON Schema 2020-12, Core and Validation.
 */
#include "schema_internal.h"

#include <stdio.h>

struct compile {
    struct schema_set *set;
    const struct schema_document *document;
    struct schema *s;
    struct err *err;
};
typedef int (*keyword_fn)(struct compile *c, const char *keyword, const json *v, size_t offset);

/* The member of *c->s at this offset, as a T. */
#define FIELD(T) (*(T *)((char *)c->s + offset))

static int bad(struct compile *c, const char *keyword, const char *what) {
    return err_set(c->err, ERR_INVALID, "keyword \"%s\": %s", keyword, what);
}

static int annotation(struct compile *c, const char *keyword, const json *v, size_t offset) {
    (void)c, (void)keyword, (void)v, (void)offset;
    return 0;
}

static int take_count(struct compile *c, const char *keyword, const json *v, size_t offset) {
    if (json_kind(v) != JSON_INT && json_kind(v) != JSON_DOUBLE)
        return bad(c, keyword, "a number expected");
    double d = json_double_value(v);
    if (d < 0 || d > 1e15 || (double)(int64_t)d < d)
        return bad(c, keyword, "a whole number, not negative, expected");
    FIELD(int64_t) = (int64_t)d;
    return 0;
}

static int take_number(struct compile *c, const char *keyword, const json *v, size_t offset) {
    if (json_kind(v) != JSON_INT && json_kind(v) != JSON_DOUBLE)
        return bad(c, keyword, "a number expected");
    FIELD(const json *) = v;
    return 0;
}

static int take_multiple(struct compile *c, const char *keyword, const json *v, size_t offset) {
    if (json_double_value(v) <= 0) return bad(c, keyword, "a number above 0 expected");
    return take_number(c, keyword, v, offset);
}

static int take_bool(struct compile *c, const char *keyword, const json *v, size_t offset) {
    if (json_kind(v) != JSON_BOOL) return bad(c, keyword, "true or false expected");
    FIELD(bool) = json_bool_value(v);
    return 0;
}

static int take_schema(struct compile *c, const char *keyword, const json *v, size_t offset) {
    const struct schema *s = schema_node(c->set, c->document, v, c->err);
    if (!s) return err_wrap(c->err, "%s", keyword);
    FIELD(const struct schema *) = s;
    return 0;
}

static int take_schemas(struct compile *c, const char *keyword, const json *v, size_t offset) {
    size_t count = json_length(v);
    if (json_kind(v) != JSON_ARRAY || count == 0)
        return bad(c, keyword, "a list of schemas expected");
    struct schema_list *list = &FIELD(struct schema_list);
    list->items = xcalloc(count, sizeof(*list->items));
    for (; list->count < count; list->count++) {
        const struct schema *s = schema_node(c->set, c->document, json_at(v, list->count), c->err);
        if (!s) return err_wrap(c->err, "%s/%zu", keyword, list->count);
        list->items[list->count] = s;
    }
    return 0;
}

static int take_members(struct compile *c, const char *keyword, const json *v, size_t offset,
                        bool patterns) {
    if (json_kind(v) != JSON_OBJECT) return bad(c, keyword, "an object of schemas expected");
    struct schema_members *m = &FIELD(struct schema_members);
    size_t it = 0;
    const char *key;
    json *value;
    m->items = xcalloc(json_length(v), sizeof *m->items);
    while (json_next(v, &it, &key, &value)) {
        struct schema_member *member = &m->items[m->count];
        member->key = key;
        if (patterns && schema_regex(key, &member->regex, c->err))
            return err_wrap(c->err, "%s", keyword);
        member->has_regex = patterns;
        m->count++;
        member->schema = schema_node(c->set, c->document, value, c->err);
        if (!member->schema) return err_wrap(c->err, "%s/%s", keyword, key);
    }
    return 0;
}
static int take_properties(struct compile *c, const char *keyword, const json *v, size_t offset) {
    return take_members(c, keyword, v, offset, false);
}
static int take_pattern_properties(struct compile *c, const char *keyword, const json *v,
                                   size_t offset) {
    return take_members(c, keyword, v, offset, true);
}

/* $defs: compiled for their errors; who uses them finds them by $ref. */
static int check_schemas(struct compile *c, const char *keyword, const json *v, size_t offset) {
    (void)offset;
    size_t it = 0;
    const char *key;
    json *value;
    if (json_kind(v) != JSON_OBJECT) return bad(c, keyword, "an object of schemas expected");
    while (json_next(v, &it, &key, &value))
        if (!schema_node(c->set, c->document, value, c->err))
            return err_wrap(c->err, "%s/%s", keyword, key);
    return 0;
}

static bool all_strings(const json *array) {
    for (size_t i = 0; i < json_length(array); i++)
        if (!json_str(json_at(array, i))) return false;
    return json_kind(array) == JSON_ARRAY;
}

static int take_strings(struct compile *c, const char *keyword, const json *v, size_t offset) {
    if (!all_strings(v)) return bad(c, keyword, "a list of names expected");
    FIELD(const json *) = v;
    return 0;
}

static int take_dependent(struct compile *c, const char *keyword, const json *v, size_t offset) {
    size_t it = 0;
    const char *key;
    json *value;
    if (json_kind(v) != JSON_OBJECT) return bad(c, keyword, "an object expected");
    while (json_next(v, &it, &key, &value))
        if (!all_strings(value)) return bad(c, keyword, "lists of names expected");
    FIELD(const json *) = v;
    return 0;
}

static int take_enum(struct compile *c, const char *keyword, const json *v, size_t offset) {
    if (json_kind(v) != JSON_ARRAY || json_length(v) == 0)
        return bad(c, keyword, "a list of values expected");
    FIELD(const json *) = v;
    return 0;
}

static int take_const(struct compile *c, const char *keyword, const json *v, size_t offset) {
    (void)keyword;
    FIELD(const json *) = v;
    c->s->has_const = true;
    return 0;
}

static unsigned type_bit(const char *name) {
    static const struct { const char *name; unsigned bit; } types[] = {
        { "null", TYPE_NULL },     { "boolean", TYPE_BOOLEAN },
        { "integer", TYPE_INTEGER }, { "number", TYPE_NUMBER | TYPE_INTEGER },
        { "string", TYPE_STRING }, { "array", TYPE_ARRAY }, { "object", TYPE_OBJECT },
    };
    for (size_t i = 0; name && i < COUNT_OF(types); i++)
        if (strcmp(types[i].name, name) == 0) return types[i].bit;
    return 0;
}

static int take_type(struct compile *c, const char *keyword, const json *v, size_t offset) {
    unsigned bits = type_bit(json_str(v));
    for (size_t i = 0; json_kind(v) == JSON_ARRAY && i < json_length(v); i++) {
        unsigned bit = type_bit(json_str(json_at(v, i)));
        if (!bit) return bad(c, keyword, "no such type");
        bits |= bit;
    }
    if (!bits) return bad(c, keyword, "no such type");
    FIELD(unsigned) = bits;
    return 0;
}

static int take_pattern(struct compile *c, const char *keyword, const json *v, size_t offset) {
    (void)offset;
    c->s->pattern_text = json_str(v);
    if (!c->s->pattern_text) return bad(c, keyword, "a string expected");
    if (schema_regex(c->s->pattern_text, &c->s->pattern, c->err))
        return err_wrap(c->err, "keyword \"%s\"", keyword);
    c->s->has_pattern = true;
    return 0;
}

static int take_format(struct compile *c, const char *keyword, const json *v, size_t offset) {
    (void)offset;
    bool known = false;
    c->s->format_name = json_str(v);
    if (c->s->format_name) c->s->format = schema_format(c->s->format_name, &known);
    return known ? 0 : bad(c, keyword, "no such format");
}

static int take_ref(struct compile *c, const char *keyword, const json *v, size_t offset) {
    const char *ref = json_str(v);
    if (!ref) return bad(c, keyword, "a string expected");
    const struct schema *s = schema_resolve(c->set, c->document, ref, c->err);
    if (!s) return -1;
    FIELD(const struct schema *) = s;
    return 0;
}

static const struct {
    const char *keyword;
    keyword_fn fn;
    size_t offset;
} keywords[] = {
#define ROW(keyword, fn, field) { keyword, fn, offsetof(struct schema, field) }
    ROW("type", take_type, types),
    ROW("enum", take_enum, enum_values),
    ROW("const", take_const, const_value),
    ROW("minimum", take_number, minimum),
    ROW("maximum", take_number, maximum),
    ROW("exclusiveMinimum", take_number, exclusive_minimum),
    ROW("exclusiveMaximum", take_number, exclusive_maximum),
    ROW("multipleOf", take_multiple, multiple_of),
    ROW("minLength", take_count, min_length),
    ROW("maxLength", take_count, max_length),
    ROW("pattern", take_pattern, pattern),
    ROW("format", take_format, format),
    ROW("minItems", take_count, min_items),
    ROW("maxItems", take_count, max_items),
    ROW("uniqueItems", take_bool, unique_items),
    ROW("items", take_schema, items),
    ROW("prefixItems", take_schemas, prefix_items),
    ROW("contains", take_schema, contains),
    ROW("minContains", take_count, min_contains),
    ROW("maxContains", take_count, max_contains),
    ROW("properties", take_properties, properties),
    ROW("patternProperties", take_pattern_properties, pattern_properties),
    ROW("additionalProperties", take_schema, additional),
    ROW("propertyNames", take_schema, property_names),
    ROW("required", take_strings, required),
    ROW("dependentRequired", take_dependent, dependent_required),
    ROW("minProperties", take_count, min_properties),
    ROW("maxProperties", take_count, max_properties),
    ROW("allOf", take_schemas, all_of),
    ROW("anyOf", take_schemas, any_of),
    ROW("oneOf", take_schemas, one_of),
    ROW("not", take_schema, not_),
    ROW("if", take_schema, if_),
    ROW("then", take_schema, then_),
    ROW("else", take_schema, else_),
    ROW("$ref", take_ref, ref),
    ROW("$defs", check_schemas, next),
#undef ROW
    { "$schema", annotation, 0 },     { "$comment", annotation, 0 },
    { "title", annotation, 0 },       { "description", annotation, 0 },
    { "default", annotation, 0 },     { "example", annotation, 0 },
    { "examples", annotation, 0 },    { "deprecated", annotation, 0 },
    { "readOnly", annotation, 0 },    { "writeOnly", annotation, 0 },
    { "contentEncoding", annotation, 0 }, { "contentMediaType", annotation, 0 },
};

static int take_keyword(struct compile *c, const char *keyword, const json *v) {
    if (strncmp(keyword, "x-", 2) == 0) return 0; /* OpenAPI's extensions */
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (strcmp(keywords[i].keyword, keyword) == 0)
            return keywords[i].fn(c, keyword, v, keywords[i].offset);
    return bad(c, keyword, "unknown");
}

static size_t bucket_of(const struct schema_set *set, const json *source) {
    return ((uintptr_t)source >> 4) % set->bucket_count;
}

/* Open addressing; the table is kept at most half full. */
static struct schema **slot_of(const struct schema_set *set, const json *source) {
    size_t i = bucket_of(set, source);
    while (set->buckets[i] && set->buckets[i]->source != source) i = (i + 1) % set->bucket_count;
    return &set->buckets[i];
}

static void grow(struct schema_set *set) {
    struct schema **old AUTO_FREE = set->buckets;
    size_t old_count = set->bucket_count;
    set->bucket_count *= 2;
    set->buckets = xcalloc(set->bucket_count, sizeof(*set->buckets));
    for (size_t i = 0; i < old_count; i++)
        if (old[i]) *slot_of(set, old[i]->source) = old[i];
}

static struct schema *add_node(struct schema_set *set, const json *source) {
    if (set->node_count * 2 >= set->bucket_count) grow(set);
    struct schema *s = xcalloc(1, sizeof *s);
    s->set = set;
    s->source = source;
    s->max_length = s->max_items = s->max_properties = s->max_contains = -1;
    s->min_contains = 1;
    s->next = set->nodes;
    set->nodes = s;
    set->node_count++;
    *slot_of(set, source) = s;
    return s;
}

const struct schema *schema_node(struct schema_set *set, const struct schema_document *document,
                                 const json *source, struct err *err) {
    if (json_kind(source) != JSON_OBJECT && json_kind(source) != JSON_BOOL) {
        err_set(err, ERR_INVALID, "a schema must be an object, true or false");
        return NULL;
    }
    struct schema *s = *slot_of(set, source);
    if (s) return s;
    s = add_node(set, source);
    s->never = json_kind(source) == JSON_BOOL && !json_bool_value(source);
    struct compile c = { set, document, s, err };
    size_t it = 0;
    const char *keyword;
    json *value;
    while (json_next(source, &it, &keyword, &value))
        if (take_keyword(&c, keyword, value)) return NULL;
    return s;
}
