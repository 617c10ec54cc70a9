/*
 * The manual page, in man(7)'s macros, made from the table.
 */
#include "command.h"

/* roff reads - as a hyphen and \ and a dot in front as its own. */
static void put(FILE *out, const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '-') fputs("\\-", out);
        else if (*text == '\\') fputs("\\e", out);
        else putc(*text, out);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\'')) fputs("\\&", out);
    }
}

static void put_options(FILE *out, const struct option_row *o) {
    for (; o && o->name; o++) {
        fputs(".TP\n\\fB", out);
        if (o->letter) fprintf(out, "\\-%c\\fR, \\fB", o->letter);
        fputs("\\-\\-", out);
        put(out, o->name);
        fputs("\\fR", out);
        if (o->value) fprintf(out, " \\fI%s\\fR", o->value);
        fputs("\n", out);
        put(out, o->help);
        fputs(".\n", out);
    }
}

static void put_command(FILE *out, const struct command_group *g, const struct command *c) {
    char name[96];
    fputs(".TP\n\\fBjogak ", out);
    put(out, command_name(g, c, name, sizeof name));
    fputs("\\fR", out);
    if (c->arguments) {
        fputs(" \\fI", out);
        put(out, c->arguments);
        fputs("\\fR", out);
    }
    fputs("\n", out);
    put(out, c->summary);
    fputs(".\n", out);
    if (c->about) {
        put(out, c->about);
        fputs("\n", out);
    }
    if (c->options && c->options[0].name) {
        fputs(".RS\n", out);
        put_options(out, c->options);
        fputs(".RE\n", out);
    }
}

void manual_print(FILE *out) {
    fputs(".TH JOGAK 1 \"\" \"jogak " JOGAK_VERSION "\" \"User Commands\"\n"
          ".SH NAME\njogak \\- slices of virtual machines and links that can move\n"
          ".SH SYNOPSIS\n.B jogak\n[\\-o table|json] NOUN VERB [ARGUMENTS] [OPTIONS]\n"
          ".SH DESCRIPTION\nA slice is a set of slivers (virtual machines) joined by virtual links, "
          "on the nodes of a testbed.\n.B jogak\nmakes slices what a topology file says, shows them, "
          "and moves slivers between nodes while they run.\n"
          ".SH OPTIONS\n", out);
    put_options(out, command_global_options);
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; command_groups[i]; i++) {
        const struct command_group *g = command_groups[i];
        if (g->rows[0].verb[0]) {
            fprintf(out, ".SS %s\n", g->noun);
            put(out, g->summary);
            fputs(".\n", out);
        }
        for (const struct command *c = g->rows; c->verb; c++) put_command(out, g, c);
    }
    fputs(".SH ALIASES\nls = list, rm = delete, get = show, create = add.\n"
          ".SH EXIT STATUS\n0: done. 1: it failed, and says why. 2: the command was not understood.\n"
          ".SH ENVIRONMENT\n.TP\n.B JOGAK_HOME\nThe directory of identity and configuration (default: "
          "~/.config/jogak).\n.TP\n.B JOGAK_SLICE\nThe slice of commands that name none.\n"
          ".TP\n.B JOGAK_LOG\nLevels of the log on standard error, as \\(lqdebug\\(rq.\n"
          ".TP\n.B NO_COLOR\nNo colours.\n", out);
}
