#include "output.h"

#include "format.h"

#include <ctype.h>
#include <stdarg.h>

#define COLUMNS_MAX 16
#define GAP 2

void output_text(FILE *out, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        putc(c < 0x20 || c == 0x7f ? (c == '\n' ? ' ' : '?') : c, out);
    }
}

/* --- table --- */

static char *cell(const json *item, const struct column *c) {
    const json *value = c->path[0] ? json_path(item, c->path) : item;
    return c->text ? c->text(value) : format_plain(value);
}

static size_t column_count(const struct column *columns) {
    size_t n = 0;
    while (columns[n].title && n < COLUMNS_MAX) n++;
    return n;
}

static void print_cell(struct output *o, const char *text, size_t width, bool last) {
    output_text(o->out, text);
    if (last) return;
    for (size_t n = format_width(text); n < width + GAP; n++) putc(' ', o->out);
}

static void print_titles(struct output *o, const struct column *columns, const size_t *widths,
                         size_t n) {
    if (o->colour) fputs("\033[1m", o->out);
    for (size_t k = 0; k < n; k++) print_cell(o, columns[k].title, widths[k], k + 1 == n);
    fputs(o->colour ? "\033[0m\n" : "\n", o->out);
}

static void table_list(struct output *o, const json *items, const struct column *columns) {
    size_t n = column_count(columns), rows = json_length(items), widths[COLUMNS_MAX];
    char **cells = xcalloc(rows * n + 1, sizeof *cells);
    for (size_t k = 0; k < n; k++) {
        widths[k] = format_width(columns[k].title);
        for (size_t i = 0; i < rows; i++) {
            char *text = cells[i * n + k] = cell(json_at(items, i), &columns[k]);
            if (format_width(text) > widths[k]) widths[k] = format_width(text);
        }
    }
    print_titles(o, columns, widths, n);
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < n; k++) print_cell(o, cells[i * n + k], widths[k], k + 1 == n);
        putc('\n', o->out);
    }
    for (size_t i = 0; i < rows * n; i++) free(cells[i]);
    free(cells);
}

static void table_object(struct output *o, const json *object, const struct column *lines) {
    size_t n = column_count(lines), width = 0;
    for (size_t k = 0; k < n; k++)
        if (format_width(lines[k].title) > width) width = format_width(lines[k].title);
    for (size_t k = 0; k < n; k++) {
        char *text AUTO_FREE = cell(object, &lines[k]);
        if (!*text || strcmp(text, "-") == 0) continue;
        print_cell(o, lines[k].title, width, false);
        /* Several values stand one per line. */
        for (char *part = text, *end; part; part = end) {
            if ((end = strchr(part, '\n'))) *end++ = '\0';
            if (part != text) print_cell(o, "", width, false);
            output_text(o->out, part);
            putc('\n', o->out);
        }
    }
}

static void table_said(struct output *o, const json *value, const char *text) {
    (void)value;
    output_text(o->out, text);
    putc('\n', o->out);
}

/* --- JSON --- */

static void print_json(struct output *o, const json *value) {
    char *text AUTO_FREE = json_text_pretty(value);
    size_t n = strlen(text);
    fprintf(o->out, "%s%s", text, n && text[n - 1] == '\n' ? "" : "\n");
}

static void json_list(struct output *o, const json *items, const struct column *columns) {
    (void)columns;
    print_json(o, items);
}

static void json_one(struct output *o, const json *object, const struct column *lines) {
    (void)lines;
    print_json(o, object);
}

static void json_said(struct output *o, const json *value, const char *text) {
    (void)text;
    json *empty AUTO_JSON = json_object();
    print_json(o, value ? value : empty);
}

static const struct output_format formats[] = {
    { "table", table_list, table_object, table_said },
    { "json", json_list, json_one, json_said },
};

void output_init(struct output *o, FILE *out, bool colour) {
    *o = (struct output){ out, colour, &formats[0] };
}

int output_choose(struct output *o, const char *name) {
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (strcmp(formats[i].name, name) == 0) {
            o->format = &formats[i];
            return 0;
        }
    return -1;
}

bool output_is_json(const struct output *o) { return o->format == &formats[1]; }

void output_list(struct output *o, const json *items, const struct column *columns) {
    o->format->list(o, items, columns);
}

void output_object(struct output *o, const json *object, const struct column *lines) {
    o->format->object(o, object, lines);
}

void output_said(struct output *o, const json *value, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *text AUTO_FREE = xvasprintf(fmt, ap);
    va_end(ap);
    o->format->said(o, value, text);
}
