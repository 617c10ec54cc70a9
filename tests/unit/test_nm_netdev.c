/*
 * Taps, gates and held frames, in a fresh network namespace and against the real kernel. A child
 * process plays QEMU, with its habit of reading one frame too many when it is paused.
 */
#include "nodemgr/held.h"
#include "nodemgr/netdev.h"

#include "common/clock.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, err.msg)

static void fresh_namespace(void) {
    ck_assert_msg(unshare(CLONE_NEWNET) == 0, "unshare: %s (run as root)", strerror(errno));
}

/* --- the guest: a process that reads a tap --- */

#define LOG_MAX 400000
struct guest {
    _Atomic int paused;
    _Atomic int attached;
    _Atomic unsigned n;
    uint32_t seen[LOG_MAX];
};

static struct guest *guest_memory(int paused) {
    struct guest *g = mmap(NULL, sizeof *g, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(g != MAP_FAILED);
    g->paused = paused;
    return g;
}

/* As QEMU does it: one queue, virtio-net header of 12 bytes, non-blocking. */
static int tap_attach(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    int header = 12;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &req) || ioctl(fd, TUNSETVNETHDRSZ, &header)) return -1;
    return fd;
}

static void guest_log(struct guest *g, const uint8_t *frame, ssize_t n) {
    uint32_t number;
    if (n < 12 + 18 || memcmp(frame + 12 + 12, "\x88\xb5", 2) != 0) {
        g->seen[g->n++] = UINT32_MAX; /* a frame that nobody sent */
        return;
    }
    memcpy(&number, frame + 12 + 14, sizeof number);
    g->seen[g->n++] = number;
}

static void guest_run(struct guest *g, const char *tap) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = tap_attach(tap);
    if (fd < 0) _exit(1);
    g->attached = 1;
    uint8_t kept[2048], frame[2048];
    ssize_t kept_bytes = 0;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (g->paused && kept_bytes > 0) { /* reads no further */
            usleep(300);
            continue;
        }
        if (g->paused) {
            if (poll(&p, 1, 1) == 1) kept_bytes = read(fd, kept, sizeof kept);
            continue;
        }
        if (kept_bytes > 0) guest_log(g, kept, kept_bytes);
        kept_bytes = 0;
        if (poll(&p, 1, 1) != 1) continue;
        for (ssize_t n; !g->paused && (n = read(fd, frame, sizeof frame)) > 0;)
            guest_log(g, frame, n);
    }
}

static pid_t guest_start(struct guest *g, const char *tap) {
    pid_t pid = fork();
    if (pid == 0) guest_run(g, tap);
    for (int i = 0; i < 2000 && !g->attached; i++) usleep(1000);
    ck_assert(g->attached);
    struct netdev_facts facts = { 0 }; /* the kernel activates the queue a moment later */
    for (int i = 0; i < 1000 && !facts.carrier; i++) {
        usleep(1000);
        netdev_read(tap, &facts, NULL);
    }
    ck_assert(facts.carrier);
    usleep(20000);
    return pid;
}

static void guest_kill(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* --- the network: a thread that sends numbered frames to one of two taps --- */

struct network {
    const char *taps[2];
    _Atomic int to;    /* which tap the switch forwards to */
    _Atomic int used;  /* which one the last frame went to */
    _Atomic int stop;
    _Atomic unsigned sent, refused;
    unsigned gap_us;
    pthread_t thread;
};

static int sender(const char *tap) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), big = 64 << 20;
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(tap) };
    ck_assert(fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof to) == 0);
    ck_assert(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big) == 0);
    return fd;
}

static void frame_make(uint8_t frame[64], uint32_t number) {
    memset(frame, 0, 64);
    memcpy(frame, "\x02\0\0\0\0\1\x02\0\0\0\0\2\x88\xb5", 14);
    memcpy(frame + 14, &number, sizeof number);
}

/* usleep() takes some 60 us longer than it is asked to. */
static void pause_for(unsigned us) {
    int64_t until_us = clock_monotonic_us() + us;
    if (us >= 100) usleep(us);
    while (clock_monotonic_us() < until_us)
        ;
}

static void *network_run(void *arg) {
    struct network *w = arg;
    int fds[2] = { sender(w->taps[0]), sender(w->taps[1]) };
    uint8_t frame[64];
    while (!w->stop) {
        int to = w->to;
        frame_make(frame, w->sent);
        if (send(fds[to], frame, sizeof frame, 0) == (ssize_t)sizeof frame) w->sent++;
        else w->refused++;
        w->used = to;
        pause_for(w->gap_us);
    }
    close(fds[0]);
    close(fds[1]);
    return NULL;
}

/* --- one migration --- */

struct leftovers {
    struct buf batch;
    const char *target;
    size_t injected;
};

static int flush(struct leftovers *l, struct err *err) {
    size_t n = 0;
    int failed = held_inject(l->target, l->batch.data, l->batch.length, 2000, &n, err);
    l->injected += n;
    l->batch.length = 0;
    return failed;
}

static int collect(void *ctx, const char *tap, const void *header, const void *frame,
                   size_t length, struct err *err) {
    struct leftovers *l = ctx;
    (void)tap;
    int full = held_batch_add(&l->batch, header, frame, length, err);
    if (full < 0) return -1;
    if (!full) return 0;
    return flush(l, err) ? -1 : held_batch_add(&l->batch, header, frame, length, err);
}

static void check_order(const struct guest *a, const struct guest *b, unsigned sent) {
    unsigned next = 0;
    for (unsigned i = 0; i < a->n; i++) ck_assert_uint_eq(a->seen[i], next++);
    for (unsigned i = 0; i < b->n; i++) ck_assert_uint_eq(b->seen[i], next++);
    ck_assert_uint_eq(next, sent);
}

struct tally {
    unsigned frames, leftover, held;
    unsigned least; /* frames that must pile up at the source, however slow this machine is */
};

static void migrate_once(unsigned gap_us, unsigned pause_us, bool resume_first,
                         struct tally *tally) {
    struct err err = ERR_INIT;
    OK(netdev_tap_create("src0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
    OK(netdev_tap_create("dst0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
    OK(netdev_hold("dst0", &err));
    struct guest *a = guest_memory(0), *b = guest_memory(1);
    pid_t qemu_a = guest_start(a, "src0"), qemu_b = guest_start(b, "dst0");
    struct network net = { .taps = { "src0", "dst0" }, .gap_us = gap_us };
    pthread_create(&net.thread, NULL, network_run, &net);
    usleep(20000);

    const char *taps[] = { "src0", NULL };
    struct held *held = held_grab(qemu_a, taps, &err);
    ck_assert_msg(held != NULL, "%s", err.msg);
    OK(netdev_hold("src0", &err));
    OK(held_settle(held, 1000, &err));
    a->paused = 1;
    unsigned sent = net.sent;
    usleep(pause_us);
    while (net.sent - sent < tally->least) usleep(1000);
    guest_kill(qemu_a);
    net.to = 1; /* all switches are turned */
    while (net.used != 1) usleep(100);
    usleep(pause_us / 4);

    if (resume_first) b->paused = 0;
    struct leftovers left = { BUF_INIT, "dst0", 0 };
    int64_t drained = held_drain(held, collect, &left, &err);
    ck_assert_msg(drained > 0, "%s", err.msg);
    OK(flush(&left, &err));
    ck_assert_uint_eq(left.injected, (unsigned)drained);
    struct netdev_gate gate;
    OK(netdev_gate_read("dst0", &gate, &err));
    ck_assert(gate.held);
    b->paused = 0;
    OK(netdev_release("dst0", &err));
    usleep(20000);
    net.stop = 1;
    pthread_join(net.thread, NULL);
    for (int i = 0; i < 2000 && a->n + b->n < net.sent; i++) usleep(1000);
    guest_kill(qemu_b);
    check_order(a, b, net.sent);
    tally->frames += net.sent;
    tally->leftover += (unsigned)drained;
    tally->held += gate.frames;
    buf_done(&left.batch);
    held_free(held);
    OK(netdev_delete("src0", &err));
    OK(netdev_delete("dst0", &err));
    munmap(a, sizeof *a);
    munmap(b, sizeof *b);
}

START_TEST(test_no_frame_is_lost_doubled_or_out_of_order) {
    struct tally tally = { 0 };
    for (int i = 0; i < 20; i++) migrate_once(100, 30000, i % 2, &tally);
    printf("20 moves: %u frames, %u left over at the source, %u held at the target\n",
           tally.frames, tally.leftover, tally.held);
    ck_assert_uint_gt(tally.held, 0);
}
END_TEST

START_TEST(test_fast_sender) {
    struct tally tally = { .least = NETDEV_TAP_QUEUE_FRAMES + 500 };
    /* More than the tap's own queue takes: the gates hold them, and the target runs already. */
    migrate_once(20, 100000, true, &tally);
    ck_assert_uint_gt(tally.leftover, NETDEV_TAP_QUEUE_FRAMES);
    printf("fast: %u frames, %u left over, %u held\n", tally.frames, tally.leftover, tally.held);
}
END_TEST

/* The migration fails: the source's guest gets everything. */
START_TEST(test_source_resumes) {
    struct err err = ERR_INIT;
    OK(netdev_tap_create("src0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
    OK(netdev_tap_create("dst0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
    struct guest *a = guest_memory(0), *none = guest_memory(1);
    pid_t qemu = guest_start(a, "src0");
    struct network net = { .taps = { "src0", "dst0" }, .gap_us = 100 };
    pthread_create(&net.thread, NULL, network_run, &net);
    const char *taps[] = { "src0", NULL };
    struct held *held = held_grab(qemu, taps, &err);
    OK(netdev_hold("src0", &err));
    OK(netdev_hold("src0", &err));
    OK(held_settle(held, 1000, &err));
    a->paused = 1;
    usleep(50000);
    a->paused = 0;
    OK(netdev_release("src0", &err));
    held_free(held);
    usleep(10000);
    net.stop = 1;
    pthread_join(net.thread, NULL);
    for (int i = 0; i < 2000 && a->n < net.sent; i++) usleep(1000);
    guest_kill(qemu);
    check_order(a, none, net.sent);
    ck_assert_uint_gt(net.sent, 100);
}
END_TEST

/* Idle taps: a drain of nothing is nothing. */
START_TEST(test_grab_errors_and_idle) {
    struct err err = ERR_INIT;
    OK(netdev_tap_create("src0", 1500, 100, &err));
    struct guest *a = guest_memory(0);
    pid_t qemu = guest_start(a, "src0");
    const char *other[] = { "src0", "nope0", NULL }, *taps[] = { "src0", NULL };
    ck_assert_ptr_null(held_grab(qemu, other, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    struct held *h = held_grab(qemu, taps, &err);
    ck_assert_ptr_nonnull(h);
    guest_kill(qemu);
    ck_assert_int_eq(held_drain(h, collect, NULL, &err), 0);
    held_free(h);
    ck_assert_ptr_null(held_grab(qemu, taps, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_taps) {
    struct err err = ERR_INIT;
    OK(netdev_tap_create("jgt1", 1400, NETDEV_TAP_QUEUE_FRAMES, &err));
    OK(netdev_tap_create("jgt1", 1450, NETDEV_TAP_QUEUE_FRAMES, &err));
    OK(netdev_tap_create("jgt0", 9000, 100, &err));
    struct netdev_facts f;
    OK(netdev_read("jgt1", &f, &err));
    ck_assert_uint_eq(f.mtu, 1450);
    ck_assert(f.up && !f.carrier);
    ck_assert_str_eq(f.kind, "tun");
    ck_assert_uint_eq(strlen(f.mac), 17);
    char **names = netdev_list("jgt", &err);
    ck_assert(names && names[0] && names[1] && !names[2]);
    netdev_names_free(names);
    struct netdev_gate gate;
    OK(netdev_gate_read("jgt1", &gate, &err));
    ck_assert(!gate.held && gate.frames == 0);
    OK(netdev_hold("jgt1", &err));
    OK(netdev_gate_read("jgt1", &gate, &err));
    ck_assert(gate.held);
    OK(netdev_tap_create("jgt1", 1450, NETDEV_TAP_QUEUE_FRAMES, &err)); /* stays held */
    OK(netdev_gate_read("jgt1", &gate, &err));
    ck_assert(gate.held);
    OK(netdev_release("jgt1", &err));
    OK(netdev_delete("jgt1", &err));
    OK(netdev_delete("jgt1", &err));
    ck_assert(!netdev_exists("jgt1"));
    ck_assert_int_eq(netdev_hold("jgt1", &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(netdev_hold("lo", &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_int_eq(netdev_tap_create("lo", 1500, 100, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_int_eq(netdev_tap_create("a/b", 1500, 100, &err), -1);
    ck_assert_int_eq(netdev_tap_create("a-name-that-is-too-long", 1500, 100, &err), -1);
    ck_assert_int_eq(netdev_tap_create("t", 1, 100, &err), -1);
    struct netdev_address *list;
    size_t n;
    OK(netdev_addresses(&list, &n, &err));
    free(list);
}
END_TEST

/* A tap that a guest has open is brought to its state again without a disturbance, and keeps its
 * gate closed when QEMU attaches (the kernel resets qdiscs then). */
START_TEST(test_hold_survives_attach) {
    struct err err = ERR_INIT;
    OK(netdev_tap_create("dst0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
    OK(netdev_hold("dst0", &err));
    struct guest *g = guest_memory(0);
    for (int i = 0; i < 2; i++) {
        g->attached = 0;
        pid_t qemu = guest_start(g, "dst0");
        int fd = sender("dst0");
        uint8_t frame[64];
        for (uint32_t n = 0; n < 10; n++) {
            frame_make(frame, n);
            ck_assert_int_eq(send(fd, frame, sizeof frame, 0), (ssize_t)sizeof frame);
        }
        usleep(50000);
        struct netdev_gate gate;
        OK(netdev_gate_read("dst0", &gate, &err));
        ck_assert_uint_eq(gate.frames, 10);
        ck_assert_uint_eq(g->n, 0);
        OK(netdev_tap_create("dst0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
        OK(netdev_gate_read("dst0", &gate, &err));
        ck_assert_uint_eq(gate.frames, 10);
        close(fd);
        guest_kill(qemu);
        usleep(1200000); /* the kernel takes up to a second to notice a lost carrier */
    }
}
END_TEST

static void root_qdisc(const char *name, const char *kind) {
    pid_t pid = fork();
    if (pid == 0) {
        execlp("tc", "tc", "qdisc", "replace", "dev", name, "root", kind, (char *)NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
}

/* libvirt puts noqueue on every tap of a domain that it starts. */
START_TEST(test_gate_comes_back) {
    struct err err = ERR_INIT;
    struct netdev_gate gate;
    OK(netdev_tap_create("dst0", 1500, NETDEV_TAP_QUEUE_FRAMES, &err));
    struct guest *g = guest_memory(0);
    pid_t qemu = guest_start(g, "dst0");
    for (int with_gate = 0; with_gate < 2; with_gate++) {
        root_qdisc("dst0", "noqueue");
        OK(netdev_gate_read("dst0", &gate, &err));
        ck_assert(!gate.held && gate.frames == 0);
        OK(netdev_release("dst0", &err));
        if (with_gate) OK(netdev_gate("dst0", &err));
        OK(netdev_hold("dst0", &err));
        OK(netdev_gate("dst0", &err)); /* changes nothing */
        int fd = sender("dst0");
        uint8_t frame[64];
        frame_make(frame, (uint32_t)with_gate);
        ck_assert_int_eq(send(fd, frame, sizeof frame, 0), (ssize_t)sizeof frame);
        usleep(20000);
        OK(netdev_gate_read("dst0", &gate, &err));
        ck_assert(gate.held && gate.frames == 1);
        OK(netdev_release("dst0", &err));
        usleep(20000);
        ck_assert_uint_eq(g->n, (unsigned)with_gate + 1);
        close(fd);
    }
    guest_kill(qemu);
}
END_TEST

/* --- segmentation offload --- */

#define GSO_PAYLOAD 4000
static size_t gso_frame(uint8_t *frame, struct virtio_net_hdr *header) {
    struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
                        .tot_len = htons(40 + GSO_PAYLOAD), .saddr = htonl(0xc0000201),
                        .daddr = htonl(0xc0000202) };
    struct tcphdr tcp = { .source = htons(1), .dest = htons(2), .doff = 5, .ack = 1 };
    uint32_t sum = 0;
    for (int i = 0; i < 10; i++) {
        uint16_t word;
        memcpy(&word, (uint8_t *)&ip + 2 * i, 2);
        sum += word;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    ip.check = (uint16_t)~((sum & 0xffff) + (sum >> 16));
    memcpy(frame, "\x02\0\0\0\0\1\x02\0\0\0\0\2\x08\0", 14);
    memcpy(frame + 14, &ip, 20);
    memcpy(frame + 34, &tcp, 20);
    memset(frame + 54, 'x', GSO_PAYLOAD);
    *header = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = 54,
                                       .gso_size = 1460, .csum_start = 34, .csum_offset = 16 };
    return 54 + GSO_PAYLOAD;
}

START_TEST(test_offload_frames_keep_their_header) {
    struct err err = ERR_INIT;
    OK(netdev_tap_create("gso0", 1500, 100, &err));
    int fd = tap_attach("gso0");
    ck_assert_int_ge(fd, 0);
    usleep(50000);
    struct virtio_net_hdr header, got;
    uint8_t frame[8192];
    struct buf batch AUTO_BUF = BUF_INIT;
    size_t length = gso_frame(frame, &header);
    OK(held_batch_add(&batch, &header, frame, length, &err));
    /* Without offload at the target the kernel would have to cut it up, and does not do that past
     * the gate: said, not lost silently. */
    ck_assert_int_eq(held_inject("gso0", batch.data, batch.length, 10, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    unsigned long offload = TUN_F_CSUM | TUN_F_TSO4; /* as QEMU sets it with the guest's state */
    ck_assert_int_eq(ioctl(fd, TUNSETOFFLOAD, offload), 0);
    OK(held_inject("gso0", batch.data, batch.length, 100, NULL, &err));
    ck_assert_int_eq(read(fd, frame, sizeof frame), (ssize_t)(12 + length));
    memcpy(&got, frame, sizeof got);
    ck_assert_uint_eq(got.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    ck_assert_uint_eq(got.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    ck_assert_uint_eq(got.gso_size, 1460);
    close(fd);
}
END_TEST

START_TEST(test_full_queue_times_out) {
    struct err err = ERR_INIT;
    struct buf batch AUTO_BUF = BUF_INIT;
    uint8_t frame[64], header[HELD_HEADER_BYTES] = { 0 };
    OK(netdev_tap_create("q0", 1500, 8, &err));
    int fd = tap_attach("q0");
    ck_assert_int_ge(fd, 0);
    usleep(50000);
    for (uint32_t i = 0; i < 20; i++) {
        frame_make(frame, i);
        OK(held_batch_add(&batch, header, frame, sizeof frame, &err));
    }
    size_t n;
    ck_assert_int_eq(held_inject("q0", batch.data, batch.length, 20, &n, &err), -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    ck_assert_uint_eq(n, 8);
    close(fd);
}
END_TEST

START_TEST(test_batches_are_checked) {
    struct err err = ERR_INIT;
    struct buf batch AUTO_BUF = BUF_INIT;
    uint8_t frame[HELD_FRAME_MAX + 1] = { 0 }, header[HELD_HEADER_BYTES] = { 0 };
    ck_assert_int_eq(held_batch_add(&batch, header, frame, 13, &err), -1);
    ck_assert_int_eq(held_batch_add(&batch, header, frame, sizeof frame, &err), -1);
    int full = 0;
    size_t count = 0;
    while ((full = held_batch_add(&batch, header, frame, 1514, &err)) == 0) count++;
    ck_assert_int_eq(full, 1);
    ck_assert_uint_eq(count, HELD_BATCH_MAX / 1528);
    const void *h, *f;
    size_t offset = 0, length, seen = 0;
    while (held_batch_next(batch.data, batch.length, &offset, &h, &f, &length, &err) > 0) seen++;
    ck_assert_uint_eq(seen, count);
    for (size_t cut = 1; cut < 1528; cut += 100) /* every cut is noticed, and nothing is sent */
        ck_assert_int_eq(held_inject("lo", batch.data, batch.length - cut, 0, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    memset(batch.data, 0xff, 4);
    ck_assert_int_eq(held_inject("lo", batch.data, batch.length, 0, NULL, &err), -1);
    ck_assert_int_eq(held_inject("lo", NULL, 0, 0, NULL, &err), 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("netdev");
    TCase *t = tcase_create("netdev");
    tcase_add_checked_fixture(t, fresh_namespace, NULL);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, test_taps);
    tcase_add_test(t, test_hold_survives_attach);
    tcase_add_test(t, test_gate_comes_back);
    tcase_add_test(t, test_no_frame_is_lost_doubled_or_out_of_order);
    tcase_add_test(t, test_fast_sender);
    tcase_add_test(t, test_source_resumes);
    tcase_add_test(t, test_grab_errors_and_idle);
    tcase_add_test(t, test_offload_frames_keep_their_header);
    tcase_add_test(t, test_full_queue_times_out);
    tcase_add_test(t, test_batches_are_checked);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
