/*
 * A sliver's serial console on this terminal.
 *
 * The aggregate gives a ticket, good for a minute; the bytes go straight to the sliver's node. One
 * thread carries output (a streamed GET), this one carries what is typed (a POST per handful). When
 * the stream ends, because the sliver has moved or the network broke, a new ticket says where the
 * sliver is now.
 */
#include "sliver.h"

#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <termios.h>

#define LEAVE 0x1d /* Ctrl-] */
#define TICKET_MS 30000 /* half of what it is good for */
#define STREAM_MS (24 * 3600000LL)
#define POST_MS 5000
#define QUIET_MS 2000 /* of the console, before a script leaves it */

struct console {
    struct session *session;
    const char *slice, *sliver;
    pthread_mutex_t lock; /* of the session's calls for tickets, and of what follows */
    char *url, *node;     /* with the ticket */
    int64_t ticket_ms;    /* when it was given, monotonic */
    atomic_bool leaving, failed;
    atomic_llong heard_ms;
    struct err err;
};

static struct termios usual;
static bool raw;

static void terminal_restore(void) {
    if (raw) tcsetattr(STDIN_FILENO, TCSADRAIN, &usual);
    raw = false;
}

static void terminal_raw(void) {
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &usual)) return;
    t = usual;
    cfmakeraw(&t);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t)) return;
    raw = true;
    atexit(terminal_restore);
}

/* URL and node with a ticket that is still good, as copies for the caller. */
static int ticket(struct console *c, bool fresh, char **ret_url, char **ret_node, struct err *err) {
    WITH_LOCK(&c->lock);
    if (fresh || !c->url || clock_monotonic_ms() - c->ticket_ms > TICKET_MS) {
        json *answer AUTO_JSON = session_json(c->session, SESSION_AGGREGATE, c->slice, "POST", NULL,
                                              err, "/v1/slivers/%s/console", c->sliver);
        const char *url = json_get_str(answer, "url"), *node = json_get_str(answer, "node");
        const char *text = json_get_str(answer, "ticket");
        if (!answer) return -1;
        if (!url || !node || !text)
            return err_set(err, ERR_INTERNAL, "the aggregate answered without a ticket");
        free(c->url);
        free(c->node);
        c->url = xasprintf("%s?ticket=%s", url, text);
        c->node = xstrdup(node);
        c->ticket_ms = clock_monotonic_ms();
    }
    *ret_url = xstrdup(c->url);
    *ret_node = xstrdup(c->node);
    return 0;
}

/* --- output --- */

static int on_data(void *ctx, const void *data, size_t length) {
    struct console *c = ctx;
    c->heard_ms = clock_monotonic_ms();
    for (const char *at = data; length > 0;) {
        ssize_t n = write(STDOUT_FILENO, at, length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        length -= (size_t)n;
    }
    return c->leaving ? -1 : 0;
}

static int listen_once(struct console *c, bool fresh, struct err *err) {
    char *url AUTO_FREE = NULL, *node AUTO_FREE = NULL;
    if (ticket(c, fresh, &url, &node, err)) return -1;
    struct http_answer answer AUTO_ANSWER = { 0 };
    const struct http_call call = { .method = "GET", .url = url, .peer_urn = node,
                                    .timeout_ms = STREAM_MS, .on_data = on_data, .on_data_ctx = c,
                                    .cancel = &c->leaving };
    return session_call(c->session, &call, &answer, err);
}

static void *listen_main(void *arg) {
    struct console *c = arg;
    for (bool fresh = false; !c->leaving; fresh = true) {
        struct err err = ERR_INIT;
        int rc = listen_once(c, fresh, &err);
        if (rc && err.code != ERR_TIMEOUT && err.code != ERR_UNAVAILABLE &&
            !(fresh && err.code == ERR_NOT_FOUND)) {
            c->err = err;
            c->failed = true;
            return NULL;
        }
        if (!c->leaving) clock_sleep_ms(500);
    }
    return NULL;
}

/* --- input --- */

static int type(struct console *c, const char *data, size_t length, struct err *err) {
    char *url AUTO_FREE = NULL, *node AUTO_FREE = NULL;
    if (ticket(c, false, &url, &node, err)) return -1;
    struct http_answer answer AUTO_ANSWER = { 0 };
    const struct http_call call = { .method = "POST", .url = url, .peer_urn = node, .raw = data,
                                    .raw_length = length, .timeout_ms = POST_MS };
    return session_call(c->session, &call, &answer, err);
}

/* What is typed while the sliver is on its way to another node is refused there: ask where it is
 * now, and type it again; a call that may have been carried out is not repeated. */
static int type_where_it_is(struct console *c, const char *data, size_t length, struct err *err) {
    if (type(c, data, length, err) == 0 || !err) return 0;
    if (err->code == ERR_TIMEOUT) return 0;
    char *url AUTO_FREE = NULL, *node AUTO_FREE = NULL;
    err_clear(err);
    if (ticket(c, true, &url, &node, err)) return -1;
    return type(c, data, length, err);
}

static int wait_for_input(struct console *c, bool tty, bool ended) {
    struct pollfd p = { .fd = ended ? -1 : STDIN_FILENO, .events = POLLIN };
    if (poll(&p, 1, 200) > 0) return 1;
    bool quiet = clock_monotonic_ms() - c->heard_ms > QUIET_MS;
    return !tty && ended && quiet ? -1 : 0;
}

static int carry_input(struct console *c, bool tty, struct err *err) {
    char data[1024];
    for (bool ended = false; !c->failed;) {
        int ready = wait_for_input(c, tty, ended);
        if (ready < 0) return 0;
        if (!ready) continue;
        ssize_t n = read(STDIN_FILENO, data, sizeof data);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (tty) return 0;
            ended = true;
            c->heard_ms = clock_monotonic_ms();
            continue;
        }
        char *leave = tty ? memchr(data, LEAVE, (size_t)n) : NULL;
        if (leave) n = leave - data;
        if (n > 0 && type_where_it_is(c, data, (size_t)n, err)) return -1;
        if (leave) return 0;
    }
    if (err) *err = c->err;
    return -1;
}

int console_run(struct cli *cli, struct err *err) {
    const char *slice;
    json *sliver AUTO_JSON = sliver_named(cli, cli_arg(cli, 0), &slice, err);
    if (!sliver) return -1;
    struct console c = { .session = &cli->session, .slice = slice,
                         .sliver = json_get_str(sliver, "id"),
                         .lock = PTHREAD_MUTEX_INITIALIZER, .heard_ms = clock_monotonic_ms() };
    char *url AUTO_FREE = NULL, *node AUTO_FREE = NULL;
    if (ticket(&c, true, &url, &node, err)) return -1;
    bool tty = cli->in_tty && cli->out_tty;
    if (tty) {
        fprintf(cli->notes, "console of %s; Ctrl-] leaves\n", json_get_str(sliver, "name"));
        terminal_raw();
    }
    pthread_t listener;
    if (pthread_create(&listener, NULL, listen_main, &c))
        return err_set(err, ERR_INTERNAL, "no thread could be started");
    int rc = carry_input(&c, tty, err);
    c.leaving = true;
    terminal_restore();
    if (tty) fputc('\n', cli->notes);
    pthread_join(listener, NULL);
    free(c.url);
    free(c.node);
    return rc;
}
