#include "nodemgr/console.h"

#include "common/clock.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/mem.h"
#include "nodemgr/waiting.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

LOG_MODULE("nm.console");

#define WRITE_WAIT_MS 1000

struct console {
    struct console *next;
    char sliver[UUID_TEXT_BYTES];
    int64_t epoch;
    uint64_t life;
    int fd;         /* -1: not connected */
    uint64_t total; /* bytes ever; the ring holds the last of them */
    char ring[CONSOLE_HISTORY_BYTES];
};
struct console_hub {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct console *first;
    uint64_t lives; /* consoles ever */
    int poll, end;
};

static struct console *find(struct console_hub *h, const char *sliver) {
    struct console *c = h->first;
    while (c && strcmp(c->sliver, sliver) != 0) c = c->next;
    return c;
}

static void disconnect(struct console_hub *h, struct console *c) {
    if (c->fd < 0) return;
    epoll_ctl(h->poll, EPOLL_CTL_DEL, c->fd, NULL);
    close(STEAL_FD(c->fd));
    pthread_cond_broadcast(&h->more);
}

static void keep(struct console *c, const char *data, size_t length) {
    for (size_t i = 0; i < length; i++) c->ring[(c->total + i) % sizeof c->ring] = data[i];
    c->total += length;
}

static void take_output(struct console_hub *h, int fd) {
    char data[4096];
    WITH_LOCK(&h->lock);
    struct console *c = h->first;
    while (c && c->fd != fd) c = c->next;
    if (!c) return;
    ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        disconnect(h, c);
        return;
    }
    keep(c, data, (size_t)n);
    pthread_cond_broadcast(&h->more);
}

static void *hub_main(void *arg) {
    struct console_hub *h = arg;
    for (;;) {
        struct epoll_event events[16];
        int n = epoll_wait(h->poll, events, COUNT_OF(events), -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == h->end) return NULL;
            take_output(h, events[i].data.fd);
        }
    }
}

static int watch_fd(struct console_hub *h, int fd) {
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    return epoll_ctl(h->poll, EPOLL_CTL_ADD, fd, &event);
}

struct console_hub *console_hub_start(struct err *err) {
    struct console_hub *h = xcalloc(1, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    waiting_init(&h->more);
    h->poll = epoll_create1(EPOLL_CLOEXEC);
    h->end = eventfd(0, EFD_CLOEXEC);
    if (h->poll >= 0 && h->end >= 0 && watch_fd(h, h->end) == 0 &&
        pthread_create(&h->thread, NULL, hub_main, h) == 0)
        return h;
    err_set_errno(err, ERR_UNAVAILABLE, errno, "start the reader of consoles");
    free(h);
    return NULL;
}

void console_hub_stop(struct console_hub *h) {
    if (!h) return;
    eventfd_write(h->end, 1);
    pthread_join(h->thread, NULL);
    while (h->first) {
        struct console *c = h->first;
        h->first = c->next;
        disconnect(h, c);
        free(c);
    }
    close(h->poll);
    close(h->end);
    pthread_cond_destroy(&h->more);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int connect_to(const char *path, struct err *err) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_TOO_LARGE, "the path %s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd AUTO_FD = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return err_set_errno(err, ERR_NOT_FOUND, errno, "connect to the console %s", path);
    return STEAL_FD(fd);
}

static struct console *console_new(struct console_hub *h, const char *sliver) {
    struct console *c = xcalloc(1, sizeof *c);
    snprintf(c->sliver, sizeof c->sliver, "%s", sliver);
    c->fd = -1;
    c->life = ++h->lives;
    c->next = h->first;
    h->first = c;
    return c;
}

int console_attach(struct console_hub *h, const char *sliver, int64_t epoch, const char *path,
                   struct err *err) {
    WITH_LOCK(&h->lock);
    struct console *c = find(h, sliver);
    if (c && (c->epoch > epoch || (c->epoch == epoch && c->fd >= 0))) return 0;
    int fd = connect_to(path, err);
    if (fd < 0) return -1;
    if (!c) c = console_new(h, sliver);
    disconnect(h, c);
    c->fd = fd;
    c->epoch = epoch;
    watch_fd(h, fd);
    log_debug("console connected", "sliver=%s epoch=%lld", sliver, (long long)epoch);
    return 0;
}

void console_forget(struct console_hub *h, const char *sliver, int64_t epoch) {
    WITH_LOCK(&h->lock);
    struct console **at = &h->first;
    while (*at && strcmp((*at)->sliver, sliver) != 0) at = &(*at)->next;
    struct console *c = *at;
    if (!c || c->epoch > epoch) return;
    *at = c->next;
    disconnect(h, c);
    free(c);
    pthread_cond_broadcast(&h->more); /* its readers leave */
}

/* The console that *place is of; NULL when it is gone. */
static struct console *find_at(struct console_hub *h, const char *sliver,
                               struct console_place *place) {
    struct console *c = find(h, sliver);
    if (!c || (place->life && place->life != c->life)) return NULL;
    place->life = c->life;
    return c;
}

int64_t console_read(struct console_hub *h, const char *sliver, struct console_place *place,
                     char *buf, size_t size, int64_t wait_ms) {
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    uint64_t *position = &place->position;
    WITH_LOCK(&h->lock);
    struct console *c;
    /* Looked up again after each wait, the last one too: it may have been forgotten meanwhile. */
    for (bool more = true; (c = find_at(h, sliver, place)) && c->total <= *position && more;)
        more = waiting_until(&h->more, &h->lock, deadline);
    if (!c) return -1;
    if (c->total > sizeof c->ring && *position < c->total - sizeof c->ring)
        *position = c->total - sizeof c->ring; /* overwritten meanwhile */
    size_t n = 0;
    while (n < size && *position < c->total) buf[n++] = c->ring[(*position)++ % sizeof c->ring];
    return (int64_t)n;
}

/* A duplicate, so that a reconnection cannot hand the number to another file meanwhile. */
static int borrow_fd(struct console_hub *h, const char *sliver) {
    WITH_LOCK(&h->lock);
    struct console *c = find(h, sliver);
    return c && c->fd >= 0 ? dup(c->fd) : -1;
}

int console_write(struct console_hub *h, const char *sliver, const void *data, size_t length,
                  struct err *err) {
    int fd AUTO_FD = borrow_fd(h, sliver);
    if (fd < 0) return err_set(err, ERR_NOT_FOUND, "sliver %s has no console at this node", sliver);
    int64_t deadline = clock_monotonic_ms() + WRITE_WAIT_MS;
    for (size_t done = 0; done < length;) {
        ssize_t n = send(fd, (const char *)data + done, length - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int64_t left = deadline - clock_monotonic_ms();
        if ((n < 0 && errno != EAGAIN && errno != EINTR) || left <= 0 || poll(&p, 1, (int)left) < 0)
            return err_set(err, ERR_UNAVAILABLE, "the console of %s takes no input", sliver);
    }
    return 0;
}
