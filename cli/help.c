/*
 * Help, made from the table.
 */
#include "command.h"

static void print_options(FILE *out, const struct option_row *o) {
    for (; o && o->name; o++) {
        char left[48];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        fprintf(out, "  %-22s %s\n", left, o->help);
    }
}

void help_overview(FILE *out) {
    fprintf(out, "jogak: slices of virtual machines and links that can move.\n\n"
                 "Usage: jogak [-o table|json] NOUN VERB [ARGUMENTS] [OPTIONS]\n\n");
    for (size_t i = 0; command_groups[i]; i++)
        fprintf(out, "  %-12s %s\n", command_groups[i]->noun, command_groups[i]->summary);
    fprintf(out, "\nOptions everywhere:\n");
    print_options(out, command_global_options);
    fprintf(out, "\nMore: jogak help NOUN [VERB]\n");
}

static void print_line(FILE *out, const struct command_group *g, const struct command *c) {
    char name[96], left[128];
    snprintf(left, sizeof left, "%s%s%s", command_name(g, c, name, sizeof name),
             c->arguments ? " " : "", c->arguments ? c->arguments : "");
    fprintf(out, "  jogak %-36s %s\n", left, c->summary);
}

void help_group(FILE *out, const struct command_group *g) {
    fprintf(out, "%s\n\n", g->summary);
    for (const struct command *c = g->rows; c->verb; c++) print_line(out, g, c);
    fprintf(out, "\nMore: jogak help %s%s\n", g->noun, g->rows[0].verb[0] ? " VERB" : "");
}

void help_command(FILE *out, const struct command_group *g, const struct command *c) {
    char name[96];
    fprintf(out, "%s.\n\nUsage: jogak %s%s%s%s\n", c->summary, command_name(g, c, name, sizeof name),
            c->arguments ? " " : "", c->arguments ? c->arguments : "",
            c->options && c->options[0].name ? " [OPTIONS]" : "");
    if (c->about) fprintf(out, "\n%s\n", c->about);
    fprintf(out, "\nOptions:\n");
    print_options(out, c->options);
    print_options(out, command_global_options);
}
