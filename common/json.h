/*
 * The JSON door (json-c). Nothing else includes json-c's headers.
 *
 * json_parse() is stricter than json-c: RFC 8259 only, UTF-8 only, no duplicate keys, no NaN, no
 * trailing bytes, integers that fit in int64, bounded depth and size. A `json` is reference
 * counted (not atomically: a value that several threads see must not gain or lose references):
 * functions that *return* a json give the caller one reference (json_put() drops it);
 * getters *borrow*. Setters *take* the value handed in, also when it is NULL (JSON null).
 */
#ifndef JOGAK_JSON_H
#define JOGAK_JSON_H

#include "err.h"
#include "mem.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct json_object json;

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

#define JSON_DEPTH_MAX 32
#define JSON_SIZE_MAX (8u << 20) /* bytes of one text */

/* NULL with *err filled when the text is refused, and also when it is just "null". */
json *json_parse(const char *text, size_t length, struct err *err);
/* The same for texts that may be "null": 0 and *ret_value (NULL for null), or -1. */
int json_parse_value(const char *text, size_t length, json **ret_value, struct err *err);
/* Is it UTF-8 (RFC 3629: no overlong forms, no surrogates)? */
bool json_utf8_valid(const char *text, size_t length);
/* Errors: as json_parse(), or the file's errno. Reads at most JSON_SIZE_MAX bytes. */
json *json_parse_file(const char *path, struct err *err);
/* Compact text; returned string is owned by the caller. */
char *json_text(const json *j);
char *json_text_pretty(const json *j);

void json_put(json *j); /* NULL is fine */
json *json_ref(json *j); /* one more reference to the same value */
json *json_copy(const json *j); /* deep copy */
static inline void json_cleanup(json **j) { json_put(*j); }
#define AUTO_JSON CLEANUP(json_cleanup)

enum json_kind json_kind(const json *j);
bool json_equal(const json *a, const json *b);

/* --- building --- */
json *json_new_object(void);
json *json_array(void);
json *json_string(const char *s); /* NULL gives JSON null */
json *json_int(int64_t v);
json *json_double(double v);
json *json_new_bool(bool v);
/* json-c has types of these two names, so that the functions behind them are called otherwise. */
#define json_object() json_new_object()
#define json_bool(v) json_new_bool(v)
/* Set a member (takes value). Return the object, so that calls can be chained. */
json *json_set(json *object, const char *key, json *value);
json *json_set_str(json *object, const char *key, const char *value);
json *json_set_int(json *object, const char *key, int64_t value);
json *json_set_bool(json *object, const char *key, bool value);
void json_del(json *object, const char *key);
void json_add(json *array, json *value);

/* --- reading --- plain getters: borrow; a default when absent or of another kind --- */
json *json_get(const json *object, const char *key); /* NULL when absent */
bool json_has(const json *object, const char *key);
const char *json_get_str(const json *object, const char *key); /* NULL when absent */
int64_t json_get_int(const json *object, const char *key, int64_t otherwise);
double json_get_double(const json *object, const char *key, double otherwise);
bool json_get_bool(const json *object, const char *key, bool otherwise);
size_t json_length(const json *array_or_object);
json *json_at(const json *array, size_t i);
const char *json_str(const json *j); /* NULL when not a string */
int64_t json_int_value(const json *j);
double json_double_value(const json *j);
bool json_bool_value(const json *j);
/* A member by path "a.b.0.c"; borrows, NULL when absent. */
json *json_path(const json *j, const char *path);

/* Iterate an object's members in order: `size_t it = 0; while (json_next(o, &it, &key, &value))`.
 * key and value are borrowed; the object must not change meanwhile. */
bool json_next(const json *object, size_t *it, const char **ret_key, json **ret_value);

#endif
