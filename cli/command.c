/*
 * From a command line to a row of the table and its arguments.
 */
#include "command.h"

#include "common/ids.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define FLAG_GIVEN ""

const struct option_row command_global_options[] = {
    { "output", 'o', "FORMAT", "How results are printed: table (default) or json" },
    { "help", 'h', NULL, "Explain the command" },
    OPTION_END,
};

char *command_name(const struct command_group *g, const struct command *c, char *buf, size_t size) {
    snprintf(buf, size, "%s%s%s", g->noun, c->verb[0] ? " " : "", c->verb);
    return buf;
}

/* --- for rows --- */

const char *cli_arg(const struct cli *cli, size_t i) {
    return i < cli->arg_count ? cli->args[i] : NULL;
}

const char *cli_option(const struct cli *cli, const char *name) {
    const struct option_row *o = cli->command->options;
    for (size_t i = 0; o && o[i].name; i++)
        if (strcmp(o[i].name, name) == 0) return cli->values[i];
    return NULL;
}

bool cli_flag(const struct cli *cli, const char *name) { return cli_option(cli, name) != NULL; }

int cli_usage(struct cli *cli, struct err *err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *text AUTO_FREE = xvasprintf(fmt, ap);
    va_end(ap);
    cli->usage_error = true;
    err_set(err, ERR_INVALID, "%s", text);
    if (!cli->command) return err_remedy(err, "see `jogak help`");
    char name[96];
    return err_remedy(err, "see `jogak help %s`",
                      command_name(cli->group, cli->command, name, sizeof name));
}

struct session *cli_session(struct cli *cli, struct err *err) {
    return session_open(&cli->session, err) ? NULL : &cli->session;
}

const char *cli_slice(struct cli *cli, struct err *err) {
    const char *slice = cli_option(cli, "slice");
    const char *from_environment = getenv("JOGAK_SLICE");
    struct session *s = cli_session(cli, err);
    if (!s) return NULL;
    if (!slice && from_environment && *from_environment) slice = from_environment;
    if (!slice) slice = session_slice(s);
    if (!slice) {
        err_set(err, ERR_INVALID, "which slice?");
        err_remedy(err, "add --slice project:name, or choose one for good: jogak slice use project:name");
        cli->usage_error = true;
        return NULL;
    }
    if (session_slice_valid(slice, err) == 0) return slice;
    cli->usage_error = true;
    return NULL;
}

int cli_confirm(struct cli *cli, struct err *err, const char *fmt, ...) {
    if (cli_flag(cli, "yes")) return 0;
    va_list ap;
    va_start(ap, fmt);
    char *question AUTO_FREE = xvasprintf(fmt, ap);
    va_end(ap);
    if (!cli->in_tty || !cli->notes_tty) {
        err_set(err, ERR_CONFLICT, "nobody can be asked here: %s", question);
        return err_remedy(err, "add --yes when that is what you want");
    }
    fprintf(cli->notes, "%s [y/N] ", question);
    fflush(cli->notes);
    char answer[16];
    bool yes = fgets(answer, sizeof answer, cli->in) && (answer[0] == 'y' || answer[0] == 'Y');
    return yes ? 0 : err_set(err, ERR_CANCELLED, "nothing was changed");
}

/* --- which row --- */

static const struct command_group *find_group(const char *noun) {
    for (size_t i = 0; command_groups[i]; i++)
        if (strcmp(command_groups[i]->noun, noun) == 0) return command_groups[i];
    return NULL;
}

static const char *unalias(const char *word) {
    static const char *const aliases[][2] = {
        { "ls", "list" }, { "rm", "delete" }, { "del", "delete" }, { "get", "show" },
        { "create", "add" },
    };
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        if (strcmp(aliases[i][0], word) == 0) return aliases[i][1];
    return word;
}

/* How many of the words spell this verb; -1 when they do not. */
static int verb_matches(const char *verb, char **words, int count) {
    int used = 0;
    while (*verb) {
        size_t n = strcspn(verb, " ");
        if (used == count) return -1;
        const char *word = unalias(words[used++]);
        if (strlen(word) != n || strncmp(word, verb, n) != 0) return -1;
        verb += n;
        verb += strspn(verb, " ");
    }
    return used;
}

/* The row with the longest verb that the words begin with; NULL when there is none. */
static const struct command *find_row(const struct command_group *g, char **words, int count,
                                      int *ret_used) {
    const struct command *best = NULL;
    *ret_used = -1;
    for (const struct command *c = g->rows; c->verb; c++) {
        int used = verb_matches(c->verb, words, count);
        if (used > *ret_used) *ret_used = used, best = c;
    }
    return best;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* How many letters have to be put in, taken out or changed (Levenshtein). */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(b), row[32];
    if (n >= COUNT_OF(row)) return n;
    for (size_t k = 0; k <= n; k++) row[k] = k;
    for (size_t i = 1; *a; a++, i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            size_t above = row[k];
            row[k] = least(least(row[k] + 1, row[k - 1] + 1), corner + (*a != b[k - 1]));
            corner = above;
        }
    }
    return row[n];
}

static int no_such_command(struct cli *cli, const struct command_group *g, const char *word,
                           struct err *err) {
    const char *best = NULL;
    size_t best_distance = 3;
    cli->usage_error = true;
    for (size_t i = 0; g ? g->rows[i].verb != NULL : command_groups[i] != NULL; i++) {
        const char *name = g ? g->rows[i].verb : command_groups[i]->noun;
        size_t d = distance(word, name);
        if (d < best_distance) best_distance = d, best = name;
    }
    err_set(err, ERR_INVALID, "there is no command \"%s%s%.40s\"", g ? g->noun : "", g ? " " : "",
            word);
    if (best)
        return err_remedy(err, "did you mean `jogak %s%s%s`?", g ? g->noun : "", g ? " " : "", best);
    return err_remedy(err, "see `jogak help%s%s`", g ? " " : "", g ? g->noun : "");
}

/* --- arguments --- */

static void count_arguments(const char *arguments, size_t *ret_least, size_t *ret_most) {
    *ret_least = *ret_most = 0;
    for (const char *at = arguments; at && *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        if (*at != '[') ++*ret_least;
        ++*ret_most;
        if (memmem(at, n, "...", 3)) *ret_most = COMMAND_ARGS_MAX;
        at += n;
    }
}

/* The placeholder that stands for argument i, as "NODE"; returns buf. */
static char *placeholder(const char *arguments, size_t i, char *buf, size_t size) {
    const char *at = arguments;
    for (; i && strchr(at, ' '); i--) at = strchr(at, ' ') + 1;
    at += strspn(at, "[");
    snprintf(buf, size, "%.*s", (int)strcspn(at, " ].|"), at);
    return buf;
}

static bool is_free_text(const char *name) {
    static const char *const texts[] = { "FILE", "TEXT", "TIME", "WORD" };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (strcmp(texts[i], name) == 0) return true;
    return false;
}

static bool is_name(const char *text) {
    if (!isalnum((unsigned char)*text) || strlen(text) > 255) return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("._-:+@", *text)) return false;
    return true;
}

static int check_word(struct cli *cli, const char *what, const char *text, struct err *err) {
    if (is_free_text(what) || is_name(text)) return 0;
    return cli_usage(cli, err, "%s: \"%.80s\" is not a name", what, text);
}

static int take_arguments(struct cli *cli, char **words, size_t count, struct err *err) {
    size_t fewest, most;
    char what[64];
    count_arguments(cli->command->arguments, &fewest, &most);
    if (count < fewest)
        return cli_usage(cli, err, "%s is missing",
                         placeholder(cli->command->arguments, count, what, sizeof what));
    if (count > most) return cli_usage(cli, err, "\"%.80s\" is one argument too many", words[most]);
    for (size_t i = 0; i < count; i++) {
        placeholder(cli->command->arguments, i, what, sizeof what);
        if (check_word(cli, what, words[i], err)) return -1;
        cli->args[cli->arg_count++] = words[i];
    }
    return 0;
}

/* --- options: getopt_long() over the row's and the global ones --- */

#define GLOBAL_BASE 100

struct option_table {
    struct option longs[COMMAND_OPTIONS_MAX + 8];
    char letters[4 * COMMAND_OPTIONS_MAX + 8];
    size_t count;
};

/* An option's code for getopt_long(): its place in its table, from base on; its letter is found
 * again by option_of(). */
static void add_options(struct option_table *t, const struct option_row *o, int base) {
    for (int i = 0; o && o[i].name; i++) {
        t->longs[t->count++] = (struct option){ o[i].name, o[i].value ? required_argument
                                                                      : no_argument,
                                                NULL, 1000 + base + i };
        if (!o[i].letter) continue;
        size_t n = strlen(t->letters);
        snprintf(t->letters + n, sizeof t->letters - n, "%c%s", o[i].letter, o[i].value ? ":" : "");
    }
}

static int index_of(const struct option_row *o, int base, int code) {
    for (int i = 0; o && o[i].name; i++)
        if (code == 1000 + base + i || (o[i].letter && code == o[i].letter)) return i;
    return -1;
}

static int take_global(struct cli *cli, const struct option_row *o, bool *ret_help,
                       struct err *err) {
    if (strcmp(o->name, "help") == 0) *ret_help = true;
    else if (output_choose(&cli->output, optarg))
        return cli_usage(cli, err, "there is no output format \"%.40s\": table or json", optarg);
    return 0;
}

static int take_option(struct cli *cli, int code, const char *word, bool *ret_help,
                       struct err *err) {
    const struct option_row *own = cli->command ? cli->command->options : NULL;
    int i = index_of(own, 0, code);
    if (i >= 0) {
        cli->values[i] = own[i].value ? optarg : FLAG_GIVEN;
        return own[i].value ? check_word(cli, own[i].value, optarg, err) : 0;
    }
    i = index_of(command_global_options, GLOBAL_BASE, code);
    if (i >= 0) return take_global(cli, &command_global_options[i], ret_help, err);
    if (code == ':') return cli_usage(cli, err, "option %.60s needs a value", word);
    return cli_usage(cli, err, "there is no option %.60s", word);
}

/* Options from argv[1] on; argv is reordered: the other words come last. *ret_rest is the first of
 * them. With stop_at_word it ends at the first word. */
static int take_options(struct cli *cli, int argc, char **argv, bool stop_at_word, bool *ret_help,
                        int *ret_rest, struct err *err) {
    struct option_table t = { .letters = "" };
    snprintf(t.letters, sizeof t.letters, "%s:", stop_at_word ? "+" : "");
    add_options(&t, cli->command ? cli->command->options : NULL, 0);
    add_options(&t, command_global_options, GLOBAL_BASE);
    opterr = 0;
    optind = 0; /* glibc: from the start, also on a second call */
    for (int code; (code = getopt_long(argc, argv, t.letters, t.longs, NULL)) != -1;) {
        int at = optind > 1 ? optind - 1 : 1;
        if (take_option(cli, code, argv[at], ret_help, err)) return -1;
    }
    *ret_rest = optind;
    return 0;
}

/* --- all together --- */

static int parse_row(struct cli *cli, int argc, char **argv, struct err *err) {
    int used, rest;
    bool help = false;
    const struct command *c = find_row(cli->group, argv + 1, argc - 1, &used);
    if (!c && argc > 1 && strcmp(argv[1], "--help") && strcmp(argv[1], "-h"))
        return no_such_command(cli, cli->group, argv[1], err);
    if (!c) {
        help_group(argc > 1 ? cli->out : cli->notes, cli->group);
        return argc > 1 ? 0 : 2;
    }
    cli->command = c;
    if (take_options(cli, argc - used, argv + used, false, &help, &rest, err)) return -1;
    if (help) {
        help_command(cli->out, cli->group, c);
        return 0;
    }
    rest += used;
    if (take_arguments(cli, argv + rest, (size_t)(argc - rest), err)) return -1;
    return c->fn(cli, err);
}

static int parse(struct cli *cli, int argc, char **argv, struct err *err) {
    bool help = false;
    int rest;
    if (take_options(cli, argc, argv, true, &help, &rest, err)) return -1;
    if (help || rest >= argc) {
        help_overview(help ? cli->out : cli->notes);
        return help ? 0 : 2;
    }
    cli->group = find_group(argv[rest]);
    if (!cli->group) return no_such_command(cli, NULL, argv[rest], err);
    return parse_row(cli, argc - rest, argv + rest, err);
}

static void tell(struct cli *cli, const struct err *err) {
    fflush(cli->out);
    fprintf(cli->notes, "jogak: ");
    output_text(cli->notes, err->msg);
    if (err->remedy[0]) {
        fprintf(cli->notes, "\n  hint: ");
        output_text(cli->notes, err->remedy);
    }
    fprintf(cli->notes, "\n");
}

int cli_run(struct cli *cli, int argc, char **argv) {
    struct err err = ERR_INIT;
    output_init(&cli->output, cli->out, cli->colour);
    int rc = parse(cli, argc, argv, &err);
    if (rc < 0) tell(cli, &err);
    else if (fflush(cli->out)) {
        if (errno != EPIPE) fprintf(cli->notes, "jogak: write: %s\n", strerror(errno));
        return 1;
    }
    return rc >= 0 ? rc : cli->usage_error ? 2 : 1;
}

void cli_done(struct cli *cli) { session_close(&cli->session); }
