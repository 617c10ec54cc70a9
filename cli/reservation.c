#include "nouns.h"

#include "common/clock.h"
#include "common/ids.h"
#include "format.h"
#include "input.h"
#include "operation.h"

static char *sliver_names(const json *slivers) {
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < json_length(slivers); i++) {
        const char *name = json_get_str(json_at(slivers, i), "name");
        buf_printf(&b, "%s%s", i ? ", " : "", name ? name : "?");
    }
    return b.length ? buf_steal(&b) : xstrdup("-");
}

static const struct column columns[] = {
    { "ID", "id", format_id }, { "STATE", "state", NULL }, { "BY", "owner", format_urn },
    { "EXPIRES", "expires", format_until }, { "SLIVERS", "slivers", sliver_names }, COLUMN_END,
};
static const struct column lines[] = {
    { "id", "id", NULL }, { "slice", "slice", NULL }, { "state", "state", NULL },
    { "owner", "owner", NULL }, { "created", "created", format_time },
    { "expires", "expires", format_until }, { "slivers", "slivers", sliver_names }, COLUMN_END,
};

static json *fetch(struct cli *cli, const char *slice, struct err *err) {
    return session_list(&cli->session, SESSION_AGGREGATE, slice, err, "/v1/reservations?slice=%s",
                        slice);
}

static int list(struct cli *cli, struct err *err) {
    const char *slice = cli_slice(cli, err);
    json *items AUTO_JSON = slice ? fetch(cli, slice, err) : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

/* One call about the reservation that the first argument means. */
static json *call(struct cli *cli, const char *method, json *body, const char *what,
                  const char **ret_slice, struct err *err) {
    json *owned AUTO_JSON = body;
    char id[37];
    const char *slice = cli_slice(cli, err);
    json *items AUTO_JSON = slice ? fetch(cli, slice, err) : NULL;
    if (!items || input_id(cli_arg(cli, 0), items, "reservation", id, err)) return NULL;
    *ret_slice = slice;
    return session_json(&cli->session, SESSION_AGGREGATE, slice, method, STEAL(owned), err,
                        "/v1/reservations/%s%s", id, what);
}

static int show(struct cli *cli, struct err *err) {
    const char *slice;
    json *one AUTO_JSON = call(cli, "GET", NULL, "", &slice, err);
    if (!one) return -1;
    output_object(&cli->output, one, lines);
    return 0;
}

static int renew(struct cli *cli, struct err *err) {
    char when[CLOCK_TEXT_BYTES];
    const char *slice, *expires = cli_option(cli, "expires");
    if (expires && !(expires = input_time(expires, when, err))) return -1;
    json *body = json_object();
    if (expires) json_set_str(body, "expires", expires);
    json *one AUTO_JSON = call(cli, "POST", body, "/renew", &slice, err);
    if (!one) return -1;
    char *until AUTO_FREE = format_until(json_get(one, "expires"));
    output_said(&cli->output, one, "the slivers stay until %s", until);
    return 0;
}

static int release(struct cli *cli, struct err *err) {
    const char *slice;
    if (cli_confirm(cli, err, "release reservation %s, with its slivers and their disks?",
                    cli_arg(cli, 0)))
        return -1;
    json *accepted AUTO_JSON = call(cli, "DELETE", NULL, "", &slice, err);
    if (!accepted) return -1;
    static const char done[] = "the reservation is released";
    if (json_has(accepted, "id")) return operation_follow(cli, slice, accepted, done, err);
    output_said(&cli->output, NULL, "%s", done); /* a mere hold: nothing was to be removed */
    return 0;
}

static const struct option_row one_options[] = { OPTION_SLICE, OPTION_END };
static const struct option_row renew_options[] = {
    OPTION_SLICE,
    { "expires", 'e', "TIME", "Until when: 12h, 7d, 2026-12-24 (default: the slice's end)" },
    OPTION_END,
};
static const struct option_row release_options[] = {
    OPTION_SLICE, OPTION_YES, OPTION_NO_WAIT, OPTION_END,
};

static const struct command rows[] = {
    { "list", NULL, "List the reservations of a slice", list, one_options, NULL },
    { "show", "RESERVATION", "Show a reservation", show, one_options, NULL },
    { "renew", "RESERVATION", "Keep its slivers longer", renew, renew_options, NULL },
    { "release", "RESERVATION", "Give it back, with its slivers", release, release_options, NULL },
    { 0 },
};
const struct command_group reservation_group = { "reservation",
                                                 "What was promised to a slice, and until when",
                                                 rows };
