/*
 * The network half of beat: send, recv, echo.
 *
 * A datagram is 64 bytes: a magic number, a random number of the sender's run, its place in the
 * run, and the sender's clock. The two clocks are never compared with each other: only how the
 * difference between them varies tells how much later than the quickest datagram another one came.
 */
#include "beat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BEAT_MAGIC = 0x62656174,
    BATCH = 32,
    WINDOW = 1 << 18, /* datagrams for which a double is recognised: minutes at 1000/s */
    RCVBUF_BYTES = 4 << 20,
    WAKE_MS = 200, /* how late a signal may be answered when it comes just before the wait */
};

struct beat_datagram {
    uint32_t magic;
    uint32_t run;
    uint64_t seq;
    uint64_t sent_ns;
    uint8_t padding[40];
};

/* What is known of one run of a sender. All counters are of datagrams. */
struct verdict {
    uint32_t run;
    uint64_t first_seq, last_seq;
    uint64_t received, unique, duplicated, reordered;
    uint64_t arrived_ns;     /* the last one */
    uint64_t longest_gap_ns; /* between two arrivals */
    int64_t least_offset_ns; /* our clock minus the sender's, for the quickest datagram */
    int64_t most_offset_ns;
    uint8_t seen[WINDOW / 8]; /* a ring of bits: has datagram (seq % WINDOW) come? */
};

static int udp_socket(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) beat_die("socket");
    return fd;
}

static int udp_listen(uint16_t port) {
    int fd = udp_socket(), size = RCVBUF_BYTES;
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval wake = { .tv_usec = WAKE_MS * 1000 };
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wake, sizeof(wake));
    if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0) beat_die("bind");
    return fd;
}

int beat_send(const char *dst, uint16_t port, uint64_t rate_hz, uint64_t count) {
    struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct beat_datagram datagram = { .magic = BEAT_MAGIC };
    struct metronome metronome;
    uint64_t refused = 0;
    if (inet_pton(AF_INET, dst, &there.sin_addr) != 1) {
        fprintf(stderr, "beat: DST must be an IPv4 address, not '%s'\n", dst);
        return 2;
    }
    int fd = udp_socket();
    if (getrandom(&datagram.run, sizeof(datagram.run), GRND_NONBLOCK) < 0)
        datagram.run = (uint32_t)beat_now_ns();

    /* Not connected: an ICMP error about one datagram must not refuse the next. */
    metronome_init(&metronome, rate_hz);
    for (; datagram.seq < count && !beat_stop; datagram.seq++) {
        datagram.sent_ns = beat_now_ns();
        if (sendto(fd, &datagram, sizeof(datagram), 0, (struct sockaddr *)&there, sizeof(there)) <
            0)
            refused++;
        metronome_wait(&metronome);
    }
    printf("{\"run\":%u,\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", datagram.run,
           datagram.seq, refused);
    close(fd);
    return 0;
}

static bool seen_get(const struct verdict *v, uint64_t seq) {
    return v->seen[seq % WINDOW / 8] >> (seq % 8) & 1;
}

static void seen_put(struct verdict *v, uint64_t seq, bool seen) {
    uint8_t bit = (uint8_t)(1u << (seq % 8));
    uint8_t *byte = &v->seen[seq % WINDOW / 8];
    *byte = (uint8_t)(seen ? *byte | bit : *byte & ~bit);
}

static void verdict_begin(struct verdict *v, const struct beat_datagram *d, uint64_t now_ns) {
    int64_t offset = (int64_t)(now_ns - d->sent_ns);
    *v = (struct verdict){ .run = d->run,
                           .first_seq = d->seq,
                           .last_seq = d->seq,
                           .received = 1,
                           .unique = 1,
                           .arrived_ns = now_ns,
                           .least_offset_ns = offset,
                           .most_offset_ns = offset };
    seen_put(v, d->seq, true);
}

static void verdict_place(struct verdict *v, uint64_t seq) {
    if (seq > v->last_seq) {
        uint64_t from = seq - v->last_seq > WINDOW ? seq - WINDOW : v->last_seq;
        for (uint64_t s = from + 1; s < seq; s++) seen_put(v, s, false);
        v->last_seq = seq;
    } else if (v->last_seq - seq >= WINDOW || seen_get(v, seq)) {
        v->duplicated++; /* or too old to tell: never counted as an arrival */
        return;
    } else {
        v->reordered++;
        if (seq < v->first_seq) v->first_seq = seq;
    }
    seen_put(v, seq, true);
    v->unique++;
}

static void verdict_add(struct verdict *v, const struct beat_datagram *d, uint64_t now_ns) {
    int64_t offset = (int64_t)(now_ns - d->sent_ns);
    if (v->received == 0 || v->run != d->run) {
        verdict_begin(v, d, now_ns);
        return;
    }
    v->received++;
    if (now_ns - v->arrived_ns > v->longest_gap_ns) v->longest_gap_ns = now_ns - v->arrived_ns;
    v->arrived_ns = now_ns;
    if (offset < v->least_offset_ns) v->least_offset_ns = offset;
    if (offset > v->most_offset_ns) v->most_offset_ns = offset;
    verdict_place(v, d->seq);
}

static void verdict_print(const struct verdict *v) {
    uint64_t expected = v->received ? v->last_seq - v->first_seq + 1 : 0;
    printf("{\"run\":%u,\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"received\":%" PRIu64
           ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"reordered\":%" PRIu64
           ",\"longest_gap_ms\":%.3f,\"latest_ms\":%.3f}\n",
           v->run, v->first_seq, v->last_seq, v->received, expected - v->unique, v->duplicated,
           v->reordered, (double)v->longest_gap_ns / 1e6,
           (double)(v->most_offset_ns - v->least_offset_ns) / 1e6);
}

/* A batch of datagrams and the memory it is received into. */
struct batch {
    struct beat_datagram datagrams[BATCH];
    struct sockaddr_in from[BATCH];
    struct iovec iov[BATCH];
    struct mmsghdr headers[BATCH];
};

/* Returns how many came, 0 when a signal or the wake-up time did. */
static int batch_receive(struct batch *b, int fd) {
    for (int i = 0; i < BATCH; i++) {
        b->iov[i] = (struct iovec){ &b->datagrams[i], sizeof(b->datagrams[i]) };
        b->headers[i].msg_hdr = (struct msghdr){ .msg_name = &b->from[i],
                                                 .msg_namelen = sizeof(b->from[i]),
                                                 .msg_iov = &b->iov[i],
                                                 .msg_iovlen = 1 };
    }
    int n = recvmmsg(fd, b->headers, BATCH, MSG_WAITFORONE, NULL);
    if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) beat_die("receive");
    return n < 0 ? 0 : n;
}

static bool batch_is_beat(const struct batch *b, int i) {
    return b->headers[i].msg_len == sizeof(b->datagrams[i]) && b->datagrams[i].magic == BEAT_MAGIC;
}

int beat_recv(uint16_t port, bool every_second, uint64_t idle_s) {
    static struct verdict verdict;
    static struct batch batch;
    int fd = udp_listen(port);
    uint64_t reported_ns = beat_now_ns();
    while (!beat_stop) {
        int n = batch_receive(&batch, fd);
        uint64_t now = beat_now_ns();
        for (int i = 0; i < n; i++)
            if (batch_is_beat(&batch, i)) verdict_add(&verdict, &batch.datagrams[i], now);
        if (idle_s && verdict.received && now - verdict.arrived_ns > idle_s * 1000000000u) break;
        if (beat_report || (every_second && now - reported_ns >= 1000000000u)) {
            beat_report = 0;
            reported_ns = now;
            verdict_print(&verdict);
        }
    }
    verdict_print(&verdict);
    close(fd);
    return 0;
}

int beat_echo(uint16_t port) {
    static struct batch batch;
    int fd = udp_listen(port);
    while (!beat_stop) {
        int n = batch_receive(&batch, fd);
        for (int i = 0; i < n; i++) batch.iov[i].iov_len = batch.headers[i].msg_len;
        /* A full queue drops, as any echo would: the other end counts it. */
        for (int done = 0, sent; done < n; done += sent)
            if ((sent = sendmmsg(fd, batch.headers + done, (unsigned)(n - done), 0)) <= 0) sent = 1;
    }
    close(fd);
    return 0;
}
