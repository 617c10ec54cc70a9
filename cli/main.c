/*
 * jogak: the command line. Everything it can do stands in the command table (command.h).
 */
#include "command.h"

#include "common/log.h"

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int terminal_width(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
    return 80;
}

static bool wants_colour(void) {
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && !(term && !strcmp(term, "dumb"));
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, ""); /* only to learn whether the terminal takes UTF-8 */
    signal(SIGPIPE, SIG_IGN);
    log_set_levels(getenv("JOGAK_LOG") ? getenv("JOGAK_LOG") : "error");
    struct cli cli = {
        .out = stdout,
        .notes = stderr,
        .in = stdin,
        .in_tty = isatty(STDIN_FILENO),
        .out_tty = isatty(STDOUT_FILENO),
        .notes_tty = isatty(STDERR_FILENO),
        .colour = wants_colour(),
        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .width = terminal_width(),
    };
    int status = cli_run(&cli, argc, argv);
    cli_done(&cli);
    return status;
}
