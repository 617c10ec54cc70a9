/* A migration as it is watched: line by line, and as a picture that is drawn over itself. */
#include "cli_fixture.h"

#include "cli/migration_view.h"

#define ID "33333333-3333-4333-8333-333333333333"
#define SLIVER_ID "11111111-1111-4111-8111-111111111111"
#define SLIVERS "{\"items\":[{\"id\":\"" SLIVER_ID "\",\"name\":\"a\"}]}"
#define MIGRATION(state, steps) \
    "{\"id\":\"" ID "\",\"sliver\":\"" SLIVER_ID "\",\"state\":\"" state "\",\"source\":\"h1\"," \
    "\"target\":\"h2\",\"attempt\":1,\"steps\":[" steps "]}"
#define ENDED(step, title, us) \
    "{\"step\":" step ",\"attempt\":1,\"direction\":\"run\",\"title\":\"" title "\",\"outcome\":\"ok\"," \
    "\"took_us\":" us ",\"begun\":\"2026-11-23T10:00:0" step ".000Z\",\"ended\":\"2026-11-23T10:00:0" step ".500Z\"}"
#define BEGUN(step, title) \
    "{\"step\":" step ",\"attempt\":1,\"direction\":\"run\",\"title\":\"" title "\",\"begun\":\"2026-11-23T10:00:06.000Z\"}"
#define UNDONE(step) \
    "{\"step\":" step ",\"attempt\":1,\"direction\":\"undo\",\"outcome\":\"ok\",\"took_us\":5,\"begun\":\"2026-11-23T10:00:07.000Z\"}"
#define FAILED(step, title) \
    "{\"step\":" step ",\"attempt\":1,\"direction\":\"run\",\"title\":\"" title "\",\"outcome\":\"failed\"," \
    "\"took_us\":1234567,\"begun\":\"2026-11-23T10:00:06.000Z\"}"
#define OPERATION(state, more) "{\"id\":\"" ID "\",\"kind\":\"migrate\",\"state\":\"" state "\"" more "}"
#define LOOK_O { "GET /v1/operations/" ID, 200,
#define LOOK_M { "GET /v1/migrations/" ID, 200,
#define FIVE \
    ENDED("1", "decide", "300") "," ENDED("2", "select", "4200") "," ENDED("3", "agree", "900") "," \
    ENDED("4", "check", "15000") "," ENDED("5", "network", "80000")
#define TWELVE \
    FIVE "," ENDED("6", "copy", "1500000") "," ENDED("7", "stop", "30000") "," \
    ENDED("8", "confirm", "20000") "," ENDED("9", "release", "5000")

START_TEST(line_by_line) {
    ck_assert_int_eq(CLI_CALL("migrate a --to h2 --watch", GIVE_CREDENTIAL,
        { "GET /v1/slivers?slice=demo:ring", 200, SLIVERS, NULL },
        { "POST /v1/slivers/" SLIVER_ID "/migrations", 202, OPERATION("pending", ""), "{\"target\":\"h2\"}" },
        LOOK_O OPERATION("running", ""), NULL }, LOOK_M MIGRATION("running", ENDED("1", "decide", "300")), NULL },
        LOOK_O OPERATION("running", ""), NULL }, LOOK_M MIGRATION("running", FIVE "," BEGUN("6", "copy")), NULL },
        LOOK_O OPERATION("done", ",\"result\":{\"blackout_ms\":42,\"held_frames\":7}"), NULL },
        LOOK_M MIGRATION("done", TWELVE), NULL }), 0);
    ck_assert_str_eq(cli_out, " 1/12 decide: ok, 300 us\n"
                              " 2/12 select: ok, 4.2 ms\n"
                              " 3/12 agree: ok, 900 us\n"
                              " 4/12 check: ok, 15.0 ms\n"
                              " 5/12 network: ok, 80.0 ms\n"
                              " 6/12 copy: ok, 1.50 s\n"
                              " 7/12 stop: ok, 30.0 ms\n"
                              " 8/12 confirm: ok, 20.0 ms; commit\n"
                              " 9/12 release: ok, 5.0 ms\n"
                              "a is on h2 now, total 8.50 s, blackout 42.0 ms, 7 frames held and delivered\n");
}
END_TEST

START_TEST(one_that_was_taken_back) {
    ck_assert_int_eq(CLI_CALL("migrate a --watch", GIVE_CREDENTIAL,
        { "GET /v1/slivers?slice=demo:ring", 200, SLIVERS, NULL },
        { "POST /v1/slivers/" SLIVER_ID "/migrations", 202, OPERATION("pending", ""), "{}" },
        LOOK_O OPERATION("failed", ",\"error\":{\"code\":\"unavailable\",\"message\":\"step 6: node h2 went away\",\"remedy\":\"look at h2\"}"), NULL },
        LOOK_M MIGRATION("aborted", FIVE "," FAILED("6", "copy") "," UNDONE("6") "," UNDONE("5")), NULL }), 1);
    const char *tail = strstr(cli_out, " 6/12");
    ck_assert_ptr_nonnull(tail);
    ck_assert_str_eq(tail, " 6/12 copy: failed after 1.23 s\n"
                           "a: taking it back, from step 6\n"
                           "a: the migration did not take place; the sliver is where it was\n");
    ck_assert_str_eq(cli_notes, "jogak: step 6: node h2 went away\n  hint: look at h2\n");
}
END_TEST

START_TEST(a_failed_step_that_was_done_after_all) {
    ck_assert_int_eq(CLI_CALL("migrate a --watch", GIVE_CREDENTIAL,
        { "GET /v1/slivers?slice=demo:ring", 200, SLIVERS, NULL },
        { "POST /v1/slivers/" SLIVER_ID "/migrations", 202, OPERATION("pending", ""), "{}" },
        LOOK_O OPERATION("running", ""), NULL }, LOOK_M MIGRATION("running", FAILED("8", "confirm")), NULL },
        LOOK_O OPERATION("done", ""), NULL },
        LOOK_M MIGRATION("done", ENDED("8", "confirm", "1400") "," ENDED("9", "release", "700")), NULL }), 0);
    ck_assert_str_eq(cli_out, " 8/12 confirm: failed after 1.23 s\n"
                              " 8/12 confirm: ok, 1.4 ms; commit\n"
                              " 9/12 release: ok, 700 us\n"
                              "a is on h2 now, total 1.50 s\n");
}
END_TEST

START_TEST(without_watching) {
    ck_assert_int_eq(CLI_CALL("migration start a --to h2", GIVE_CREDENTIAL,
        { "GET /v1/slivers?slice=demo:ring", 200, SLIVERS, NULL },
        { "POST /v1/slivers/" SLIVER_ID "/migrations", 202, OPERATION("pending", ""), NULL }), 0);
    ck_assert_str_eq(cli_out, "migration " ID " of a has begun; to follow it: jogak migration watch 33333333\n");
    ck_assert_int_eq(CLI_CALL("migration cancel 3333",
        { "GET /v1/migrations?slice=demo:ring&limit=200", 200, "{\"items\":[" MIGRATION("running", "") "]}", NULL },
        { "POST /v1/operations/" ID "/cancel", 202, OPERATION("cancelling", ""), NULL }), 0);
    ck_assert_str_eq(cli_out, "migration " ID " was asked to stop; the sliver stays where it was\n");
}
END_TEST

/* One picture of a state, on a terminal of so many columns. */
static char *picture(const char *migration_text, const char *operation_text, int width, bool twice) {
    char *text = NULL;
    size_t length;
    struct cli cli = { .out = open_memstream(&text, &length), .out_tty = true, .width = width };
    struct migration_view v;
    json *migration AUTO_JSON = json_parse(migration_text, strlen(migration_text), NULL);
    json *operation AUTO_JSON = json_parse(operation_text, strlen(operation_text), NULL);
    ck_assert_ptr_nonnull(migration);
    ck_assert_ptr_nonnull(operation);
    migration_view_init(&v, &cli, "a");
    migration_view_show(&v, migration, operation);
    if (twice) migration_view_show(&v, migration, operation);
    fclose(cli.out);
    return text;
}

#define COPYING \
    OPERATION("running", ",\"progress\":{\"doing\":\"copying\",\"bytes_done\":41943040,\"bytes_total\":167772160,\"rate_mbps\":840.2}")

START_TEST(a_picture) {
    char *text AUTO_FREE =
        picture(MIGRATION("running", FIVE "," BEGUN("6", "copy image, disk and memory")), COPYING, 120, false);
    ck_assert_str_eq(text,
        "a: h1 -> h2  (running)\033[K\n"
        " +  1  decide                                   300 us\033[K\n"
        " +  2  select                                   4.2 ms\033[K\n"
        " +  3  agree                                    900 us\033[K\n"
        " +  4  check                                   15.0 ms\033[K\n"
        " +  5  network                                 80.0 ms\033[K\n"
        " -  6  copy image, disk and memory                      [=====>                ] 40.0 MiB of 160 MiB, 840 Mbit/s\033[K\n"
        " .  7  stop the old sliver                            \033[K\n"
        " .  8  confirm completion                             \033[K\n"
        "   -- commit --\033[K\n"
        " .  9  release the delivery network                   \033[K\n"
        " . 10  activate the new sliver                        \033[K\n"
        " . 11  activate its link virtualization               \033[K\n"
        " . 12  readjust the OpenFlow forwarding               \033[K\n");
}
END_TEST

START_TEST(it_is_drawn_over_itself) {
    char *text AUTO_FREE = picture(MIGRATION("running", FIVE), COPYING, 40, true);
    ck_assert_ptr_nonnull(strstr(text, "\033[14A\r"));
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *end = strstr(line, "\033[K");
        if (!end) continue;
        *end = '\0';
        const char *shown = strncmp(line, "\033[14A\r", 6) ? line : line + 6;
        ck_assert_msg(strlen(shown) <= 40, "\"%s\" is too wide", shown);
    }
}
END_TEST

static void add(TCase *t) {
    tcase_add_test(t, line_by_line);
    tcase_add_test(t, one_that_was_taken_back);
    tcase_add_test(t, a_failed_step_that_was_done_after_all);
    tcase_add_test(t, without_watching);
    tcase_add_test(t, a_picture);
    tcase_add_test(t, it_is_drawn_over_itself);
}

int main(void) { return cli_suite("cli.watch", add); }
