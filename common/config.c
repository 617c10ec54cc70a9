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

static struct config_entry **list_of(const struct config_row *row, void *target) {
    return (struct config_entry **)((char *)target + row->offset);
}

const char *config_entry_of(const struct config_entry *list, const char *name) {
    for (; list; list = list->next)
        if (strcmp(list->name, name) == 0) return list->value;
    return NULL;
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
        break;
    case CONFIG_TABLE: /* has no value of its own, see add_entry() */
        break;
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

/* "east" of [site.east] where the row says [site.*]; NULL: another section. */
static const char *member_of(const struct config_row *row, const char *section) {
    size_t stem = strlen(row->section) - 1; /* without the asterisk */
    if (row->type != CONFIG_TABLE || strncmp(row->section, section, stem) || !section[stem])
        return NULL;
    return section + stem;
}

static bool is_section(const struct config_row *row, const char *section) {
    return row->type == CONFIG_TABLE ? member_of(row, section) != NULL
                                     : strcmp(row->section, section) == 0;
}

static bool has_section(const struct reading *r, const char *section) {
    for (size_t i = 0; i < r->count; i++)
        if (is_section(&r->rows[i], section)) return true;
    return false;
}

/* inih cuts a section's name to this, its terminating NUL included, without a word. */
#define SECTION_BYTES 50

static int add_entry(struct reading *r, const struct config_row *row, const char *section,
                     const char *value) {
    const char *name = member_of(row, section);
    if (strlen(section) + 1 >= SECTION_BYTES) return fault(r, "the section's name is too long:", section);
    struct config_entry **at = list_of(row, r->target);
    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0) return fault(r, "set a second time:", row->key);
    *at = xcalloc(1, sizeof **at);
    (*at)->name = xstrdup(name);
    (*at)->value = xstrdup(value);
    return 1;
}

/* inih's callback: non-zero to go on. */
static int on_value(void *arg, const char *section, const char *key, const char *value) {
    struct reading *r = arg;
    if (r->failed) return 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct config_row *row = &r->rows[i];
        if (!is_section(row, section) || strcmp(row->key, key)) continue;
        if (row->type == CONFIG_TABLE) return add_entry(r, row, section, value);
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
        if (row->otherwise || r->seen[i] || row->type == CONFIG_TABLE) continue;
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
        else if (rows[i].type == CONFIG_TABLE) *list_of(&rows[i], target) = NULL;
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

static void free_entries(struct config_entry **list) {
    while (*list) {
        struct config_entry *first = *list;
        *list = first->next;
        free(first->name);
        free(first->value);
        free(first);
    }
}

void config_free(const struct config_row *rows, size_t count, void *target) {
    for (size_t i = 0; i < count; i++) {
        if (rows[i].type == CONFIG_TABLE) free_entries(list_of(&rows[i], target));
        if (rows[i].type != CONFIG_STRING) continue;
        free(*string_of(&rows[i], target));
        *string_of(&rows[i], target) = NULL;
    }
}

/* --- printing --- */

static void print_comment(FILE *out, const struct config_row *row) {
    bool member = row->type == CONFIG_TABLE;
    fprintf(out, "# %s%s%s", member ? row->key : "", member ? ": " : "", row->help ? row->help : "");
    if (row->type == CONFIG_INT)
        fprintf(out, " From %lld to %lld%s%s.", (long long)row->min, (long long)row->max,
                row->unit ? " " : "", row->unit ? row->unit : "");
    if (!row->otherwise && row->type != CONFIG_TABLE) fprintf(out, " Required.");
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
        break;
    case CONFIG_TABLE: /* in sections of their own, see print_members() */
        break;
    }
}

/* One section of a family: what its rows say for that name. */
static void print_member(FILE *out, const struct config_row *rows, size_t count, const char *section,
                         const char *name, const void *target) {
    fprintf(out, "\n[%.*s%s]\n", (int)strlen(section) - 1, section, name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].section, section) != 0) continue;
        const char *value =
            config_entry_of(*(const struct config_entry *const *)value_of(&rows[i], target), name);
        if (value) fprintf(out, "%s = %s\n", rows[i].key, value);
    }
}

static bool printed_before(const struct config_row *rows, size_t row, const char *name,
                           const void *target) {
    for (size_t i = 0; i < row; i++)
        if (strcmp(rows[i].section, rows[row].section) == 0 &&
            config_entry_of(*(const struct config_entry *const *)value_of(&rows[i], target), name))
            return true;
    return false;
}

static void print_members(FILE *out, const struct config_row *rows, size_t count, const void *target) {
    for (size_t i = 0; i < count; i++) {
        if (rows[i].type != CONFIG_TABLE) continue;
        const struct config_entry *e = *(const struct config_entry *const *)value_of(&rows[i], target);
        for (; e; e = e->next)
            if (!printed_before(rows, i, e->name, target))
                print_member(out, rows, count, rows[i].section, e->name, target);
    }
}

/* A family has no section of its own: it is described in comments. */
static void print_heading(FILE *out, const struct config_row *row, bool first) {
    size_t length = strlen(row->section);
    if (row->type != CONFIG_TABLE) fprintf(out, "%s[%s]\n", first ? "" : "\n", row->section);
    else fprintf(out, "\n# [%.*sNAME], any number of them\n", (int)length - 1, row->section);
}

void config_print(FILE *out, const struct config_row *rows, size_t count, const void *target) {
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(rows[i].section, rows[i - 1].section) != 0)
            print_heading(out, &rows[i], i == 0);
        print_comment(out, &rows[i]);
        print_value(out, &rows[i], target);
    }
    print_members(out, rows, count, target);
}
