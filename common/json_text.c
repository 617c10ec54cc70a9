/* Values as text. Reads only, so that threads may print a shared value. */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>

static void add_string(struct buf *b, const char *s) {
    buf_add(b, "\"", 1);
    for (;;) {
        size_t plain = 0;
        while ((unsigned char)s[plain] >= ' ' && s[plain] != '"' && s[plain] != '\\') plain++;
        buf_add(b, s, plain);
        s += plain;
        if (!*s) break;
        switch (*s) {
        case '"': buf_add(b, "\\\"", 2); break;
        case '\\': buf_add(b, "\\\\", 2); break;
        case '\n': buf_add(b, "\\n", 2); break;
        case '\r': buf_add(b, "\\r", 2); break;
        case '\t': buf_add(b, "\\t", 2); break;
        default: {
            char hex[8];
            int n = snprintf(hex, sizeof hex, "\\u%04x", (unsigned)(unsigned char)*s);
            buf_add(b, hex, (size_t)n);
        }
        }
        s++;
    }
    buf_add(b, "\"", 1);
}

static void add_int(struct buf *b, int64_t v) {
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, v);
    buf_add(b, text, (size_t)n);
}

/* The shortest of 15 to 17 digits that reads back as the same number; always looks like a float. */
static void add_double(struct buf *b, double v) {
    char text[40];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text - 2, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (!(back < v) && !(back > v)) break;
    }
    buf_add(b, text, (size_t)n);
    if (!strpbrk(text, ".eE")) buf_add(b, ".0", 2);
}

static void new_line(struct buf *b, int level) {
    if (level < 0) return; /* compact */
    buf_add(b, "\n", 1);
    for (int i = 0; i < level; i++) buf_add(b, "  ", 2);
}

static void add_value(struct buf *b, const json *j, int level);

static void add_array(struct buf *b, const json *j, int level) {
    int inner = level < 0 ? -1 : level + 1;
    buf_add(b, "[", 1);
    for (size_t i = 0; i < json_length(j); i++) {
        if (i) buf_add(b, ",", 1);
        new_line(b, inner);
        add_value(b, json_at(j, i), inner);
    }
    if (json_length(j)) new_line(b, level);
    buf_add(b, "]", 1);
}

static void add_object(struct buf *b, const json *j, int level) {
    int inner = level < 0 ? -1 : level + 1;
    size_t it = 0;
    const char *key;
    json *value;
    bool first = true;
    buf_add(b, "{", 1);
    while (json_next(j, &it, &key, &value)) {
        if (!first) buf_add(b, ",", 1);
        first = false;
        new_line(b, inner);
        add_string(b, key);
        buf_add(b, ": ", level < 0 ? 1 : 2);
        add_value(b, value, inner);
    }
    if (!first) new_line(b, level);
    buf_add(b, "}", 1);
}

static void add_value(struct buf *b, const json *j, int level) {
    switch (json_kind(j)) {
    case JSON_NULL: buf_add(b, "null", 4); break;
    case JSON_BOOL: buf_puts(b, json_bool_value(j) ? "true" : "false"); break;
    case JSON_INT: add_int(b, json_int_value(j)); break;
    case JSON_DOUBLE: add_double(b, json_double_value(j)); break;
    case JSON_STRING: add_string(b, json_str(j)); break;
    case JSON_ARRAY: add_array(b, j, level); break;
    case JSON_OBJECT: add_object(b, j, level); break;
    }
}

char *json_text(const json *j) {
    struct buf b = BUF_INIT;
    add_value(&b, j, -1);
    return buf_steal(&b);
}

char *json_text_pretty(const json *j) {
    struct buf b = BUF_INIT;
    add_value(&b, j, 0);
    buf_add(&b, "\n", 1);
    return buf_steal(&b);
}
