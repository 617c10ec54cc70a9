#include "graph.h"

#include "nouns.h"
#include "sliver.h"

/* A name in quotes, as dot takes it. */
static void quoted(FILE *out, const char *text) {
    putc('"', out);
    for (; text && *text; text++) {
        if (*text == '"' || *text == '\\') putc('\\', out);
        putc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
    putc('"', out);
}

static const char *text_of(const json *object, const char *key) {
    const char *text = json_get_str(object, key);
    return text ? text : "?";
}

/* Is list[i][key] the first of its value? */
static bool is_first(const json *slivers, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (!strcmp(text_of(json_at(slivers, k), "node"), text_of(json_at(slivers, i), "node")))
            return false;
    return true;
}

static void dot_node(FILE *out, const json *slivers, size_t first) {
    const char *node = text_of(json_at(slivers, first), "node");
    fputs("  subgraph ", out);
    char *name AUTO_FREE = xasprintf("cluster_%s", node);
    quoted(out, name);
    fputs(" {\n    label=", out);
    quoted(out, node);
    fputs("; style=rounded;\n", out);
    for (size_t i = first; i < json_length(slivers); i++) {
        const json *s = json_at(slivers, i);
        if (strcmp(text_of(s, "node"), node)) continue;
        char *label AUTO_FREE = xasprintf("%s (%s)", text_of(s, "name"), text_of(s, "state"));
        fputs("    ", out);
        quoted(out, text_of(s, "name"));
        fputs(" [shape=box, label=", out);
        quoted(out, label);
        fputs("];\n", out);
    }
    fputs("  }\n", out);
}

static void dot_links(FILE *out, const json *sliver) {
    const json *vnics = json_get(sliver, "vnics");
    for (size_t i = 0; i < json_length(vnics); i++) {
        const json *v = json_at(vnics, i);
        char *link AUTO_FREE = xasprintf("link %s", text_of(v, "link"));
        const char *address = json_str(json_at(json_get(v, "addresses"), 0));
        fputs("  ", out);
        quoted(out, link);
        fputs(" [shape=ellipse, label=", out);
        quoted(out, text_of(v, "link"));
        fputs("];\n  ", out);
        quoted(out, text_of(sliver, "name"));
        fputs(" -- ", out);
        quoted(out, link);
        fputs(" [label=", out);
        quoted(out, address ? address : text_of(v, "name"));
        fputs("];\n", out);
    }
}

void graph_dot(FILE *out, const char *slice, const json *slivers) {
    fputs("graph ", out);
    quoted(out, slice);
    fputs(" {\n", out);
    for (size_t i = 0; i < json_length(slivers); i++)
        if (is_first(slivers, i)) dot_node(out, slivers, i);
    for (size_t i = 0; i < json_length(slivers); i++) dot_links(out, json_at(slivers, i));
    fputs("}\n", out);
}

static int graph(struct cli *cli, struct err *err) {
    const char *format = cli_option(cli, "format"), *slice = cli_slice(cli, err);
    if (!slice) return -1;
    if (format && strcmp(format, "text") && strcmp(format, "dot"))
        return cli_usage(cli, err, "there is no drawing as \"%.40s\": text or dot", format);
    json *slivers AUTO_JSON = sliver_list(cli, slice, err);
    if (!slivers) return -1;
    if (format && strcmp(format, "dot") == 0) graph_dot(cli->out, slice, slivers);
    else if (output_is_json(&cli->output)) output_said(&cli->output, slivers, "%s", "");
    else if (!json_length(slivers)) output_said(&cli->output, NULL, "slice %s has no slivers", slice);
    else graph_text(cli->out, slivers, cli->utf8, cli->width);
    return 0;
}

static const struct option_row options[] = {
    OPTION_SLICE, { "format", 0, "FORMAT", "text (default) or dot, for Graphviz" }, OPTION_END,
};
static const struct command rows[] = {
    { "", NULL, "Draw a slice: its slivers on their nodes, and the links", graph, options, NULL },
    { 0 },
};
const struct command_group graph_group = { "graph", "Draw a slice", rows };
