/*
 * Building, reading and comparing values. Nothing here touches json-c's cached text of a value
 * (json_text.c has a printer of its own), so that a value nobody changes may be read by any
 * number of threads. Reference counts are not atomic in Debian's json-c: a value that several
 * threads see must not get or lose references while they do.
 */
#include "json.h"

#include <assert.h>
#include <math.h>
#include <json-c/json.h>

void json_put(json *j) {
    if (j) json_object_put(j);
}

json *json_ref(json *j) { return j ? json_object_get(j) : NULL; }

json *json_copy(const json *j) {
    switch (json_kind(j)) {
    case JSON_NULL: return NULL;
    case JSON_BOOL: return json_bool(json_bool_value(j));
    case JSON_INT: return json_int(json_int_value(j));
    case JSON_DOUBLE: return json_double(json_double_value(j));
    case JSON_STRING: return json_string(json_str(j));
    case JSON_ARRAY: break;
    case JSON_OBJECT: {
        json *copy = json_object();
        size_t it = 0;
        const char *key;
        json *value;
        while (json_next(j, &it, &key, &value)) json_set(copy, key, json_copy(value));
        return copy;
    }
    }
    json *copy = json_array();
    for (size_t i = 0; i < json_length(j); i++) json_add(copy, json_copy(json_at(j, i)));
    return copy;
}

enum json_kind json_kind(const json *j) {
    switch (json_object_get_type(j)) {
    case json_type_boolean: return JSON_BOOL;
    case json_type_int: return JSON_INT;
    case json_type_double: return JSON_DOUBLE;
    case json_type_string: return JSON_STRING;
    case json_type_array: return JSON_ARRAY;
    case json_type_object: return JSON_OBJECT;
    case json_type_null: break;
    }
    return JSON_NULL;
}

static bool numbers_equal(const json *a, const json *b) {
    bool ints = json_kind(a) == JSON_INT && json_kind(b) == JSON_INT;
    if (ints) return json_int_value(a) == json_int_value(b);
    return !(json_double_value(a) < json_double_value(b)) &&
           !(json_double_value(a) > json_double_value(b));
}

static bool arrays_equal(const json *a, const json *b) {
    if (json_length(a) != json_length(b)) return false;
    for (size_t i = 0; i < json_length(a); i++)
        if (!json_equal(json_at(a, i), json_at(b, i))) return false;
    return true;
}

static bool objects_equal(const json *a, const json *b) {
    if (json_length(a) != json_length(b)) return false;
    size_t it = 0;
    const char *key;
    json *value;
    while (json_next(a, &it, &key, &value))
        if (!json_has(b, key) || !json_equal(value, json_get(b, key))) return false;
    return true;
}

bool json_equal(const json *a, const json *b) {
    enum json_kind ka = json_kind(a), kb = json_kind(b);
    bool number_a = ka == JSON_INT || ka == JSON_DOUBLE;
    bool number_b = kb == JSON_INT || kb == JSON_DOUBLE;
    if (number_a && number_b) return numbers_equal(a, b);
    if (ka != kb) return false;
    switch (ka) {
    case JSON_BOOL: return json_bool_value(a) == json_bool_value(b);
    case JSON_STRING: return strcmp(json_str(a), json_str(b)) == 0;
    case JSON_ARRAY: return arrays_equal(a, b);
    case JSON_OBJECT: return objects_equal(a, b);
    default: return true;
    }
}

static json *made(json *j) {
    if (!j) abort(); /* json-c found no memory; see mem.h */
    return j;
}

json *json_new_object(void) { return made(json_object_new_object()); }
json *json_array(void) { return made(json_object_new_array()); }
json *json_string(const char *s) { return s ? made(json_object_new_string(s)) : NULL; }
json *json_int(int64_t v) { return made(json_object_new_int64(v)); }
json *json_new_bool(bool v) { return made(json_object_new_boolean(v)); }

json *json_double(double v) {
    assert(isfinite(v)); /* JSON has no other numbers */
    return made(json_object_new_double(v));
}

json *json_set(json *object, const char *key, json *value) {
    if (json_object_object_add(object, key, value)) abort();
    return object;
}
json *json_set_str(json *object, const char *key, const char *value) {
    return json_set(object, key, json_string(value));
}
json *json_set_int(json *object, const char *key, int64_t value) {
    return json_set(object, key, json_int(value));
}
json *json_set_bool(json *object, const char *key, bool value) {
    return json_set(object, key, json_bool(value));
}
void json_del(json *object, const char *key) { json_object_object_del(object, key); }
void json_add(json *array, json *value) {
    if (json_object_array_add(array, value)) abort();
}

json *json_get(const json *object, const char *key) {
    json *value = NULL;
    if (json_kind(object) != JSON_OBJECT) return NULL;
    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

bool json_has(const json *object, const char *key) {
    return json_kind(object) == JSON_OBJECT && json_object_object_get_ex(object, key, NULL);
}

const char *json_get_str(const json *object, const char *key) {
    return json_str(json_get(object, key));
}

/* 2.0 is an integer to JSON Schema, so it is one to readers of checked values. */
static bool is_whole(const json *j) {
    if (json_kind(j) != JSON_DOUBLE) return json_kind(j) == JSON_INT;
    double v = json_object_get_double(j);
    return v >= -0x1p63 && v < 0x1p63 && !(trunc(v) < v) && !(trunc(v) > v);
}

int64_t json_get_int(const json *object, const char *key, int64_t otherwise) {
    const json *j = json_get(object, key);
    return is_whole(j) ? json_int_value(j) : otherwise;
}

double json_get_double(const json *object, const char *key, double otherwise) {
    const json *j = json_get(object, key);
    enum json_kind kind = json_kind(j);
    return kind == JSON_INT || kind == JSON_DOUBLE ? json_double_value(j) : otherwise;
}

bool json_get_bool(const json *object, const char *key, bool otherwise) {
    const json *j = json_get(object, key);
    return json_kind(j) == JSON_BOOL ? json_bool_value(j) : otherwise;
}

size_t json_length(const json *j) {
    switch (json_kind(j)) {
    case JSON_ARRAY: return json_object_array_length(j);
    case JSON_OBJECT: return (size_t)json_object_object_length(j);
    default: return 0;
    }
}

json *json_at(const json *array, size_t i) {
    return json_kind(array) == JSON_ARRAY ? json_object_array_get_idx(array, i) : NULL;
}

/* json-c declares these getters for non-const values, since of other kinds they may cache text;
 * of the kind asked for here they only read. */
static json *unconst(const json *j) { return (json *)(uintptr_t)j; }

const char *json_str(const json *j) {
    return json_kind(j) == JSON_STRING ? json_object_get_string(unconst(j)) : NULL;
}
int64_t json_int_value(const json *j) {
    if (json_kind(j) == JSON_INT) return json_object_get_int64(j);
    return is_whole(j) ? (int64_t)json_object_get_double(j) : 0;
}
double json_double_value(const json *j) {
    if (json_kind(j) == JSON_INT) return (double)json_object_get_int64(j);
    return json_kind(j) == JSON_DOUBLE ? json_object_get_double(j) : 0;
}
bool json_bool_value(const json *j) {
    return json_kind(j) == JSON_BOOL && json_object_get_boolean(j);
}

/* The member or element named by `name` (n bytes). */
static json *step_into(const json *j, const char *name, size_t n) {
    char key[256];
    if (n >= sizeof key) return NULL;
    memcpy(key, name, n);
    key[n] = '\0';
    if (json_kind(j) != JSON_ARRAY) return json_get(j, key);
    char *end;
    unsigned long i = strtoul(key, &end, 10);
    bool digits = n && strspn(key, "0123456789") == n && !*end;
    return digits && i < json_length(j) ? json_at(j, i) : NULL;
}

json *json_path(const json *j, const char *path) {
    json *at = unconst(j);
    while (at && *path) {
        size_t n = strcspn(path, ".");
        at = step_into(at, path, n);
        path += n;
        if (*path == '.') path++;
    }
    return at;
}

bool json_next(const json *object, size_t *it, const char **ret_key, json **ret_value) {
    if (json_kind(object) != JSON_OBJECT) return false;
    /* *it holds the entry of the previous turn; 0 before the first. */
    const struct lh_entry *previous = (const struct lh_entry *)*it;
    const struct lh_entry *e = previous ? previous->next : json_object_get_object(object)->head;
    if (!e) return false;
    *it = (size_t)e;
    *ret_key = lh_entry_k(e);
    *ret_value = lh_entry_v(e);
    return true;
}
