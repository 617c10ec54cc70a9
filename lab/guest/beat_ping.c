/*
 * beat ping: ICMP echo at a steady rate, with room for all answers that come at once after a pause. (The usual
 * small ping gives its socket some 15 KB, loses such a burst itself, and blames the network.)
 */
#include "beat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 4 << 20, LAST_WAIT_NS = 2000000000 };

struct ping {
    int fd;
    uint16_t id;
    struct sockaddr_in to;
    uint64_t count, sent, received, duplicated;
    uint64_t *sent_ns;     /* by sequence number */
    uint8_t *answers;      /* how many came */
    uint64_t least_ns, most_ns, sum_ns;
    uint64_t last_ns, gap_ns; /* of answers */
};

static uint16_t checksum(const void *data, size_t length) {
    const uint16_t *word = data;
    uint32_t sum = 0;
    for (; length > 1; length -= 2) sum += *word++;
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~(sum + (sum >> 16));
}

static void send_one(struct ping *p) {
    uint8_t packet[64] = { 0 };
    struct icmphdr *icmp = (struct icmphdr *)packet;
    icmp->type = ICMP_ECHO;
    icmp->un.echo.id = htons(p->id);
    icmp->un.echo.sequence = htons((uint16_t)p->sent);
    icmp->checksum = checksum(packet, sizeof packet);
    p->sent_ns[p->sent++] = beat_now_ns();
    if (sendto(p->fd, packet, sizeof packet, 0, (struct sockaddr *)&p->to, sizeof p->to) < 0 &&
        errno != ENOBUFS && errno != EAGAIN)
        beat_die("send");
}

static void count_answer(struct ping *p, uint64_t sequence) {
    uint64_t now = beat_now_ns(), took = now - p->sent_ns[sequence];
    if (p->answers[sequence]++) {
        p->duplicated++;
        return;
    }
    p->received++;
    p->sum_ns += took;
    if (took < p->least_ns) p->least_ns = took;
    if (took > p->most_ns) p->most_ns = took;
    if (p->last_ns && now - p->last_ns > p->gap_ns) p->gap_ns = now - p->last_ns;
    p->last_ns = now;
}

static void receive_all(struct ping *p) {
    uint8_t packet[256];
    ssize_t n;
    while ((n = recv(p->fd, packet, sizeof packet, MSG_DONTWAIT)) > 0) {
        size_t header = (size_t)(packet[0] & 15) * 4;
        const struct icmphdr *icmp = (const struct icmphdr *)(packet + header);
        if ((size_t)n < header + sizeof *icmp || icmp->type != ICMP_ECHOREPLY ||
            ntohs(icmp->un.echo.id) != p->id)
            continue;
        uint64_t sequence = ntohs(icmp->un.echo.sequence);
        if (sequence < p->sent) count_answer(p, sequence);
    }
}

static void wait_until(struct ping *p, uint64_t until_ns) {
    for (uint64_t now; (now = beat_now_ns()) < until_ns;) {
        struct pollfd fd = { p->fd, POLLIN, 0 };
        struct timespec left = { (time_t)((until_ns - now) / 1000000000u),
                                 (long)((until_ns - now) % 1000000000u) };
        if (ppoll(&fd, 1, &left, NULL) > 0) receive_all(p);
        if (beat_stop) return;
    }
}

static void report(const struct ping *p) {
    double ms = 1e6;
    printf("%llu sent, %llu received, %llu lost, %llu duplicated\n", (unsigned long long)p->sent,
           (unsigned long long)p->received, (unsigned long long)(p->sent - p->received),
           (unsigned long long)p->duplicated);
    if (p->received)
        printf("round trip %.1f ms at least, %.1f on average, %.1f at most; longest silence %.1f ms\n",
               (double)p->least_ns / ms, (double)p->sum_ns / (double)p->received / ms,
               (double)p->most_ns / ms, (double)p->gap_ns / ms);
}

int beat_ping(const char *dst, uint64_t rate_hz, uint64_t count) {
    struct ping p = { .count = count, .id = (uint16_t)getpid(), .least_ns = UINT64_MAX };
    p.to.sin_family = AF_INET;
    if (inet_pton(AF_INET, dst, &p.to.sin_addr) != 1) {
        fprintf(stderr, "beat: '%s' is no IPv4 address\n", dst);
        return 2;
    }
    p.fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (p.fd < 0) beat_die("socket");
    int bytes = RECEIVE_BYTES;
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    p.sent_ns = calloc(count, sizeof *p.sent_ns);
    p.answers = calloc(count, 1);
    if (!p.sent_ns || !p.answers) beat_die("memory");
    uint64_t period_ns = 1000000000u / rate_hz, next_ns = beat_now_ns();
    while (p.sent < count && !beat_stop) {
        send_one(&p);
        wait_until(&p, next_ns += period_ns);
        if (p.sent % rate_hz == 0)
            printf("%llu sent, %llu answered\n", (unsigned long long)p.sent,
                   (unsigned long long)p.received);
    }
    uint64_t end_ns = beat_now_ns() + LAST_WAIT_NS;
    while (p.received < p.sent && beat_now_ns() < end_ns && !beat_stop)
        wait_until(&p, beat_now_ns() + 10000000u);
    report(&p);
    return p.received == p.sent && !p.duplicated ? 0 : 1;
}
