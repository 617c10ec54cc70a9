/*
 * How results are printed: a list, one object, or what was done; as a table for people or as JSON
 * for programs. A command says what there is; the format (a row of functions) says how it looks.
 *
 * What services send is printed with control characters replaced, so that no name or message
 * can speak to the terminal.
 */
#ifndef JOGAK_CLI_OUTPUT_H
#define JOGAK_CLI_OUTPUT_H

#include "common/json.h"

#include <stdio.h>

/* A column of a list, or a line of an object. */
struct column {
    const char *title;
    const char *path;                   /* into the item, "total.vcpus"; "" for the item itself */
    char *(*text)(const json *value);   /* returns the cell; NULL: format_plain() */
};
#define COLUMN_END { 0 }

struct output;
struct output_format {
    const char *name;
    void (*list)(struct output *o, const json *items, const struct column *columns);
    void (*object)(struct output *o, const json *object, const struct column *lines);
    void (*said)(struct output *o, const json *value, const char *text);
};
struct output {
    FILE *out;
    bool colour;
    const struct output_format *format;
};

void output_init(struct output *o, FILE *out, bool colour);
/* 0, or -1 when there is no format of that name. */
int output_choose(struct output *o, const char *name);
bool output_is_json(const struct output *o);

/* All borrow. columns ends with an all-zero row. */
void output_list(struct output *o, const json *items, const struct column *columns);
void output_object(struct output *o, const json *object, const struct column *lines);
/* What was done: a sentence for people; the value (may be NULL: {}) for programs. */
void output_said(struct output *o, const json *value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A foreign text without control characters. */
void output_text(FILE *out, const char *text);

#endif
