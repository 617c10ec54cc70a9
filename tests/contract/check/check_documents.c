/*
 * Judges documents as the services would. Each line of standard input: a schema's name, a tab, a
 * JSON text. Each line of standard output: "good", "bad <why>" or "unreadable <why>".
 */
#include "common/err.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void judge(const char *name, const char *text, size_t length) {
    struct err err = ERR_INIT;
    const struct schema *schema = schema_find(name, &err);
    if (!schema) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    json *value AUTO_JSON = NULL;
    if (json_parse_value(text, length, &value, &err))
        printf("unreadable %s\n", err.msg);
    else if (schema_check(schema, value, NULL, &err))
        printf("bad %s\n", err.msg);
    else
        puts("good");
}

int main(void) {
    struct err err = ERR_INIT;
    if (schema_load(&err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    char *line = NULL;
    size_t size = 0;
    for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
        if (line[n - 1] == '\n') line[--n] = '\0';
        char *tab = strchr(line, '\t');
        if (!tab) return 1;
        *tab = '\0';
        judge(line, tab + 1, (size_t)(line + n - tab - 1));
    }
    free(line);
    schema_unload();
    return 0;
}
