/*
 * rollcall: a protocol of one's own, without IP. Who is on this link?
 *
 *   rollcall answer eth0 [-s SLICE]              answers until it is stopped
 *   rollcall call   eth0 [-s SLICE] [-w MS]      calls once, prints who answers within MS (1000)
 *
 * A call goes to all, an answer to the caller. Without -s they are ordinary Ethernet frames of an
 * EtherType of their own, as a transparent link carries them; with -s the program itself writes
 * and reads the experiment header, as on a native link.
 *
 *   cc -O2 -o rollcall rollcall.c        # with jogak-frame.h installed, or -I and its folder
 */
#include <jogak-frame.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ETHERTYPE = 0x88b6, CALL = 1, ANSWER = 2, NAME_MAX_BYTES = 64, ANY = 0x0003 };

/* What is in a frame: kind (1 byte), length of the name (1), number of the call (4), the name. */
struct message {
    uint8_t kind, name_bytes;
    uint32_t number;
    uint8_t name[NAME_MAX_BYTES];
    uint8_t from[6];
};
struct link {
    int fd;
    uint32_t slice; /* 0: no experiment header */
    uint8_t mac[6];
};

static void fail(const char *what) {
    fprintf(stderr, "rollcall: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void open_link(struct link *l, const char *device) {
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ANY),
                              .sll_ifindex = (int)if_nametoindex(device) };
    struct ifreq req = { 0 };
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", device);
    l->fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (l->fd < 0 || ioctl(l->fd, SIOCGIFHWADDR, &req) ||
        bind(l->fd, (struct sockaddr *)&at, sizeof at))
        fail(device);
    memcpy(l->mac, req.ifr_hwaddr.sa_data, 6);
}

static void send_message(const struct link *l, const uint8_t to[6], const struct message *m) {
    uint8_t frame[14 + 8 + 6 + NAME_MAX_BYTES], payload[6 + NAME_MAX_BYTES];
    size_t payload_bytes = 6u + m->name_bytes, frame_bytes = 14 + payload_bytes;
    payload[0] = m->kind;
    payload[1] = m->name_bytes;
    jogak_frame_put32(payload + 2, m->number);
    memcpy(payload + 6, m->name, m->name_bytes);
    if (l->slice) {
        struct jogak_frame f = { .slice = l->slice, .type = JOGAK_FRAME_SLICE, .header_bytes = 8,
                                 .inner = ETHERTYPE, .payload = payload,
                                 .payload_bytes = payload_bytes };
        if (jogak_frame_encode(&f, to, l->mac, frame, sizeof frame) != JOGAK_FRAME_OK) abort();
        frame_bytes = jogak_frame_bytes(&f);
    } else {
        memcpy(frame, to, 6);
        memcpy(frame + 6, l->mac, 6);
        jogak_frame_put16(frame + 12, ETHERTYPE);
        memcpy(frame + 14, payload, payload_bytes);
    }
    if (send(l->fd, frame, frame_bytes, 0) < 0) fail("send");
}

/* Our payload in a frame, or NULL: it comes from anybody, so every length is looked at. */
static const uint8_t *payload_of(const struct link *l, const uint8_t *frame, size_t n, size_t *ret) {
    struct jogak_frame f;
    enum jogak_frame_status status = jogak_frame_decode(frame, n, &f);
    if (l->slice) {
        *ret = f.payload_bytes;
        return status == JOGAK_FRAME_OK && f.slice == l->slice && f.inner == ETHERTYPE ? f.payload : NULL;
    }
    if (status != JOGAK_FRAME_ORDINARY || jogak_frame_get16(frame + 12) != ETHERTYPE) return NULL;
    *ret = n - 14;
    return frame + 14;
}

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The next message of another; false when none came in time (wait_ms < 0: no end). */
static bool receive(const struct link *l, struct message *m, long wait_ms) {
    uint8_t frame[2048];
    long end = now_ms() + wait_ms;
    for (;;) {
        struct pollfd p = { .fd = l->fd, .events = POLLIN };
        struct sockaddr_ll from = { 0 };
        socklen_t from_bytes = sizeof from;
        long left = wait_ms < 0 ? 60000 : end - now_ms();
        if (left <= 0) return false;
        if (poll(&p, 1, (int)left) <= 0) continue;
        ssize_t n = recvfrom(l->fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &from_bytes);
        size_t bytes = 0;
        const uint8_t *payload = n >= 14 ? payload_of(l, frame, (size_t)n, &bytes) : NULL;
        if (!payload || from.sll_pkttype == PACKET_OUTGOING || bytes < 6) continue;
        m->kind = payload[0];
        m->name_bytes = payload[1];
        m->number = jogak_frame_get32(payload + 2);
        if (m->name_bytes > NAME_MAX_BYTES || m->name_bytes > bytes - 6) continue;
        memcpy(m->name, payload + 6, m->name_bytes);
        memcpy(m->from, frame + 6, 6);
        return true;
    }
}

static void answer(const struct link *l) {
    struct message m;
    while (receive(l, &m, -1)) {
        if (m.kind != CALL) continue;
        m.kind = ANSWER;
        gethostname((char *)m.name, sizeof m.name - 1);
        m.name[sizeof m.name - 1] = '\0';
        m.name_bytes = (uint8_t)strlen((char *)m.name);
        send_message(l, m.from, &m);
    }
}

static int call(const struct link *l, long wait_ms) {
    static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct message m = { .kind = CALL, .number = (uint32_t)(now_ms() ^ getpid()) };
    uint32_t number = m.number;
    int answers = 0;
    long end = now_ms() + wait_ms;
    send_message(l, all, &m);
    while (receive(l, &m, end - now_ms() > 0 ? end - now_ms() : 0)) {
        if (m.kind != ANSWER || m.number != number) continue;
        printf("%02x:%02x:%02x:%02x:%02x:%02x  ", m.from[0], m.from[1], m.from[2], m.from[3], m.from[4],
               m.from[5]);
        for (int i = 0; i < m.name_bytes; i++) putchar(m.name[i] > 0x20 && m.name[i] < 0x7f ? m.name[i] : '?');
        putchar('\n');
        answers++;
    }
    return answers > 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    struct link l = { 0 };
    long wait_ms = 1000;
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-s") == 0) l.slice = (uint32_t)strtoul(argv[i + 1], NULL, 0);
        if (strcmp(argv[i], "-w") == 0) wait_ms = strtol(argv[i + 1], NULL, 10);
    }
    bool calls = argc > 2 && strcmp(argv[1], "call") == 0;
    if (!calls && (argc < 3 || strcmp(argv[1], "answer") != 0)) {
        fprintf(stderr, "usage: rollcall call|answer INTERFACE [-s SLICE] [-w MS]\n");
        return 2;
    }
    open_link(&l, argv[2]);
    if (calls) return call(&l, wait_ms);
    answer(&l);
    return 0;
}
