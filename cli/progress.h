/*
 * What is going on, while a command waits: on a terminal one line that is written over and over,
 * elsewhere a line for each change.
 */
#ifndef JOGAK_CLI_PROGRESS_H
#define JOGAK_CLI_PROGRESS_H

#include "command.h"

struct progress {
    FILE *out;
    bool tty, utf8;
    int width;
    unsigned turn; /* of the spinner */
    bool shown;
    char last[256];
};
void progress_init(struct progress *p, const struct cli *cli);
/* turns the spinner; text without newline. */
void progress_show(struct progress *p, const char *text);
/* Takes the line away. */
void progress_clear(struct progress *p);
/* The next picture of a spinner. */
const char *progress_spinner(unsigned turn, bool utf8);
/* "[=====>    ]" of `width` columns into buf; returns buf. total 0: nothing known. */
char *progress_bar(int64_t done, int64_t total, int width, char *buf, size_t size);

#endif
