#include "config.h"

#include "mem.h"
#include "service.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <unistd.h>

#define FILE_MAX_BYTES 65536

struct reading {
    const char *path;
    const struct config_row *rows;
    size_t count;
    void *target;
    bool *seen;     /* rows that the file has set */
    const char *at; /* the rest of the text */
    int line;       /* of what the handler is called for */
    bool failed;
    struct err *err;
};

static char **string_of(const struct config_row *row, void *target) {
    return (char **)((char *)target + row->offset);
}

static const void *value_of(const struct config_row *row, const void *target) {
    return (const char *)target + row->offset;
}

/* --- one value --- */

static int set_int(const struct config_row *row, const char *text, void *target, struct err *err) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < row->min || v > row->max)
        return err_set(err, ERR_INVALID,
                       "%s must be a whole number from %lld to %lld%s%s, not \"%s\"", row->key,
                       (long long)row->min, (long long)row->max, row->unit ? " " : "",
                       row->unit ? row->unit : "", text);
    *(int64_t *)((char *)target + row->offset) = v;
    return 0;
}

static int set_bool(const struct config_row *row, const char *text, void *target, struct err *err) {
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *(bool *)((char *)target + row->offset) = i & 1;
        return 0;
    }
    return err_set(err, ERR_INVALID, "%s must be yes or no, not \"%s\"", row->key, text);
}

static int set_value(const struct config_row *row, const char *text, void *target,
                     struct err *err) {
    switch (row->type) {
    case CONFIG_INT:
        return set_int(row, text, target, err);
    case CONFIG_BOOL:
        return set_bool(row, text, target, err);
    case CONFIG_STRING:
        free(*string_of(row, target));
        *string_of(row, target) = xstrdup(text);
    }
    return 0;
}

static int set_defaults(const struct config_row *rows, size_t count, void *target,
                        struct err *err) {
    for (size_t i = 0; i < count; i++) {
        if (rows[i].otherwise && set_value(&rows[i], rows[i].otherwise, target, err)) {
            err->code = ERR_INTERNAL; /* the table's fault */
            return err_wrap(err, "default of [%s]", rows[i].section);
        }
    }
    return 0;
}

/* --- the file --- */

static int fault(struct reading *r, const char *what, const char *name) {
    if (r->failed) return 0; /* the first one counts */
    r->failed = true;
    err_set(r->err, ERR_INVALID, "%s:%d: %s%s%s", r->path, r->line, what, *name ? " " : "", name);
    err_remedy(r->err, "--help names the sections and keys, --check-config checks the file");
    return 0;
}

static bool has_section(const struct reading *r, const char *section) {
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->rows[i].section, section) == 0) return true;
    return false;
}

/* inih's callback: non-zero to go on. */
static int on_value(void *arg, const char *section, const char *key, const char *value) {
    struct reading *r = arg;
    if (r->failed) return 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct config_row *row = &r->rows[i];
        if (strcmp(row->section, section) || strcmp(row->key, key)) continue;
        if (r->seen[i]) return fault(r, "set a second time:", key);
        r->seen[i] = true;
        if (set_value(row, value, r->target, r->err) == 0) return 1;
        r->failed = true;
        err_wrap(r->err, "%s:%d", r->path, r->line);
        return 0;
    }
    if (!has_section(r, section)) return fault(r, "unknown section", section);
    return fault(r, "unknown key", key);
}

/* inih's reader: one line, counted, and without leading blanks, which inih would take for a
 * continuation of the value before. */
static char *next_line(char *buf, int size, void *arg) {
    struct reading *r = arg;
    if (!*r->at || r->failed) return NULL;
    r->line++;
    size_t whole = strcspn(r->at, "\n");
    const char *start = r->at + strspn(r->at, " \t\r");
    size_t length = start < r->at + whole ? (size_t)(r->at + whole - start) : 0;
    r->at += whole + (r->at[whole] == '\n');
    if (length + 2 > (size_t)size) {
        fault(r, "the line is too long", "");
        length = 0;
    }
    memcpy(buf, start, length);
    memcpy(buf + length, "\n", 2);
    return buf;
}

static int parse(struct reading *r) {
    int line = ini_parse_stream(next_line, r, on_value, r);
    if (line == 0) return r->failed ? -1 : 0;
    if (r->failed && line >= r->line) return -1;
    r->failed = false; /* inih goes on after a line that it cannot read: that one came first */
    r->line = line;
    fault(r, "neither a [section], nor key = value, nor a comment", "");
    return -1;
}

static int check_required(const struct reading *r) {
    for (size_t i = 0; i < r->count; i++) {
        const struct config_row *row = &r->rows[i];
        if (row->otherwise || r->seen[i]) continue;
        err_set(r->err, ERR_INVALID, "%s: %s is missing in section [%s]", r->path, row->key,
                row->section);
        return err_remedy(r->err, "%s", row->help);
    }
    return 0;
}

/* A missing file is an empty one. NULL with err. */
static char *read_file(const char *path, struct err *err) {
    if (access(path, F_OK) && errno == ENOENT) return xstrdup("");
    size_t length;
    char *text AUTO_FREE = file_read(path, FILE_MAX_BYTES, &length, err);
    if (text && strlen(text) != length) {
        err_set(err, ERR_INVALID, "%s is not a text", path);
        return NULL;
    }
    return STEAL(text);
}

static int load(struct reading *r) {
    if (set_defaults(r->rows, r->count, r->target, r->err)) return -1;
    char *text AUTO_FREE = read_file(r->path, r->err);
    if (!text) return -1;
    r->at = text;
    return parse(r) ? -1 : check_required(r);
}

int config_load(const char *path, const struct config_row *rows, size_t count, void *target,
                struct err *err) {
    for (size_t i = 0; i < count; i++)
        if (rows[i].type == CONFIG_STRING) *string_of(&rows[i], target) = NULL;
    bool *seen AUTO_FREE = xcalloc(count + 1, sizeof *seen);
    struct err own = ERR_INIT;
    struct reading r = {
        .path = path, .rows = rows, .count = count, .target = target, .seen = seen, .err = &own
    };
    if (load(&r) == 0) return 0;
    config_free(rows, count, target);
    if (err) *err = own;
    return -1;
}

void config_free(const struct config_row *rows, size_t count, void *target) {
    for (size_t i = 0; i < count; i++) {
        if (rows[i].type != CONFIG_STRING) continue;
        free(*string_of(&rows[i], target));
        *string_of(&rows[i], target) = NULL;
    }
}

/* --- printing --- */

static void print_comment(FILE *out, const struct config_row *row) {
    fprintf(out, "# %s", row->help ? row->help : "");
    if (row->type == CONFIG_INT)
        fprintf(out, " From %lld to %lld%s%s.", (long long)row->min, (long long)row->max,
                row->unit ? " " : "", row->unit ? row->unit : "");
    if (!row->otherwise) fprintf(out, " Required.");
    fprintf(out, "\n");
}

static void print_value(FILE *out, const struct config_row *row, const void *target) {
    const void *value = value_of(row, target);
    switch (row->type) {
    case CONFIG_STRING: {
        const char *text = *(char *const *)value;
        fprintf(out, "%s = %s\n", row->key, text ? text : "");
        break;
    }
    case CONFIG_INT:
        fprintf(out, "%s = %lld\n", row->key, (long long)*(const int64_t *)value);
        break;
    case CONFIG_BOOL:
        fprintf(out, "%s = %s\n", row->key, *(const bool *)value ? "yes" : "no");
    }
}

void config_print(FILE *out, const struct config_row *rows, size_t count, const void *target) {
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(rows[i].section, rows[i - 1].section) != 0)
            fprintf(out, "%s[%s]\n", i ? "\n" : "", rows[i].section);
        print_comment(out, &rows[i]);
        print_value(out, &rows[i], target);
    }
}
