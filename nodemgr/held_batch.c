#include "nodemgr/held.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FRAME_MIN 14 /* an Ethernet header */

int held_batch_add(struct buf *batch, const void *header, const void *frame, size_t length,
                   struct err *err) {
    if (length < FRAME_MIN || length > HELD_FRAME_MAX)
        return err_set(err, ERR_TOO_LARGE, "a frame of %zu bytes", length);
    if (batch->length + 4 + HELD_HEADER_BYTES + length > HELD_BATCH_MAX) return 1;
    uint32_t rest = htonl((uint32_t)(HELD_HEADER_BYTES + length));
    buf_add(batch, &rest, sizeof rest);
    buf_add(batch, header, HELD_HEADER_BYTES);
    buf_add(batch, frame, length);
    return 0;
}

int held_batch_next(const void *batch, size_t length, size_t *offset, const void **ret_header,
                    const void **ret_frame, size_t *ret_frame_length, struct err *err) {
    const uint8_t *at = (const uint8_t *)batch + *offset;
    size_t left = length - *offset;
    uint32_t rest;
    if (left == 0) return 0;
    if (left < sizeof rest) return err_set(err, ERR_INVALID, "batch of frames: cut off");
    memcpy(&rest, at, sizeof rest);
    rest = ntohl(rest);
    if (rest < HELD_HEADER_BYTES + FRAME_MIN || rest > HELD_HEADER_BYTES + HELD_FRAME_MAX ||
        rest > left - sizeof rest)
        return err_set(err, ERR_INVALID, "batch of frames: length %u at %zu", rest, *offset);
    *ret_header = at + sizeof rest;
    *ret_frame = at + sizeof rest + HELD_HEADER_BYTES;
    *ret_frame_length = rest - HELD_HEADER_BYTES;
    *offset += sizeof rest + rest;
    return 1;
}

static int batch_check(const void *batch, size_t length, struct err *err) {
    const void *header, *frame;
    size_t offset = 0, frame_length;
    int more;
    while ((more = held_batch_next(batch, length, &offset, &header, &frame, &frame_length, err)) > 0)
        ;
    return more;
}

/* A raw socket that only sends: protocol 0 receives nothing. */
static int packet_socket(const char *tap, struct err *err) {
    unsigned index = if_nametoindex(tap);
    if (!index) return err_set(err, ERR_NOT_FOUND, "no network device %s", tap);
    int fd AUTO_FD = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "packet socket");
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)index };
    int on = 1;
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) ||
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&to, sizeof to))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "packet socket on %s", tap);
    return STEAL_FD(fd);
}

/* The tap says ENOBUFS when its queue is full; the frame is then dropped, so it is sent again. */
static int inject_one(int fd, const void *header, const void *frame, size_t length,
                      int64_t until_ms, struct err *err) {
    struct iovec parts[] = { { (void *)(uintptr_t)header, HELD_HEADER_BYTES },
                             { (void *)(uintptr_t)frame, length } };
    for (;;) {
        if (writev(fd, parts, COUNT_OF(parts)) >= 0) return 0;
        if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            return err_set_errno(err, ERR_UNAVAILABLE, errno, "send a frame of %zu bytes", length);
        if (clock_monotonic_ms() >= until_ms)
            return err_set(err, ERR_TIMEOUT, "the guest does not take its frames");
        usleep(200);
    }
}

int held_inject(const char *tap, const void *batch, size_t length, int timeout_ms,
                size_t *ret_frames, struct err *err) {
    if (ret_frames) *ret_frames = 0;
    if (batch_check(batch, length, err)) return -1;
    int fd AUTO_FD = packet_socket(tap, err);
    if (fd < 0) return -1;
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    const void *header, *frame;
    size_t offset = 0, frame_length;
    while (held_batch_next(batch, length, &offset, &header, &frame, &frame_length, NULL) > 0) {
        if (inject_one(fd, header, frame, frame_length, until_ms, err))
            return err_wrap(err, "deliver held frames to %s", tap);
        if (ret_frames) ++*ret_frames;
    }
    return 0;
}
