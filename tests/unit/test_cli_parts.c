/* Drawings, plans, streams of events, times, ids, places in files. */
#include "cli_fixture.h"

#include "cli/graph.h"
#include "cli/input.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "cli/sse.h"
#include "cli/topology_file.h"

#define VNIC(name, link, address) \
    "{\"name\":\"" name "\",\"link\":\"" link "\",\"mac\":\"52:4a:00:00:00:01\",\"addresses\":[\"" address "\"]}"
#define SLIVER(name, node, state, vnics) \
    "{\"name\":\"" name "\",\"node\":\"" node "\",\"state\":\"" state "\",\"vnics\":[" vnics "]}"
static const char ring[] =
    "[" SLIVER("b", "h2", "ready", VNIC("eth0", "lan", "10.0.0.2/24") "," VNIC("eth1", "wan", "10.9.0.2/24")) ","
    SLIVER("a", "h1", "ready", VNIC("eth0", "lan", "10.0.0.1/24")) ","
    SLIVER("c", "h1", "stopped", VNIC("eth0", "wan", "10.9.0.3/24")) "]";

static char *draw(const char *slivers_text, bool dot, bool utf8, int width) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    json *slivers AUTO_JSON = json_parse(slivers_text, strlen(slivers_text), NULL);
    ck_assert_ptr_nonnull(slivers);
    if (dot) graph_dot(out, "demo:ring", slivers);
    else graph_text(out, slivers, utf8, width);
    fclose(out);
    return text;
}

#define ADDRESSES \
    "\nlan  a.eth0  10.0.0.1/24  52:4a:00:00:00:01\n" \
    "lan  b.eth0  10.0.0.2/24  52:4a:00:00:00:01\n" \
    "wan  c.eth0  10.9.0.3/24  52:4a:00:00:00:01\n" \
    "wan  b.eth1  10.9.0.2/24  52:4a:00:00:00:01\n"

START_TEST(a_drawing) {
    char *text AUTO_FREE = draw(ring, false, false, 80);
    ck_assert_str_eq(text, "    +- h1 -----------+  +- h2 --+\n"
                           "    |   a       c    |  |   b   |\n"
                           "    | ready  stopped |  | ready |\n"
                           "    +---+-------+----+  +---+---+\n"
                           "lan-----o-------|-----------o\n"
                           "wan-------------o-----------o\n" ADDRESSES);
    char *pretty AUTO_FREE = draw(ring, false, true, 80);
    ck_assert_ptr_nonnull(strstr(pretty, "lan─────●───────│───────────●\n"));
    char *narrow AUTO_FREE = draw(ring, false, false, 20);
    ck_assert_str_eq(narrow, "h1\n  a (ready)\n  c (stopped)\nh2\n  b (ready)\n" ADDRESSES);
}
END_TEST

START_TEST(a_drawing_for_graphviz) {
    char *text AUTO_FREE = draw("[" SLIVER("a", "h\\\"1", "ready", VNIC("eth0", "lan", "10.0.0.1/24")) "]",
                                true, false, 80);
    ck_assert_str_eq(text, "graph \"demo:ring\" {\n"
                           "  subgraph \"cluster_h\\\"1\" {\n"
                           "    label=\"h\\\"1\"; style=rounded;\n"
                           "    \"a\" [shape=box, label=\"a (ready)\"];\n"
                           "  }\n"
                           "  \"link lan\" [shape=ellipse, label=\"lan\"];\n"
                           "  \"a\" -- \"link lan\" [label=\"10.0.0.1/24\"];\n"
                           "}\n");
}
END_TEST

START_TEST(plans) {
    static const char plan_text[] = "{\"create\":[\"a\"],\"replace\":[{\"name\":\"b\",\"why\":\"image\"}],"
                                    "\"delete\":[\"c\"],\"keep\":[\"d\",\"e\"]}";
    json *plan AUTO_JSON = json_parse(plan_text, strlen(plan_text), NULL);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    plan_print(out, plan, false);
    fclose(out);
    ck_assert_str_eq(text, "+ create a\n~ replace b (image)\n- delete c\n"
                           "1 to create, 1 to replace, 1 to delete, 2 to keep\n");
    free(text);
    json *leaving AUTO_JSON = plan_leaving(plan);
    char *names AUTO_FREE = json_text(leaving);
    ck_assert_str_eq(names, "[\"b\",\"c\"]");
    ck_assert(plan_makes(plan) && !plan_is_empty(plan));
}
END_TEST

/* --- server-sent events --- */

static char heard[1024];
static void on_event(void *ctx, const char *event, const char *data) {
    (void)ctx;
    size_t n = strlen(heard);
    snprintf(heard + n, sizeof heard - n, "<%s|%s>", event, data);
}

START_TEST(events_in_pieces_of_any_size) {
    static const char stream[] = ": hello\n\nid: 1\nevent: x\ndata: one\n\nid:2\ndata:a\r\ndata: b\r\n\r\n"
                                 "event: empty\n\nid: 3\nunknown: y\ndata\ndata: z\n\ndata: unfinished";
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        struct sse s = { .on_event = on_event };
        heard[0] = '\0';
        for (size_t at = 0; at < sizeof stream - 1; at += piece)
            sse_feed(&s, stream + at, at + piece < sizeof stream - 1 ? piece : sizeof stream - 1 - at);
        ck_assert_str_eq(heard, "<x|one><|a\nb><|z>");
        ck_assert_str_eq(s.id, "3");
        sse_done(&s);
    }
}
END_TEST

START_TEST(an_endless_event_is_passed_over) {
    struct sse s = { .on_event = on_event };
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    heard[0] = '\0';
    sse_feed(&s, "data: ", 6);
    for (int i = 0; i < 200; i++) sse_feed(&s, piece, sizeof piece);
    sse_feed(&s, "\n\ndata: next\n\n", 14);
    ck_assert_str_eq(heard, "<|next>");
    ck_assert(s.line.capacity < 4 * SSE_EVENT_MAX_BYTES);
    sse_done(&s);
}
END_TEST

/* --- what users write --- */

START_TEST(times) {
    static const struct { const char *text, *is; } good[] = {
        { "2026-12-24T18:00:00Z", "2026-12-24T18:00:00.000Z" },
        { "2026-12-24T18:00:00+02:00", "2026-12-24T16:00:00.000Z" },
        { "2026-12-24", "2026-12-24T00:00:00.000Z" }, { "90m", "2026-11-23T11:30:00.000Z" },
        { "12h", "2026-11-23T22:00:00.000Z" },        { "7d", "2026-11-30T10:00:00.000Z" },
        { "4w", "2026-12-21T10:00:00.000Z" },
    };
    static const char *const bad[] = { "", "7", "d", "-7d", "0d", "7 d", "7x", "soon", "2026-13-01",
                                       "99999999999999999999d" };
    char buf[CLOCK_TEXT_BYTES];
    struct err err = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(good); i++) ck_assert_str_eq(input_time(good[i].text, buf, &err), good[i].is);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!input_time(bad[i], buf, &err), "%s", bad[i]);
        ck_assert_int_eq(err.code, ERR_INVALID);
    }
}
END_TEST

START_TEST(ids_by_their_beginning) {
    static const char text[] = "[{\"id\":\"aabb\"},{\"id\":\"aacc\"}]";
    json *items AUTO_JSON = json_parse(text, strlen(text), NULL);
    char id[37];
    struct err err = ERR_INIT;
    ck_assert_int_eq(input_id("aab", items, "thing", id, &err), 0);
    ck_assert_str_eq(id, "aabb");
    ck_assert_int_eq(input_id("aa", items, "thing", id, &err), -1);
    ck_assert_str_eq(err.msg, "aa is the beginning of several things");
    ck_assert_int_eq(input_id("b", items, "thing", id, &err), -1);
    ck_assert_str_eq(err.msg, "there is no thing b");
}
END_TEST

START_TEST(places_of_pointers) {
    static const char yaml[] = "links:\n  - name: lan\nslivers:\n  - name: a\n    vnics:\n      - link: wan\n";
    struct err err = ERR_INIT;
    struct topology_file f = { .name = xstrdup("t.yaml") };
    f.topology = yaml_parse("t.yaml", yaml, strlen(yaml), &f.places, &err);
    ck_assert_msg(f.topology != NULL, "%s", err.msg);
    static const struct { const char *msg, *is; } texts[] = {
        { "/slivers/0/vnics/0/link: no", "t.yaml:6:15: /slivers/0/vnics/0/link: no" },
        { "/topology/links/0/name: no", "t.yaml:2:11: /links/0/name: no" },
        { "body: /topology/slivers/0: no", "t.yaml:4:5: /slivers/0: no" },
        { "/topology: no", "t.yaml:1:1: topology: no" },
        { "no pointer: no", "no pointer: no" },
        { "/a path without", "/a path without" },
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        err_set(&err, ERR_INVALID, "%s", texts[i].msg);
        err_remedy(&err, "do");
        topology_file_locate(&f, &err);
        ck_assert_str_eq(err.msg, texts[i].is);
        ck_assert_str_eq(err.remedy, "do");
    }
    topology_file_done(&f);
}
END_TEST

START_TEST(bars) {
    char buf[64];
    ck_assert_str_eq(progress_bar(0, 100, 12, buf, sizeof buf), "[>         ]");
    ck_assert_str_eq(progress_bar(50, 100, 12, buf, sizeof buf), "[=====>    ]");
    ck_assert_str_eq(progress_bar(100, 100, 12, buf, sizeof buf), "[==========]");
    ck_assert_str_eq(progress_bar(500, 100, 12, buf, sizeof buf), "[==========]");
    ck_assert_str_eq(progress_bar(5, 0, 12, buf, sizeof buf), "[>         ]");
}
END_TEST

static void add(TCase *t) {
    tcase_add_test(t, a_drawing);
    tcase_add_test(t, a_drawing_for_graphviz);
    tcase_add_test(t, plans);
    tcase_add_test(t, events_in_pieces_of_any_size);
    tcase_add_test(t, an_endless_event_is_passed_over);
    tcase_add_test(t, times);
    tcase_add_test(t, ids_by_their_beginning);
    tcase_add_test(t, places_of_pointers);
    tcase_add_test(t, bars);
}

int main(void) { return cli_suite("cli.parts", add); }
