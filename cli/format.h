/*
 * Values as people read them. All borrow the value (NULL: absent) and return a text, "-" for none.
 */
#ifndef JOGAK_CLI_FORMAT_H
#define JOGAK_CLI_FORMAT_H

#include "common/json.h"

char *format_plain(const json *value);    /* texts and numbers as they are, yes/no, lists: a, b */
char *format_urn(const json *value);      /* the name in a URN */
char *format_time(const json *value);     /* RFC 3339 -> "2026-11-22 10:00:00" UTC */
char *format_until(const json *value);    /* the same, and how long that is from now */
char *format_bytes(const json *value);    /* "1.5 GiB" */
char *format_mib(const json *value);      /* the same, of a value in MiB */
char *format_age_ms(const json *value);   /* "2.1 s ago" */
char *format_members(const json *value);  /* "kim lead" per line */
char *format_member_names(const json *value);
char *format_lines(const json *value);    /* a list, one per line */
char *format_id(const json *value);       /* the first 8 characters of a UUID */

/* Durations and sizes into a buffer; return buf. */
char *format_duration_us(int64_t us, char *buf, size_t size); /* "312 us", "8.1 ms", "2.34 s" */
char *format_size(int64_t bytes, char *buf, size_t size);

/* Columns that a text takes on a terminal: its characters. */
size_t format_width(const char *utf8);

#endif
