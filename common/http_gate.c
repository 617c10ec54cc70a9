#include "http_gate.h"

#include "json.h"

#include <ctype.h>
#include <strings.h>

static bool is_token(const char *s, size_t n) {
    if (n == 0) return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!isalnum(c) && (!c || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return true;
}

static bool named(const char *name, size_t n, const char *wanted) {
    return n == strlen(wanted) && strncasecmp(name, wanted, n) == 0;
}

static int take_length(struct http_gate *g, const char *value, size_t n, struct err *err) {
    if (g->lengths++) return err_set(err, ERR_INVALID, "more than one Content-Length");
    if (n == 0 || n > 18) return err_set(err, ERR_INVALID, "Content-Length out of bounds");
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)value[i]))
            return err_set(err, ERR_INVALID, "Content-Length is no plain number");
        g->content_length = g->content_length * 10 + (uint64_t)(value[i] - '0');
    }
    g->has_body = g->content_length > 0;
    return 0;
}

static int take_coding(struct http_gate *g, const char *value, size_t n, struct err *err) {
    if (g->codings++) return err_set(err, ERR_INVALID, "more than one Transfer-Encoding");
    if (!named(value, n, "chunked"))
        return err_set(err, ERR_INVALID, "Transfer-Encoding may only be chunked");
    g->has_body = true;
    return 0;
}

int http_gate_header(struct http_gate *g, const char *name, size_t name_length, const char *value,
                     size_t value_length, struct err *err) {
    if (++g->headers > HTTP_HEADERS_MAX)
        return err_set(err, ERR_INVALID, "more than %d headers", HTTP_HEADERS_MAX);
    if (!is_token(name, name_length))
        return err_set(err, ERR_INVALID, "a header's name has characters that it may not have");
    for (size_t i = 0; i < value_length; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return err_set(err, ERR_INVALID, "control character in a header");
    }
    if (named(name, name_length, "Content-Length"))
        return take_length(g, value, value_length, err);
    if (named(name, name_length, "Transfer-Encoding"))
        return take_coding(g, value, value_length, err);
    if (named(name, name_length, "Host") && g->hosts++)
        return err_set(err, ERR_INVALID, "more than one Host");
    return 0;
}

int http_gate_finish(const struct http_gate *g, const char *method, const char *version,
                     struct err *err) {
    size_t n = strlen(method);
    if (n > 16 || !is_token(method, n)) return err_set(err, ERR_INVALID, "no such method");
    if (g->lengths && g->codings)
        return err_set(err, ERR_INVALID, "Content-Length together with Transfer-Encoding");
    if (strcmp(version, "HTTP/1.1") == 0 && g->hosts != 1)
        return err_set(err, ERR_INVALID, "HTTP/1.1 needs one Host header");
    if (strcmp(version, "HTTP/1.1") != 0 && g->codings)
        return err_set(err, ERR_INVALID, "Transfer-Encoding needs HTTP/1.1");
    return 0;
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One character of the path, escape or not, at *p. -1: malformed. */
static int next_byte(const char **p) {
    if (**p != '%') return (unsigned char)*(*p)++;
    int high = hex((*p)[1]), low = high < 0 ? -1 : hex((*p)[2]);
    if (low < 0) return -1;
    *p += 3;
    int c = high * 16 + low;
    return c == '/' ? -1 : c; /* a name holds no slash; two readings of one path */
}

static bool has_dot_segment(const char *path) {
    for (const char *p = path; *p == '/';) {
        p++;
        size_t n = strcspn(p, "/");
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.')) return true;
        p += n;
    }
    return false;
}

int http_gate_path(const char *target, char ret[HTTP_PATH_MAX], struct err *err) {
    size_t n = 0;
    if (*target != '/') return err_set(err, ERR_INVALID, "the request's target must be a path");
    if (strlen(target) > HTTP_TARGET_MAX)
        return err_set(err, ERR_INVALID, "the request's target is too long");
    for (const char *p = target; *p && *p != '?';) {
        int c = next_byte(&p);
        if (c < ' ' || c == 0x7f) return err_set(err, ERR_INVALID, "bad character in the path");
        if (n + 1 >= HTTP_PATH_MAX) return err_set(err, ERR_INVALID, "the path is too long");
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    if (!json_utf8_valid(ret, n) || has_dot_segment(ret))
        return err_set(err, ERR_INVALID, "bad path");
    return 0;
}
