#include "nodemgr/held.h"

#include "nodemgr/netdev.h"

#include "common/clock.h"
#include "common/log.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>

LOG_MODULE("nm.held");

#define READ_BYTES (HELD_FRAME_MAX + 64)
/* A frame on its way from the gate to the queue is in neither for some microseconds, so the end is
 * believed only after several looks. */
#define CALM_LOOKS 5

struct held_tap {
    char name[IFNAMSIZ];
    int fd;
};

struct held {
    size_t count;
    struct held_tap taps[HELD_TAPS_MAX];
};

/* The tap that an open file of a process belongs to; "" when it is not a tap. */
static void tap_of_fd(pid_t pid, const char *fd, char ret_name[IFNAMSIZ]) {
    char path[64], target[64];
    ret_name[0] = '\0';
    snprintf(path, sizeof path, "/proc/%d/fd/%.16s", (int)pid, fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) return;
    target[n] = '\0';
    if (strcmp(target, "/dev/net/tun") != 0) return;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%.16s", (int)pid, fd);
    FILE *f = fopen(path, "re");
    char line[128];
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "iff: %15s", ret_name) == 1) break;
    if (f) fclose(f);
}

static struct held_tap *tap_wanted(struct held *h, const char *name) {
    for (size_t i = 0; i < h->count; i++)
        if (h->taps[i].fd < 0 && strcmp(h->taps[i].name, name) == 0) return &h->taps[i];
    return NULL;
}

static int grab_open_files(struct held *h, pid_t pid, int pidfd, struct err *err) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read %s", path);
    for (struct dirent *e; (e = readdir(dir));) {
        char name[IFNAMSIZ];
        if (e->d_name[0] == '.') continue;
        tap_of_fd(pid, e->d_name, name);
        struct held_tap *tap = name[0] ? tap_wanted(h, name) : NULL;
        if (tap) tap->fd = pidfd_getfd(pidfd, atoi(e->d_name), 0);
    }
    closedir(dir);
    for (size_t i = 0; i < h->count; i++)
        if (h->taps[i].fd < 0)
            return err_set(err, ERR_NOT_FOUND, "process %d has tap %s not open", (int)pid,
                           h->taps[i].name);
    return 0;
}

struct held *held_grab(pid_t pid, const char *const *taps, struct err *err) {
    /* The pidfd comes first: if the number is reused later, pidfd_getfd() fails. */
    int pidfd AUTO_FD = pidfd_open(pid, 0);
    if (pidfd < 0) {
        err_set_errno(err, errno == ESRCH ? ERR_NOT_FOUND : ERR_UNAVAILABLE, errno, "process %d",
                      (int)pid);
        return NULL;
    }
    struct held *h = xcalloc(1, sizeof *h);
    for (; taps[h->count] && h->count < HELD_TAPS_MAX; h->count++) {
        h->taps[h->count].fd = -1;
        snprintf(h->taps[h->count].name, IFNAMSIZ, "%s", taps[h->count]);
    }
    int failed = taps[h->count] ? err_set(err, ERR_TOO_LARGE, "more than %d taps", HELD_TAPS_MAX)
                                : grab_open_files(h, pid, pidfd, err);
    if (!failed) return h;
    held_free(h);
    return NULL;
}

void held_free(struct held *h) {
    for (size_t i = 0; h && i < h->count; i++)
        if (h->taps[i].fd >= 0) close(h->taps[i].fd);
    free(h);
}

static bool readable(int fd) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

int held_settle(struct held *h, int timeout_ms, struct err *err) {
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    for (size_t i = 0; i < h->count;) {
        if (!readable(h->taps[i].fd)) {
            i++;
            continue;
        }
        if (clock_monotonic_ms() >= until_ms)
            return err_set(err, ERR_TIMEOUT, "the guest does not read its frames on %s",
                           h->taps[i].name);
        usleep(200); /* one frame takes the guest some microseconds; 1 ms would be a long pause */
    }
    return 0;
}

/* Bytes of the virtio-net header that a read gives first: 0, 10 or 12. */
static int header_bytes(const struct held_tap *tap, int *ret_bytes, struct err *err) {
    struct ifreq req = { 0 };
    if (ioctl(tap->fd, TUNGETIFF, &req) || ioctl(tap->fd, TUNGETVNETHDRSZ, ret_bytes))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "ask for the header of %s", tap->name);
    if (!(req.ifr_flags & IFF_VNET_HDR)) *ret_bytes = 0;
    if (*ret_bytes != 0 && (*ret_bytes < HELD_HEADER_BYTES || *ret_bytes > 64))
        return err_set(err, ERR_UNSUPPORTED, "%s has a header of %d bytes", tap->name, *ret_bytes);
    return 0;
}

/* One read. 1: a frame was handed over; 0: the queue is empty. */
static int drain_one(const struct held_tap *tap, int skip, uint8_t *space, held_fn *fn, void *ctx,
                     struct err *err) {
    static const uint8_t no_header[HELD_HEADER_BYTES];
    if (!readable(tap->fd)) return 0; /* the file may be a blocking one */
    ssize_t n = read(tap->fd, space, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read from %s", tap->name);
    if (n <= skip) return 1;
    return fn(ctx, tap->name, skip ? space : no_header, space + skip, (size_t)(n - skip), err) < 0
               ? -1
               : 1;
}

static int64_t drain_tap(const struct held_tap *tap, uint8_t *space, held_fn *fn, void *ctx,
                         struct err *err) {
    int skip, got, calm = 0;
    int64_t frames = 0;
    if (header_bytes(tap, &skip, err)) return -1;
    while (calm < CALM_LOOKS) {
        struct netdev_gate gate;
        int64_t before = frames;
        while ((got = drain_one(tap, skip, space, fn, ctx, err)) > 0) frames++;
        if (got < 0 || netdev_gate_read(tap->name, &gate, err)) return -1;
        if (gate.frames > 0 && netdev_let_pass(tap->name, err)) return -1;
        calm = gate.frames == 0 && frames == before ? calm + 1 : 0;
        usleep(200);
    }
    return frames;
}

int64_t held_drain(struct held *h, held_fn *fn, void *ctx, struct err *err) {
    uint8_t *space AUTO_FREE = xmalloc(READ_BYTES);
    int64_t frames = 0;
    for (size_t i = 0; i < h->count; i++) {
        int64_t n = drain_tap(&h->taps[i], space, fn, ctx, err);
        if (n < 0) return err_wrap(err, "drain %s", h->taps[i].name);
        if (n) log_info("leftover frames drained", "tap=%s frames=%lld", h->taps[i].name,
                        (long long)n);
        frames += n;
    }
    return frames;
}

int64_t held_drain_tap(struct held *h, const char *tap, held_fn *fn, void *ctx, struct err *err) {
    uint8_t *space AUTO_FREE = xmalloc(READ_BYTES);
    for (size_t i = 0; i < h->count; i++) {
        if (strcmp(h->taps[i].name, tap)) continue;
        int64_t n = drain_tap(&h->taps[i], space, fn, ctx, err);
        return n < 0 ? err_wrap(err, "drain %s", tap) : n;
    }
    return err_set(err, ERR_NOT_FOUND, "tap %s was not taken over", tap);
}
