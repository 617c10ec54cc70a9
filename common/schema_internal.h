/*
 * What the files of the schema room share. The pieces:
 *   schema.c          documents and names
 *   schema_compile.c  json to nodes: the table of keywords
 *   schema_check.c    a value against a node
 *   schema_regex.c    "pattern": from ECMA's notation to POSIX
 *   schema_format.c   "format"
 */
#ifndef JOGAK_SCHEMA_INTERNAL_H
#define JOGAK_SCHEMA_INTERNAL_H

#include "schema.h"

#include <regex.h>

/* An embedded file; the array is made at build time (schemas/embed.cmake). */
struct schema_source {
    const char *name; /* without suffix */
    const char *text;
    size_t length;
};
extern const struct schema_source schema_sources[];
extern const size_t schema_source_count;

enum schema_type { /* bits */
    TYPE_NULL = 1, TYPE_BOOLEAN = 2, TYPE_INTEGER = 4, TYPE_NUMBER = 8, TYPE_STRING = 16,
    TYPE_ARRAY = 32, TYPE_OBJECT = 64,
};

typedef bool (*schema_format_fn)(const char *text);

struct schema_list {
    const struct schema **items;
    size_t count;
};
struct schema_member { /* of properties (key) or patternProperties (regex) */
    const char *key;
    regex_t regex;
    bool has_regex;
    const struct schema *schema;
};
struct schema_members {
    struct schema_member *items;
    size_t count;
};

/* One compiled schema. Everything that is json is borrowed from the document. */
struct schema {
    struct schema_set *set;
    const json *source;
    bool never; /* the schema `false` */
    unsigned types; /* 0: any */
    bool has_const;
    const json *const_value, *enum_values;
    const json *minimum, *maximum, *exclusive_minimum, *exclusive_maximum, *multiple_of;
    int64_t min_length, max_length, min_items, max_items, min_properties, max_properties;
    int64_t min_contains, max_contains; /* max_*: -1 for none */
    bool unique_items;
    regex_t pattern;
    bool has_pattern;
    const char *pattern_text;
    schema_format_fn format;
    const char *format_name;
    const struct schema *items, *contains, *additional, *property_names;
    const struct schema *not_, *if_, *then_, *else_, *ref;
    struct schema_list prefix_items, all_of, any_of, one_of;
    struct schema_members properties, pattern_properties;
    const json *required, *dependent_required;
    struct schema *next; /* in the set */
};

struct schema_document {
    char *name;
    json *value;
};
/* Documents that may refer to each other, and the nodes made from them. */
struct schema_set {
    struct schema_document *documents;
    size_t document_count;
    struct schema *nodes;
    struct schema **buckets; /* by address of the source json */
    size_t bucket_count, node_count;
    const struct schema *root; /* of schema_compile(): owns the set */
};

struct schema_set *schema_set_new(void);
void schema_set_free(struct schema_set *set);
void schema_set_add(struct schema_set *set, const char *name, json *value); /* takes value */
const json *schema_set_document(const struct schema_set *set, const char *name, size_t n);

/* The node of this piece of that document; made when new. NULL with err naming the place. */
const struct schema *schema_node(struct schema_set *set, const struct schema_document *document,
                                 const json *source, struct err *err);
/* "file.yaml#/a/b", "file#Name", "#/a/b" relative to document (may be NULL). */
const struct schema *schema_resolve(struct schema_set *set,
                                    const struct schema_document *document, const char *ref,
                                    struct err *err);
/* A value by JSON pointer (RFC 6901) without the '#'; borrowed; NULL when there is none. */
const json *schema_pointer(const json *document, const char *pointer);

/* Compiles a pattern; refuses what POSIX has not, and counts that would cost too much memory. */
int schema_regex(const char *pattern, regex_t *ret, struct err *err);
/* NULL when the name is unknown; *ret_known tells (some are annotations without a check). */
schema_format_fn schema_format(const char *name, bool *ret_known);

#endif
