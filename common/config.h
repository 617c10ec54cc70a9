/*
 * Configuration: INI files (inih) against a typed table; the environment is not read.
 *
 * A service has one table of rows; the values land in a struct of the service through offsets.
 * An unknown section or key, a value of another type or out of range is an error that names
 * file:line. `--check-config` prints what would be used and exits.
 */
#ifndef JOGAK_CONFIG_H
#define JOGAK_CONFIG_H

#include "err.h"

#include <stdint.h>
#include <stdio.h>

enum config_type {
    CONFIG_STRING, /* char * (owned by the struct) */
    CONFIG_INT,    /* int64_t, with min and max; unit names it, e.g. "ms" */
    CONFIG_BOOL,   /* bool */
    CONFIG_TABLE,  /* struct config_entry *: the key's value in each section of a family, see below */
};

/* A row whose section is "site.*" stands for the sections [site.east], [site.west], ... of the file. Its
 * value is the list of what they say for that key, in the file's order; NULL: no such section says it.
 * Such a row has no default and is never required. */
struct config_entry {
    struct config_entry *next;
    char *name; /* "east" */
    char *value;
};
/* The family's value of that name; NULL: not said. */
const char *config_entry_of(const struct config_entry *list, const char *name);

struct config_row {
    const char *section, *key;
    enum config_type type;
    size_t offset;       /* of the value in the target struct */
    int64_t min, max;    /* CONFIG_INT */
    const char *otherwise; /* the default, as text; NULL: the key is required */
    const char *unit;    /* "ms", "MiB", ... or NULL */
    const char *help;    /* one sentence; goes into the sample file and the manual page */
};

/* Fills *target: the defaults, then the file (a missing file is an error only when required). */
int config_load(const char *path, const struct config_row *rows, size_t count, void *target,
                struct err *err);
void config_free(const struct config_row *rows, size_t count, void *target);
/* The table with its values as a commented INI file. */
void config_print(FILE *out, const struct config_row *rows, size_t count, const void *target);

#endif
