/* What a user hands in: files, times. */
#ifndef JOGAK_CLI_INPUT_H
#define JOGAK_CLI_INPUT_H

#include "command.h"

/* A whole file, or standard input for "-"; at most max_bytes. Returns NUL-terminated text. */
char *input_read(struct cli *cli, const char *path, size_t max_bytes, size_t *ret_length,
                 struct err *err);
/* "2026-12-24T18:00:00Z", "2026-12-24" or, from now, "90m", "12h", "7d", "4w"; returns RFC 3339
 * in buf (at least CLOCK_TEXT_BYTES), NULL with *err when it is none of these. */
const char *input_time(const char *text, char *buf, struct err *err);
/* A UUID from what the user wrote: the whole of it, or the beginning, which must be that of exactly
 * one item's "id" in the list. 0 or -1. */
int input_id(const char *text, const json *items, const char *what, char ret[37], struct err *err);

#endif
