#include "nouns.h"

#include "common/clock.h"
#include "format.h"
#include "sse.h"

#define KEPT_MS 1500 /* within this time all that is kept has arrived */
#define RETRY_MS 1000

struct show {
    struct cli *cli;
};

/* "2026-11-22 10:00:00  sliver.state  name=a from=ready state=migrating" */
static void print_text(FILE *out, const char *kind, const json *event) {
    char *time AUTO_FREE = format_time(json_get(event, "time"));
    const json *data = json_get(event, "data");
    size_t it = 0;
    const char *key;
    json *value;
    fprintf(out, "%s  %-21s", time, kind);
    while (json_next(data, &it, &key, &value)) {
        char *text AUTO_FREE = format_plain(value);
        fputc(' ', out);
        output_text(out, key);
        fputc('=', out);
        output_text(out, text);
    }
    fputc('\n', out);
}

static void on_event(void *ctx, const char *kind, const char *data) {
    struct show *s = ctx;
    json *event AUTO_JSON = json_parse(data, strlen(data), NULL);
    if (!event) return;
    if (output_is_json(&s->cli->output)) { /* a value per line */
        char *text AUTO_FREE = json_text(event);
        fprintf(s->cli->out, "%s\n", text);
    } else {
        print_text(s->cli->out, *kind ? kind : "event", event);
    }
    fflush(s->cli->out);
}

static int on_data(void *ctx, const void *data, size_t length) {
    sse_feed(ctx, data, length);
    return 0;
}

static int stream(struct cli *cli, const char *as, struct sse *sse, int64_t timeout_ms,
                  struct err *err) {
    char last[96];
    const char *const headers[] = { last, NULL };
    snprintf(last, sizeof last, "Last-Event-ID: %s", sse->id);
    bool all = strcmp(as, SESSION_AS_OPERATOR) == 0;
    char *path AUTO_FREE = xasprintf("/v1/events%s%s", all ? "" : "?slice=", all ? "" : as);
    return session_stream(&cli->session, SESSION_AGGREGATE, as, path, sse->id[0] ? headers : NULL,
                          on_data, sse, timeout_ms, err);
}

/* A stream that breaks is taken up again where it ended. */
static int follow(struct cli *cli, const char *as, struct sse *sse, struct err *err) {
    for (;;) {
        struct err one = ERR_INIT;
        int rc = stream(cli, as, sse, 0, &one);
        bool again = rc == 0 || one.code == ERR_TIMEOUT || one.code == ERR_UNAVAILABLE;
        if (!again || ferror(cli->out)) {
            if (err) *err = one;
            return -1;
        }
        sse_reset(sse);
        clock_sleep_ms(RETRY_MS);
    }
}

static int kept(struct cli *cli, const char *as, struct sse *sse, struct err *err) {
    struct err one = ERR_INIT;
    snprintf(sse->id, sizeof sse->id, "0");
    if (stream(cli, as, sse, KEPT_MS, &one) == 0 || one.code == ERR_TIMEOUT) return 0;
    if (err) *err = one;
    return -1;
}

static int events(struct cli *cli, struct err *err) {
    struct show show = { cli };
    struct sse sse CLEANUP(sse_done) = { .on_event = on_event, .ctx = &show };
    const char *as = !cli_flag(cli, "all")       ? cli_slice(cli, err)
                     : cli_session(cli, err)     ? SESSION_AS_OPERATOR
                                                 : NULL;
    if (!as) return -1;
    if (!cli_flag(cli, "follow")) return kept(cli, as, &sse, err);
    return follow(cli, as, &sse, err);
}

static const struct option_row options[] = {
    OPTION_SLICE,
    { "follow", 'f', NULL, "Go on, with what happens from now on" },
    { "all", 'a', NULL, "Of the whole aggregate (operators)" },
    OPTION_END,
};
static const struct command rows[] = {
    { "", NULL, "Show what happened to a slice", events, options,
      "With -o json each event is one line." },
    { 0 },
};
const struct command_group events_group = { "events", "Show what happens to a slice", rows };
