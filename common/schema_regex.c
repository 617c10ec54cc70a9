/*
 * "pattern" is written in ECMA's notation; the machine is POSIX's extended one. The subset that
 * means the same in both passes, the usual shorthands are translated, the rest is refused when the
 * schema is loaded.
 */
#include "schema_internal.h"

#include <ctype.h>

#define PATTERN_MAX_BYTES 512
/* The machine is built with every counted repetition unrolled. */
#define REPEATS_MAX 65536

static const char *class_of(char c) {
    switch (c) {
    case 'd': return "0-9";
    case 'w': return "A-Za-z0-9_";
    case 's': return " \t\n\r\f\v";
    default: return NULL;
    }
}

static char control_of(char c) {
    static const char from[] = "nrtfv", to[] = "\n\r\t\f\v";
    const char *found = c ? strchr(from, c) : NULL;
    return found ? to[found - from] : '\0';
}

/* A backslash outside brackets; *p stands after it. */
static int escape(const char **p, struct buf *out) {
    char c = *(*p)++;
    const char *inside = class_of((char)tolower((unsigned char)c));
    if (inside) {
        buf_puts(out, isupper((unsigned char)c) ? "[^" : "[");
        buf_puts(out, inside);
        buf_puts(out, "]");
        return 0;
    }
    char control = control_of(c);
    if (control) {
        buf_add(out, &control, 1);
        return 0;
    }
    if (!ispunct((unsigned char)c)) return -1; /* \b, \1, \p{..}, \u.... and the like */
    if (strchr(".[]()*+?{}|^$\\", c)) buf_puts(out, "\\");
    buf_add(out, &c, 1);
    return 0;
}

/* A bracket expression; *p stands after '['. POSIX wants ']' first and '-' last, and knows no
 * escapes there. */
static int bracket(const char **p, struct buf *out) {
    struct buf body AUTO_BUF = BUF_INIT;
    bool closing = false, dash = false, caret = false;
    buf_puts(&body, "");
    buf_puts(out, "[");
    if (**p == '^') buf_add(out, (*p)++, 1);
    if (**p == ']') return -1; /* empty in ECMA, a member in POSIX */
    for (; **p != ']'; (*p)++) {
        char c = **p;
        if (!c) return -1;
        if (c == '[') {
            if (strchr(":.=", (*p)[1])) return -1; /* would be a POSIX class */
            buf_puts(&body, "[");
            continue;
        }
        if (c == '\\') {
            c = *++(*p);
            const char *inside = class_of(c);
            char control = control_of(c);
            if (inside) buf_puts(&body, inside);
            else if (control) buf_add(&body, &control, 1);
            else if (c == ']') closing = true;
            else if (c == '-') dash = true;
            else if (c == '^') caret = true;
            else if (ispunct((unsigned char)c)) buf_add(&body, &c, 1);
            else return -1;
            continue;
        }
        if (c == '-' && (body.length == 0 || (*p)[1] == ']')) dash = true;
        else buf_add(&body, &c, 1);
    }
    (*p)++;
    if (closing) buf_puts(out, "]");
    if (body.length) buf_puts(out, body.data);
    if (caret) buf_puts(out, "^"); /* not first unless alone; then refused below */
    if (dash) buf_puts(out, "-");
    buf_puts(out, "]");
    return caret && !closing && !body.length ? -1 : 0;
}

/* "{2,5}": multiplies *repeats by its greater number. */
static int repetition(const char *p, unsigned long *repeats) {
    unsigned long count = 0, most = 1;
    for (p++; *p != '}'; p++) {
        if (*p == ',') count = 0;
        else if (isdigit((unsigned char)*p)) count = count * 10 + (unsigned long)(*p - '0');
        else return -1;
        if (count > 1000) return -1;
        if (count > most) most = count;
    }
    *repeats *= most;
    return *repeats > REPEATS_MAX ? -1 : 0;
}

static int translate(const char *p, struct buf *out) {
    unsigned long repeats = 1;
    while (*p) {
        if (*p == '\\') {
            p++;
            if (escape(&p, out)) return -1;
        } else if (*p == '[') {
            p++;
            if (bracket(&p, out)) return -1;
        } else if (p[0] == '(' && p[1] == '?') {
            if (p[2] != ':') return -1; /* lookaround, named groups */
            buf_puts(out, "(");
            p += 3;
        } else if (strchr("*+?}", p[0]) && p[1] && strchr("?+", p[1])) {
            return -1; /* lazy and possessive forms */
        } else {
            if (*p == '{' && repetition(p, &repeats)) return -1;
            buf_add(out, p++, 1);
        }
    }
    return 0;
}

int schema_regex(const char *pattern, regex_t *ret, struct err *err) {
    struct buf posix AUTO_BUF = BUF_INIT;
    char why[128];
    buf_puts(&posix, "");
    if (strlen(pattern) > PATTERN_MAX_BYTES)
        return err_set(err, ERR_INVALID, "pattern of more than %d bytes", PATTERN_MAX_BYTES);
    if (translate(pattern, &posix))
        return err_set(err, ERR_INVALID, "pattern %s has a form that is not supported", pattern);
    int rc = regcomp(ret, posix.data, REG_EXTENDED | REG_NOSUB);
    if (rc == 0) return 0;
    regerror(rc, ret, why, sizeof why);
    return err_set(err, ERR_INVALID, "pattern %s: %s", pattern, why);
}
