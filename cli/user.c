#include "nouns.h"

#include "common/clock.h"
#include "enrolment.h"
#include "format.h"
#include "input.h"

static const struct column columns[] = {
    { "NAME", "name", NULL },         { "ROLE", "role", NULL }, { "EMAIL", "email", NULL },
    { "DISABLED", "disabled", NULL }, { "CREATED", "created", format_time }, COLUMN_END,
};
static const struct column lines[] = {
    { "name", "name", NULL },     { "urn", "urn", NULL },           { "role", "role", NULL },
    { "email", "email", NULL },   { "disabled", "disabled", NULL }, { "created", "created", format_time },
    { "ssh keys", "ssh_keys", format_lines }, COLUMN_END,
};

static json *call(struct cli *cli, const char *method, json *body, const char *name,
                  struct err *err) {
    struct session *s = cli_session(cli, err);
    if (s) return session_json(s, SESSION_CLEARINGHOUSE, NULL, method, body, err, "/v1/users%s%s",
                               name ? "/" : "", name ? name : "");
    json_put(body);
    return NULL;
}

static int list(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *items AUTO_JSON =
        s ? session_list(s, SESSION_CLEARINGHOUSE, NULL, err, "/v1/users") : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

static int show(struct cli *cli, struct err *err) {
    const char *name = cli_arg(cli, 0) ? cli_arg(cli, 0) : "self";
    json *user AUTO_JSON = call(cli, "GET", NULL, name, err);
    if (!user) return -1;
    output_object(&cli->output, user, lines);
    return 0;
}

static int add(struct cli *cli, struct err *err) {
    json *body = json_set_str(json_object(), "name", cli_arg(cli, 0));
    if (cli_option(cli, "email")) json_set_str(body, "email", cli_option(cli, "email"));
    if (cli_option(cli, "role")) json_set_str(body, "role", cli_option(cli, "role"));
    json *user AUTO_JSON = call(cli, "POST", body, NULL, err);
    if (!user) return -1;
    output_said(&cli->output, user, "user %s added; for a token to log in: jogak user token %s",
                cli_arg(cli, 0), cli_arg(cli, 0));
    return 0;
}

static int change(struct cli *cli, struct err *err) {
    json *body AUTO_JSON = json_object();
    if (cli_option(cli, "email")) json_set_str(body, "email", cli_option(cli, "email"));
    if (cli_option(cli, "role")) json_set_str(body, "role", cli_option(cli, "role"));
    if (cli_flag(cli, "enable")) json_set_bool(body, "disabled", false);
    if (cli_flag(cli, "disable")) json_set_bool(body, "disabled", true);
    if (!json_length(body)) return cli_usage(cli, err, "say what to change");
    json *user AUTO_JSON = call(cli, "PATCH", STEAL(body), cli_arg(cli, 0), err);
    if (!user) return -1;
    output_said(&cli->output, user, "user %s changed", cli_arg(cli, 0));
    return 0;
}

static int drop(struct cli *cli, struct err *err) {
    const char *name = cli_arg(cli, 0);
    if (cli_confirm(cli, err, "delete user %s, with memberships and certificates?", name)) return -1;
    json *answer AUTO_JSON = call(cli, "DELETE", NULL, name, err);
    if (!answer) return -1;
    output_said(&cli->output, NULL, "user %s deleted", name);
    return 0;
}

static int token(struct cli *cli, struct err *err) {
    return enrolment_run(cli, "user", cli_arg(cli, 0), err);
}

/* --- ssh keys: slivers made from now on let their holders in --- */

static const char *key_owner(const struct cli *cli) {
    return cli_option(cli, "user") ? cli_option(cli, "user") : "self";
}

static json *keys_of(struct cli *cli, struct err *err) {
    json *user AUTO_JSON = call(cli, "GET", NULL, key_owner(cli), err);
    if (!user) return NULL;
    const json *keys = json_get(user, "ssh_keys");
    return keys ? json_copy(keys) : json_array();
}

static int keep_keys(struct cli *cli, json *keys, const char *what, struct err *err) {
    json *user AUTO_JSON = call(cli, "PATCH", json_set(json_object(), "ssh_keys", keys),
                                key_owner(cli), err);
    if (!user) return -1;
    output_said(&cli->output, user, "%s; slivers that are made from now on know it", what);
    return 0;
}

static int key_list(struct cli *cli, struct err *err) {
    json *keys AUTO_JSON = keys_of(cli, err);
    if (!keys) return -1;
    static const struct column key_columns[] = { { "KEY", "", NULL }, COLUMN_END };
    output_list(&cli->output, keys, key_columns);
    return 0;
}

static int key_add(struct cli *cli, struct err *err) {
    char *text AUTO_FREE = input_read(cli, cli_arg(cli, 0), 16384, NULL, err);
    if (!text) return -1;
    if (strstr(text, "PRIVATE KEY")) {
        err_set(err, ERR_INVALID, "%s is a private key: it stays with you", cli_arg(cli, 0));
        return err_remedy(err, "give the public one, whose name ends in .pub");
    }
    json *keys AUTO_JSON = keys_of(cli, err);
    if (!keys) return -1;
    for (char *rest = text, *line; (line = strsep(&rest, "\r\n"));)
        if (*line && *line != '#') json_add(keys, json_string(line));
    return keep_keys(cli, STEAL(keys), "key added", err);
}

static int key_delete(struct cli *cli, struct err *err) {
    json *keys AUTO_JSON = keys_of(cli, err), *kept AUTO_JSON = json_array();
    if (!keys) return -1;
    const char *text = cli_arg(cli, 0);
    for (size_t i = 0; i < json_length(keys); i++)
        if (!strstr(json_str(json_at(keys, i)), text)) json_add(kept, json_ref(json_at(keys, i)));
    if (json_length(kept) == json_length(keys)) {
        err_set(err, ERR_NOT_FOUND, "no key has \"%.80s\" in it", text);
        return err_remedy(err, "see `jogak user key list`");
    }
    return keep_keys(cli, STEAL(kept), "key deleted", err);
}

#define OPTION_EMAIL { "email", 0, "TEXT", "Electronic mail address" }
#define OPTION_ROLE { "role", 0, "ROLE", "user or operator" }
static const struct option_row add_options[] = { OPTION_EMAIL, OPTION_ROLE, OPTION_END };
static const struct option_row change_options[] = {
    OPTION_EMAIL, OPTION_ROLE, { "disable", 0, NULL, "Lock the user out" },
    { "enable", 0, NULL, "Let a disabled user in again" }, OPTION_END,
};
static const struct option_row delete_options[] = { OPTION_YES, OPTION_END };
static const struct option_row key_options[] = {
    { "user", 'u', "USER", "Somebody else's keys (operators)" }, OPTION_END,
};

static const struct command rows[] = {
    { "list", NULL, "List all users (operators)", list, NULL, NULL },
    { "show", "[USER]", "Show a user, by default yourself", show, NULL, NULL },
    { "add", "USER", "Add a user", add, add_options, NULL },
    { "change", "USER", "Change a user", change, change_options, NULL },
    { "delete", "USER", "Delete a user", drop, delete_options, NULL },
    { "token", "USER", "Make a one-time token with which the user logs in", token,
      enrolment_options, NULL },
    { "key list", NULL, "List the ssh keys that get into your slivers", key_list, key_options, NULL },
    { "key add", "FILE", "Add an ssh public key", key_add, key_options, NULL },
    { "key delete", "TEXT", "Delete the ssh keys that have this text in them", key_delete,
      key_options, NULL },
    { 0 },
};
const struct command_group user_group = { "user", "Users and their ssh keys", rows };
