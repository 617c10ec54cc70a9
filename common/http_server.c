/*
 * The server: a listener, and threads that serve it.
 *
 * HTTP_POOL. Each thread owns a libmicrohttpd daemon in external-poll mode with epoll; all accept
 * from one listening socket. The loop is ours and not the library's because of streams: a reader
 * that has nothing yet returns 0, upon which the library's own loop would spin; and suspended
 * connections have a list bug in this version. Here the loop sleeps until a socket or a stream
 * (wake_fd) has something. Streams are fed by threads of their own (http_server_stream.c), so 64
 * idle event streams cost the pool nothing.
 *
 * HTTP_PER_CONNECTION. The library's thread per connection; handlers and streams run on it.
 */
#include "http_server_internal.h"

#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

LOG_MODULE("http.server");

#define CONNECTIONS_MAX 512
/* Bounds the header section (a credential has 16 KiB); the library clears all of it after each
 * request, so it is no larger than needed. */
#define CONNECTION_MEMORY_BYTES 40960
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"
/* Turns to run on after the last visible progress: a TLS record may hold more than one read. */
#define EXTRA_TURNS 8
#define STREAM_POLL_MS 50

int64_t http_server_now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 0)))
static void log_library(void *cls, const char *fmt, va_list ap) {
    (void)cls;
    char text[256];
    vsnprintf(text, sizeof text, fmt, ap);
    log_debug("library", "text=\"%s\"", text);
}

static socklen_t parse_address(const char *text, uint16_t port, struct sockaddr_storage *ret) {
    memset(ret, 0, sizeof *ret);
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    return 0;
}

static uint16_t port_of(int fd) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n)) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static int listen_on(const struct http_server_options *o, struct err *err) {
    struct sockaddr_storage a;
    socklen_t n = parse_address(o->address, o->port, &a);
    if (!n) return err_set(err, ERR_INVALID, "%s is no numeric address", o->address);
    int fd AUTO_FD = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&a, n) || listen(fd, 1024)) {
        err_set_errno(err, ERR_UNAVAILABLE, errno, "listen on %s port %u", o->address, o->port);
        return err_remedy(err, "free the port, or set another listen_address or listen_port");
    }
    return STEAL_FD(fd);
}

/* A daemon on a duplicate of the listening socket (stopping a daemon closes its own). */
static struct MHD_Daemon *start_daemon(struct http_server *s, const struct http_server_options *o,
                                       unsigned flags, unsigned connections, void *cls,
                                       struct err *err) {
    int fd = fcntl(s->listen_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "dup"), NULL;
    struct MHD_OptionItem tls[] = {
        { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key_pem },
        { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->cert_pem },
        { MHD_OPTION_HTTPS_MEM_TRUST, 0, (void *)(uintptr_t)o->ca_pem },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES },
        { MHD_OPTION_END, 0, NULL },
    };
    struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
    struct MHD_Daemon *d = MHD_start_daemon(
        flags | MHD_USE_ERROR_LOG | (s->tls ? MHD_USE_TLS : 0), 0, NULL, NULL,
        http_request_continue, cls, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_CONNECTION, http_conn_notify, cls,
        MHD_OPTION_URI_LOG_CALLBACK, http_request_begin, cls, MHD_OPTION_NOTIFY_COMPLETED,
        http_request_end, cls, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_THREAD_STACK_SIZE, (size_t)512 * 1024,
        MHD_OPTION_ARRAY, s->tls ? tls : none, MHD_OPTION_END);
    if (d) return d;
    close(fd);
    err_set(err, ERR_UNAVAILABLE, "the HTTP server did not start (key, certificate, or memory)");
    return NULL;
}

static void drain(int fd) {
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
}

void http_server_wake(struct http_loop *loop) {
    uint64_t one = 1;
    (void)!write(loop->wake_fd, &one, sizeof one);
}

/* With streams about, the library always says "do not wait"; so wait here, for what can happen. */
static void wait_for_events(struct http_loop *loop, int epoll_fd, unsigned *extra_turns) {
    struct pollfd fds[] = { { epoll_fd, POLLIN, 0 }, { loop->wake_fd, POLLIN, 0 } };
    if (loop->progress) *extra_turns = EXTRA_TURNS;
    int wait_ms = *extra_turns ? 0 : STREAM_POLL_MS;
    if (*extra_turns) --*extra_turns;
    if (poll(fds, 2, wait_ms) <= 0) return;
    if (fds[0].revents) *extra_turns = EXTRA_TURNS;
    if (fds[1].revents) drain(loop->wake_fd);
}

static void *run_loop(void *arg) {
    struct http_loop *loop = arg;
    unsigned extra_turns = 0;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int epoll_fd = info->epoll_fd;
    while (!atomic_load(&loop->server->stopping)) {
        loop->progress = false;
        if (loop->streams == 0) {
            MHD_run_wait(loop->daemon, 1000);
        } else {
            MHD_run(loop->daemon);
            wait_for_events(loop, epoll_fd, &extra_turns);
        }
    }
    return NULL;
}

static int start_thread(pthread_t *ret, void *(*fn)(void *), void *arg, struct err *err) {
    sigset_t all, before; /* signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? err_set_errno(err, ERR_UNAVAILABLE, rc, "start a thread") : 0;
}

static int make_loop(struct http_server *s, const struct http_server_options *o,
                     unsigned connections, struct err *err) {
    struct http_loop *loop = &s->loops[s->loop_count];
    loop->server = s;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "eventfd");
    loop->daemon = start_daemon(s, o, MHD_USE_EPOLL | MHD_USE_TURBO, connections, s, err);
    if (loop->daemon) return s->loop_count++, 0;
    close(loop->wake_fd);
    return -1;
}

static int start_pool(struct http_server *s, const struct http_server_options *o,
                      unsigned connections, struct err *err) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = o->thread_count ? o->thread_count : cores > 0 ? (unsigned)cores : 1;
    s->loops = xcalloc(count, sizeof *s->loops);
    for (unsigned i = 0; i < count; i++)
        if (make_loop(s, o, (connections + count - 1) / count, err)) return -1;
    for (unsigned i = 0; i < count; i++) { /* all loops are known before the first one serves */
        if (start_thread(&s->loops[i].thread, run_loop, &s->loops[i], err)) return -1;
        s->loops[i].running = true;
    }
    return 0;
}

static int start_threads(struct http_server *s, const struct http_server_options *o,
                         struct err *err) {
    unsigned connections = o->connections_max ? o->connections_max : CONNECTIONS_MAX;
    if (start_thread(&s->reaper, http_conn_reap, s, err)) return -1;
    s->reaping = true;
    if (o->threads == HTTP_POOL) return start_pool(s, o, connections, err);
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->daemon = start_daemon(s, o, flags, connections, s, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->daemon ? 0 : -1;
}

struct http_server *http_server_start(const struct http_server_options *options,
                                      const struct route_table *routes, struct err *err) {
    int fd = listen_on(options, err);
    if (fd < 0) return NULL;
    struct http_server *s = xcalloc(1, sizeof *s);
    s->routes = routes;
    s->listen_fd = fd;
    s->port = port_of(fd);
    s->tls = options->key_pem != NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (start_threads(s, options, err)) {
        http_server_stop(s);
        return NULL;
    }
    return s;
}

uint16_t http_server_port(const struct http_server *s) { return s->port; }

/* Streams notice `stopping` within the second that their functions may block. */
static void wait_for_streams(struct http_server *s) {
    WITH_LOCK(&s->lock);
    while (s->streams) pthread_cond_wait(&s->changed, &s->lock);
}

void http_server_stop(struct http_server *s) {
    if (!s) return;
    {
        WITH_LOCK(&s->lock);
        atomic_store(&s->stopping, true);
        pthread_cond_broadcast(&s->changed);
    }
    shutdown(s->listen_fd, SHUT_RDWR); /* wakes every loop */
    for (unsigned i = 0; i < s->loop_count; i++) {
        http_server_wake(&s->loops[i]);
        if (s->loops[i].running) pthread_join(s->loops[i].thread, NULL);
        MHD_stop_daemon(s->loops[i].daemon);
    }
    if (s->daemon) MHD_stop_daemon(s->daemon);
    if (s->reaping) pthread_join(s->reaper, NULL);
    wait_for_streams(s);
    for (unsigned i = 0; i < s->loop_count; i++) close(s->loops[i].wake_fd);
    free(s->loops);
    close(s->listen_fd);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
