/*
 * The CLI without a network: a script says which calls are expected and what is answered; what the
 * program prints is compared with golden texts.
 */
#ifndef JOGAK_TESTS_CLI_FIXTURE_H
#define JOGAK_TESTS_CLI_FIXTURE_H

#include "cli/command.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/service.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <strings.h>

#define CLI_SLICE "demo:ring"
#define CLI_URN "urn:publicid:IDN+example.org+"
#define CLI_AGGREGATE "https://127.0.0.1:8402"
#define CLI_HOUSE "https://127.0.0.1:8401"
#define CLI_STORE "https://127.0.0.1:8403"

/* One expected call: "GET /v1/nodes", answered with a status and a JSON body; with `sent`, the
 * body that must have been sent. */
struct cli_step {
    const char *call;
    unsigned status;
    const char *answer;
    const char *sent;
};

static char cli_dir[64];
static const struct cli_step *cli_script;
static size_t cli_at, cli_count;
static char *cli_out, *cli_notes;
static bool cli_notes_tty, cli_out_tty, cli_utf8;
static int cli_width = 80;
static const char *cli_typed = "";
static char cli_credential[8192]; /* of the last call */

/* 2026-11-23T10:00:00Z; every sleep moves it. */
static int64_t cli_now_ms = 1795428000000;
static int64_t cli_monotonic_us(void *ctx) { return (void)ctx, cli_now_ms * 1000; }
static int64_t cli_boottime_ms(void *ctx) { return (void)ctx, cli_now_ms; }
static int64_t cli_wall_ms(void *ctx) { return (void)ctx, cli_now_ms; }
static void cli_sleep_ms(void *ctx, int64_t ms) { (void)ctx, cli_now_ms += ms; }
static const struct clock_door cli_clock = { NULL, cli_monotonic_us, cli_boottime_ms, cli_wall_ms,
                                             cli_sleep_ms };

static int cli_refuse(const struct http_call *call, const struct cli_step *step, struct err *err) {
    json *problem AUTO_JSON =
        step->answer ? json_parse(step->answer, strlen(step->answer), NULL) : NULL;
    const char *remedy = json_get_str(problem, "remedy");
    if (step->status == 0) {
        err_set(err, ERR_UNAVAILABLE, "%s cannot be reached: Connection refused", call->peer_urn);
        return err_remedy(err, "check that the service runs and that the address is right");
    }
    err_set(err, err_from_name(json_get_str(problem, "code")), "%s: %s", call->peer_urn,
            json_get_str(problem, "detail"));
    return remedy ? err_remedy(err, "%s", remedy) : -1;
}

static int cli_answer(void *ctx, const struct http_call *call, struct http_answer *ret,
                      struct err *err) {
    (void)ctx;
    const char *path = strstr(strstr(call->url, "://") + 3, "/");
    char *is AUTO_FREE = xasprintf("%s %s", call->method, path);
    cli_credential[0] = '\0';
    for (const char *const *h = call->headers; h && *h; h++)
        if (strncmp(*h, "Jogak-Credential: ", 18) == 0)
            snprintf(cli_credential, sizeof cli_credential, "%s", *h + 18);
    ck_assert_msg(cli_at < cli_count, "unexpected call %s", is);
    const struct cli_step *step = &cli_script[cli_at++];
    ck_assert_str_eq(is, step->call);
    ck_assert_ptr_nonnull(call->peer_urn);
    if (step->sent) {
        char *sent AUTO_FREE = json_text(call->body);
        ck_assert_str_eq(sent, step->sent);
    }
    ret->status = step->status;
    if (step->status / 100 != 2) return cli_refuse(call, step, err);
    if (call->on_data) call->on_data(call->on_data_ctx, step->answer, strlen(step->answer));
    else if (step->answer) ret->body = json_parse(step->answer, strlen(step->answer), err);
    ck_assert_msg(call->on_data || !step->answer || ret->body, "%s", err ? err->msg : "");
    return 0;
}

static void cli_fill(struct session *s) {
    s->open = true;
    s->transport.call = cli_answer;
    s->dir = xstrdup(cli_dir);
    snprintf(s->urn, sizeof s->urn, CLI_URN "user+kim");
    snprintf(s->authority, sizeof s->authority, "example.org");
    s->expires_ms = cli_now_ms + 30 * 86400000LL;
    session_set(&s->config.clearinghouse, CLI_HOUSE);
    session_set(&s->config.aggregate, CLI_AGGREGATE);
    session_set(&s->config.aggregate_urn, CLI_URN "am+one");
    session_set(&s->config.store, CLI_STORE);
    session_set(&s->config.store_urn, CLI_URN "ss+one");
    session_set(&s->config.project, "demo");
    session_set(&s->config.slice, CLI_SLICE);
}

/* Runs "node list -o json" (words separated by single blanks) and returns the exit status; what it
 * printed is in cli_out and cli_notes. */
static int __attribute__((unused)) cli_call_steps(const char *line, const struct cli_step *steps,
                                                  size_t count) {
    char *words AUTO_FREE = xstrdup(line), *argv[32] = { (char[]){ "jogak" } };
    int argc = 1;
    size_t out_length, notes_length;
    for (char *rest = words, *word; (word = strsep(&rest, " "));)
        if (*word) argv[argc++] = word;
    cli_script = steps;
    cli_at = 0;
    cli_count = count;
    free(cli_out);
    free(cli_notes);
    struct cli cli = {
        .out = open_memstream(&cli_out, &out_length),
        .notes = open_memstream(&cli_notes, &notes_length),
        .in = fmemopen((void *)(uintptr_t)cli_typed, strlen(cli_typed) + 1, "r"),
        .in_tty = cli_notes_tty, .notes_tty = cli_notes_tty, .out_tty = cli_out_tty,
        .utf8 = cli_utf8, .width = cli_width,
    };
    cli_fill(&cli.session);
    int status = cli_run(&cli, argc, argv);
    cli_done(&cli);
    fclose(cli.out);
    fclose(cli.notes);
    fclose(cli.in);
    ck_assert_msg(cli_at == cli_count, "%s: only %zu of %zu calls were made; %s", line, cli_at,
                  cli_count, cli_notes);
    return status;
}
#define CLI_CALL(line, ...) \
    ({ \
        const struct cli_step steps_[] = { __VA_ARGS__ }; \
        cli_call_steps(line, steps_, COUNT_OF(steps_)); \
    })
#define CLI_QUIET(line) cli_call_steps(line, NULL, 0)

/* The answer to a request for a credential, good for a day. */
#define CREDENTIAL_ANSWER(target) \
    "{\"credential\":\"cred-" target "\",\"owner\":\"" CLI_URN "user+kim\",\"target\":\"x\"," \
    "\"role\":\"lead\",\"expires\":\"2026-11-24T10:00:00.000Z\"}"
#define GIVE_CREDENTIAL \
    { "GET /v1/slices/" CLI_SLICE "/credential", 200, CREDENTIAL_ANSWER("slice"), NULL }
#define GIVE_OPERATOR { "GET /v1/credential", 200, CREDENTIAL_ANSWER("operator"), NULL }

static int cli_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void __attribute__((unused)) cli_setup(void) {
    snprintf(cli_dir, sizeof cli_dir, "/tmp/jogak-test-cli-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(cli_dir));
    clock_steer(&cli_clock);
    cli_now_ms = 1795428000000;
    cli_notes_tty = cli_out_tty = cli_utf8 = false;
    cli_width = 80;
    cli_typed = "";
    unsetenv("JOGAK_SLICE");
}

static void __attribute__((unused)) cli_teardown(void) {
    clock_steer(NULL);
    nftw(cli_dir, cli_remove, 8, FTW_DEPTH | FTW_PHYS);
    free(cli_out);
    free(cli_notes);
    cli_out = cli_notes = NULL;
}

static int __attribute__((unused)) cli_suite(const char *name, void (*add)(TCase *)) {
    Suite *s = suite_create(name);
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, cli_setup, cli_teardown);
    add(t);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}

#endif
