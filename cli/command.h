/*
 * The command table: what `jogak` can do, one row per command.
 *
 * A noun's file has the rows of that noun; commands.c lists the nouns. Everything that depends on
 * the set of commands is made from the rows: parsing, help, the manual page, shell completion.
 *
 * A row's `arguments` is read by the parser too: "NODE", "PROJECT USER [ROLE]", "[SLIVER...]".
 * Required ones come first, "..." only at the end. What a user writes in place of FILE, TEXT, TIME
 * or WORD is taken as it is; everything else must be a name (letters, digits and . _ - : + @),
 * so that it can stand in a URL.
 */
#ifndef JOGAK_CLI_COMMAND_H
#define JOGAK_CLI_COMMAND_H

#include "output.h"
#include "session.h"

#define COMMAND_ARGS_MAX 32
#define COMMAND_OPTIONS_MAX 10

struct cli;

struct option_row {
    const char *name;  /* "follow", for --follow */
    char letter;       /* 'f', or 0 */
    const char *value; /* what stands for its value in texts: "FILE"; NULL: it takes none */
    const char *help;
};
struct command {
    const char *verb;      /* "list", "member add"; "" when the noun alone is the command */
    const char *arguments; /* NULL: none */
    const char *summary;   /* one line, no full stop */
    int (*fn)(struct cli *cli, struct err *err);
    const struct option_row *options; /* ends with an all-zero row; NULL: none */
    const char *about;     /* more, for `help` and the manual page; may be NULL */
};
struct command_group {
    const char *noun;
    const char *summary;
    const struct command *rows; /* ends with an all-zero row */
};

extern const struct command_group *const command_groups[]; /* ends with NULL */
extern const struct option_row command_global_options[];

/* Options that many rows have. */
#define OPTION_SLICE \
    { "slice", 's', "SLICE", "The slice, project:name (default: $JOGAK_SLICE, or that of `slice use`)" }
#define OPTION_YES { "yes", 'y', NULL, "Do not ask before something is destroyed" }
#define OPTION_NO_WAIT { "no-wait", 0, NULL, "Do not wait until it is done" }
#define OPTION_END { 0 }

/* One run of the program. */
struct cli {
    FILE *out, *notes, *in; /* results; progress and questions; what is typed */
    bool in_tty, out_tty, notes_tty;
    bool colour, utf8;
    int width; /* columns of the terminal; 80 when there is none */
    struct output output;
    struct session session; /* opened by cli_session() */
    const struct command_group *group;
    const struct command *command;
    const char *args[COMMAND_ARGS_MAX];
    size_t arg_count;
    const char *values[COMMAND_OPTIONS_MAX]; /* as command->options; NULL: not given */
    bool usage_error; /* the error is the caller's use of the command: exit status 2 */
};

/* Runs one command line (argv[0] is the program) and returns the exit status: 0, 1 (it failed), 2
 * (it was called in a wrong way). The streams and what is known of them stand in *cli; its session
 * may have been given a transport (session.h). Errors are written to cli->notes. */
int cli_run(struct cli *cli, int argc, char **argv);
void cli_done(struct cli *cli);

/* For rows' functions: an argument or NULL; an option's value or NULL; was a flag given? */
const char *cli_arg(const struct cli *cli, size_t i);
const char *cli_option(const struct cli *cli, const char *name);
bool cli_flag(const struct cli *cli, const char *name);
/* An error of use: like err_set(ERR_INVALID), and the exit status will be 2. Returns -1. */
int cli_usage(struct cli *cli, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Opens the session on the first call. NULL with *err when there is no identity. */
struct session *cli_session(struct cli *cli, struct err *err);
/* The slice that the command is about: --slice, $JOGAK_SLICE, the configured one. Borrowed. */
const char *cli_slice(struct cli *cli, struct err *err);
/* Asks on the terminal. 0 for yes; -1 for no, and when nobody can be asked and --yes is missing. */
int cli_confirm(struct cli *cli, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "slice member add", as the user writes it; returns buf. */
char *command_name(const struct command_group *g, const struct command *c, char *buf, size_t size);

/* help.c: all commands, those of a noun, or one; `out` borrowed. */
void help_overview(FILE *out);
void help_group(FILE *out, const struct command_group *g);
void help_command(FILE *out, const struct command_group *g, const struct command *c);
/* manual.c, completion.c */
void manual_print(FILE *out);
int completion_print(FILE *out, const char *shell, struct err *err);

#endif
