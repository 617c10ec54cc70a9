/* Frames on an interface, by a raw socket. */
#include "frame.h"

#include "common/clock.h"
#include "frame/pcap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A raw socket bound to the interface, and its address as text. -1 with *err. */
static int wire_open(const char *device, char ret_mac[18], struct err *err) {
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(device) };
    struct ifreq req = { 0 };
    if (!at.sll_ifindex || strlen(device) >= sizeof req.ifr_name)
        return err_set(err, ERR_NOT_FOUND, "there is no interface %s", device);
    int fd AUTO_FD = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_set_errno(err, errno == EPERM ? ERR_FORBIDDEN : ERR_UNAVAILABLE, errno, "a raw socket");
        return err_remedy(err, "run it as root, or with CAP_NET_RAW");
    }
    memcpy(req.ifr_name, device, strlen(device));
    if (ioctl(fd, SIOCGIFHWADDR, &req) || bind(fd, (struct sockaddr *)&at, sizeof at))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", device);
    const uint8_t *mac = (const uint8_t *)req.ifr_hwaddr.sa_data;
    snprintf(ret_mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    return STEAL_FD(fd);
}

int frame_send(struct cli *cli, struct err *err) {
    uint8_t *frame AUTO_FREE = xmalloc(FRAME_BYTES_MAX);
    uint64_t count, interval_ms;
    size_t length;
    char mac[18];
    if (frame_number(cli, "count", 1, UINT32_MAX, 1, &count, err) ||
        frame_number(cli, "interval", 0, 3600000, 0, &interval_ms, err))
        return -1;
    int fd AUTO_FD = wire_open(cli_arg(cli, 0), mac, err);
    if (fd < 0 || frame_from_options(cli, mac, frame, &length, err)) return -1;
    for (uint64_t i = 0; i < count; i++) {
        if (i && interval_ms) clock_sleep_ms((int64_t)interval_ms);
        if (send(fd, frame, length, 0) == (ssize_t)length) continue;
        err_set_errno(err, ERR_UNAVAILABLE, errno, "frame %llu of %llu on %s",
                      (unsigned long long)i + 1, (unsigned long long)count, cli_arg(cli, 0));
        return errno == EMSGSIZE ? err_remedy(err, "it is longer than the interface's MTU allows") : -1;
    }
    json *said AUTO_JSON = json_set_int(json_object(), "frames", (int64_t)count);
    output_said(&cli->output, json_set_int(said, "frame_bytes", (int64_t)length), "%llu frame%s of %zu bytes sent",
                (unsigned long long)count, count == 1 ? "" : "s", length);
    return 0;
}

/* --- listening --- */

struct listener {
    struct cli *cli;
    const struct layout *own;
    uint64_t slice; /* 0: all */
    uint64_t count, shown;
    FILE *capture;
};

static int show(struct listener *l, const uint8_t *frame, size_t length, struct err *err) {
    struct jogak_frame f;
    enum jogak_frame_status status = jogak_frame_decode(frame, length, &f);
    if (status == JOGAK_FRAME_ORDINARY || status == JOGAK_FRAME_RUNT) return 0;
    if (status != JOGAK_FRAME_OK && !cli_flag(l->cli, "all")) return 0;
    if (l->slice && (status != JOGAK_FRAME_OK || f.slice != l->slice)) return 0;
    json *described AUTO_JSON = frame_describe(frame, length, l->own);
    frame_print_line(l->cli, described);
    l->shown++;
    if (!l->capture) return 0;
    if (pcap_add(l->capture, clock_wall_ms() * 1000, frame, length) || fflush(l->capture))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "writing the capture");
    return 0;
}

/* One frame, if one is there in time; those that this machine sends are left out. */
static int listen_once(struct listener *l, int fd, int64_t wait_ms, struct err *err) {
    static uint8_t frame[FRAME_BYTES_MAX];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct sockaddr_ll from = { 0 };
    socklen_t from_length = sizeof from;
    int ready = poll(&p, 1, wait_ms < 0 || wait_ms > 60000 ? 60000 : (int)wait_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return 0;
    ssize_t n = recvfrom(fd, frame, sizeof frame, MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) return 0;
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", cli_arg(l->cli, 0));
    }
    return from.sll_pkttype == PACKET_OUTGOING ? 0 : show(l, frame, (size_t)n, err);
}

static int listen_on(struct listener *l, int fd, uint64_t timeout_ms, struct err *err) {
    int64_t end_ms = timeout_ms ? clock_monotonic_ms() + (int64_t)timeout_ms : INT64_MAX;
    while ((!l->count || l->shown < l->count) && !ferror(l->cli->out)) {
        int64_t left_ms = end_ms - clock_monotonic_ms();
        if (left_ms <= 0 && !l->count) return 0;
        if (left_ms <= 0)
            return err_set(err, ERR_TIMEOUT, "%llu of %llu frames came", (unsigned long long)l->shown,
                           (unsigned long long)l->count);
        if (listen_once(l, fd, left_ms, err)) return -1;
    }
    return 0;
}

int frame_listen(struct cli *cli, struct err *err) {
    struct listener l = { .cli = cli };
    struct layout room;
    uint64_t timeout_ms;
    char mac[18];
    if (frame_number(cli, "count", 1, UINT32_MAX, 0, &l.count, err) ||
        frame_number(cli, "timeout", 1, UINT32_MAX, 0, &timeout_ms, err) ||
        frame_number(cli, "slice-id", 1, UINT32_MAX, 0, &l.slice, err) ||
        frame_layout(cli, &room, &l.own, err))
        return -1;
    int fd AUTO_FD = wire_open(cli_arg(cli, 0), mac, err);
    if (fd < 0) return -1;
    const char *path = cli_option(cli, "write");
    l.capture = path ? fopen(path, "wbe") : NULL;
    if (path && (!l.capture || pcap_begin(l.capture))) {
        err_set_errno(err, ERR_INVALID, errno, "%s", path);
        if (l.capture) fclose(l.capture);
        return -1;
    }
    int rc = listen_on(&l, fd, timeout_ms, err);
    if (l.capture && fclose(l.capture) && rc == 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", path);
    return rc;
}
