/*
 * A value against a node. The place of the value is a chain of steps on the C stack; it becomes
 * text only when something is wrong. Alternatives (anyOf, not, if, ...) are tried quietly.
 */
#include "schema_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/random.h>

#define DEPTH_MAX 256             /* of nodes; a $ref that leads back to itself ends here */
#define PATTERN_VALUE_MAX 65536   /* bytes of a string that a pattern is tried on */
#define SHOWN_MAX 60              /* bytes of a value in a message */

struct step {
    const struct step *parent;
    const char *key; /* NULL: index */
    size_t index;
};
struct check {
    struct err *err; /* NULL: quietly */
    char **ret_pointer;
    int depth;
};

static int check_node(struct check *c, const struct schema *s, const json *v,
                      const struct step *at);

/* --- telling --- */

static void add_pointer(struct buf *b, const struct step *at) {
    if (!at) return;
    add_pointer(b, at->parent);
    if (!at->key) {
        buf_printf(b, "/%zu", at->index);
        return;
    }
    buf_puts(b, "/");
    for (const char *k = at->key; *k; k++) {
        if (*k == '~') buf_puts(b, "~0");
        else if (*k == '/') buf_puts(b, "~1");
        else buf_add(b, k, 1);
    }
}

static int wrong(struct check *c, const struct step *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int wrong(struct check *c, const struct step *at, const char *fmt, ...) {
    if (!c->err) return -1;
    struct buf pointer AUTO_BUF = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    char *what AUTO_FREE = xvasprintf(fmt, ap);
    va_end(ap);
    buf_puts(&pointer, "");
    add_pointer(&pointer, at);
    if (c->ret_pointer) {
        free(*c->ret_pointer);
        *c->ret_pointer = xstrdup(pointer.data);
    }
    const char *place = pointer.length ? pointer.data : "/";
    return err_set(c->err, ERR_INVALID, "%.300s: %s", place, what);
}

/* The value as short text for a message. Borrowed until the caller frees *keep. */
static const char *show(const json *v, char **keep) {
    free(*keep);
    if (json_kind(v) == JSON_OBJECT) return *keep = xstrdup("the object");
    if (json_kind(v) == JSON_ARRAY) return *keep = xstrdup("the list");
    *keep = json_text(v);
    size_t n = strlen(*keep);
    if (n <= SHOWN_MAX) return *keep;
    size_t cut = SHOWN_MAX;
    while (cut && ((*keep)[cut] & 0xc0) == 0x80) cut--; /* whole characters */
    memcpy(*keep + cut, "...", 4);
    return *keep;
}
#define SHOW(v) show(v, &shown)

/* --- values --- */

static unsigned types_of(const json *v) {
    switch (json_kind(v)) {
    case JSON_NULL: return TYPE_NULL;
    case JSON_BOOL: return TYPE_BOOLEAN;
    case JSON_INT: return TYPE_INTEGER;
    case JSON_DOUBLE: {
        double d = json_double_value(v);
        return trunc(d) < d || trunc(d) > d ? TYPE_NUMBER : TYPE_INTEGER;
    }
    case JSON_STRING: return TYPE_STRING;
    case JSON_ARRAY: return TYPE_ARRAY;
    case JSON_OBJECT: return TYPE_OBJECT;
    }
    return 0;
}

static const char *type_names(unsigned bits, char *ret, size_t size) {
    static const char *const names[] = { "null", "boolean", "integer", "number", "string", "array",
                                         "object" };
    size_t used = 0;
    if (bits & TYPE_NUMBER) bits &= ~(unsigned)TYPE_INTEGER; /* said by "number" */
    ret[0] = '\0';
    for (unsigned i = 0; i < COUNT_OF(names) && used < size; i++)
        if (bits & 1u << i)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? " or " : "",
                                     names[i]);
    return ret;
}

/* Exact between integers, else as doubles: -1, 0, 1. */
static int compare(const json *a, const json *b) {
    if (json_kind(a) == JSON_INT && json_kind(b) == JSON_INT)
        return (json_int_value(a) > json_int_value(b)) - (json_int_value(a) < json_int_value(b));
    double x = json_double_value(a), y = json_double_value(b);
    return (x > y) - (x < y);
}

static bool is_multiple(const json *v, const json *of) {
    if (json_kind(v) == JSON_INT && json_kind(of) == JSON_INT)
        return json_int_value(v) % json_int_value(of) == 0;
    double quotient = json_double_value(v) / json_double_value(of);
    if (!isfinite(quotient)) return false;
    return fabs(quotient - nearbyint(quotient)) <= fabs(quotient) * 1e-12;
}

static int check_number(struct check *c, const struct schema *s, const json *v,
                        const struct step *at) {
    char *shown AUTO_FREE = NULL, *bound AUTO_FREE = NULL;
    if (s->minimum && compare(v, s->minimum) < 0)
        return wrong(c, at, "%s is less than the minimum %s", SHOW(v), show(s->minimum, &bound));
    if (s->maximum && compare(v, s->maximum) > 0)
        return wrong(c, at, "%s is more than the maximum %s", SHOW(v), show(s->maximum, &bound));
    if (s->exclusive_minimum && compare(v, s->exclusive_minimum) <= 0)
        return wrong(c, at, "%s must be more than %s", SHOW(v), show(s->exclusive_minimum, &bound));
    if (s->exclusive_maximum && compare(v, s->exclusive_maximum) >= 0)
        return wrong(c, at, "%s must be less than %s", SHOW(v), show(s->exclusive_maximum, &bound));
    if (s->multiple_of && !is_multiple(v, s->multiple_of))
        return wrong(c, at, "%s is no multiple of %s", SHOW(v), show(s->multiple_of, &bound));
    return 0;
}

static int64_t code_points(const char *text) {
    int64_t n = 0;
    for (; *text; text++) n += (*text & 0xc0) != 0x80;
    return n;
}

static int check_string(struct check *c, const struct schema *s, const json *v,
                        const struct step *at) {
    char *shown AUTO_FREE = NULL;
    const char *text = json_str(v);
    if (s->min_length > 0 || s->max_length >= 0) {
        int64_t length = code_points(text);
        if (length < s->min_length)
            return wrong(c, at, "%s is shorter than %" PRId64 " characters", SHOW(v),
                         s->min_length);
        if (s->max_length >= 0 && length > s->max_length)
            return wrong(c, at, "%s is longer than %" PRId64 " characters", SHOW(v),
                         s->max_length);
    }
    if (s->has_pattern && strlen(text) > PATTERN_VALUE_MAX)
        return wrong(c, at, "the string is longer than %d bytes", PATTERN_VALUE_MAX);
    if (s->has_pattern && regexec(&s->pattern, text, 0, NULL, 0))
        return wrong(c, at, "%s does not match %s", SHOW(v), s->pattern_text);
    if (s->format && !s->format(text))
        return wrong(c, at, "%s is no %s", SHOW(v), s->format_name);
    return 0;
}

/* --- arrays --- */

/* Equal values have equal hashes: numbers by value, members in any order. */
static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t hash_text(uint64_t h, const char *s) {
    for (; *s; s++) h = mix(h, (unsigned char)*s);
    return h;
}

static uint64_t hash_value(uint64_t seed, const json *v) {
    uint64_t h = mix(seed, 1);
    size_t it = 0;
    const char *key;
    json *value;
    switch (json_kind(v)) {
    case JSON_NULL: break;
    case JSON_BOOL: return mix(h, json_bool_value(v) ? 2 : 3);
    case JSON_INT:
    case JSON_DOUBLE: {
        double d = json_double_value(v) + 0.0; /* no negative zero */
        uint64_t bits;
        memcpy(&bits, &d, sizeof bits);
        return mix(mix(h, 4), bits);
    }
    case JSON_STRING: return hash_text(mix(h, 5), json_str(v));
    case JSON_ARRAY:
        h = mix(h, 6);
        for (size_t i = 0; i < json_length(v); i++) h = mix(h, hash_value(seed, json_at(v, i)));
        break;
    case JSON_OBJECT: {
        uint64_t sum = 7;
        while (json_next(v, &it, &key, &value))
            sum += mix(hash_text(seed, key), hash_value(seed, value));
        return mix(h, sum);
    }
    }
    return h;
}

struct hashed {
    uint64_t hash;
    size_t index;
};
static int compare_hashed(const void *a, const void *b) {
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Sorted by a hash that callers cannot foresee, so a long list costs no quadratic time. */
static int check_unique(struct check *c, const json *v, const struct step *at) {
    size_t count = json_length(v);
    if (count < 2) return 0;
    uint64_t seed = 0;
    (void)!getrandom(&seed, sizeof seed, 0);
    struct hashed *all AUTO_FREE = xcalloc(count, sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = (struct hashed){ hash_value(seed, json_at(v, i)), i };
    qsort(all, count, sizeof *all, compare_hashed);
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count && all[k].hash == all[i].hash; k++)
            if (json_equal(json_at(v, all[i].index), json_at(v, all[k].index)))
                return wrong(c, at, "items %zu and %zu are the same", all[i].index, all[k].index);
    return 0;
}

/* As check_node(), but says nothing. */
static bool fits(const struct check *c, const struct schema *s, const json *v) {
    struct check quiet = { NULL, NULL, c->depth };
    return check_node(&quiet, s, v, NULL) == 0;
}

static int check_contains(struct check *c, const struct schema *s, const json *v,
                          const struct step *at) {
    int64_t found = 0;
    for (size_t i = 0; i < json_length(v); i++) found += fits(c, s->contains, json_at(v, i));
    if (found < s->min_contains)
        return wrong(c, at, "only %" PRId64 " items are of the kind that must be there", found);
    if (s->max_contains >= 0 && found > s->max_contains)
        return wrong(c, at, "%" PRId64 " items are of a kind of which %" PRId64 " may be there",
                     found, s->max_contains);
    return 0;
}

static int check_array(struct check *c, const struct schema *s, const json *v,
                       const struct step *at) {
    size_t count = json_length(v);
    if ((int64_t)count < s->min_items)
        return wrong(c, at, "%zu items; at least %" PRId64 " are needed", count, s->min_items);
    if (s->max_items >= 0 && (int64_t)count > s->max_items)
        return wrong(c, at, "%zu items; at most %" PRId64 " are accepted", count, s->max_items);
    for (size_t i = 0; i < count; i++) {
        const struct schema *item = i < s->prefix_items.count ? s->prefix_items.items[i] : s->items;
        struct step step = { at, NULL, i };
        if (item && check_node(c, item, json_at(v, i), &step)) return -1;
    }
    if (s->contains && check_contains(c, s, v, at)) return -1;
    return s->unique_items ? check_unique(c, v, at) : 0;
}

/* --- objects --- */

static int check_required(struct check *c, const json *names, const json *v,
                          const struct step *at, const char *why) {
    for (size_t i = 0; i < json_length(names); i++) {
        const char *name = json_str(json_at(names, i));
        if (!json_has(v, name))
            return wrong(c, at, "member \"%s\" is missing%s%s", name, why ? ", needed by " : "",
                         why ? why : "");
    }
    return 0;
}

static int check_dependent(struct check *c, const struct schema *s, const json *v,
                           const struct step *at) {
    size_t it = 0;
    const char *key;
    json *names;
    while (json_next(s->dependent_required, &it, &key, &names))
        if (json_has(v, key) && check_required(c, names, v, at, key)) return -1;
    return 0;
}

static int check_member(struct check *c, const struct schema *s, const char *key, const json *v,
                        const struct step *at) {
    bool covered = false;
    struct step step = { at, key, 0 };
    for (size_t i = 0; i < s->properties.count; i++) {
        if (strcmp(s->properties.items[i].key, key) != 0) continue;
        covered = true;
        if (check_node(c, s->properties.items[i].schema, v, &step)) return -1;
        break;
    }
    for (size_t i = 0; i < s->pattern_properties.count; i++) {
        const struct schema_member *m = &s->pattern_properties.items[i];
        if (strlen(key) > PATTERN_VALUE_MAX || regexec(&m->regex, key, 0, NULL, 0)) continue;
        covered = true;
        if (check_node(c, m->schema, v, &step)) return -1;
    }
    if (covered || !s->additional) return 0;
    if (s->additional->never) return wrong(c, &step, "no such member here");
    return check_node(c, s->additional, v, &step);
}

static int check_name(struct check *c, const struct schema *s, const char *key,
                      const struct step *at) {
    json *name AUTO_JSON = json_string(key);
    struct step step = { at, key, 0 };
    return check_node(c, s->property_names, name, &step);
}

static int check_object(struct check *c, const struct schema *s, const json *v,
                        const struct step *at) {
    size_t count = json_length(v), it = 0;
    const char *key;
    json *value;
    if ((int64_t)count < s->min_properties)
        return wrong(c, at, "%zu members; at least %" PRId64 " are needed", count,
                     s->min_properties);
    if (s->max_properties >= 0 && (int64_t)count > s->max_properties)
        return wrong(c, at, "%zu members; at most %" PRId64 " are accepted", count,
                     s->max_properties);
    if (s->required && check_required(c, s->required, v, at, NULL)) return -1;
    if (s->dependent_required && check_dependent(c, s, v, at)) return -1;
    while (json_next(v, &it, &key, &value)) {
        if (s->property_names && check_name(c, s, key, at)) return -1;
        if (check_member(c, s, key, value, at)) return -1;
    }
    return 0;
}

/* --- combinations --- */

/* An alternative that could be the one meant says more than "none of them". */
static int check_any(struct check *c, const struct schema *s, const json *v,
                     const struct step *at) {
    const struct schema *meant = NULL;
    for (size_t i = 0; i < s->any_of.count; i++) {
        const struct schema *one = s->any_of.items[i];
        if (fits(c, one, v)) return 0;
        const struct schema *target = one->ref ? one->ref : one;
        if (!meant && target->types & types_of(v)) meant = one;
    }
    if (meant) return check_node(c, meant, v, at);
    return wrong(c, at, "fits none of %zu forms", s->any_of.count);
}

static int check_one(struct check *c, const struct schema *s, const json *v,
                     const struct step *at) {
    size_t fitting = 0;
    for (size_t i = 0; i < s->one_of.count; i++) fitting += fits(c, s->one_of.items[i], v);
    if (fitting == 1) return 0;
    return wrong(c, at, "fits %zu of %zu forms; exactly one is needed", fitting, s->one_of.count);
}

static int check_combinations(struct check *c, const struct schema *s, const json *v,
                              const struct step *at) {
    if (s->ref && check_node(c, s->ref, v, at)) return -1;
    for (size_t i = 0; i < s->all_of.count; i++)
        if (check_node(c, s->all_of.items[i], v, at)) return -1;
    if (s->any_of.count && check_any(c, s, v, at)) return -1;
    if (s->one_of.count && check_one(c, s, v, at)) return -1;
    if (s->not_ && fits(c, s->not_, v)) return wrong(c, at, "is of a form that is not accepted");
    if (!s->if_) return 0;
    const struct schema *then = fits(c, s->if_, v) ? s->then_ : s->else_;
    return then ? check_node(c, then, v, at) : 0;
}

static int check_values(struct check *c, const struct schema *s, const json *v,
                        const struct step *at) {
    char *shown AUTO_FREE = NULL;
    char names[96];
    if (s->types && !(s->types & types_of(v)))
        return wrong(c, at, "%s is not of type %s", SHOW(v),
                     type_names(s->types, names, sizeof names));
    if (s->has_const && !json_equal(v, s->const_value))
        return wrong(c, at, "%s is not the only value accepted", SHOW(v));
    if (!s->enum_values) return 0;
    for (size_t i = 0; i < json_length(s->enum_values); i++)
        if (json_equal(v, json_at(s->enum_values, i))) return 0;
    char *list AUTO_FREE = json_text(s->enum_values);
    return wrong(c, at, "%s is none of %.200s", SHOW(v), list);
}

static int check_kind(struct check *c, const struct schema *s, const json *v,
                      const struct step *at) {
    switch (json_kind(v)) {
    case JSON_INT:
    case JSON_DOUBLE: return check_number(c, s, v, at);
    case JSON_STRING: return check_string(c, s, v, at);
    case JSON_ARRAY: return check_array(c, s, v, at);
    case JSON_OBJECT: return check_object(c, s, v, at);
    default: return 0;
    }
}

static int check_node(struct check *c, const struct schema *s, const json *v,
                      const struct step *at) {
    if (s->never) return wrong(c, at, "nothing is accepted here");
    if (c->depth >= DEPTH_MAX) return wrong(c, at, "the schema refers to itself without end");
    c->depth++;
    int rc = check_values(c, s, v, at) || check_kind(c, s, v, at) ||
             check_combinations(c, s, v, at);
    c->depth--;
    return rc ? -1 : 0;
}

int schema_check(const struct schema *s, const json *value, char **ret_pointer, struct err *err) {
    struct err own;
    struct check c = { err ? err : &own, ret_pointer, 0 };
    if (!err && !ret_pointer) c.err = NULL;
    if (ret_pointer) *ret_pointer = NULL;
    return check_node(&c, s, value, NULL);
}
