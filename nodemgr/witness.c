#include "nodemgr/witness.h"

#include "common/log.h"
#include "common/mem.h"
#include "nodemgr/held.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

LOG_MODULE("nm.witness");

#define KEPT 16384 /* frames of a tap; more than its queue takes */
#define KEPT_BYTES (32u << 20)
#define SOCKET_BYTES (16 << 20)
#define LOOK_MS 20
#define EVENT_LATE_MS 2 /* the pause is older than the event that told us of it */

struct kept_frame {
    int64_t at_ms; /* wall clock, of the kernel */
    size_t length;
    uint8_t *data; /* virtio-net header, frame */
};

struct watched {
    char name[IFNAMSIZ];
    int fd;
    struct kept_frame *ring; /* KEPT entries */
    uint64_t count;          /* frames ever seen; ring[(count - 1) % KEPT] is the last */
    uint64_t first;          /* the oldest still kept */
    size_t bytes;
};

struct witness {
    pthread_mutex_t lock; /* the rings */
    pthread_t thread;
    bool running;
    atomic_bool ending;
    size_t count;
    struct watched taps[HELD_TAPS_MAX];
};

static int watch(struct watched *t, const char *name, struct err *err) {
    snprintf(t->name, sizeof t->name, "%s", name);
    t->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "a packet socket");
    int on = 1, bytes = SOCKET_BYTES;
    setsockopt(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    if (setsockopt(t->fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) ||
        setsockopt(t->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "set up the socket on %s", name);
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    address.sll_ifindex = (int)if_nametoindex(name);
    if (!address.sll_ifindex) return err_set(err, ERR_NOT_FOUND, "there is no device %s", name);
    if (bind(t->fd, (struct sockaddr *)&address, sizeof address))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "watch %s", name);
    t->ring = xcalloc(KEPT, sizeof *t->ring);
    return 0;
}

static void forget_oldest(struct watched *t) {
    struct kept_frame *f = &t->ring[t->first++ % KEPT];
    t->bytes -= f->length;
    free(STEAL(f->data));
}

static void keep(struct watched *t, const void *data, size_t length, int64_t at_ms) {
    while (t->count - t->first >= KEPT || (t->first < t->count && t->bytes + length > KEPT_BYTES))
        forget_oldest(t);
    struct kept_frame *f = &t->ring[t->count++ % KEPT];
    *f = (struct kept_frame){ at_ms, length, xmalloc(length) };
    memcpy(f->data, data, length);
    t->bytes += length;
}

static int64_t time_of(struct msghdr *m) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec ts;
            memcpy(&ts, CMSG_DATA(c), sizeof ts);
            return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
        }
    return 0;
}

/* Takes in what has arrived. Only what goes to the guest counts. Called with the lock held. */
static void take_in(struct watched *t, uint8_t *space) {
    for (;;) {
        struct sockaddr_ll from;
        uint8_t control[64];
        struct iovec part = { space, HELD_HEADER_BYTES + HELD_FRAME_MAX };
        struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part,
                            .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
        ssize_t n = recvmsg(t->fd, &m, MSG_DONTWAIT);
        if (n < 0) return;
        if (n > HELD_HEADER_BYTES && from.sll_pkttype == PACKET_OUTGOING)
            keep(t, space, (size_t)n, time_of(&m));
    }
}

static void *watch_main(void *arg) {
    struct witness *w = arg;
    uint8_t *space AUTO_FREE = xmalloc(HELD_HEADER_BYTES + HELD_FRAME_MAX);
    struct pollfd fds[HELD_TAPS_MAX];
    for (size_t i = 0; i < w->count; i++) fds[i] = (struct pollfd){ w->taps[i].fd, POLLIN, 0 };
    while (!atomic_load(&w->ending)) {
        if (poll(fds, w->count, LOOK_MS) <= 0) continue;
        WITH_LOCK(&w->lock);
        for (size_t i = 0; i < w->count; i++) take_in(&w->taps[i], space);
    }
    return NULL;
}

struct witness *witness_new(const char *const *taps, struct err *err) {
    struct witness *w = xcalloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    for (size_t i = 0; i < HELD_TAPS_MAX; i++) w->taps[i].fd = -1;
    for (; taps[w->count] && w->count < HELD_TAPS_MAX; w->count++)
        if (watch(&w->taps[w->count], taps[w->count], err)) {
            w->count++; /* it may be half made */
            witness_free(w);
            return NULL;
        }
    int rc = pthread_create(&w->thread, NULL, watch_main, w);
    w->running = rc == 0;
    if (w->running) return w;
    err_set_errno(err, ERR_UNAVAILABLE, rc, "start a thread");
    witness_free(w);
    return NULL;
}

void witness_free(struct witness *w) {
    if (!w) return;
    atomic_store(&w->ending, true);
    if (w->running) pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->count; i++) {
        struct watched *t = &w->taps[i];
        while (t->first < t->count) forget_oldest(t);
        free(t->ring);
        if (t->fd >= 0) close(t->fd);
    }
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Did the socket drop frames? Then their count says nothing. */
static bool lost_count(const struct watched *t) {
    struct tpacket_stats stats = { 0 };
    socklen_t length = sizeof stats;
    return getsockopt(t->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length) || stats.tp_drops;
}

static int find(struct watched *t, int64_t leftovers, bool certain, int64_t paused_ms,
                uint8_t **ret_frame, size_t *ret_length) {
    uint8_t *space AUTO_FREE = xmalloc(HELD_HEADER_BYTES + HELD_FRAME_MAX);
    take_in(t, space);
    if (lost_count(t)) {
        log_warn("the witness lost count", "tap=%s", t->name);
        return 0;
    }
    if ((int64_t)(t->count - t->first) <= leftovers) return 0;
    struct kept_frame *f = &t->ring[(t->count - 1 - (uint64_t)leftovers) % KEPT];
    if (!certain && f->at_ms < paused_ms - EVENT_LATE_MS) return 0;
    *ret_length = f->length;
    *ret_frame = xmalloc(f->length);
    memcpy(*ret_frame, f->data, f->length);
    return 1;
}

int witness_swallowed(struct witness *w, const char *tap, int64_t leftovers, bool certain,
                      int64_t paused_ms, uint8_t **ret_frame, size_t *ret_length) {
    if (!w) return 0;
    WITH_LOCK(&w->lock);
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->taps[i].name, tap) == 0)
            return find(&w->taps[i], leftovers, certain, paused_ms, ret_frame, ret_length);
    return 0;
}
