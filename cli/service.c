/* The registry, and which of several services this user talks to. */
#include "nouns.h"

#include "common/ids.h"
#include "enrolment.h"
#include "format.h"

static char *type_name(const json *value) {
    const char *type = json_str(value);
    if (type && strcmp(type, "am") == 0) return xstrdup("aggregate");
    if (type && strcmp(type, "ss") == 0) return xstrdup("store");
    return format_plain(value);
}

static const struct column columns[] = {
    { "TYPE", "type", type_name }, { "NAME", "name", NULL }, { "URL", "url", NULL },
    { "SEEN", "seen", format_time }, { "DESCRIPTION", "description", NULL }, COLUMN_END,
};

static json *fetch(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    return s ? session_list(s, SESSION_CLEARINGHOUSE, NULL, err, "/v1/services") : NULL;
}

static int list(struct cli *cli, struct err *err) {
    json *items AUTO_JSON = fetch(cli, err);
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

/* The wire's name of a type that a user writes; NULL when there is none. */
static const char *wire_type(const char *text) {
    if (strcmp(text, "aggregate") == 0 || strcmp(text, "am") == 0) return "am";
    if (strcmp(text, "store") == 0 || strcmp(text, "ss") == 0) return "ss";
    return NULL;
}

static int bad_type(struct cli *cli, struct err *err) {
    return cli_usage(cli, err, "there is no type of service \"%.40s\": aggregate or store",
                     cli_arg(cli, 0));
}

static int token(struct cli *cli, struct err *err) {
    const char *type = wire_type(cli_arg(cli, 0));
    return type ? enrolment_run(cli, type, cli_arg(cli, 1), err) : bad_type(cli, err);
}

static int add(struct cli *cli, struct err *err) {
    const char *type = wire_type(cli_arg(cli, 0));
    struct session *s = cli_session(cli, err);
    if (!type) return bad_type(cli, err);
    if (!s) return -1;
    json *body = json_set_str(json_set_str(json_object(), "type", type), "name", cli_arg(cli, 1));
    json_set_str(body, "url", cli_arg(cli, 2));
    json *answer AUTO_JSON =
        session_json(s, SESSION_CLEARINGHOUSE, NULL, "POST", body, err, "/v1/services");
    if (!answer) return -1;
    output_said(&cli->output, answer, "%s %s is registered", cli_arg(cli, 0), cli_arg(cli, 1));
    return 0;
}

static int drop(struct cli *cli, struct err *err) {
    const char *type = wire_type(cli_arg(cli, 0)), *name = cli_arg(cli, 1);
    struct session *s = cli_session(cli, err);
    if (!type) return bad_type(cli, err);
    if (!s || cli_confirm(cli, err, "remove %s %s from the registry?", cli_arg(cli, 0), name))
        return -1;
    json *answer AUTO_JSON = session_json(s, SESSION_CLEARINGHOUSE, NULL, "DELETE", NULL, err,
                                          "/v1/services/%s:%s", type, name);
    if (!answer) return -1;
    output_said(&cli->output, NULL, "%s %s is not registered any more", cli_arg(cli, 0), name);
    return 0;
}

static int use(struct cli *cli, struct err *err) {
    const char *type = wire_type(cli_arg(cli, 0)), *name = cli_arg(cli, 1);
    json *items AUTO_JSON = type ? fetch(cli, err) : NULL;
    if (!type) return bad_type(cli, err);
    if (!items) return -1;
    struct session_config *c = &cli->session.config;
    char **url = strcmp(type, "am") == 0 ? &c->aggregate : &c->store;
    char **urn = strcmp(type, "am") == 0 ? &c->aggregate_urn : &c->store_urn;
    for (size_t i = 0; i < json_length(items); i++) {
        const json *one = json_at(items, i);
        const char *is = json_get_str(one, "type"), *called = json_get_str(one, "name");
        if (!is || !called || strcmp(is, type) || strcmp(called, name)) continue;
        session_set(url, json_get_str(one, "url"));
        session_set(urn, json_get_str(one, "urn"));
        if (session_save(&cli->session, err)) return -1;
        output_said(&cli->output, one, "%s %s is used from now on", cli_arg(cli, 0), name);
        return 0;
    }
    err_set(err, ERR_NOT_FOUND, "there is no %s %s", cli_arg(cli, 0), name);
    return err_remedy(err, "see `jogak service list`");
}

static const struct option_row delete_options[] = { OPTION_YES, OPTION_END };
static const struct command rows[] = {
    { "list", NULL, "List aggregates and stores", list, NULL, NULL },
    { "use", "TYPE NAME", "Talk to this one when there are several (aggregate or store)", use, NULL,
      NULL },
    { "token", "TYPE NAME", "Make a one-time token with which a service joins (operators)", token,
      enrolment_options, NULL },
    { "add", "TYPE NAME TEXT", "Register a service at an URL (operators; services do so themselves)",
      add, NULL, NULL },
    { "delete", "TYPE NAME", "Remove a service from the registry (operators)", drop, delete_options,
      NULL },
    { 0 },
};
const struct command_group service_group = { "service", "Aggregates and stores in the registry",
                                             rows };
