/* Who I am: login, whoami, and the credential of an operator. */
#include "nouns.h"

#include "common/clock.h"
#include "common/ids.h"
#include "format.h"
#include "input.h"

static const struct column lines[] = {
    { "user", "name", NULL },          { "urn", "urn", NULL },
    { "certificate", "certificate_expires", format_until }, { "clearing house", "clearinghouse", NULL },
    { "aggregate", "aggregate", NULL }, { "store", "store", NULL },
    { "project", "project", NULL },    { "slice", "slice", NULL },
    { "files", "directory", NULL },    COLUMN_END,
};

static json *myself(const struct session *s) {
    char when[CLOCK_TEXT_BYTES];
    json *j = json_set_str(json_object(), "name", urn_name(s->urn));
    json_set_str(j, "urn", s->urn);
    json_set_str(j, "certificate_expires", clock_rfc3339(s->expires_ms, when));
    json_set_str(j, "clearinghouse", s->config.clearinghouse);
    json_set_str(j, "aggregate", s->config.aggregate);
    json_set_str(j, "store", s->config.store);
    json_set_str(j, "project", s->config.project);
    json_set_str(j, "slice", s->config.slice);
    return json_set_str(j, "directory", s->dir);
}

static int whoami(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    json *me AUTO_JSON = myself(s);
    output_object(&cli->output, me, lines);
    return 0;
}

static int enrol(struct cli *cli, struct err *err) {
    const char *from = cli_option(cli, "token");
    char *token AUTO_FREE = input_read(cli, from, 4096, NULL, err);
    if (!token || session_login(&cli->session, token, err)) return -1;
    explicit_bzero(token, strlen(token));
    struct session *s = &cli->session;
    struct err later = ERR_INIT;
    if (session_learn_services(s, &later))
        fprintf(cli->notes, "jogak: the other services are not known yet: %s\n", later.msg);
    json *me AUTO_JSON = myself(s);
    output_said(&cli->output, me, "logged in as %s; your key is in %s", urn_name(s->urn), s->dir);
    return 0;
}

static int login(struct cli *cli, struct err *err) {
    if (cli_option(cli, "token")) return enrol(cli, err);
    if (!cli_flag(cli, "renew")) return cli_usage(cli, err, "give --token FILE, or --renew");
    struct session *s = cli_session(cli, err);
    if (!s || session_renew(s, err)) return -1;
    json *me AUTO_JSON = myself(s);
    char *until AUTO_FREE = format_until(json_get(me, "certificate_expires"));
    output_said(&cli->output, me, "your certificate is good until %s", until);
    return 0;
}

static const struct option_row login_options[] = {
    { "token", 't', "FILE", "The one-time token that an operator gave you; - reads it from standard input" },
    { "renew", 0, NULL, "A new certificate before the present one ends" },
    OPTION_END,
};
static const struct command login_rows[] = {
    { "", NULL, "Get a certificate, with a one-time token", login, login_options,
      "The key is made here and never leaves this machine. Where the other services are is asked of\n"
      "the clearing house's registry." },
    { 0 },
};
const struct command_group login_group = { "login", "Get a certificate, with a one-time token",
                                           login_rows };

static const struct command whoami_rows[] = {
    { "", NULL, "Show who you are and which services you talk to", whoami, NULL, NULL },
    { 0 },
};
const struct command_group whoami_group = { "whoami", "Show who you are", whoami_rows };
