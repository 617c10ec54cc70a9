/*
 * The strict parser: text straight to values, in one pass.
 *
 * json-c's own tokener, even in strict mode, takes duplicate keys, single quotes and NaN and clamps
 * integers silently; what it should refuse is refused here by never being understood.
 * Source: RFC 8259. Stricter than it: no U+0000 in strings (values are C strings to their readers),
 * no lone surrogates, integers within int64, numbers within double.
 */
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>

struct parser {
    const char *start, *p, *end;
    int depth;
    struct buf text; /* the string being decoded */
    struct err *err;
};

static int fail(struct parser *s, const char *what) {
    size_t line = 1, column = 1;
    for (const char *c = s->start; c < s->p; c++) {
        column++;
        if (*c == '\n') line++, column = 1;
    }
    return err_set(s->err, ERR_INVALID, "JSON: line %zu, column %zu: %s", line, column, what);
}

static void skip_space(struct parser *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool at(const struct parser *s, char c) { return s->p < s->end && *s->p == c; }
static bool at_digit(const struct parser *s) {
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

/* The length of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates), 0: none. */
static size_t utf8_length(const char *text, size_t left) {
    const unsigned char *p = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xbf;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
             : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (p[0] == 0xe0) low = 0xa0;
    if (p[0] == 0xed) high = 0x9f;
    if (p[0] == 0xf0) low = 0x90;
    if (p[0] == 0xf4) high = 0x8f;
    if (n == 0 || n > left) return 0;
    if (n > 1 && (p[1] < low || p[1] > high)) return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

bool json_utf8_valid(const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(text + i, length - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static int parse_hex4(struct parser *s, unsigned *ret) {
    unsigned v = 0;
    if (s->end - s->p < 4) return fail(s, "incomplete \\u escape");
    for (int i = 0; i < 4; i++, s->p++) {
        int d = hex_digit(*s->p);
        if (d < 0) return fail(s, "\\u needs four hexadecimal digits");
        v = v * 16 + (unsigned)d;
    }
    *ret = v;
    return 0;
}

static void add_code_point(struct buf *b, unsigned c) {
    char out[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0x00, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    buf_add(b, out, n);
}

static int parse_unicode(struct parser *s) {
    unsigned c, low;
    if (parse_hex4(s, &c)) return -1;
    if (c == 0) return fail(s, "U+0000 is not accepted in a string");
    if (c >= 0xdc00 && c <= 0xdfff) return fail(s, "lone low surrogate");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
            return fail(s, "lone high surrogate");
        s->p += 2;
        if (parse_hex4(s, &low)) return -1;
        if (low < 0xdc00 || low > 0xdfff) return fail(s, "lone high surrogate");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    add_code_point(&s->text, c);
    return 0;
}

static int parse_escape(struct parser *s) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    s->p++;
    if (s->p >= s->end) return fail(s, "unfinished escape");
    char c = *s->p++;
    if (c == 'u') return parse_unicode(s);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found) return fail(s, "unknown escape");
    buf_add(&s->text, &to[found - from], 1);
    return 0;
}

/* Leaves the decoded string in s->text. */
static int parse_string(struct parser *s) {
    s->text.length = 0;
    buf_add(&s->text, "", 0);
    s->p++;
    for (;;) {
        const char *run = s->p;
        while (s->p < s->end && *s->p >= ' ' && *s->p != '"' && *s->p != '\\') s->p++;
        buf_add(&s->text, run, (size_t)(s->p - run)); /* plain ASCII */
        if (s->p >= s->end) return fail(s, "unfinished string");
        unsigned char c = (unsigned char)*s->p;
        if (c == '"') break;
        if (c < ' ') return fail(s, "control character in a string");
        if (c == '\\') {
            if (parse_escape(s)) return -1;
            continue;
        }
        size_t n = utf8_length(s->p, (size_t)(s->end - s->p));
        if (n == 0) return fail(s, "not UTF-8");
        buf_add(&s->text, s->p, n);
        s->p += n;
    }
    s->p++;
    return 0;
}

static void skip_digits(struct parser *s) {
    while (at_digit(s)) s->p++;
}

/* number = [ minus ] int [ frac ] [ exp ] */
static int scan_number(struct parser *s, bool *ret_integer) {
    *ret_integer = true;
    if (at(s, '-')) s->p++;
    if (!at_digit(s)) return fail(s, "no JSON value here");
    if (at(s, '0')) s->p++;
    else skip_digits(s);
    if (at_digit(s)) return fail(s, "a number may not begin with 0");
    if (at(s, '.')) {
        *ret_integer = false;
        s->p++;
        if (!at_digit(s)) return fail(s, "a digit must follow the point");
        skip_digits(s);
    }
    if (at(s, 'e') || at(s, 'E')) {
        *ret_integer = false;
        s->p++;
        if (at(s, '+') || at(s, '-')) s->p++;
        if (!at_digit(s)) return fail(s, "a digit must follow the exponent's sign");
        skip_digits(s);
    }
    return 0;
}

static int parse_number(struct parser *s, json **ret) {
    const char *from = s->p;
    bool integer;
    if (scan_number(s, &integer)) return -1;
    size_t n = (size_t)(s->p - from);
    char text[128];
    if (n >= sizeof text) return fail(s, "number of more than 127 digits");
    memcpy(text, from, n);
    text[n] = '\0';
    errno = 0;
    if (integer) {
        long long v = strtoll(text, NULL, 10);
        if (errno) return fail(s, "integer beyond 64 bits");
        *ret = json_int(v);
        return 0;
    }
    double v = strtod(text, NULL);
    if (!isfinite(v)) return fail(s, "number too large");
    *ret = json_double(v);
    return 0;
}

static int parse_word(struct parser *s, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return fail(s, "no JSON value here");
    s->p += n;
    return 0;
}

static int parse_value(struct parser *s, json **ret);

static int parse_array(struct parser *s, json **ret) {
    json *array AUTO_JSON = json_array();
    s->p++;
    skip_space(s);
    bool more = !at(s, ']');
    while (more) {
        json *value = NULL;
        if (parse_value(s, &value)) return -1;
        json_add(array, value);
        skip_space(s);
        more = at(s, ',');
        if (more) s->p++;
    }
    if (!at(s, ']')) return fail(s, "',' or ']' expected");
    s->p++;
    *ret = STEAL(array);
    return 0;
}

static int parse_member(struct parser *s, json *object) {
    skip_space(s);
    if (!at(s, '"')) return fail(s, "a member's name in double quotes expected");
    if (parse_string(s)) return -1;
    char *key AUTO_FREE = xstrndup(s->text.data, s->text.length);
    if (json_has(object, key)) return fail(s, "duplicate member name");
    skip_space(s);
    if (!at(s, ':')) return fail(s, "':' expected");
    s->p++;
    json *value = NULL;
    if (parse_value(s, &value)) return -1;
    json_set(object, key, value);
    return 0;
}

static int parse_object(struct parser *s, json **ret) {
    json *object AUTO_JSON = json_object();
    s->p++;
    skip_space(s);
    bool more = !at(s, '}');
    while (more) {
        if (parse_member(s, object)) return -1;
        skip_space(s);
        more = at(s, ',');
        if (more) s->p++;
    }
    if (!at(s, '}')) return fail(s, "',' or '}' expected");
    s->p++;
    *ret = STEAL(object);
    return 0;
}

static int parse_nested(struct parser *s, json **ret) {
    if (s->depth >= JSON_DEPTH_MAX) return fail(s, "nested too deeply");
    s->depth++;
    int rc = *s->p == '{' ? parse_object(s, ret) : parse_array(s, ret);
    s->depth--;
    return rc;
}

static int parse_value(struct parser *s, json **ret) {
    skip_space(s);
    if (s->p >= s->end) return fail(s, "text ends where a value should be");
    switch (*s->p) {
    case '{':
    case '[': return parse_nested(s, ret);
    case '"':
        if (parse_string(s)) return -1;
        *ret = json_string(s->text.data);
        return 0;
    case 't': return parse_word(s, "true") ? -1 : (*ret = json_bool(true), 0);
    case 'f': return parse_word(s, "false") ? -1 : (*ret = json_bool(false), 0);
    case 'n': return parse_word(s, "null"); /* *ret stays NULL */
    default: return parse_number(s, ret);
    }
}

int json_parse_value(const char *text, size_t length, json **ret, struct err *err) {
    if (length > JSON_SIZE_MAX)
        return err_set(err, ERR_TOO_LARGE, "JSON text of %zu bytes; at most %u are accepted",
                       length, JSON_SIZE_MAX);
    struct parser s = { .start = text, .p = text, .end = text + length, .err = err };
    json *value AUTO_JSON = NULL;
    int rc = parse_value(&s, &value);
    if (rc == 0) {
        skip_space(&s);
        if (s.p < s.end) rc = fail(&s, "bytes after the value");
    }
    buf_done(&s.text);
    if (rc) return -1;
    *ret = STEAL(value);
    return 0;
}

json *json_parse(const char *text, size_t length, struct err *err) {
    json *value = NULL;
    if (json_parse_value(text, length, &value, err)) return NULL;
    if (!value) err_set(err, ERR_INVALID, "JSON: null where a value is needed");
    return value;
}

json *json_parse_file(const char *path, struct err *err) {
    int fd AUTO_FD = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", path), NULL;
    struct buf text AUTO_BUF = BUF_INIT;
    char piece[16384];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0 && text.length <= JSON_SIZE_MAX)
        buf_add(&text, piece, (size_t)n);
    if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read %s", path), NULL;
    json *value = json_parse(text.data ? text.data : "", text.length, err);
    if (!value) err_wrap(err, "%s", path);
    return value;
}
