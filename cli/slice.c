#include "nouns.h"

#include "common/clock.h"
#include "format.h"
#include "input.h"
#include "member.h"
#include "moves.h"
#include "operation.h"

static const struct column columns[] = {
    { "PROJECT", "project", NULL }, { "NAME", "name", NULL },  { "STATE", "state", NULL },
    { "EXPIRES", "expires", format_until }, { "MEMBERS", "members", format_member_names },
    { "DESCRIPTION", "description", NULL }, COLUMN_END,
};
static const struct column lines[] = {
    { "project", "project", NULL }, { "name", "name", NULL }, { "urn", "urn", NULL },
    { "uuid", "uuid", NULL }, { "state", "state", NULL }, { "description", "description", NULL },
    { "creator", "creator", format_urn }, { "created", "created", format_time },
    { "expires", "expires", format_until }, { "members", "members", format_members }, COLUMN_END,
};

/* The slice of the first argument, or else the usual one. */
static const char *named(struct cli *cli, struct err *err) {
    const char *name = cli_arg(cli, 0);
    if (!name) return cli_slice(cli, err);
    if (!cli_session(cli, err)) return NULL;
    if (session_slice_valid(name, err) == 0) return name;
    cli->usage_error = true;
    return NULL;
}

static int list(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    const char *project = cli_option(cli, "project");
    json *items AUTO_JSON =
        s ? session_list(s, SESSION_CLEARINGHOUSE, NULL, err, "/v1/slices%s%s%s%s",
                         project ? "?project=" : "", project ? project : "",
                         cli_flag(cli, "all") ? "" : project ? "&" : "?",
                         cli_flag(cli, "all") ? "" : "state=active")
          : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

static int show(struct cli *cli, struct err *err) {
    const char *name = named(cli, err);
    json *slice AUTO_JSON = name ? session_json(&cli->session, SESSION_CLEARINGHOUSE, NULL, "GET",
                                                NULL, err, "/v1/slices/%s", name)
                                 : NULL;
    if (!slice) return -1;
    output_object(&cli->output, slice, lines);
    return 0;
}

static int slice_move(struct cli *cli, struct err *err) {
    const char *name = named(cli, err), *to = cli_option(cli, "to"), *from = cli_option(cli, "away-from");
    if (!name) return -1;
    if (to && from) return cli_usage(cli, err, "--to or --away-from, not both");
    bool dry_run = cli_flag(cli, "dry-run");
    json *body = moves_body(cli, dry_run, err);
    if (!body) return -1;
    if (to) json_set_str(body, "to", to);
    if (from) json_set_str(body, "away_from", from);
    json *answer AUTO_JSON = session_json(&cli->session, SESSION_AGGREGATE, name, "POST", body, err,
                                          "/v1/slices/%s/migrate", name);
    if (!answer) return -1;
    char *text AUTO_FREE = xasprintf(dry_run ? "slice %s has no sliver to move"
                                             : "the slivers of slice %s are where they should be", name);
    if (dry_run) return moves_plan(cli, answer, text);
    if (cli_flag(cli, "wait")) return operation_follow(cli, name, answer, text, err);
    output_said(&cli->output, answer, "slice %s is being moved; to wait for it: jogak operation wait -s %s %s",
                name, name, json_get_str(answer, "id"));
    return 0;
}

/* "project:name", or a name alone, in the default project. */
static int split(struct cli *cli, const char *text, json *body, struct err *err) {
    const char *colon = strchr(text, ':');
    const char *project = cli->session.config.project;
    if (!colon && (!project || !*project))
        return cli_usage(cli, err, "which project? write project:%s", text);
    char *before AUTO_FREE = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(project);
    json_set_str(body, "project", before);
    json_set_str(body, "name", colon ? colon + 1 : text);
    return 0;
}

static int add(struct cli *cli, struct err *err) {
    char when[CLOCK_TEXT_BYTES];
    const char *expires = cli_option(cli, "expires");
    struct session *s = cli_session(cli, err);
    json *body AUTO_JSON = json_object();
    if (!s || split(cli, cli_arg(cli, 0), body, err)) return -1;
    if (expires && !(expires = input_time(expires, when, err))) return -1;
    if (expires) json_set_str(body, "expires", expires);
    if (cli_option(cli, "description"))
        json_set_str(body, "description", cli_option(cli, "description"));
    json *slice AUTO_JSON =
        session_json(s, SESSION_CLEARINGHOUSE, NULL, "POST", STEAL(body), err, "/v1/slices");
    if (!slice) return -1;
    char *until AUTO_FREE = format_until(json_get(slice, "expires"));
    output_said(&cli->output, slice, "slice %s:%s added, until %s", json_get_str(slice, "project"),
                json_get_str(slice, "name"), until);
    return 0;
}

static int renew(struct cli *cli, struct err *err) {
    char when[CLOCK_TEXT_BYTES];
    const char *expires = cli_option(cli, "expires");
    expires = input_time(expires ? expires : "7d", when, err);
    const char *name = expires ? named(cli, err) : NULL;
    json *slice AUTO_JSON =
        name ? session_json(&cli->session, SESSION_CLEARINGHOUSE, NULL, "POST",
                            json_set_str(json_object(), "expires", expires), err,
                            "/v1/slices/%s/renew", name)
             : NULL;
    if (!slice) return -1;
    /* The cached credential ends with the slice as it was: fetch one of the new length. */
    char *credential AUTO_FREE = session_credential(&cli->session, name, true, NULL, NULL);
    char *until AUTO_FREE = format_until(json_get(slice, "expires"));
    output_said(&cli->output, slice, "slice %s lives until %s", name, until);
    return 0;
}

static int shut_down(struct cli *cli, struct err *err) {
    const char *name = named(cli, err);
    if (!name || cli_confirm(cli, err, "shut down slice %s? It is kept for inspection, and cannot "
                                       "be used again.", name))
        return -1;
    json *slice AUTO_JSON = session_json(&cli->session, SESSION_CLEARINGHOUSE, NULL, "POST", NULL,
                                         err, "/v1/slices/%s/shutdown", name);
    if (!slice) return -1;
    session_forget_credential(&cli->session, name);
    output_said(&cli->output, slice, "slice %s is shut down", name);
    return 0;
}

static int use(struct cli *cli, struct err *err) {
    const char *name = named(cli, err);
    json *slice AUTO_JSON = name ? session_json(&cli->session, SESSION_CLEARINGHOUSE, NULL, "GET",
                                                NULL, err, "/v1/slices/%s", name)
                                 : NULL;
    if (!slice) return -1;
    session_set(&cli->session.config.slice, name);
    if (session_save(&cli->session, err)) return -1;
    output_said(&cli->output, NULL, "commands are about slice %s from now on", name);
    return 0;
}

static int member_add(struct cli *cli, struct err *err) {
    const char *name = named(cli, err);
    return name ? member_put(cli, "slices", name, cli_arg(cli, 1), cli_arg(cli, 2), err) : -1;
}

static int member_drop(struct cli *cli, struct err *err) {
    const char *name = named(cli, err);
    return name ? member_remove(cli, "slices", name, cli_arg(cli, 1), err) : -1;
}

/* For other clients: the credential as it goes into the header. */
static int credential(struct cli *cli, struct err *err) {
    json *facts AUTO_JSON = NULL;
    const char *name = named(cli, err);
    char *text AUTO_FREE = name ? session_credential(&cli->session, name, true, &facts, err) : NULL;
    if (!text) return -1;
    output_said(&cli->output, facts, "%s", text);
    return 0;
}

static const struct option_row list_options[] = {
    { "project", 'p', "PROJECT", "Only those of this project" },
    { "all", 'a', NULL, "Also those that have expired or are shut down" },
    OPTION_END,
};
static const struct option_row migrate_options[] = {
    { "to", 't', "NODE", "All of them to this node" },
    { "away-from", 0, "NODE", "Only those on this node, to others" },
    { "dry-run", 'n', NULL, "Only say what would move where" },
    { "wait", 'w', NULL, "Wait until all have moved" },
    OPTION_MOVES, OPTION_END,
};
static const struct option_row add_options[] = {
    { "expires", 'e', "TIME",
      "How long it lives: 12h, 7d, 2026-12-24 (default: what the clearing house sets)" },
    { "description", 'd', "TEXT", "What it is for" },
    OPTION_END,
};
static const struct option_row renew_options[] = {
    { "expires", 'e', "TIME", "Until when: 12h, 7d (default), 2026-12-24" },
    OPTION_END,
};
static const struct option_row shutdown_options[] = { OPTION_YES, OPTION_END };

static const struct command rows[] = {
    { "list", NULL, "List your slices (operators: all)", list, list_options, NULL },
    { "show", "[SLICE]", "Show a slice and its members", show, NULL, NULL },
    { "add", "SLICE", "Add a slice, project:name; you become its lead", add, add_options, NULL },
    { "use", "SLICE", "Make it the slice of commands that name none", use, NULL, NULL },
    { "renew", "[SLICE]", "Let a slice live longer", renew, renew_options, NULL },
    { "shutdown", "[SLICE]", "Stop all use of a slice; it is kept for inspection", shut_down,
      shutdown_options, NULL },
    { "migrate", "[SLICE]", "Move all its slivers to other nodes while they run, or none", slice_move,
      migrate_options, "Without --to and --away-from each sliver goes to another node than its own." },
    { "member add", "SLICE USER [ROLE]", "Add a member, or change the role: lead, member, auditor",
      member_add, NULL, NULL },
    { "member remove", "SLICE USER", "Remove a member", member_drop, NULL, NULL },
    { "credential", "[SLICE]", "Print a credential for other clients", credential, NULL, NULL },
    { 0 },
};
const struct command_group slice_group = { "slice", "Slices, their members and their life", rows };
