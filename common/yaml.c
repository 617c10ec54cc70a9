/*
 * libyaml's events, read by recursive descent: one function per kind of node. What YAML can do
 * beyond plain data (anchors, aliases, tags, merge keys, streams of documents) is refused, so a
 * short text cannot stand for a huge value.
 */
#include "yaml.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <yaml.h>

struct yaml_places {
    json *by_pointer; /* object: JSON pointer to "file:line:column" */
};

struct reader {
    const char *file;
    yaml_parser_t parser;
    yaml_event_t event; /* the present one; owned */
    bool has_event;
    int depth;
    struct buf pointer;
    struct yaml_places *places;
    struct err *err;
};

static int fail_at(struct reader *r, yaml_mark_t mark, const char *what) {
    return err_set(r->err, ERR_INVALID, "%s:%zu:%zu: %s", r->file, mark.line + 1, mark.column + 1,
                   what);
}
static int fail(struct reader *r, const char *what) {
    return fail_at(r, r->event.start_mark, what);
}

static void drop_event(struct reader *r) {
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = false;
}

static int next_event(struct reader *r) {
    drop_event(r);
    if (yaml_parser_parse(&r->parser, &r->event)) {
        r->has_event = true;
        return 0;
    }
    const char *problem = r->parser.problem ? r->parser.problem : "not YAML";
    return fail_at(r, r->parser.problem_mark, problem);
}

static void note_place(struct reader *r) {
    if (!r->places) return;
    char text[640];
    snprintf(text, sizeof text, "%s:%zu:%zu", r->file, r->event.start_mark.line + 1,
             r->event.start_mark.column + 1);
    json_set_str(r->places->by_pointer, r->pointer.data, text);
}

/* Appends "/key" (RFC 6901); returns the length before, for cut_pointer(). */
static size_t extend_pointer(struct reader *r, const char *key) {
    size_t before = r->pointer.length;
    buf_puts(&r->pointer, "/");
    for (; *key; key++) {
        if (*key == '~') buf_puts(&r->pointer, "~0");
        else if (*key == '/') buf_puts(&r->pointer, "~1");
        else buf_add(&r->pointer, key, 1);
    }
    return before;
}
static void cut_pointer(struct reader *r, size_t length) {
    r->pointer.length = length;
    r->pointer.data[length] = '\0';
}

/* --- plain scalars, by YAML 1.2's core schema --- */

static bool is_one_of(const char *s, const char *const *words) {
    for (; *words; words++)
        if (strcmp(s, *words) == 0) return true;
    return false;
}

static bool is_decimal(const char *s) {
    if (*s == '-' || *s == '+') s++;
    return *s && strspn(s, "0123456789") == strlen(s);
}
static bool is_hex(const char *s) {
    return s[0] == '0' && s[1] == 'x' && s[2] && strspn(s + 2, "0123456789abcdefABCDEF") == strlen(s + 2);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *s) {
    static const char digits[] = "0123456789";
    if (*s == '-' || *s == '+') s++;
    size_t whole = strspn(s, digits), part = 0;
    s += whole;
    if (*s == '.') {
        part = strspn(++s, digits);
        s += part;
    }
    if (whole + part == 0) return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+') s++;
        size_t exponent = strspn(s, digits);
        if (!exponent) return false;
        s += exponent;
    }
    return !*s;
}

static int read_integer(struct reader *r, const char *s, json **ret) {
    errno = 0;
    long long v = strtoll(s, NULL, is_hex(s) ? 16 : 10);
    if (errno) return fail(r, "integer beyond 64 bits");
    *ret = json_int(v);
    return 0;
}

static int read_float(struct reader *r, const char *s, json **ret) {
    double v = strtod(s, NULL);
    if (!isfinite(v)) return fail(r, "number too large");
    *ret = json_double(v);
    return 0;
}

static int read_plain(struct reader *r, const char *s, json **ret) {
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    static const char *const others[] = { ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
                                          "-.Inf", "-.INF", ".nan", ".NaN", ".NAN", NULL };
    if (is_one_of(s, nulls)) return 0; /* *ret stays NULL */
    if (is_one_of(s, trues) || is_one_of(s, falses)) {
        *ret = json_bool(is_one_of(s, trues));
        return 0;
    }
    if (is_one_of(s, others)) return fail(r, "there are no infinities and no NaN here");
    if (is_decimal(s) || is_hex(s)) return read_integer(r, s, ret);
    if (is_float(s)) return read_float(r, s, ret);
    *ret = json_string(s);
    return 0;
}

static int check_scalar(struct reader *r) {
    if (r->event.data.scalar.anchor) return fail(r, "anchors are not accepted");
    if (r->event.data.scalar.tag) return fail(r, "tags are not accepted");
    if (memchr(r->event.data.scalar.value, 0, r->event.data.scalar.length))
        return fail(r, "U+0000 is not accepted in a string");
    return 0;
}

static int read_scalar(struct reader *r, json **ret) {
    if (check_scalar(r)) return -1;
    const char *s = (const char *)r->event.data.scalar.value;
    if (r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) return read_plain(r, s, ret);
    *ret = json_string(s);
    return 0;
}

/* --- nodes: the event that begins the node is present; its last one is when they return --- */

static int read_node(struct reader *r, json **ret);

static int read_sequence(struct reader *r, json **ret) {
    json *array AUTO_JSON = json_array();
    if (next_event(r)) return -1;
    while (r->event.type != YAML_SEQUENCE_END_EVENT) {
        char index[24];
        json *value = NULL;
        snprintf(index, sizeof index, "%zu", json_length(array));
        size_t before = extend_pointer(r, index);
        if (read_node(r, &value)) return -1;
        json_add(array, value);
        cut_pointer(r, before);
        if (next_event(r)) return -1;
    }
    *ret = STEAL(array);
    return 0;
}

static int read_member(struct reader *r, json *object) {
    if (r->event.type != YAML_SCALAR_EVENT) return fail(r, "a key must be a plain word or string");
    if (check_scalar(r)) return -1;
    char *key AUTO_FREE = xstrdup((const char *)r->event.data.scalar.value);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && strcmp(key, "<<") == 0) return fail(r, "merge keys are not accepted");
    if (json_has(object, key)) return fail(r, "duplicate key");
    size_t before = extend_pointer(r, key);
    json *value = NULL;
    if (next_event(r) || read_node(r, &value)) return -1;
    json_set(object, key, value);
    cut_pointer(r, before);
    return 0;
}

static int read_mapping(struct reader *r, json **ret) {
    json *object AUTO_JSON = json_object();
    if (next_event(r)) return -1;
    while (r->event.type != YAML_MAPPING_END_EVENT)
        if (read_member(r, object) || next_event(r)) return -1;
    *ret = STEAL(object);
    return 0;
}

static int read_collection(struct reader *r, json **ret) {
    bool mapping = r->event.type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor = mapping ? r->event.data.mapping_start.anchor
                                        : r->event.data.sequence_start.anchor;
    const yaml_char_t *tag = mapping ? r->event.data.mapping_start.tag
                                     : r->event.data.sequence_start.tag;
    if (anchor) return fail(r, "anchors are not accepted");
    if (tag) return fail(r, "tags are not accepted");
    if (r->depth >= JSON_DEPTH_MAX) return fail(r, "nested too deeply");
    r->depth++;
    int rc = mapping ? read_mapping(r, ret) : read_sequence(r, ret);
    r->depth--;
    return rc;
}

static int read_node(struct reader *r, json **ret) {
    note_place(r);
    switch (r->event.type) {
    case YAML_SCALAR_EVENT: return read_scalar(r, ret);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return read_collection(r, ret);
    case YAML_ALIAS_EVENT: return fail(r, "aliases are not accepted");
    default: return fail(r, "a value expected");
    }
}

static int read_document(struct reader *r, json **ret) {
    if (next_event(r) || next_event(r)) return -1; /* stream start, then document start */
    if (r->event.type != YAML_DOCUMENT_START_EVENT) return fail(r, "the document is empty");
    if (r->event.data.document_start.version_directive ||
        r->event.data.document_start.tag_directives.start !=
            r->event.data.document_start.tag_directives.end)
        return fail(r, "directives are not accepted");
    if (next_event(r) || read_node(r, ret) || next_event(r) || next_event(r)) return -1;
    if (r->event.type != YAML_STREAM_END_EVENT) return fail(r, "only one document is accepted");
    return 0;
}

json *yaml_parse(const char *file, const char *text, size_t length,
                 struct yaml_places **ret_places, struct err *err) {
    struct reader r = { .file = file, .err = err };
    json *value = NULL;
    if (length > JSON_SIZE_MAX) {
        err_set(err, ERR_TOO_LARGE, "%s: %zu bytes; at most %u are accepted", file, length,
                JSON_SIZE_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser)) abort(); /* no memory */
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, length);
    buf_puts(&r.pointer, "");
    if (ret_places) {
        r.places = xcalloc(1, sizeof *r.places);
        r.places->by_pointer = json_object();
    }
    int rc = read_document(&r, &value);
    if (rc == 0 && !value) rc = err_set(err, ERR_INVALID, "%s: the document is null", file);
    drop_event(&r);
    yaml_parser_delete(&r.parser);
    buf_done(&r.pointer);
    if (rc) {
        json_put(value);
        yaml_places_free(r.places);
        return NULL;
    }
    if (ret_places) *ret_places = r.places;
    return value;
}

const char *yaml_place(const struct yaml_places *places, const char *pointer) {
    char *at AUTO_FREE = xstrdup(pointer);
    const char *place = json_get_str(places->by_pointer, at);
    while (!place && *at) {
        char *slash = strrchr(at, '/');
        *(slash ? slash : at) = '\0';
        place = json_get_str(places->by_pointer, at);
    }
    return place ? place : "";
}

void yaml_places_free(struct yaml_places *places) {
    if (!places) return;
    json_put(places->by_pointer);
    free(places);
}
