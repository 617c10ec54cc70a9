/*
 * A migration as people watch it: twelve steps, a tick for each that is finished and its time, a
 * spinner at the one under way, the copy's bytes and rate; at the end the figures that matter.
 * Made from what the aggregate says (schemas Migration and Operation); no calls, no clock.
 */
#ifndef JOGAK_CLI_MIGRATION_VIEW_H
#define JOGAK_CLI_MIGRATION_VIEW_H

#include "command.h"

#define MIGRATION_STEPS 12

struct migration_view {
    FILE *out;
    bool redraw; /* a terminal: draw the whole again; otherwise a line per change */
    bool colour, utf8;
    int width;
    unsigned turn;     /* of the spinner */
    int drawn_lines;   /* of the last picture */
    const char *told[MIGRATION_STEPS + 1]; /* plain: what was said of each step last; NULL: nothing */
    int told_attempt;
    bool told_undo;
    char name[64];     /* of the sliver */
};
void migration_view_init(struct migration_view *v, const struct cli *cli, const char *name);
/* Shows the present state. */
void migration_view_show(struct migration_view *v, const json *migration, const json *operation);
/* The last lines: total time, blackout, frames held. */
void migration_view_end(struct migration_view *v, const json *migration, const json *operation);

#endif
