#include "moves.h"

#include <errno.h>

static int number(struct cli *cli, const char *option, long max, json *body, const char *field,
                  struct err *err) {
    const char *text = cli_option(cli, option);
    if (!text) return 0;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || *end || end == text || value < 1 || value > max)
        return cli_usage(cli, err, "--%s: a number from 1 to %ld", option, max);
    json_set_int(body, field, value);
    return 0;
}

json *moves_body(struct cli *cli, bool dry_run, struct err *err) {
    json *body AUTO_JSON = json_set_bool(json_object(), "dry_run", dry_run);
    if (number(cli, "parallel", 32, body, "parallel", err) ||
        number(cli, "timeout", 604800, body, "timeout_s", err))
        return NULL;
    return STEAL(body);
}

int moves_plan(struct cli *cli, const json *plan, const char *none) {
    static const struct column moves[] = {
        { "SLIVER", "sliver", NULL }, { "SLICE", "slice", NULL }, { "TO", "target", NULL },
        { "PROBLEM", "problem", NULL }, COLUMN_END,
    };
    const json *rows = json_get(plan, "moves");
    if (output_is_json(&cli->output)) output_said(&cli->output, plan, "%s", "");
    else if (!json_length(rows)) output_said(&cli->output, NULL, "%s", none);
    else output_list(&cli->output, rows, moves);
    if (!output_is_json(&cli->output) && json_has(plan, "possible") &&
        !json_get_bool(plan, "possible", true))
        fputs("not possible like this: nothing would be moved\n", cli->notes);
    return 0;
}
