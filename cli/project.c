#include "nouns.h"

#include "format.h"
#include "member.h"

static const struct column columns[] = {
    { "NAME", "name", NULL }, { "MEMBERS", "members", format_member_names },
    { "CREATED", "created", format_time }, { "DESCRIPTION", "description", NULL }, COLUMN_END,
};
static const struct column lines[] = {
    { "name", "name", NULL }, { "urn", "urn", NULL }, { "description", "description", NULL },
    { "created", "created", format_time }, { "members", "members", format_members }, COLUMN_END,
};

static int list(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *items AUTO_JSON =
        s ? session_list(s, SESSION_CLEARINGHOUSE, NULL, err, "/v1/projects") : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

static int show(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *project AUTO_JSON = s ? session_json(s, SESSION_CLEARINGHOUSE, NULL, "GET", NULL, err,
                                               "/v1/projects/%s", cli_arg(cli, 0))
                                : NULL;
    if (!project) return -1;
    output_object(&cli->output, project, lines);
    return 0;
}

static int add(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    json *body = json_set_str(json_object(), "name", cli_arg(cli, 0));
    if (cli_option(cli, "description"))
        json_set_str(body, "description", cli_option(cli, "description"));
    if (cli_option(cli, "lead")) json_set_str(body, "lead", cli_option(cli, "lead"));
    json *project AUTO_JSON =
        session_json(s, SESSION_CLEARINGHOUSE, NULL, "POST", body, err, "/v1/projects");
    if (!project) return -1;
    output_said(&cli->output, project, "project %s added", cli_arg(cli, 0));
    return 0;
}

static int drop(struct cli *cli, struct err *err) {
    const char *name = cli_arg(cli, 0);
    struct session *s = cli_session(cli, err);
    if (!s || cli_confirm(cli, err, "delete project %s?", name)) return -1;
    json *answer AUTO_JSON =
        session_json(s, SESSION_CLEARINGHOUSE, NULL, "DELETE", NULL, err, "/v1/projects/%s", name);
    if (!answer) return -1;
    output_said(&cli->output, NULL, "project %s deleted", name);
    return 0;
}

static int use(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    session_set(&s->config.project, cli_arg(cli, 0));
    if (session_save(s, err)) return -1;
    output_said(&cli->output, NULL, "new slices will be in project %s", cli_arg(cli, 0));
    return 0;
}

static int member_add(struct cli *cli, struct err *err) {
    return member_put(cli, "projects", cli_arg(cli, 0), cli_arg(cli, 1), cli_arg(cli, 2), err);
}

static int member_drop(struct cli *cli, struct err *err) {
    return member_remove(cli, "projects", cli_arg(cli, 0), cli_arg(cli, 1), err);
}

static const struct option_row add_options[] = {
    { "description", 'd', "TEXT", "What it is for" },
    { "lead", 0, "USER", "Who leads it" },
    OPTION_END,
};
static const struct option_row delete_options[] = { OPTION_YES, OPTION_END };

static const struct command rows[] = {
    { "list", NULL, "List your projects (operators: all)", list, NULL, NULL },
    { "show", "PROJECT", "Show a project and its members", show, NULL, NULL },
    { "add", "PROJECT", "Add a project (operators)", add, add_options, NULL },
    { "delete", "PROJECT", "Delete a project that has no active slice (operators)", drop,
      delete_options, NULL },
    { "use", "PROJECT", "Make it the default for new slices", use, NULL, NULL },
    { "member add", "PROJECT USER [ROLE]", "Add a member, or change the role: lead, member, auditor",
      member_add, NULL, NULL },
    { "member remove", "PROJECT USER", "Remove a member, also from all its slices", member_drop,
      NULL, NULL },
    { 0 },
};
const struct command_group project_group = { "project", "Projects and their members", rows };
