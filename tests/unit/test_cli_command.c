/* The command table itself, and what is made from it. */
#include "cli_fixture.h"

static void each(void (*fn)(const struct command_group *g, const struct command *c)) {
    for (size_t i = 0; command_groups[i]; i++)
        for (const struct command *c = command_groups[i]->rows; c->verb; c++)
            fn(command_groups[i], c);
}

static void check_row(const struct command_group *g, const struct command *c) {
    char name[96];
    command_name(g, c, name, sizeof name);
    ck_assert_msg(c->fn && c->summary && *c->summary, "%s", name);
    ck_assert_msg(c->summary[strlen(c->summary) - 1] != '.', "%s: full stop", name);
    bool letters[256] = { false }, optional = false;
    size_t count = 0;
    for (const struct option_row *o = command_global_options; o->name; o++)
        letters[(unsigned char)o->letter] = true;
    for (const struct option_row *o = c->options; o && o->name; o++, count++) {
        ck_assert_msg(!o->letter || !letters[(unsigned char)o->letter], "%s: -%c twice", name,
                      o->letter);
        letters[(unsigned char)o->letter] = true;
        ck_assert_msg(o->help && *o->help, "%s --%s", name, o->name);
    }
    ck_assert_msg(count <= COMMAND_OPTIONS_MAX, "%s has %zu options", name, count);
    for (const char *at = c->arguments; at && *at; at += strspn(at, " ")) {
        ck_assert_msg(*at == '[' || !optional, "%s: required after optional", name);
        optional |= *at == '[';
        at += strcspn(at, " ");
    }
}

START_TEST(rows_are_sound) {
    each(check_row);
    for (size_t i = 0; command_groups[i]; i++)
        for (const struct command *a = command_groups[i]->rows; a->verb; a++)
            for (const struct command *b = a + 1; b->verb; b++)
                ck_assert_str_ne(a->verb, b->verb);
}
END_TEST

static void check_help(const struct command_group *g, const struct command *c) {
    char line[160], name[96];
    snprintf(line, sizeof line, "help %s", command_name(g, c, name, sizeof name));
    ck_assert_int_eq(CLI_QUIET(line), 0);
    ck_assert_msg(strstr(cli_out, c->summary) != NULL, "%s", line);
    for (const struct option_row *o = c->options; o && o->name; o++)
        ck_assert_msg(strstr(cli_out, o->help) != NULL, "%s --%s", line, o->name);
    snprintf(line, sizeof line, "%s --help", name);
    ck_assert_int_eq(CLI_QUIET(line), 0);
    ck_assert_msg(strstr(cli_out, c->summary) != NULL, "%s", line);
}

START_TEST(every_command_explains_itself) { each(check_help); }
END_TEST

START_TEST(help_of_a_command) {
    ck_assert_int_eq(CLI_QUIET("help node drain"), 0);
    ck_assert_str_eq(cli_out,
                     "Move everything away from a node (operators).\n"
                     "\n"
                     "Usage: jogak node drain NODE [OPTIONS]\n"
                     "\n"
                     "Options:\n"
                     "  -n, --dry-run          Only say what would move where\n"
                     "  -w, --wait             Wait until the node is empty\n"
                     "      --parallel N       Moves at once (at most what the aggregate allows)\n"
                     "      --timeout SECONDS  After so long begin nothing more, and take back what is not committed\n"
                     "  -o, --output FORMAT    How results are printed: table (default) or json\n"
                     "  -h, --help             Explain the command\n");
}
END_TEST

START_TEST(help_of_a_noun) {
    ck_assert_int_eq(CLI_QUIET("help reservation"), 0);
    ck_assert_str_eq(
        cli_out,
        "What was promised to a slice, and until when\n"
        "\n"
        "  jogak reservation list                     List the reservations of a slice\n"
        "  jogak reservation show RESERVATION         Show a reservation\n"
        "  jogak reservation renew RESERVATION        Keep its slivers longer\n"
        "  jogak reservation release RESERVATION      Give it back, with its slivers\n"
        "\n"
        "More: jogak help reservation VERB\n");
}
END_TEST

START_TEST(uses_that_are_not_understood) {
    static const struct { const char *line, *says; } bad[] = {
        { "slise list", "jogak: there is no command \"slise\"\n  hint: did you mean `jogak slice`?\n" },
        { "node drian h1", "jogak: there is no command \"node drian\"\n  hint: did you mean `jogak node drain`?\n" },
        { "node quux", "jogak: there is no command \"node quux\"\n  hint: see `jogak help node`\n" },
        { "node drain", "jogak: NODE is missing\n  hint: see `jogak help node drain`\n" },
        { "node list h1", "jogak: \"h1\" is one argument too many\n  hint: see `jogak help node list`\n" },
        { "node drain ../users", "jogak: NODE: \"../users\" is not a name\n  hint: see `jogak help node drain`\n" },
        { "node drain h1 --wiat", "jogak: there is no option --wiat\n  hint: see `jogak help node drain`\n" },
        { "sliver list --slice", "jogak: option --slice needs a value\n  hint: see `jogak help sliver list`\n" },
        { "sliver list --slice a?b", "jogak: SLICE: \"a?b\" is not a name\n  hint: see `jogak help sliver list`\n" },
        { "sliver list --slice ring", "jogak: \"ring\" names no slice\n  hint: write project:name, as in the list: jogak slice list\n" },
        { "node list -o xml", "jogak: there is no output format \"xml\": table or json\n  hint: see `jogak help node list`\n" },
        { "apply", "jogak: which file? add -f FILE\n  hint: see `jogak help apply`\n" },
        { "login", "jogak: give --token FILE, or --renew\n  hint: see `jogak help login`\n" },
        { "completion fish", "jogak: there is no completion for \"fish\": bash or zsh\n" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_int_eq(CLI_QUIET(bad[i].line), 2);
        ck_assert_str_eq(cli_notes, bad[i].says);
        ck_assert_str_eq(cli_out, "");
    }
}
END_TEST

START_TEST(nothing_given) {
    ck_assert_int_eq(CLI_QUIET(""), 2);
    ck_assert_ptr_nonnull(strstr(cli_notes, "Usage: jogak"));
    ck_assert_int_eq(CLI_QUIET("--help"), 0);
    ck_assert_ptr_nonnull(strstr(cli_out, "Usage: jogak"));
    ck_assert_int_eq(CLI_QUIET("slice"), 2);
    ck_assert_ptr_nonnull(strstr(cli_notes, "jogak slice member add SLICE USER [ROLE]"));
}
END_TEST

START_TEST(options_stand_anywhere) {
    static const char *const lines[] = { "-o json node list", "node list -o json",
                                         "node list --output=json", "--output json node ls" };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        ck_assert_int_eq(CLI_CALL(lines[i], { "GET /v1/nodes", 200, "{\"items\":[]}", NULL }), 0);
        ck_assert_str_eq(cli_out, "[]\n");
    }
}
END_TEST

START_TEST(manual_and_completion_know_every_command) {
    ck_assert_int_eq(CLI_QUIET("help --man"), 0);
    char *manual AUTO_FREE = xstrdup(cli_out);
    ck_assert_int_eq(strncmp(manual, ".TH JOGAK 1", 11), 0);
    ck_assert_int_eq(CLI_QUIET("completion bash"), 0);
    char *bash AUTO_FREE = xstrdup(cli_out);
    ck_assert_int_eq(CLI_QUIET("completion zsh"), 0);
    for (size_t i = 0; command_groups[i]; i++)
        for (const struct command *c = command_groups[i]->rows; c->verb; c++) {
            char name[96], roff[128], shell[128];
            command_name(command_groups[i], c, name, sizeof name);
            snprintf(roff, sizeof roff, "\\fBjogak %s\\fR", name);
            snprintf(shell, sizeof shell, "    '%s') words=", name);
            ck_assert_msg(strstr(manual, roff) != NULL, "%s", roff);
            ck_assert_msg(strstr(bash, shell) != NULL, "%s", shell);
            ck_assert_msg(strstr(cli_out, shell) != NULL, "%s", shell);
        }
}
END_TEST

static void add(TCase *t) {
    tcase_add_test(t, rows_are_sound);
    tcase_add_test(t, every_command_explains_itself);
    tcase_add_test(t, help_of_a_command);
    tcase_add_test(t, help_of_a_noun);
    tcase_add_test(t, uses_that_are_not_understood);
    tcase_add_test(t, nothing_given);
    tcase_add_test(t, options_stand_anywhere);
    tcase_add_test(t, manual_and_completion_know_every_command);
}

int main(void) { return cli_suite("cli.command", add); }
