#include "nouns.h"

#include "common/clock.h"
#include "common/ids.h"
#include "format.h"
#include "input.h"
#include "migration_view.h"
#include "operation.h"
#include "sliver.h"

#define LOOK_MS 200

static char *step_of(const json *migration) {
    return xasprintf("%lld of %d", (long long)json_get_int(migration, "step", 0), MIGRATION_STEPS);
}

static char *steps_text(const json *steps) {
    struct buf b = BUF_INIT;
    char time[32];
    for (size_t i = 0; i < json_length(steps); i++) {
        const json *row = json_at(steps, i);
        const char *title = json_get_str(row, "title"), *direction = json_get_str(row, "direction");
        const char *outcome = json_get_str(row, "outcome");
        const char *why = json_get_str(json_get(row, "detail"), "error");
        char *what AUTO_FREE =
            xasprintf("%s%s", direction && !strcmp(direction, "undo") ? "undo: " : "",
                      title ? title : "?");
        buf_printf(&b, "%s%2lld  %-38s %s", i ? "\n" : "", (long long)json_get_int(row, "step", 0),
                   what, outcome ? outcome : "under way");
        if (outcome)
            buf_printf(&b, ", %s",
                       format_duration_us(json_get_int(row, "took_us", 0), time, sizeof time));
        if (why) buf_printf(&b, ": %s", why);
    }
    return b.length ? buf_steal(&b) : xstrdup("-");
}

static char *attempts_text(const json *attempts) {
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < json_length(attempts); i++) {
        const json *one = json_at(attempts, i);
        const char *how = json_get_str(one, "delivery"), *to = json_get_str(one, "target");
        const char *why = json_get_str(json_get(one, "cause"), "message");
        buf_printf(&b, "%s%lld: %s to %s, given up in step %lld: %s", i ? "\n" : "",
                   (long long)json_get_int(one, "attempt", 0), how ? how : "?", to ? to : "?",
                   (long long)json_get_int(one, "step", 0), why ? why : "?");
    }
    return b.length ? buf_steal(&b) : xstrdup("-");
}

static const struct column columns[] = {
    { "ID", "id", format_id },     { "SLIVER", "name", NULL },   { "FROM", "source", NULL },
    { "TO", "target", NULL },      { "STATE", "state", NULL },   { "STEP", "", step_of },
    { "TRIGGER", "trigger", NULL }, { "DELIVERY", "delivery", NULL }, COLUMN_END,
};
static const struct column lines[] = {
    { "id", "id", NULL },           { "sliver", "sliver", NULL },     { "from", "source", NULL },
    { "to", "target", NULL },       { "state", "state", NULL },       { "committed", "committed", NULL },
    { "trigger", "trigger", NULL }, { "policy", "policy", NULL },     { "delivery", "delivery", NULL },
    { "attempt", "attempt", NULL }, { "before", "attempts", attempts_text }, { "epoch", "epoch", NULL },       { "steps", "steps", steps_text },
    COLUMN_END,
};

static json *get(struct cli *cli, const char *slice, const char *id, struct err *err) {
    return operation_look(cli, slice, err, "/v1/migrations/%s", id);
}

/* --- watching --- */

/* Looks five times a second: the steps stand in the migration, the copy's progress in its
 * operation. Asking again, unlike a stream of events, needs nothing to be caught up after either
 * side was away. */
static int watch(struct cli *cli, const char *slice, const char *id, const char *name,
                 struct err *err) {
    struct migration_view v;
    migration_view_init(&v, cli, name);
    for (;;) {
        json *operation AUTO_JSON = operation_look(cli, slice, err, "/v1/operations/%s", id);
        json *migration AUTO_JSON = operation ? get(cli, slice, id, err) : NULL;
        if (!migration) return -1;
        if (operation_ended(operation)) {
            migration_view_end(&v, migration, operation);
            return operation_outcome(operation, err);
        }
        migration_view_show(&v, migration, operation);
        clock_sleep_ms(LOOK_MS);
    }
}

static int report(struct cli *cli, const char *slice, const char *id, const char *name,
                  struct err *err) {
    json *migration AUTO_JSON = get(cli, slice, id, err);
    if (!migration) return -1;
    output_said(&cli->output, migration, "%s is on %s now", name, json_get_str(migration, "target"));
    return 0;
}

static int follow(struct cli *cli, const char *slice, const char *id, const char *name,
                  struct err *err) {
    if (cli_flag(cli, "watch") && !output_is_json(&cli->output))
        return watch(cli, slice, id, name, err);
    if (operation_wait(cli, slice, id, NULL, err)) return -1;
    return report(cli, slice, id, name, err);
}

static int start(struct cli *cli, struct err *err) {
    const char *slice, *target = cli_option(cli, "to");
    json *sliver AUTO_JSON = sliver_named(cli, cli_arg(cli, 0), &slice, err);
    if (!sliver) return -1;
    json *body = json_object();
    if (target) json_set_str(body, "target", target);
    if (cli_option(cli, "delivery")) json_set_str(body, "delivery", cli_option(cli, "delivery"));
    json *accepted AUTO_JSON =
        session_json(&cli->session, SESSION_AGGREGATE, slice, "POST", body, err,
                     "/v1/slivers/%s/migrations", json_get_str(sliver, "id"));
    const char *id = json_get_str(accepted, "id"), *name = json_get_str(sliver, "name");
    if (!accepted) return -1;
    if (!id) return err_set(err, ERR_INTERNAL, "the aggregate answered without an operation");
    if (cli_flag(cli, "watch") || cli_flag(cli, "wait")) return follow(cli, slice, id, name, err);
    output_said(&cli->output, accepted, "migration %s of %s has begun; to follow it: jogak migration "
                                        "watch %.8s", id, name, id);
    return 0;
}

/* --- looking --- */

static json *fetch(struct cli *cli, const char *slice, struct err *err) {
    return session_list(&cli->session, SESSION_AGGREGATE, slice, err,
                        "/v1/migrations?slice=%s&limit=200", slice);
}

/* People know slivers by name; the aggregate's rows have ids. */
static int add_names(struct cli *cli, const char *slice, json *items, struct err *err) {
    json *slivers AUTO_JSON = sliver_list(cli, slice, err);
    if (!slivers) return -1;
    for (size_t i = 0; i < json_length(items); i++) {
        const char *id = json_get_str(json_at(items, i), "sliver"), *name = NULL;
        for (size_t k = 0; id && k < json_length(slivers); k++) {
            const char *other = json_get_str(json_at(slivers, k), "id");
            if (other && strcmp(id, other) == 0) name = json_get_str(json_at(slivers, k), "name");
        }
        json_set_str(json_at(items, i), "name", name ? name : id);
    }
    return 0;
}

static int list(struct cli *cli, struct err *err) {
    const char *slice = cli_slice(cli, err);
    json *items AUTO_JSON = slice ? fetch(cli, slice, err) : NULL;
    if (!items || add_names(cli, slice, items, err)) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

/* The migration that the first argument means. */
static const char *meant(struct cli *cli, char id[37], struct err *err) {
    const char *slice = cli_slice(cli, err), *text = cli_arg(cli, 0);
    if (!slice) return NULL;
    if (uuid_valid(text)) {
        snprintf(id, 37, "%s", text);
        return slice;
    }
    json *items AUTO_JSON = fetch(cli, slice, err);
    return items && input_id(text, items, "migration", id, err) == 0 ? slice : NULL;
}

static int show(struct cli *cli, struct err *err) {
    char id[37];
    const char *slice = meant(cli, id, err);
    json *migration AUTO_JSON = slice ? get(cli, slice, id, err) : NULL;
    if (!migration) return -1;
    output_object(&cli->output, migration, lines);
    return 0;
}

static int watch_one(struct cli *cli, struct err *err) {
    char id[37];
    const char *slice = meant(cli, id, err);
    json *migration AUTO_JSON = slice ? get(cli, slice, id, err) : NULL;
    json *items AUTO_JSON = json_array();
    if (!migration) return -1;
    json_add(items, json_ref(migration));
    if (add_names(cli, slice, items, err)) return -1;
    return watch(cli, slice, id, json_get_str(migration, "name"), err);
}

static int cancel(struct cli *cli, struct err *err) {
    char id[37];
    const char *slice = meant(cli, id, err);
    json *answer AUTO_JSON = slice ? session_json(&cli->session, SESSION_AGGREGATE, slice, "POST",
                                                  NULL, err, "/v1/operations/%s/cancel", id)
                                   : NULL;
    if (!answer) return -1;
    output_said(&cli->output, answer, "migration %s was asked to stop; the sliver stays where it was",
                id);
    return 0;
}

static const struct option_row start_options[] = {
    OPTION_SLICE,
    { "to", 't', "NODE", "Where to; by default the system chooses" },
    { "delivery", 'd', "HOW",
      "direct, store (through the sliver store), fresh (anew from its image), or auto" },
    { "watch", 'w', NULL, "Show the twelve steps while they happen" },
    { "wait", 0, NULL, "Wait until it has ended, quietly" },
    OPTION_END,
};
static const struct option_row one_options[] = { OPTION_SLICE, OPTION_END };

static const struct command rows[] = {
    { "start", "SLIVER", "Move a sliver to another node while it runs", start, start_options, NULL },
    { "list", NULL, "List the migrations of a slice, the newest first", list, one_options, NULL },
    { "show", "MIGRATION", "Show a migration and its steps", show, one_options, NULL },
    { "watch", "MIGRATION", "Follow a migration that has begun", watch_one, one_options, NULL },
    { "cancel", "MIGRATION", "Take a migration back, before it is committed", cancel, one_options,
      NULL },
    { 0 },
};
const struct command_group migration_group = { "migration", "Moving slivers, and how it went", rows };

static const struct command migrate_rows[] = {
    { "", "SLIVER", "Move a sliver to another node while it runs", start, start_options,
      "The same as `jogak migration start`." },
    { 0 },
};
const struct command_group migrate_group = { "migrate", "Move a sliver to another node while it runs",
                                             migrate_rows };
