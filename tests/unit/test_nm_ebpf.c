/*
 * The eBPF program, in the real kernel: golden frames through it, and frames over veth pairs in a
 * network namespace of the test's own:
 *
 *   w0 ---- w1 (wire_in, wire_out)     p7 ---- q7 (port_out of slice 7)     p9 ---- q9 (of slice 9)
 *
 * w0 plays the other nodes, q7 and q9 the ends that Open vSwitch or a sliver has.
 */
#include "nodemgr/ebpf.h"
#include "nodemgr/netdev.h"

#include "common/json.h"
#include "frame/frame_text.h"
#include "frame/pcap.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, err.msg)
#define GOLDEN TEST_SOURCE_DIR "/tests/frames/golden"
#define HIGHEST UINT32_MAX

static struct ebpf *e;
static int w0, q7, q9;

/* --- the namespace --- */

static void run(const char *command) { ck_assert_msg(system(command) == 0, "%s", command); }

static void say(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    ck_assert_msg(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s", path);
}

/* A frame that XDP sends to a veth needs a receiver that polls: that is what GRO does here. */
static void polling(const char *device) {
    struct ethtool_value value = { .cmd = ETHTOOL_SGRO, .data = 1 };
    struct ifreq req = { .ifr_data = (void *)&value };
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", device);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_msg(ioctl(fd, SIOCETHTOOL, &req) == 0, "%s: %s", device, strerror(errno));
    close(fd);
}

static int tap_on(const char *device) {
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(device) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int ignore = 1, room = 64 << 20;
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &ignore, sizeof ignore);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    ck_assert_msg(bind(fd, (struct sockaddr *)&at, sizeof at) == 0, "%s", device);
    return fd;
}

static void pair(const char *a, const char *b) {
    char command[200];
    snprintf(command, sizeof command, "ip link add %s type veth peer name %s && ip link set %s up && "
             "ip link set %s up", a, b, a, b);
    run(command);
    polling(b);
    polling(a);
}

static struct ebpf_slice slice_of(uint32_t id, const char *port) {
    return (struct ebpf_slice){ .id = id, .ifindex = if_nametoindex(port), .mtu = 1500,
                                .wire = if_nametoindex("w1"), .types = 1u << 1 | 1u << 2 };
}
static struct slice_edge edge_of(uint32_t id) {
    return (struct slice_edge){ .slice = id, .wire = if_nametoindex("w1"), .wire_mtu = 1490,
                                .type = 1, .types = 1u << 1 | 1u << 2, .location = 3 };
}

static void setup(void) {
    struct err err = ERR_INIT;
    ck_assert_msg(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare: %s (run as root)", strerror(errno));
    say("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    say("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    pair("w0", "w1");
    pair("p7", "q7");
    pair("p9", "q9");
    e = ebpf_load(NULL, &err);
    ck_assert_msg(e != NULL, "%s", err.msg);
    bool native = false;
    OK(ebpf_wire_attach(e, "w1", &native, &err));
    ck_assert(native);
    struct ebpf_slice seven = slice_of(7, "p7"), nine = slice_of(9, "p9");
    OK(ebpf_slice_set(e, &seven, &err));
    OK(ebpf_slice_set(e, &nine, &err));
    w0 = tap_on("w0"), q7 = tap_on("q7"), q9 = tap_on("q9");
}
static void teardown(void) {
    ebpf_free(e);
    close(w0), close(q7), close(q9);
}

/* --- frames --- */

struct bytes { uint8_t data[2048]; size_t length; };
static const uint8_t A[6] = { 0x52, 0x54, 0, 0, 0, 1 }, B[6] = { 0x52, 0x54, 0, 0, 0, 2 };

static struct bytes ours(uint32_t slice, uint8_t type, const uint8_t *info, size_t info_bytes,
                         uint16_t inner, size_t payload_bytes) {
    struct bytes b = { .length = 0 };
    static uint8_t payload[2000];
    for (size_t i = 0; i < sizeof payload; i++) payload[i] = (uint8_t)(i * 3);
    struct jogak_frame f = { .slice = slice, .type = type, .header_bytes = (uint8_t)(8 + info_bytes),
                             .inner = inner, .info = info, .payload = payload,
                             .payload_bytes = payload_bytes };
    ck_assert_int_eq(jogak_frame_encode(&f, B, A, b.data, sizeof b.data), JOGAK_FRAME_OK);
    b.length = jogak_frame_bytes(&f);
    return b;
}
static struct bytes simple(uint32_t slice) { return ours(slice, 1, NULL, 0, 0x9000, 46); }
static struct bytes plain(uint16_t ethertype, size_t payload_bytes) {
    struct bytes b = ours(7, 1, NULL, 0, 0x9000, payload_bytes);
    memmove(b.data + 14, b.data + 22, payload_bytes);
    jogak_frame_put16(b.data + 12, ethertype);
    b.length -= 8;
    return b;
}

static void put(int fd, const struct bytes *b) {
    /* ENOBUFS is how the kernel says that a program at the way out dropped it. */
    ck_assert_msg(send(fd, b->data, b->length, 0) == (ssize_t)b->length || errno == ENOBUFS, "send: %s",
                  strerror(errno));
}
/* The next frame there, or length 0 when none comes. */
static struct bytes get(int fd, int wait_ms) {
    struct bytes b = { .length = 0 };
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, wait_ms) > 0) {
        ssize_t n = recv(fd, b.data, sizeof b.data, 0);
        b.length = n > 0 ? (size_t)n : 0;
    }
    return b;
}
static void expect(int fd, const uint8_t *data, size_t length) {
    struct bytes b = get(fd, 2000);
    ck_assert_uint_eq(b.length, length);
    ck_assert_mem_eq(b.data, data, length);
}
static void expect_nothing(void) {
    ck_assert_uint_eq(get(q7, 50).length + get(q9, 10).length + get(w0, 10).length, 0);
}
static uint64_t counted(enum slice_way way, unsigned reason) {
    struct err err = ERR_INIT;
    struct ebpf_counters c;
    OK(ebpf_counters_read(e, &c, &err));
    return c.frames[way][reason];
}
/* Waits until a way has seen n frames in all. */
static void settle(enum slice_way way, uint64_t n) {
    struct err err = ERR_INIT;
    struct ebpf_counters c;
    uint64_t sum = 0;
    for (int i = 0; i < 200000 && sum < n; i++) {
        OK(ebpf_counters_read(e, &c, &err));
        sum = 0;
        for (unsigned r = 0; r < SLICE_REASONS; r++) sum += c.frames[way][r];
        if (sum < n) sched_yield();
    }
    ck_assert_uint_eq(sum, n);
}
/* What one frame from a port comes to. */
static void expect_dropped(int fd, const struct bytes *b, enum slice_way way, unsigned reason) {
    uint64_t before = counted(way, reason);
    put(fd, b);
    expect_nothing();
    ck_assert_msg(counted(way, reason) == before + 1, "%s", ebpf_reason_name(reason));
}

/* The same, a thousand times at once. */
static void expect_thousand_dropped(int fd, const struct bytes *b, unsigned reason) {
    uint64_t before = counted(SLICE_PORT_OUT, reason);
    for (int i = 0; i < 1000; i++) put(fd, b);
    expect_nothing();
    ck_assert_msg(counted(SLICE_PORT_OUT, reason) == before + 1000, "%s", ebpf_reason_name(reason));
}

/* --- the decoder in the kernel is the decoder in C, on the golden frames --- */

static unsigned reason_named(const char *name) {
    for (unsigned r = 0; r < SLICE_REASONS; r++)
        if (ebpf_reason_name(r) && strcmp(ebpf_reason_name(r), name) == 0) return r;
    ck_abort_msg("no reason %s", name);
}

static void golden_node(void) {
    struct err err = ERR_INIT;
    struct ebpf_slice seven = slice_of(7, "p7"), highest = slice_of(HIGHEST, "p9");
    seven.wire = highest.wire = 0;
    OK(ebpf_slice_set(e, &seven, &err));
    OK(ebpf_slice_set(e, &highest, &err));
    OK(ebpf_layout_set(e, 7, 128, 8, &err));
    OK(ebpf_layout_set(e, 7, 129, 52, &err));
}

START_TEST(golden_frames_in_the_kernel) {
    static uint8_t capture[1 << 16];
    struct err err = ERR_INIT;
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length, n = 0, tried = 0;
    golden_node();
    json *golden AUTO_JSON = json_parse_file(GOLDEN ".json", &err);
    FILE *f = fopen(GOLDEN ".pcap", "rb");
    ck_assert(golden && f);
    OK(pcap_open(&r, capture, fread(capture, 1, sizeof capture, f), &err));
    fclose(f);
    while (pcap_next(&r, &frame, &length, &err) == 1) {
        const json *said = json_at(json_get(golden, "frames"), n++);
        unsigned reason = reason_named(json_get_str(said, "node"));
        uint32_t verdict;
        if (length < 14) continue; /* the kernel itself takes none */
        uint64_t before = counted(SLICE_WIRE_IN, reason);
        OK(ebpf_try(e, SLICE_WIRE_IN, frame, length, 1, &verdict, NULL, &err));
        unsigned meant = reason == JOGAK_FRAME_OK ? XDP_REDIRECT
                         : reason == JOGAK_FRAME_ORDINARY ? XDP_PASS : XDP_DROP;
        ck_assert_msg(counted(SLICE_WIRE_IN, reason) == before + 1 && verdict == meant,
                      "%s: verdict %u", json_get_str(said, "name"), verdict);
        tried++;
    }
    ck_assert_uint_ge(tried, 60);
}
END_TEST

/* --- in --- */

START_TEST(frames_reach_their_slice_without_the_header) {
    struct bytes seven = simple(7), nine = simple(9);
    uint8_t info[12] = { [3] = 1, [7] = 2, [11] = 3 };
    struct bytes places = ours(9, 2, info, 12, 0x0800, 100), bare = plain(0x0800, 100);
    for (int i = 0; i < 50; i++) {
        put(w0, &seven);
        expect(q7, plain(0x9000, 46).data, 60);
        put(w0, &nine);
        expect(q9, plain(0x9000, 46).data, 60);
        put(w0, &places);
        expect(q9, bare.data, bare.length);
    }
    struct err err = ERR_INIT;
    struct ebpf_slice_counts c;
    OK(ebpf_slice_counts(e, 9, &c, &err));
    ck_assert_uint_eq(c.in_frames, 100);
    ck_assert_uint_eq(c.in_bytes, 50 * (nine.length + places.length));
    ck_assert_uint_eq(c.drops, 0);
    expect_nothing();
}
END_TEST

START_TEST(native_ports_get_the_header) {
    struct err err = ERR_INIT;
    struct ebpf_slice seven = slice_of(7, "p7");
    seven.keep_header = true;
    OK(ebpf_slice_set(e, &seven, &err));
    struct bytes b = simple(7);
    put(w0, &b);
    expect(q7, b.data, b.length);
}
END_TEST

START_TEST(addresses_find_slivers) {
    struct err err = ERR_INIT;
    struct slice_port to9 = { .ifindex = if_nametoindex("p9"), .mtu = 1500 }, gone = { 0 };
    struct bytes b = simple(7), bare = plain(0x9000, 46);
    OK(ebpf_address_set(e, 7, B, 0, &to9, &err)); /* another port of the same slice */
    put(w0, &b);
    expect(q9, bare.data, bare.length);
    b.data[5]++; /* an address that is not known goes to the slice's port */
    bare.data[5]++;
    put(w0, &b);
    expect(q7, bare.data, bare.length);
    uint8_t info[12] = { [3] = 5 };
    struct bytes by_interface = ours(7, 2, info, 12, 0x9000, 46);
    put(w0, &by_interface); /* interface 5 is not known yet: the slice's port */
    expect(q7, plain(0x9000, 46).data, 60);
    OK(ebpf_address_set(e, 7, NULL, 5, &to9, &err));
    put(w0, &by_interface);
    expect(q9, plain(0x9000, 46).data, 60);
    OK(ebpf_address_set(e, 7, NULL, 5, &gone, &err));
    OK(ebpf_address_set(e, 7, B, 0, &gone, &err));
    b.data[5]--, bare.data[5]--;
    put(w0, &b);
    expect(q7, bare.data, bare.length);
    ck_assert_int_eq(ebpf_address_set(e, 8, B, 0, &to9, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

/* Slices whose ids have the same low bits share a place: one of them has another. */
START_TEST(slices_that_share_a_place_stay_apart) {
    struct err err = ERR_INIT;
    enum { FAR = 7 + SLICE_ROWS, FARTHER = 7 + 3 * SLICE_ROWS };
    struct ebpf_slice far = slice_of(FAR, "p9"), next = slice_of(8, "p7"), farther = slice_of(FARTHER, "p9");
    struct ebpf_slice_counts c;
    OK(ebpf_slice_set(e, &far, &err)); /* takes the place of 8, which is free */
    OK(ebpf_slice_set(e, &next, &err));
    struct bytes seven = simple(7), b = simple(FAR), eight = simple(8), unknown = simple(FARTHER);
    for (int i = 0; i < 3; i++) {
        put(w0, &b);
        expect(q9, plain(0x9000, 46).data, 60);
        put(w0, &seven);
        expect(q7, plain(0x9000, 46).data, 60);
        put(w0, &eight);
        expect(q7, plain(0x9000, 46).data, 60);
    }
    expect_dropped(w0, &unknown, SLICE_WIRE_IN, SLICE_UNKNOWN);
    OK(ebpf_slice_counts(e, FAR, &c, &err));
    ck_assert_uint_eq(c.in_frames, 3);
    OK(ebpf_slice_remove(e, 7, &err));
    expect_dropped(w0, &seven, SLICE_WIRE_IN, SLICE_UNKNOWN);
    put(w0, &b); /* it is found where it was */
    expect(q9, plain(0x9000, 46).data, 60);
    OK(ebpf_slice_remove(e, FAR, &err));
    expect_dropped(w0, &b, SLICE_WIRE_IN, SLICE_UNKNOWN);
    OK(ebpf_slice_set(e, &farther, &err)); /* in the place of 7 now, with counters of its own */
    OK(ebpf_slice_counts(e, FARTHER, &c, &err));
    ck_assert_uint_eq(c.in_frames + c.drops, 0);
    put(w0, &unknown);
    expect(q9, plain(0x9000, 46).data, 60);
    expect_dropped(w0, &seven, SLICE_WIRE_IN, SLICE_UNKNOWN);
}
END_TEST

START_TEST(a_full_node_says_so) {
    struct err err = ERR_INIT;
    struct ebpf_slice s = slice_of(0, "p7");
    for (uint32_t id = 1000; id < 1000 + SLICE_ROWS - 2; id++) { /* 7 and 9 are there */
        s.id = id * 5;
        OK(ebpf_slice_set(e, &s, &err));
    }
    s.id = 3;
    ck_assert_int_eq(ebpf_slice_set(e, &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
    struct bytes last = simple((1000 + SLICE_ROWS - 3) * 5);
    put(w0, &last);
    expect(q7, plain(0x9000, 46).data, 60);
    OK(ebpf_slice_remove(e, 5005, &err));
    OK(ebpf_slice_set(e, &s, &err));
}
END_TEST

START_TEST(wrong_frames_stop_at_the_wire) {
    struct err err = ERR_INIT;
    struct bytes unknown = simple(8), good = simple(7), own = ours(7, 130, NULL, 0, 0x9000, 46);
    expect_dropped(w0, &unknown, SLICE_WIRE_IN, SLICE_UNKNOWN);
    expect_dropped(w0, &own, SLICE_WIRE_IN, SLICE_BAD_LAYOUT);
    struct ebpf_slice s = slice_of(7, "p7");
    s.types = 1u << 2;
    OK(ebpf_slice_set(e, &s, &err));
    expect_dropped(w0, &good, SLICE_WIRE_IN, SLICE_BAD_LAYOUT);
    s = slice_of(7, "p7"), s.wire = if_nametoindex("p9");
    OK(ebpf_slice_set(e, &s, &err));
    expect_dropped(w0, &good, SLICE_WIRE_IN, SLICE_FOREIGN);
    s = slice_of(7, "p7"), s.mtu = 45;
    OK(ebpf_slice_set(e, &s, &err));
    expect_dropped(w0, &good, SLICE_WIRE_IN, SLICE_TOO_LONG);
    s = slice_of(7, "p7"), s.ifindex = 0;
    OK(ebpf_slice_set(e, &s, &err));
    expect_dropped(w0, &good, SLICE_WIRE_IN, SLICE_NO_PORT);
    struct ebpf_slice_counts c;
    OK(ebpf_slice_counts(e, 7, &c, &err));
    ck_assert_uint_eq(c.drops, 5);
    s = slice_of(7, "p7");
    OK(ebpf_slice_set(e, &s, &err));
    run("ip link del p7"); /* the port goes, the slice's row still names it */
    ck_assert_uint_eq(counted(SLICE_WIRE_IN, SLICE_NO_PORT), 1);
    put(w0, &good);
    settle(SLICE_WIRE_IN, 7);
    ck_assert_uint_eq(counted(SLICE_WIRE_IN, SLICE_NO_PORT), 2);
    OK(ebpf_slice_remove(e, 9, &err));
    OK(ebpf_slice_remove(e, 9, &err));
    struct bytes nine = simple(9);
    put(w0, &nine);
    settle(SLICE_WIRE_IN, 8);
    ck_assert_uint_eq(counted(SLICE_WIRE_IN, SLICE_UNKNOWN), 2);
}
END_TEST

START_TEST(ordinary_traffic_is_untouched) {
    int w1 = tap_on("w1");
    static const uint16_t types[] = { 0x0800, 0x0806, 0x86dd, 0x88b6, 0x0026, 0x8100 };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct bytes b = plain(types[i], 46);
        put(w0, &b);
        /* The kernel takes a tag off before it shows the frame. */
        if (types[i] != 0x8100) expect(w1, b.data, b.length);
        else ck_assert_uint_eq(get(w1, 2000).length, b.length - 4);
        put(w1, &b);
        if (types[i] != 0x8100) expect(w0, b.data, b.length);
        else ck_assert_uint_eq(get(w0, 2000).length, b.length - 4);
    }
    ck_assert_uint_eq(counted(SLICE_WIRE_IN, JOGAK_FRAME_ORDINARY), COUNT_OF(types));
    close(w1);
}
END_TEST

/* A million frames that belong to nobody here, or are broken; each is counted, none arrives. */
static struct bytes wrong(unsigned i) {
    uint32_t id = i * 2654435761u;
    struct bytes b = simple(id == 0 || id == 7 || id == 9 ? 8 : id);
    switch (i % 8) {
    case 1: jogak_frame_put32(b.data + 16, 7), b.data[15] = 200; break;  /* no such layout */
    case 2: jogak_frame_put32(b.data + 16, 9), b.data[14] ^= 0x30; break; /* version */
    case 3: jogak_frame_put32(b.data + 16, 0); break;
    case 4: jogak_frame_put32(b.data + 16, 7), b.data[14] = 0x15; break; /* length */
    case 5: jogak_frame_put32(b.data + 16, 7), jogak_frame_put16(b.data + 20, 0x88b5); break;
    case 6: /* behind a tag */
        jogak_frame_put32(b.data + 16, 7);
        memmove(b.data + 16, b.data + 12, b.length - 12);
        jogak_frame_put32(b.data + 12, 0x81000005u);
        b.length += 4;
        break;
    default: break;
    }
    return b;
}

START_TEST(a_million_wrong_frames_leak_nothing) {
    enum { ALL = 1000000, BATCH = 200 }; /* less than a veth's queue holds, so that none is lost */
    struct err err = ERR_INIT;
    static struct bytes b[BATCH];
    struct mmsghdr messages[BATCH] = { 0 };
    struct iovec io[BATCH];
    struct netdev_facts before7, before9, after7, after9;
    OK(netdev_read("q7", &before7, &err));
    OK(netdev_read("q9", &before9, &err));
    for (unsigned sent = 0; sent < ALL; sent += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) {
            b[i] = wrong(sent + i);
            io[i] = (struct iovec){ b[i].data, b[i].length };
            messages[i].msg_hdr = (struct msghdr){ .msg_iov = &io[i], .msg_iovlen = 1 };
        }
        for (int done = 0, n; done < BATCH; done += n)
            ck_assert_int_gt(n = sendmmsg(w0, messages + done, (unsigned)(BATCH - done), 0), 0);
        settle(SLICE_WIRE_IN, sent + BATCH);
    }
    struct ebpf_counters c;
    OK(ebpf_counters_read(e, &c, &err));
    ck_assert_uint_eq(ebpf_drops(&c, SLICE_WIRE_IN), ALL);
    ck_assert_uint_eq(c.frames[SLICE_WIRE_IN][SLICE_UNKNOWN], ALL / 4);
    ck_assert_uint_eq(c.frames[SLICE_WIRE_IN][JOGAK_FRAME_TAGGED], ALL / 8);
    OK(netdev_read("q7", &after7, &err));
    OK(netdev_read("q9", &after9, &err));
    ck_assert_uint_eq(after7.rx_frames, before7.rx_frames);
    ck_assert_uint_eq(after9.rx_frames, before9.rx_frames);
    expect_nothing();
    struct bytes good = simple(7); /* and the slice is still there */
    put(w0, &good);
    expect(q7, plain(0x9000, 46).data, 60);
}
END_TEST

/* --- out --- */

static void attach(uint32_t slice, const char *port, uint8_t type, bool native) {
    struct err err = ERR_INIT;
    struct slice_edge edge = edge_of(slice);
    edge.type = type;
    edge.flags = native ? SLICE_KEEP_HEADER : 0;
    OK(ebpf_port_attach(e, port, &edge, &err));
}

START_TEST(the_node_adds_the_header) {
    struct err err = ERR_INIT;
    attach(7, "q7", 1, false);
    attach(9, "q9", 2, false);
    struct bytes b = plain(0x9000, 46), with = simple(7), long_one = plain(0x9000, 1493);
    put(q7, &b);
    expect(w0, with.data, with.length);
    uint8_t info[12] = { [7] = 3 };
    put(q9, &b);
    with = ours(9, 2, info, 12, 0x9000, 46);
    expect(w0, with.data, with.length);
    OK(ebpf_place_set(e, 9, B, 5, 6, &err));
    info[3] = 5, info[11] = 6;
    put(q9, &b);
    with = ours(9, 2, info, 12, 0x9000, 46);
    expect(w0, with.data, with.length);
    struct bytes llc = plain(46, 46), nested = simple(9);
    put(q7, &llc);
    with = ours(7, 1, NULL, 0, 46, 46);
    expect(w0, with.data, with.length);
    struct bytes tagged = plain(0x8100, 46);
    put(q7, &tagged);
    with = ours(7, 1, NULL, 0, 0x8100, 46);
    expect(w0, with.data, with.length);
    expect_dropped(q7, &nested, SLICE_PORT_OUT, SLICE_NESTED);
    expect_dropped(q7, &long_one, SLICE_PORT_OUT, SLICE_TOO_LONG);
    struct bytes odd = plain(1510, 46), lying = plain(47, 46);
    expect_dropped(q7, &odd, SLICE_PORT_OUT, JOGAK_FRAME_BAD_INNER);
    expect_dropped(q7, &lying, SLICE_PORT_OUT, JOGAK_FRAME_CUT_INNER);
}
END_TEST

START_TEST(a_sliver_writes_its_own_header_only) {
    struct err err = ERR_INIT;
    attach(7, "q7", 0, true);
    OK(ebpf_layout_set(e, 7, 128, 8, &err));
    uint8_t info[12] = { [3] = 5, [7] = 3, [11] = 6 };
    struct bytes good[] = { simple(7), ours(7, 2, info, 12, 0x0800, 1466), ours(7, 128, info, 8, 0xffff, 9) };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        put(q7, &good[i]);
        expect(w0, good[i].data, good[i].length);
    }
    info[7] = 4;
    struct bytes foreign = simple(9), plain_one = plain(0x0800, 46), place = ours(7, 2, info, 12, 0x0800, 46),
                 layout = ours(7, 128, info, 12, 0x9000, 46), version = simple(7),
                 cut = simple(7), long_one = ours(7, 1, NULL, 0, 0x9000, 1492);
    version.data[14] = 0x22;
    cut.length = 20;
    expect_thousand_dropped(q7, &foreign, SLICE_FOREIGN);
    expect_thousand_dropped(q7, &plain_one, SLICE_NOT_NATIVE);
    expect_thousand_dropped(q7, &place, SLICE_FOREIGN_PLACE);
    expect_thousand_dropped(q7, &layout, SLICE_BAD_LAYOUT);
    expect_thousand_dropped(q7, &version, JOGAK_FRAME_BAD_VERSION);
    expect_thousand_dropped(q7, &cut, JOGAK_FRAME_CUT);
    expect_thousand_dropped(q7, &long_one, SLICE_TOO_LONG);
    OK(ebpf_slice_remove(e, 7, &err)); /* its port is shut with it */
    expect_dropped(q7, &good[0], SLICE_PORT_OUT, SLICE_UNKNOWN);
}
END_TEST

START_TEST(nobody_else_sends_such_frames) {
    int w1 = tap_on("w1");
    struct bytes b = simple(7), tagged = wrong(6), fine = plain(0x0800, 46);
    put(w1, &b);
    put(w1, &tagged);
    expect_nothing();
    ck_assert_uint_eq(counted(SLICE_WIRE_OUT, SLICE_FOREIGN), 2);
    put(w1, &fine);
    expect(w0, fine.data, fine.length);
    close(w1);
}
END_TEST

/* --- life --- */

START_TEST(everything_comes_off_again) {
    struct err err = ERR_INIT;
    attach(7, "q7", 1, false);
    attach(7, "q7", 1, false);
    OK(ebpf_wire_attach(e, "w1", NULL, &err));
    OK(ebpf_port_detach(e, "q7", &err));
    OK(ebpf_port_detach(e, "q7", &err));
    OK(ebpf_wire_detach(e, "w1", &err));
    OK(ebpf_wire_detach(e, "w1", &err));
    OK(ebpf_wire_detach(e, "none", &err));
    struct bytes b = simple(8);
    int w1 = tap_on("w1");
    put(w0, &b);
    expect(w1, b.data, b.length);
    put(w1, &b);
    expect(w0, b.data, b.length);
    close(w1);
    ck_assert_int_eq(ebpf_wire_attach(e, "none", NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    struct slice_edge edge = edge_of(8);
    ck_assert_int_eq(ebpf_port_attach(e, "q7", &edge, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(pinned_maps_outlive_the_process) {
    struct err err = ERR_INIT;
    const char *pin = "/sys/fs/bpf/jogak-test";
    ck_assert_msg(mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) == 0 && mkdir(pin, 0700) == 0, "%s", strerror(errno));
    ebpf_free(e);
    e = ebpf_load(pin, &err);
    ck_assert_msg(e != NULL, "%s", err.msg);
    OK(ebpf_wire_attach(e, "w1", NULL, &err));
    struct ebpf_slice seven = slice_of(7, "p7"), nine = slice_of(9, "p9");
    OK(ebpf_slice_set(e, &seven, &err));
    struct bytes b = simple(7), n = simple(9);
    put(w0, &b);
    expect(q7, plain(0x9000, 46).data, 60);
    ebpf_free(e);
    e = NULL;
    put(w0, &b); /* nobody is there, and it works */
    expect(q7, plain(0x9000, 46).data, 60);
    e = ebpf_load(pin, &err);
    ck_assert_msg(e != NULL, "%s", err.msg);
    OK(ebpf_wire_attach(e, "w1", NULL, &err));
    OK(ebpf_slice_set(e, &nine, &err)); /* with a slot of its own */
    put(w0, &b), put(w0, &n);
    expect(q7, plain(0x9000, 46).data, 60);
    expect(q9, plain(0x9000, 46).data, 60);
    struct ebpf_slice_counts c7, c9;
    OK(ebpf_slice_counts(e, 7, &c7, &err));
    OK(ebpf_slice_counts(e, 9, &c9, &err));
    ck_assert_uint_eq(c7.in_frames, 3);
    ck_assert_uint_eq(c9.in_frames, 1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ebpf");
    TCase *t = tcase_create("ebpf");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_test(t, golden_frames_in_the_kernel);
    tcase_add_test(t, frames_reach_their_slice_without_the_header);
    tcase_add_test(t, native_ports_get_the_header);
    tcase_add_test(t, addresses_find_slivers);
    tcase_add_test(t, slices_that_share_a_place_stay_apart);
    tcase_add_test(t, a_full_node_says_so);
    tcase_add_test(t, wrong_frames_stop_at_the_wire);
    tcase_add_test(t, ordinary_traffic_is_untouched);
    tcase_add_test(t, a_million_wrong_frames_leak_nothing);
    tcase_add_test(t, the_node_adds_the_header);
    tcase_add_test(t, a_sliver_writes_its_own_header_only);
    tcase_add_test(t, nobody_else_sends_such_frames);
    tcase_add_test(t, everything_comes_off_again);
    tcase_add_test(t, pinned_maps_outlive_the_process);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
