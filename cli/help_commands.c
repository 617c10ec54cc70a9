/* help, completion, version: what needs no service. */
#include "nouns.h"

static int unknown(struct cli *cli, struct err *err) {
    cli->usage_error = true;
    err_set(err, ERR_INVALID, "there is no command \"%.40s%s%.40s\"", cli_arg(cli, 0),
            cli_arg(cli, 1) ? " " : "", cli_arg(cli, 1) ? cli_arg(cli, 1) : "");
    return err_remedy(err, "see `jogak help`");
}

/* The words after the noun, as one verb. */
static char *verb_of(const struct cli *cli) {
    struct buf b = BUF_INIT;
    for (size_t i = 1; i < cli->arg_count; i++) buf_printf(&b, "%s%s", i > 1 ? " " : "", cli->args[i]);
    return buf_steal(&b);
}

static int help(struct cli *cli, struct err *err) {
    if (cli_flag(cli, "man")) return manual_print(cli->out), 0;
    if (!cli->arg_count) return help_overview(cli->out), 0;
    const struct command_group *g = NULL;
    for (size_t i = 0; command_groups[i]; i++)
        if (strcmp(command_groups[i]->noun, cli_arg(cli, 0)) == 0) g = command_groups[i];
    if (!g) return unknown(cli, err);
    char *verb AUTO_FREE = verb_of(cli);
    if (!*verb && g->rows[0].verb[0]) return help_group(cli->out, g), 0;
    for (const struct command *c = g->rows; c->verb; c++)
        if (strcmp(c->verb, verb) == 0) return help_command(cli->out, g, c), 0;
    return unknown(cli, err);
}

static int completion(struct cli *cli, struct err *err) {
    if (completion_print(cli->out, cli_arg(cli, 0), err) == 0) return 0;
    cli->usage_error = true;
    return -1;
}

static int version(struct cli *cli, struct err *err) {
    (void)err;
    json *j AUTO_JSON = json_set_str(json_object(), "version", JOGAK_VERSION);
    output_said(&cli->output, j, "jogak %s", JOGAK_VERSION);
    return 0;
}

static const struct option_row help_options[] = {
    { "man", 0, NULL, "Print the manual page (roff)" }, OPTION_END,
};
static const struct command help_rows[] = {
    { "", "[NOUN] [VERB...]", "Explain jogak, a noun or a command", help, help_options, NULL },
    { 0 },
};
static const struct command completion_rows[] = {
    { "", "SHELL", "Print the completion script of a shell: bash or zsh", completion, NULL,
      "For this shell only:  source <(jogak completion bash)" },
    { 0 },
};
static const struct command version_rows[] = {
    { "", NULL, "Print the version of this program", version, NULL, NULL }, { 0 },
};
const struct command_group help_group_ = { "help", "Explain jogak, a noun or a command", help_rows };
const struct command_group completion_group = { "completion", "Completion for bash and zsh",
                                                completion_rows };
const struct command_group version_group = { "version", "Print the version of this program",
                                             version_rows };
