/*
 * The drawing for terminals: a box per node with its slivers side by side; below, a line per link
 * that crosses the slivers' columns and has a dot where one is connected.
 *
 *   +- h1 ------------+  +- h2 ---+
 *   |   a        c    |  |   b    |
 *   | ready   stopped |  | ready  |
 *   +---+--------+----+  +---+----+
 *   lan-o--------|-----------o       10.0.0.0/24
 *   wan----------o-----------o
 *
 * A slice that is wider than the terminal is shown as two lists instead.
 */
#include "graph.h"

#include "format.h"

struct glyphs {
    const char *horizontal, *vertical, *top_left, *top_right, *bottom_left, *bottom_right, *drop, *on;
};
static const struct glyphs lines_utf8 = { "─", "│", "┌", "┐", "└", "┘", "┬", "●" };
static const struct glyphs lines_ascii = { "-", "|", "+", "+", "+", "+", "+", "o" };

struct column_of {
    const json *sliver;
    const char *name, *state, *node;
    int width, center; /* columns of its cell; of its drop, from the left margin on */
    bool first, last;  /* in its node's box */
};
struct drawing {
    FILE *out;
    const struct glyphs *g;
    struct column_of *columns;
    size_t count;
    const char **links;
    size_t link_count;
    int margin, width; /* of the link names; of all */
};

static const char *text_of(const json *object, const char *key) {
    const char *text = json_get_str(object, key);
    return text ? text : "?";
}

static int by_node_and_name(const void *a, const void *b) {
    const struct column_of *x = a, *y = b;
    int order = strcmp(x->node, y->node);
    return order ? order : strcmp(x->name, y->name);
}

static void add_links(struct drawing *d, const json *sliver) {
    const json *vnics = json_get(sliver, "vnics");
    for (size_t i = 0; i < json_length(vnics); i++) {
        const char *link = text_of(json_at(vnics, i), "link");
        bool known = false;
        for (size_t k = 0; k < d->link_count; k++) known |= strcmp(d->links[k], link) == 0;
        if (known) continue;
        d->links = xrealloc_array(d->links, d->link_count + 1, sizeof *d->links);
        d->links[d->link_count++] = link;
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void collect(struct drawing *d, const json *slivers) {
    d->columns = xcalloc(json_length(slivers) + 1, sizeof *d->columns);
    for (size_t i = 0; i < json_length(slivers); i++) {
        const json *s = json_at(slivers, i);
        d->columns[d->count++] = (struct column_of){ .sliver = s, .name = text_of(s, "name"),
                                                     .state = text_of(s, "state"),
                                                     .node = text_of(s, "node") };
        add_links(d, s);
    }
    qsort(d->columns, d->count, sizeof d->columns[0], by_node_and_name);
    if (d->link_count) qsort(d->links, d->link_count, sizeof d->links[0], by_text);
    for (size_t k = 0; k < d->link_count; k++)
        if ((int)strlen(d->links[k]) + 1 > d->margin) d->margin = (int)strlen(d->links[k]) + 1;
}

static int longer(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    return (int)(n > m ? n : m);
}

/* Where each cell stands. A box has a border and a gap to the next one; its name must fit. */
static void place(struct drawing *d) {
    int at = d->margin;
    for (size_t i = 0; i < d->count; i++) {
        struct column_of *c = &d->columns[i];
        c->first = i == 0 || strcmp(d->columns[i - 1].node, c->node);
        c->last = i + 1 == d->count || strcmp(d->columns[i + 1].node, c->node);
        c->width = longer(c->name, c->state) + 2;
        if (c->first && c->last && (int)strlen(c->node) + 3 > c->width)
            c->width = (int)strlen(c->node) + 3;
        if (c->first) at += i ? 3 : 1;
        c->center = at + c->width / 2;
        at += c->width;
        if (c->last) at++;
    }
    d->width = at;
}

static void put(struct drawing *d, const char *glyph, int times) {
    for (int i = 0; i < times; i++) fputs(glyph, d->out);
}

static void put_top(struct drawing *d) {
    put(d, " ", d->margin);
    for (size_t i = 0; i < d->count;) {
        int width = 0;
        const char *node = d->columns[i].node;
        fputs(i ? "  " : "", d->out);
        for (bool last = false; !last; i++) {
            width += d->columns[i].width;
            last = d->columns[i].last;
        }
        fprintf(d->out, "%s%s ", d->g->top_left, d->g->horizontal);
        int used = (int)strlen(node) < width - 3 ? (int)strlen(node) : width - 3;
        fprintf(d->out, "%.*s ", used, node);
        put(d, d->g->horizontal, width - 3 - used);
        fputs(d->g->top_right, d->out);
    }
    fputc('\n', d->out);
}

static void put_centered(struct drawing *d, const char *text, int width) {
    int n = (int)strlen(text), left = (width - n + 1) / 2;
    fprintf(d->out, "%*s%s%*s", left, "", text, width - n - left, "");
}

static void put_row(struct drawing *d, bool states) {
    put(d, " ", d->margin);
    for (size_t i = 0; i < d->count; i++) {
        const struct column_of *c = &d->columns[i];
        if (c->first) fprintf(d->out, "%s%s", i ? "  " : "", d->g->vertical);
        put_centered(d, states ? c->state : c->name, c->width);
        if (c->last) fputs(d->g->vertical, d->out);
    }
    fputc('\n', d->out);
}

static bool is_on(const struct column_of *c, const char *link) {
    const json *vnics = json_get(c->sliver, "vnics");
    for (size_t i = 0; i < json_length(vnics); i++)
        if (strcmp(text_of(json_at(vnics, i), "link"), link) == 0) return true;
    return false;
}

/* Does the column go on below this link, or to it? */
static bool reaches(const struct drawing *d, const struct column_of *c, size_t link) {
    for (size_t k = link; k < d->link_count; k++)
        if (is_on(c, d->links[k])) return true;
    return false;
}

static void put_bottom(struct drawing *d) {
    put(d, " ", d->margin);
    for (size_t i = 0; i < d->count; i++) {
        const struct column_of *c = &d->columns[i];
        if (c->first) fprintf(d->out, "%s%s", i ? "  " : "", d->g->bottom_left);
        put(d, d->g->horizontal, c->width / 2);
        fputs(reaches(d, c, 0) ? d->g->drop : d->g->horizontal, d->out);
        put(d, d->g->horizontal, c->width - c->width / 2 - 1);
        if (c->last) fputs(d->g->bottom_right, d->out);
    }
    fputc('\n', d->out);
}

/* From its name to the last sliver on it. */
static void put_link(struct drawing *d, size_t k) {
    int at = 0, last = 0;
    for (size_t i = 0; i < d->count; i++)
        if (is_on(&d->columns[i], d->links[k])) last = d->columns[i].center;
    at = fprintf(d->out, "%s", d->links[k]);
    for (size_t i = 0; i < d->count; i++) {
        const struct column_of *c = &d->columns[i];
        bool on = is_on(c, d->links[k]);
        if (!on && !reaches(d, c, k + 1)) continue;
        while (at < c->center) {
            fputs(at < last ? d->g->horizontal : " ", d->out);
            at++;
        }
        fputs(on ? d->g->on : d->g->vertical, d->out);
        at++;
    }
    fputc('\n', d->out);
}

/* --- who has which address --- */

static void put_addresses(struct drawing *d) {
    for (size_t k = 0; k < d->link_count; k++)
        for (size_t i = 0; i < d->count; i++) {
            const json *vnics = json_get(d->columns[i].sliver, "vnics");
            for (size_t v = 0; v < json_length(vnics); v++) {
                const json *one = json_at(vnics, v);
                if (strcmp(text_of(one, "link"), d->links[k])) continue;
                char *addresses AUTO_FREE = format_plain(json_get(one, "addresses"));
                fprintf(d->out, "%-*s %s.%s  %s  %s\n", d->margin, d->links[k], d->columns[i].name,
                        text_of(one, "name"), addresses, text_of(one, "mac"));
            }
        }
}

static void put_list(struct drawing *d) {
    for (size_t i = 0; i < d->count; i++) {
        const struct column_of *c = &d->columns[i];
        if (c->first) fprintf(d->out, "%s\n", c->node);
        fprintf(d->out, "  %s (%s)\n", c->name, c->state);
    }
}

void graph_text(FILE *out, const json *slivers, bool utf8, int width) {
    struct drawing d = { .out = out, .g = utf8 ? &lines_utf8 : &lines_ascii };
    collect(&d, slivers);
    place(&d);
    if (d.width > width) {
        put_list(&d);
    } else {
        put_top(&d);
        put_row(&d, false);
        put_row(&d, true);
        put_bottom(&d);
        for (size_t k = 0; k < d.link_count; k++) put_link(&d, k);
    }
    if (d.link_count) fputc('\n', out);
    put_addresses(&d);
    free(d.columns);
    free(d.links);
}
