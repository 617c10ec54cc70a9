#include "operation.h"

#include "common/clock.h"
#include "common/ids.h"
#include "format.h"
#include "input.h"
#include "progress.h"

#define LOOK_MS 200
#define AWAY_MS 60000 /* an aggregate that restarts is back by then */

bool operation_ended(const json *operation) {
    const char *state = json_get_str(operation, "state");
    return state && (!strcmp(state, "done") || !strcmp(state, "failed") ||
                     !strcmp(state, "cancelled"));
}

int operation_outcome(const json *operation, struct err *err) {
    const char *state = json_get_str(operation, "state");
    const json *e = json_get(operation, "error");
    const char *message = json_get_str(e, "message"), *remedy = json_get_str(e, "remedy");
    const char *code = json_get_str(e, "code");
    if (state && strcmp(state, "done") == 0) return 0;
    if (state && strcmp(state, "cancelled") == 0)
        err_set(err, ERR_CANCELLED, "%s", message ? message : "it was cancelled");
    else
        err_set(err, code ? err_from_name(code) : ERR_INTERNAL, "%s",
                message ? message : "it failed, and its operation does not say why");
    if (remedy) err_remedy(err, "%s", remedy);
    return -1;
}

json *operation_look(struct cli *cli, const char *as, struct err *err, const char *path, ...) {
    va_list ap;
    va_start(ap, path);
    char *full AUTO_FREE = xvasprintf(path, ap);
    va_end(ap);
    int64_t begun = clock_monotonic_ms();
    for (bool told = false;; told = true) {
        struct err one = ERR_INIT;
        json *answer =
            session_json(&cli->session, SESSION_AGGREGATE, as, "GET", NULL, &one, "%s", full);
        if (answer) return answer;
        bool away = one.code == ERR_UNAVAILABLE || one.code == ERR_TIMEOUT;
        if (!away || clock_monotonic_ms() - begun > AWAY_MS) {
            if (err) *err = one;
            return NULL;
        }
        if (!told) fprintf(cli->notes, "%sthe aggregate does not answer; waiting for it\n",
                           cli->notes_tty ? "\r\033[K" : "");
        clock_sleep_ms(5 * LOOK_MS);
    }
}

/* "creating a (1/2)", "fetching the image to h1: 3.0 MiB of 20.0 MiB" */
static void describe(const json *operation, char *buf, size_t size) {
    const json *p = json_get(operation, "progress");
    const char *doing = json_get_str(p, "doing"), *sliver = json_get_str(p, "sliver");
    const char *node = json_get_str(p, "node"), *state = json_get_str(operation, "state");
    const char *kind = json_get_str(operation, "kind");
    int64_t bytes = json_get_int(p, "bytes_total", 0), total = json_get_int(p, "total", 0);
    struct buf b AUTO_BUF = BUF_INIT;
    buf_printf(&b, "%s", doing ? doing : kind ? kind : "operation");
    if (!doing) buf_printf(&b, ": %s", state ? state : "pending");
    if (sliver && *sliver && !uuid_valid(sliver)) buf_printf(&b, " %s", sliver);
    if (node && *node) buf_printf(&b, " to %s", node);
    char done_text[32], all_text[32];
    if (bytes > 0)
        buf_printf(&b, ": %s of %s",
                   format_size(json_get_int(p, "bytes_done", 0), done_text, sizeof done_text),
                   format_size(bytes, all_text, sizeof all_text));
    if (total > 0)
        buf_printf(&b, " (%lld/%lld)", (long long)json_get_int(p, "done", 0), (long long)total);
    snprintf(buf, size, "%s", b.data);
}

int operation_wait(struct cli *cli, const char *as, const char *id, json **ret, struct err *err) {
    struct progress p;
    progress_init(&p, cli);
    for (;;) {
        json *now AUTO_JSON = operation_look(cli, as, err, "/v1/operations/%s", id);
        if (!now) {
            progress_clear(&p);
            return err_wrap(err, "operation %s", id);
        }
        if (operation_ended(now)) {
            progress_clear(&p);
            int rc = operation_outcome(now, err);
            if (ret) *ret = STEAL(now);
            return rc;
        }
        char text[240];
        describe(now, text, sizeof text);
        progress_show(&p, text);
        clock_sleep_ms(LOOK_MS);
    }
}

int operation_follow(struct cli *cli, const char *as, const json *accepted, const char *done,
                     struct err *err) {
    const char *id = json_get_str(accepted, "id");
    if (!id) return err_set(err, ERR_INTERNAL, "the aggregate answered without an operation");
    if (cli_flag(cli, "no-wait")) {
        output_said(&cli->output, accepted, "operation %s has begun", id);
        return 0;
    }
    json *ended AUTO_JSON = NULL;
    if (operation_wait(cli, as, id, &ended, err)) return -1;
    output_said(&cli->output, ended, "%s", done);
    return 0;
}

/* --- commands --- */

static const struct column columns[] = {
    { "ID", "id", format_id },           { "KIND", "kind", NULL },
    { "STATE", "state", NULL },          { "BY", "owner", format_urn },
    { "CREATED", "created", format_time }, { "ERROR", "error.message", NULL }, COLUMN_END,
};
static const struct column lines[] = {
    { "id", "id", NULL },         { "kind", "kind", NULL },     { "state", "state", NULL },
    { "owner", "owner", NULL },   { "sliver", "sliver", NULL }, { "node", "node", NULL },
    { "created", "created", format_time }, { "updated", "updated", format_time },
    { "progress", "progress", NULL }, { "result", "result", NULL },
    { "error", "error.message", NULL }, { "hint", "error.remedy", NULL },
    { "request", "request_id", NULL }, COLUMN_END,
};

/* With --all an operator looks at the whole aggregate. */
static const char *credential_of(struct cli *cli, struct err *err) {
    if (cli_flag(cli, "all")) return cli_session(cli, err) ? SESSION_AS_OPERATOR : NULL;
    return cli_slice(cli, err);
}

static json *fetch(struct cli *cli, const char *as, struct err *err) {
    const char *filter = cli_flag(cli, "open") ? "&open=true" : "";
    if (cli_flag(cli, "all"))
        return session_list(&cli->session, SESSION_AGGREGATE, as, err, "/v1/operations?limit=500%s",
                            filter);
    return session_list(&cli->session, SESSION_AGGREGATE, as, err,
                        "/v1/operations?slice=%s&limit=500%s", as, filter);
}

static int list(struct cli *cli, struct err *err) {
    const char *as = credential_of(cli, err);
    json *items AUTO_JSON = as ? fetch(cli, as, err) : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

/* The operation that the first argument means. */
static const char *meant(struct cli *cli, char id[37], struct err *err) {
    const char *as = credential_of(cli, err), *text = cli_arg(cli, 0);
    if (!as) return NULL;
    if (uuid_valid(text)) {
        snprintf(id, 37, "%s", text);
        return as;
    }
    json *items AUTO_JSON = fetch(cli, as, err);
    return items && input_id(text, items, "operation", id, err) == 0 ? as : NULL;
}

static int show(struct cli *cli, struct err *err) {
    char id[37];
    const char *as = meant(cli, id, err);
    json *one AUTO_JSON = as ? session_json(&cli->session, SESSION_AGGREGATE, as, "GET", NULL, err,
                                            "/v1/operations/%s", id)
                             : NULL;
    if (!one) return -1;
    output_object(&cli->output, one, lines);
    return 0;
}

static int wait_for(struct cli *cli, struct err *err) {
    char id[37];
    json *ended AUTO_JSON = NULL;
    const char *as = meant(cli, id, err);
    if (!as || operation_wait(cli, as, id, &ended, err)) return -1;
    output_said(&cli->output, ended, "operation %s is done", id);
    return 0;
}

static int cancel(struct cli *cli, struct err *err) {
    char id[37];
    const char *as = meant(cli, id, err);
    json *answer AUTO_JSON = as ? session_json(&cli->session, SESSION_AGGREGATE, as, "POST", NULL,
                                               err, "/v1/operations/%s/cancel", id)
                                : NULL;
    if (!answer) return -1;
    output_said(&cli->output, answer, "operation %s was asked to stop", id);
    return 0;
}

#define OPTION_ALL { "all", 'a', NULL, "Of the whole aggregate (operators)" }
static const struct option_row list_options[] = {
    OPTION_SLICE, OPTION_ALL, { "open", 0, NULL, "Only those that have not ended" }, OPTION_END,
};
static const struct option_row one_options[] = { OPTION_SLICE, OPTION_ALL, OPTION_END };

static const struct command rows[] = {
    { "list", NULL, "List operations, the newest first", list, list_options, NULL },
    { "show", "OPERATION", "Show one, with its progress, result or error", show, one_options, NULL },
    { "wait", "OPERATION", "Wait until it has ended", wait_for, one_options, NULL },
    { "cancel", "OPERATION", "Ask it to stop", cancel, one_options, NULL },
    { 0 },
};
const struct command_group operation_group = { "operation", "What the aggregate does in the background",
                                               rows };
