/*
 * The switch door and forwarding against a real Open vSwitch: a private ovsdb-server and
 * ovs-vswitchd (userspace datapath) in a network namespace of this process's own, with frames
 * between tap devices. Needs root and the package openvswitch-switch.
 */
#include "common/clock.h"
#include "nodemgr/forwarding.h"
#include "nodemgr/switch.h"
#include "nodemgr/underlay.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TIMEOUT_MS 5000
#define FRAME_BYTES 128
#define VTEP_HERE "10.9.0.1"
#define VTEP_PEER "10.9.0.2"
#define TAP_COUNT 6 /* t0, t1, t2 on link 100; t3 on link 200; t4 is the underlay, t5 the uplink */

static char dir[64];
static pid_t db_pid, vswitchd_pid;
static int taps[TAP_COUNT];
static struct switch_door *door;
static struct forwarding *forwarding;

/* --- processes --- */

static pid_t spawn(char *const argv[]) {
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    int log = open("out.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(log, 1);
    dup2(log, 2);
    execvp(argv[0], argv);
    _exit(127);
}

static void run(char *const argv[]) {
    int status = 0;
    pid_t pid = spawn(argv);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (status != 0) ck_abort_msg("%s %s failed: see %s/out.log", argv[0], argv[1], dir);
}
#define RUN(...) run((char *const[]){ __VA_ARGS__, NULL })

static void stop(pid_t *pid) {
    if (*pid <= 0) return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

static void await_file(const char *path) {
    for (int i = 0; i < 500 && access(path, F_OK) != 0; i++) usleep(10000);
    ck_assert_int_eq(access(path, F_OK), 0);
}

static void start_db(void) {
    unlink("db.sock");
    db_pid = spawn((char *const[]){ "ovsdb-server", "conf.db", "--remote=punix:db.sock",
                                    "--unixctl=db.ctl", "--no-chdir", NULL });
    await_file("db.sock");
}

/* `control`: how its control socket is found, by --pidfile or by --unixctl. */
static void start_vswitchd(const char *control) {
    unlink("br-int.mgmt");
    vswitchd_pid = spawn((char *const[]){ "ovs-vswitchd", "unix:db.sock", (char *)control,
                                          "--disable-system", "--disable-system-route", NULL });
}

/* --- taps --- */

static int open_tap(const char *name) {
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ck_assert_msg(fd >= 0, "/dev/net/tun: %s", strerror(errno));
    memcpy(ifr.ifr_name, name, strlen(name) + 1);
    ck_assert_int_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
    AUTO_FD int control = socket(AF_INET, SOCK_DGRAM, 0);
    ifr.ifr_flags = IFF_UP | IFF_PROMISC;
    ck_assert_int_eq(ioctl(control, SIOCSIFFLAGS, &ifr), 0);
    return fd;
}

static void write_file(const char *path, const char *text) {
    AUTO_FD int fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, text, strlen(text)), (int)strlen(text));
}

/* --- the fixture: once for all tests --- */

static void await_uptime(void) {
    double up = 0;
    for (;;) { /* Open vSwitch 3.1 forwards nothing when it was started in the first 10 s */
        FILE *f = fopen("/proc/uptime", "r");
        if (!f || fscanf(f, "%lf", &up) != 1) up = 11;
        if (f) fclose(f);
        if (up >= 11) return;
        sleep(1);
    }
}

static void add_port(const char *name, uint32_t *ret) {
    struct err err = ERR_INIT;
    struct switch_port_spec spec = { name, SWITCH_PORT_SYSTEM, "sliver-1", name, 7 };
    if (switch_add_port(door, &spec, ret, TIMEOUT_MS, &err)) ck_abort_msg("%s", err.msg);
}

static void setup(void) {
    ck_assert_msg(unshare(CLONE_NEWNET) == 0, "unshare: %s (root?)", strerror(errno));
    await_uptime();
    write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    strcpy(dir, "/tmp/test_nm_switch.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
    setenv("OVS_RUNDIR", dir, 1);
    setenv("OVS_LOGDIR", dir, 1);
    setenv("OVS_DBDIR", dir, 1);
    RUN("ovsdb-tool", "create", "conf.db", "/usr/share/openvswitch/vswitch.ovsschema");
    start_db();
    RUN("ovs-vsctl", "--db=unix:db.sock", "--no-wait", "init");
    start_vswitchd("--pidfile");
    for (int i = 0; i < TAP_COUNT; i++) taps[i] = open_tap((char[]){ 't', (char)('0' + i), 0 });
    struct switch_config config = { "br-int", "netdev", NULL, dir };
    door = switch_new(&config);
    forwarding = forwarding_new(door);
    struct err err = ERR_INIT;
    if (switch_ensure_bridge(door, 10000, &err)) ck_abort_msg("%s", err.msg);
    uint32_t ofport = 0;
    add_port("t0", &ofport);
    add_port("t1", &ofport);
    add_port("t2", &ofport);
    add_port("t3", &ofport);
}

static void teardown(void) {
    forwarding_free(forwarding);
    switch_free(door);
    stop(&vswitchd_pid);
    stop(&db_pid);
    for (int i = 0; i < TAP_COUNT; i++) close(taps[i]);
    if (chdir("/") == 0) RUN("rm", "-rf", dir);
    unlink("/out.log");
}

/* --- frames --- */

struct frame {
    uint8_t data[FRAME_BYTES];
};

static void set_mac(uint8_t *p, int host) {
    static const uint8_t prefix[5] = { 2, 0, 0, 0, 0 };
    memcpy(p, prefix, 5);
    p[5] = (uint8_t)host;
}

#define BROADCAST 255
/* An Ethernet frame from one host's MAC to another's, with bytes that no other frame has. */
static struct frame ether(int from, int to, uint16_t type) {
    static uint32_t serial;
    struct frame f = { { 0 } };
    serial++;
    set_mac(f.data, to);
    if (to == BROADCAST) memset(f.data, 0xff, 6);
    set_mac(f.data + 6, from);
    f.data[12] = (uint8_t)(type >> 8);
    f.data[13] = (uint8_t)type;
    memcpy(f.data + FRAME_BYTES - sizeof(serial), &serial, sizeof(serial));
    return f;
}

static struct frame ipv4(int from, int to, const char *source) {
    struct frame f = ether(from, to, 0x0800);
    uint8_t *ip = f.data + 14;
    ip[0] = 0x45;
    ip[3] = FRAME_BYTES - 14;
    ip[8] = 64;
    ip[9] = 253; /* RFC 3692: experiments */
    ck_assert_int_eq(inet_pton(AF_INET, source, ip + 12), 1);
    inet_pton(AF_INET, "10.0.0.99", ip + 16);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2) sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    sum = ~((sum >> 16) + (sum & 0xffff));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    return f;
}

static struct frame arp(int from, int sha, const char *spa) {
    static const uint8_t head[8] = { 0, 1, 8, 0, 6, 4, 0, 2 };
    struct frame f = ether(from, BROADCAST, 0x0806);
    memcpy(f.data + 14, head, sizeof(head));
    set_mac(f.data + 22, sha);
    inet_pton(AF_INET, spa, f.data + 28);
    return f;
}

static struct frame ipv6(int from, const char *source, uint8_t icmp, const char *target) {
    struct frame f = ether(from, BROADCAST, 0x86dd);
    uint8_t *ip = f.data + 14;
    ip[0] = 0x60;
    ip[5] = FRAME_BYTES - 54;
    ip[6] = icmp ? 58 : 253;
    ip[7] = 255;
    ck_assert_int_eq(inet_pton(AF_INET6, source, ip + 8), 1);
    inet_pton(AF_INET6, "ff02::1", ip + 24);
    if (!icmp) return f;
    ip[40] = icmp;
    inet_pton(AF_INET6, target, ip + 48);
    /* Open vSwitch parses the options: one target link-layer address fills them. */
    for (int at = 64; at + 8 <= FRAME_BYTES - 14; at += 8) {
        ip[at] = 14; /* nonce (RFC 3971): ignored */
        ip[at + 1] = 1;
    }
    ip[5] = 64;
    return f;
}

static void send_on(int tap, const struct frame *f) {
    ck_assert_int_eq((int)write(taps[tap], f->data, FRAME_BYTES), FRAME_BYTES);
}

/* The next frame at a tap within so many ms; its length, or 0. */
static size_t read_frame(int tap, uint8_t *ret, size_t size, int timeout_ms) {
    struct pollfd p = { .fd = taps[tap], .events = POLLIN };
    if (poll(&p, 1, timeout_ms) <= 0) return 0;
    ssize_t n = read(taps[tap], ret, size);
    return n > 0 ? (size_t)n : 0;
}

static void drain(void) {
    uint8_t data[2048];
    for (int i = 0; i < TAP_COUNT; i++)
        while (read_frame(i, data, sizeof(data), 0) > 0) continue;
}

/* The next frame there is this one: nothing sent before it got through. */
static void expect(int tap, const struct frame *f, const char *what) {
    uint8_t data[2048];
    size_t n = read_frame(tap, data, sizeof(data), 3000);
    if (n == 0) ck_abort_msg("%s: nothing arrived at t%d", what, tap);
    if (n < FRAME_BYTES || memcmp(data, f->data, FRAME_BYTES) != 0)
        ck_abort_msg("%s: another frame arrived at t%d (type %02x%02x)", what, tap, data[12],
                     data[13]);
}

static void expect_silence(int tap) {
    uint8_t data[2048];
    ck_assert_int_eq((int)read_frame(tap, data, sizeof(data), 50), 0);
}

/* --- wishes --- */

static const char *const addresses_0[] = { "10.0.0.1/24", "fd00::1/64" };

/* t0 has addresses, t1 and t2 have none; t3 is alone on link 200. */
static struct forwarding_vnic vnics_100[4] = {
    { "s0", "eth0", 7, { 2, 0, 0, 0, 0, 1 }, addresses_0, 2, "t0", NULL, true, 0, NULL, NULL },
    { "s1", "eth0", 7, { 2, 0, 0, 0, 0, 2 }, NULL, 0, "t1", NULL, true, 0, NULL, NULL },
    { "s2", "eth0", 7, { 2, 0, 0, 0, 0, 3 }, NULL, 0, "t2", NULL, true, 0, NULL, NULL },
    { "s9", "eth0", 7, { 2, 0, 0, 0, 0, 9 }, NULL, 0, NULL, VTEP_PEER, true, 0, NULL, NULL },
};
static struct forwarding_vnic vnics_200[1] = {
    { "s3", "eth0", 7, { 2, 0, 0, 0, 0, 4 }, NULL, 0, "t3", NULL, true, 0, NULL, NULL },
};
static struct forwarding_link links[2] = { { .vni = 100, .vnics = vnics_100, .vnic_count = 3 },
                                           { .vni = 200, .vnics = vnics_200, .vnic_count = 1 } };

static struct forwarding_result apply_all(void) {
    struct err err = ERR_INIT;
    struct forwarding_result r = { .added = 0 };
    if (forwarding_apply(forwarding, links, 2, &r, TIMEOUT_MS, &err)) ck_abort_msg("%s", err.msg);
    if (switch_settle(door, TIMEOUT_MS, &err)) ck_abort_msg("%s", err.msg);
    return r;
}

/* Every test starts from these links and quiet taps. */
static void begin(void) {
    links[0].vnic_count = 3;
    vnics_100[0].egress_allowed = true;
    vnics_100[0].rate_kbps = 0;
    apply_all();
    drain();
}

static struct forwarding_drops drops_of(uint32_t vni) {
    struct forwarding_drops d;
    struct err err = ERR_INIT;
    if (forwarding_read_drops(forwarding, vni, &d, TIMEOUT_MS, &err)) ck_abort_msg("%s", err.msg);
    return d;
}

/* --- tests --- */

START_TEST(test_bridge_and_ports) {
    struct err err = ERR_INIT;
    uint64_t before = switch_generation(door), now = 0;
    ck_assert_int_eq(switch_ensure_bridge(door, TIMEOUT_MS, &err), 0);
    ck_assert_int_eq(switch_check(door, &now, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(now, before);
    uint32_t first = 0, second = 0;
    add_port("t0", &first);
    add_port("t0", &second);
    ck_assert_uint_gt(first, 0);
    ck_assert_uint_eq(first, second);

    AUTO_FREE struct switch_port *ports = NULL;
    size_t count = 0;
    ck_assert_int_eq(switch_list_ports(door, &ports, &count, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(count, 4);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(ports[i].sliver, "sliver-1");
        ck_assert_str_eq(ports[i].vnic, ports[i].name);
        ck_assert_uint_eq(ports[i].epoch, 7);
        ck_assert_uint_gt(ports[i].ofport, 0);
    }
    struct switch_port_spec missing = { "nosuch0", SWITCH_PORT_SYSTEM, "s", "v", 1 };
    ck_assert_int_eq(switch_add_port(door, &missing, &first, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(err.msg, "nosuch0"));
    struct switch_port_spec made = { "ovstap0", SWITCH_PORT_TAP, "s", "v", 1 };
    ck_assert_int_eq(switch_add_port(door, &made, &first, TIMEOUT_MS, &err), 0);
    ck_assert_int_eq(switch_del_port(door, "ovstap0", TIMEOUT_MS, &err), 0);
    ck_assert_int_eq(switch_del_port(door, "ovstap0", TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(if_nametoindex("ovstap0"), 0);
    ck_assert_int_eq(switch_del_port(door, "br-int", TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    free(STEAL(ports));
    ck_assert_int_eq(switch_list_ports(door, &ports, &count, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(count, 4);
}
END_TEST

START_TEST(test_unicast_flood_isolation) {
    begin();
    struct frame a = ether(1, 2, 0x88b5), b = ether(2, 1, 0x88b5);
    send_on(0, &a);
    expect(1, &a, "unicast");
    send_on(1, &b);
    expect(0, &b, "unicast back");
    expect_silence(2);

    struct frame all = ether(2, BROADCAST, 0x88b5);
    send_on(1, &all);
    expect(0, &all, "flood");
    expect(2, &all, "flood");
    /* Neither a broadcast nor the known MAC of another link crosses; unknown MACs are dropped. */
    uint64_t before = drops_of(100).unknown;
    struct frame across = ether(2, 4, 0x88b5), nobody = ether(2, 77, 0x88b5);
    send_on(1, &across);
    send_on(1, &nobody);
    struct frame mark = ether(2, 1, 0x88b5);
    send_on(1, &mark);
    expect(0, &mark, "after unknown");
    expect_silence(3);
    expect_silence(1);
    ck_assert_int_eq(switch_barrier(door, TIMEOUT_MS, NULL), 0);
    for (int i = 0; i < 30 && drops_of(100).unknown < before + 2; i++) usleep(100000);
    ck_assert_uint_eq(drops_of(100).unknown, before + 2);
}
END_TEST

static void expect_dropped(struct frame f, const char *what) {
    struct frame mark = ether(1, BROADCAST, 0x88b5);
    send_on(0, &f);
    send_on(0, &mark);
    expect(1, &mark, what);
    expect(2, &mark, what);
}

static void expect_passed(struct frame f, const char *what) {
    send_on(0, &f);
    expect(1, &f, what);
    drain();
}

START_TEST(test_anti_spoof) {
    begin();
    uint64_t before = drops_of(100).spoofed;
    expect_passed(ipv4(1, 2, "10.0.0.1"), "own IPv4");
    expect_passed(arp(1, 1, "10.0.0.1"), "own ARP");
    expect_passed(arp(1, 1, "0.0.0.0"), "ARP probe");
    expect_passed(ipv6(1, "fd00::1", 0, ""), "own IPv6");
    expect_passed(ipv6(1, "fe80::ff:fe00:1", 0, ""), "own link-local");
    expect_passed(ipv6(1, "::", 135, "fd00::1"), "own DAD probe");
    expect_passed(ipv6(1, "fd00::1", 136, "fd00::1"), "own advertisement");
    expect_passed(ether(1, 2, 0x88b6), "own packet format");
    expect_dropped(ether(5, 2, 0x88b5), "foreign MAC");
    expect_dropped(ipv4(5, 2, "10.0.0.1"), "foreign MAC, own IPv4");
    expect_dropped(ipv4(1, 2, "10.0.0.2"), "foreign IPv4");
    expect_dropped(ipv4(1, 2, "0.0.0.0"), "DHCP-like IPv4");
    expect_dropped(arp(1, 1, "10.0.0.2"), "foreign ARP address");
    expect_dropped(arp(1, 2, "10.0.0.1"), "foreign ARP MAC");
    expect_dropped(ipv6(1, "fd00::2", 0, ""), "foreign IPv6");
    expect_dropped(ipv6(1, "fe80::1", 0, ""), "foreign link-local");
    expect_dropped(ipv6(1, "::", 135, "fd00::2"), "foreign DAD probe");
    expect_dropped(ipv6(1, "fd00::1", 136, "fd00::2"), "foreign advertisement");
    for (int i = 0; i < 30 && drops_of(100).spoofed < before + 10; i++) usleep(100000);
    ck_assert_uint_eq(drops_of(100).spoofed, before + 10);
    /* t1 has no addresses: any IP source, but only its MAC. */
    struct frame any = ipv4(2, 1, "192.0.2.7"), bad = ether(1, 3, 0x88b5);
    struct frame mark = ether(2, 3, 0x88b5);
    send_on(1, &any);
    expect(0, &any, "no addresses");
    send_on(1, &bad);
    send_on(1, &mark);
    expect(2, &mark, "no addresses, foreign MAC");
}
END_TEST

START_TEST(test_egress_closed) {
    begin();
    vnics_100[0].egress_allowed = false;
    struct forwarding_result r = apply_all();
    ck_assert_uint_gt(r.deleted, 0);
    struct frame out = ether(1, 2, 0x88b5), in = ether(2, 1, 0x88b5);
    send_on(0, &out);
    send_on(1, &in);
    expect(0, &in, "a closed vNIC receives");
    expect_silence(1);
    vnics_100[0].egress_allowed = true;
    r = apply_all();
    ck_assert_uint_eq(r.deleted, 0);
    ck_assert_uint_eq(r.changed, 1);
    send_on(0, &out);
    expect(1, &out, "opened");
}
END_TEST

static uint32_t only_meter_rate(size_t *ret_count) {
    AUTO_FREE struct switch_meter *meters = NULL;
    ck_assert_int_eq(switch_read_meters(door, &meters, ret_count, TIMEOUT_MS, NULL), 0);
    return *ret_count > 0 ? meters[0].rate_kbps : 0;
}

START_TEST(test_meter) {
    begin();
    size_t count = 0;
    vnics_100[0].rate_kbps = 2000;
    ck_assert_uint_eq(apply_all().changed, 1);
    ck_assert_uint_eq(only_meter_rate(&count), 2000);
    ck_assert_uint_eq(count, 1);
    /* 4000 frames of 128 bytes are 4096 kbit, in far less than a second: most must be dropped. */
    int got = 0;
    uint8_t data[2048];
    for (int i = 0; i < 4000; i++) {
        struct frame f = ether(1, 2, 0x88b5);
        send_on(0, &f);
        while (read_frame(1, data, sizeof(data), 0) > 0) got++;
    }
    while (read_frame(1, data, sizeof(data), 200) > 0) got++;
    ck_assert_int_gt(got, 0);
    ck_assert_int_lt(got, 3000);
    vnics_100[0].rate_kbps = 3000;
    struct forwarding_result r = apply_all();
    ck_assert_uint_eq(r.changed + r.added + r.deleted, 0);
    ck_assert_uint_eq(only_meter_rate(&count), 3000);
    vnics_100[0].rate_kbps = 0;
    apply_all();
    only_meter_rate(&count);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(test_bundle_is_atomic) {
    begin();
    struct err err = ERR_INIT;
    struct of_flow good, bad;
    of_flow_init(&good, cookie_encode(COOKIE_BASE, 0, 999), 0, 5);
    of_flow_init(&bad, cookie_encode(COOKIE_BASE, 0, 999), 0, 6);
    of_match(&bad, OF_ND_TLL, 1); /* lacks all its prerequisites */
    ck_assert_int_eq(of_flow_finish(&good, &err), 0);
    ck_assert_int_eq(of_flow_finish(&bad, &err), 0);
    struct switch_change changes[] = { { true, &good }, { true, &bad } };
    ck_assert_int_eq(switch_apply(door, changes, 2, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(err.msg, "prerequisite"));
    ck_assert_ptr_nonnull(strstr(err.msg, "nd_tll"));
    /* A message that decodes well and fails only at the commit. */
    of_flow_done(&bad);
    of_flow_init(&bad, cookie_encode(COOKIE_BASE, 0, 999), 0, 6);
    of_meter(&bad, 54321);
    ck_assert_int_eq(of_flow_finish(&bad, &err), 0);
    ck_assert_int_eq(switch_apply(door, changes, 2, TIMEOUT_MS, &err), -1);
    struct of_flow *flows = NULL;
    size_t count = 0;
    ck_assert_int_eq(
        switch_read_flows(door, 999, COOKIE_LINK_MASK, &flows, &count, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(count, 0);
    of_flows_free(flows, count);
    ck_assert_int_eq(switch_apply(door, changes, 1, TIMEOUT_MS, &err), 0); /* still works */
    of_flow_done(&good);
    of_flow_done(&bad);
    forwarding_forget(forwarding);
    ck_assert_uint_eq(apply_all().deleted, 1);
}
END_TEST

START_TEST(test_foreign_and_resync) {
    begin();
    RUN("ovs-ofctl", "-O", "OpenFlow14", "add-flow", "unix:br-int.mgmt",
        "cookie=0x1234,table=9,priority=7,tcp,tp_dst=80,actions=drop");
    struct switch_sent before = switch_sent(door);
    struct forwarding *restarted = forwarding_new(door);
    struct forwarding_result r;
    struct err err = ERR_INIT;
    ck_assert_int_eq(forwarding_apply(restarted, links, 2, &r, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(r.added + r.changed + r.deleted, 0);
    ck_assert_uint_gt(r.unchanged, 30);
    ck_assert_uint_eq(r.foreign, 1);
    ck_assert_uint_eq(switch_sent(door).flow_mods, before.flow_mods);
    ck_assert_uint_eq(switch_sent(door).bundles, before.bundles);
    /* A stale flow of ours and a lost one are made right by one bundle. */
    RUN("ovs-ofctl", "-O", "OpenFlow14", "add-flow", "unix:br-int.mgmt",
        "cookie=0x4a05000100000064,table=3,priority=3,actions=drop");
    RUN("ovs-ofctl", "-O", "OpenFlow14", "--strict", "del-flows", "unix:br-int.mgmt",
        "table=3,priority=10,metadata=100");
    forwarding_forget(restarted);
    ck_assert_int_eq(forwarding_apply(restarted, links, 2, &r, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(r.added, 1);
    ck_assert_uint_eq(r.deleted, 1);
    ck_assert_uint_eq(switch_sent(door).bundles, before.bundles + 1);
    /* Nothing wanted: nothing of ours but the pipeline's drops stays, the foreign flow does. */
    ck_assert_int_eq(forwarding_apply(restarted, NULL, 0, &r, TIMEOUT_MS, &err), 0);
    struct of_flow *flows = NULL;
    size_t count = 0;
    ck_assert_int_eq(switch_read_flows(door, 0, 0, &flows, &count, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(count, 5);
    of_flows_free(flows, count);
    RUN("ovs-ofctl", "-O", "OpenFlow14", "del-flows", "unix:br-int.mgmt", "cookie=0x1234/-1");
    forwarding_free(restarted);
    forwarding_forget(forwarding);
}
END_TEST

START_TEST(test_one_link) {
    begin();
    struct forwarding_result r;
    struct err err = ERR_INIT;
    struct forwarding_link gone = { .vni = 200, .vnics = NULL, .vnic_count = 0 };
    ck_assert_int_eq(forwarding_apply_links(forwarding, &gone, 1, &r, TIMEOUT_MS, &err), 0);
    ck_assert_uint_gt(r.deleted, 0);
    struct frame f = ether(1, 2, 0x88b5);
    send_on(0, &f);
    expect(1, &f, "the other link stays");
    /* The port of link 200 moves to link 100: in one bundle, without a contradiction. */
    ck_assert_uint_gt(apply_all().added, 0);
    vnics_100[3] = vnics_200[0];
    links[0].vnic_count = 4;
    if (forwarding_apply(forwarding, links, 1, &r, TIMEOUT_MS, &err)) ck_abort_msg("%s", err.msg);
    ck_assert_int_eq(switch_settle(door, TIMEOUT_MS, &err), 0);
    struct frame moved = ether(4, 1, 0x88b5);
    send_on(3, &moved);
    expect(0, &moved, "moved port");
    forwarding_forget(forwarding);
    ck_assert_int_eq(forwarding_apply(forwarding, links, 1, &r, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(r.added + r.changed + r.deleted, 0);
    /* Contradictions are refused before anything is sent. */
    links[0].vnic_count = 4;
    ck_assert_int_eq(forwarding_apply(forwarding, links, 2, &r, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    memcpy(vnics_100[3].mac, vnics_100[0].mac, 6);
    ck_assert_int_eq(forwarding_apply(forwarding, links, 1, &r, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
}
END_TEST

START_TEST(test_packet_out_and_counters) {
    begin();
    struct err err = ERR_INIT;
    struct switch_counters before, after;
    uint32_t ofport = 0;
    add_port("t1", &ofport);
    ck_assert_int_eq(switch_port_counters(door, ofport, &before, TIMEOUT_MS, &err), 0);
    struct frame f = ether(9, 2, 0x88b5);
    ck_assert_int_eq(
        switch_packet_out(door, OF_PORT_CONTROLLER, ofport, f.data, FRAME_BYTES, TIMEOUT_MS, &err),
        0);
    expect(1, &f, "packet-out");
    ck_assert_int_eq(switch_port_counters(door, ofport, &after, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(after.tx_packets, before.tx_packets + 1);
    ck_assert_int_eq(switch_port_counters(door, 60000, &after, TIMEOUT_MS, &err), -1);
    AUTO_FREE uint8_t *huge = xcalloc(1, 70000);
    ck_assert_int_eq(
        switch_packet_out(door, OF_PORT_CONTROLLER, ofport, huge, 70000, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
}
END_TEST

/* --- VXLAN: t4 is the wire of the underlay; the test plays the peer --- */

static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 9, 2 };

static void underlay_drop(struct underlay **u) { underlay_free(*u); }

static void make_underlay(void) {
    RUN("ovs-vsctl", "--db=unix:db.sock", "add-br", "br-phy", "--", "set", "bridge", "br-phy",
        "datapath_type=netdev", "--", "add-port", "br-phy", "t4");
    RUN("ip", "addr", "add", VTEP_HERE "/24", "dev", "br-phy");
    RUN("ip", "link", "set", "br-phy", "up");
    uint32_t ofport = 0;
    struct err err = ERR_INIT;
    if (switch_ensure_vxlan(door, VTEP_HERE, 0, &ofport, TIMEOUT_MS, &err))
        ck_abort_msg("%s", err.msg);
    ck_assert_uint_gt(ofport, 0);
    ck_assert_int_eq(switch_ensure_vxlan(door, VTEP_HERE, 0, &ofport, TIMEOUT_MS, &err), 0);
    bool follows = true;
    ck_assert_int_eq(switch_follows_host_routes(door, &follows, TIMEOUT_MS, &err), 0);
    ck_assert(!follows);
    CLEANUP(underlay_drop) struct underlay *underlay = underlay_new(door);
    AUTO_JSON json *vteps = json_array();
    json_add(vteps, json_string("no address"));
    json_add(vteps, json_string(VTEP_PEER));
    underlay_keep(underlay, vteps);
    underlay_keep(underlay, vteps);
}

static void answer_arp(const uint8_t *request) {
    uint8_t reply[60] = { 0 };
    memcpy(reply, request + 6, 6);
    memcpy(reply + 6, peer_mac, 6);
    memcpy(reply + 12, request + 12, 8); /* type, and the head of ARP up to the operation */
    reply[21] = 2;
    memcpy(reply + 22, peer_mac, 6);
    memcpy(reply + 28, request + 38, 4);
    memcpy(reply + 32, request + 22, 10);
    ck_assert_int_eq((int)write(taps[4], reply, sizeof(reply)), (int)sizeof(reply));
}

#define OUTER_BYTES 50 /* Ethernet 14, IPv4 20, UDP 8, VXLAN 8 */

/* Wait for a VXLAN frame on the wire (answering ARP), which is left in `ret`. */
static size_t read_vxlan(uint8_t *ret, size_t size, int timeout_ms) {
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (clock_monotonic_ms() < deadline) {
        size_t n = read_frame(4, ret, size, 50);
        if (n >= 42 && ret[12] == 8 && ret[13] == 6 && ret[21] == 1) answer_arp(ret);
        if (n > OUTER_BYTES && ret[12] == 8 && ret[13] == 0 && ret[23] == 17 && ret[36] == 0x12 &&
            ret[37] == 0xb5)
            return n;
    }
    return 0;
}

/* Send `inner` from t0 until it is on the wire: the first ones only make the switch ask for ARP. */
static void expect_on_wire(const struct frame *inner, uint32_t vni) {
    uint8_t data[2048];
    size_t n = 0;
    for (int i = 0; i < 10 && n == 0; i++) {
        send_on(0, inner);
        n = read_vxlan(data, sizeof(data), 300);
    }
    ck_assert_uint_eq(n, OUTER_BYTES + FRAME_BYTES);
    ck_assert_mem_eq(data + OUTER_BYTES, inner->data, FRAME_BYTES);
    ck_assert_uint_eq((unsigned)(data[46] << 16 | data[47] << 8 | data[48]), vni);
    struct in_addr to;
    memcpy(&to, data + 30, 4);
    ck_assert_str_eq(inet_ntoa(to), VTEP_PEER);
}

static void send_vxlan(const struct frame *inner, uint32_t vni, const uint8_t *here_mac) {
    static const uint8_t head[16] = { 0x45, 0, 0, 20 + 8 + 8 + FRAME_BYTES, 0, 0, 0, 0, 64, 17 };
    uint8_t data[OUTER_BYTES + FRAME_BYTES] = { 0 };
    memcpy(data, here_mac, 6);
    memcpy(data + 6, peer_mac, 6);
    data[12] = 8;
    memcpy(data + 14, head, 12);
    inet_pton(AF_INET, VTEP_PEER, data + 26);
    inet_pton(AF_INET, VTEP_HERE, data + 30);
    uint32_t sum = 0;
    for (int i = 14; i < 34; i += 2) sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    sum = ~((sum >> 16) + (sum & 0xffff));
    data[24] = (uint8_t)(sum >> 8);
    data[25] = (uint8_t)sum;
    data[34] = 0xc0;
    data[36] = 0x12;
    data[37] = 0xb5;
    data[39] = 8 + 8 + FRAME_BYTES;
    data[42] = 8; /* VXLAN: the VNI is valid */
    data[46] = (uint8_t)(vni >> 16);
    data[47] = (uint8_t)(vni >> 8);
    data[48] = (uint8_t)vni;
    memcpy(data + OUTER_BYTES, inner->data, FRAME_BYTES);
    ck_assert_int_eq((int)write(taps[4], data, sizeof(data)), (int)sizeof(data));
}

static void mac_of(const char *device, uint8_t *ret) {
    struct ifreq ifr = { .ifr_flags = 0 };
    AUTO_FD int control = socket(AF_INET, SOCK_DGRAM, 0);
    memcpy(ifr.ifr_name, device, strlen(device) + 1);
    ck_assert_int_eq(ioctl(control, SIOCGIFHWADDR, &ifr), 0);
    memcpy(ret, ifr.ifr_hwaddr.sa_data, 6);
}

START_TEST(test_vxlan) {
    begin();
    make_underlay();
    vnics_100[3] =
        (struct forwarding_vnic){ "s9",      "eth0", 7, { 2, 0, 0, 0, 0, 9 }, NULL, 0, NULL,
                                  VTEP_PEER, true,   0, NULL, NULL };
    links[0].vnic_count = 4;
    ck_assert_uint_eq(apply_all().missing_ports, 0);
    struct frame unicast = ether(1, 9, 0x88b5), flood = ether(1, BROADCAST, 0x88b5);
    expect_on_wire(&unicast, 100);
    expect_on_wire(&flood, 100);
    usleep(50000); /* the repetitions arrive */
    drain();
    uint8_t here[6], data[2048];
    mac_of("br-phy", here);
    struct frame in = ether(9, 1, 0x88b5), all = ether(9, BROADCAST, 0x88b5);
    struct frame wrong = ether(9, 4, 0x88b5);
    send_vxlan(&in, 100, here);
    expect(0, &in, "from the tunnel");
    /* Another link's id, unknown ids: nothing of link 100 sees them. */
    send_vxlan(&in, 200, here);
    send_vxlan(&in, 300, here);
    send_vxlan(&wrong, 100, here);
    send_vxlan(&all, 100, here);
    expect(0, &all, "flood from the tunnel");
    expect(1, &all, "flood from the tunnel");
    expect(2, &all, "flood from the tunnel");
    expect_silence(3);
    ck_assert_uint_eq(read_vxlan(data, sizeof(data), 100), 0); /* split horizon */
    forwarding_forget(forwarding);
    struct forwarding_result r = apply_all();
    ck_assert_uint_eq(r.added + r.changed + r.deleted, 0);
}
END_TEST

/* --- public addresses: t5 is the uplink of this node, the gateway; the test plays the world outside --- */

#define PUBLIC "203.0.113.17"
#define OUTSIDER "203.0.113.1"
#define ROUTER "10.0.0.254"
#define ROUTER_HOST 100 /* last byte of the MACs: of the link's router, */
#define UPLINK_HOST 50  /* of the uplink, */
#define HOP_HOST 60     /* and of the router outside */

static uint16_t fold(uint32_t sum) {
    while (sum >> 16) sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

static uint32_t sum_of(const uint8_t *p, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2) sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    return sum;
}

#define UDP_BYTES (FRAME_BYTES - 34)
/* Of the UDP datagram in a frame, over its pseudo header; 0 when the one that is there is right. */
static uint16_t udp_sum(const uint8_t *f) {
    return fold(sum_of(f + 26, 8) + 17 + UDP_BYTES + sum_of(f + 34, UDP_BYTES));
}

static struct frame udp(int from, int to, const char *source, const char *target, uint8_t ttl) {
    struct frame f = ether(from, to, 0x0800);
    uint8_t *ip = f.data + 14;
    ip[0] = 0x45;
    ip[3] = FRAME_BYTES - 14;
    ip[8] = ttl;
    ip[9] = 17;
    inet_pton(AF_INET, source, ip + 12);
    inet_pton(AF_INET, target, ip + 16);
    uint16_t sum = fold(sum_of(ip, 20));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    f.data[35] = f.data[37] = 9;
    f.data[39] = UDP_BYTES;
    sum = udp_sum(f.data);
    f.data[40] = (uint8_t)(sum >> 8);
    f.data[41] = (uint8_t)sum;
    return f;
}

/* The same datagram as somebody else's, one hop on: header sums right, and the payload untouched. */
static void check_translated(const uint8_t *data, size_t n, const struct frame *was, const struct frame *wanted) {
    ck_assert_uint_ge(n, FRAME_BYTES);
    ck_assert_mem_eq(data, wanted->data, 14);
    ck_assert_mem_eq(data + 26, wanted->data + 26, 8);
    ck_assert_uint_eq(data[22], was->data[22] - 1u);
    ck_assert_uint_eq(fold(sum_of(data + 14, 20)), 0);
    ck_assert_uint_eq(udp_sum(data), 0);
    ck_assert_mem_eq(data + 42, was->data + 42, FRAME_BYTES - 42);
}

static void expect_translated(int tap, const struct frame *was, const struct frame *wanted, const char *what) {
    uint8_t data[2048];
    size_t n = read_frame(tap, data, sizeof(data), 3000);
    if (n == 0) ck_abort_msg("%s: nothing arrived at t%d", what, tap);
    check_translated(data, n, was, wanted);
}

static struct frame arp_request(int from, const char *source, const char *target) {
    struct frame f = arp(from, from, source);
    f.data[21] = 1;
    inet_pton(AF_INET, target, f.data + 38);
    return f;
}

static void expect_answer(int tap, const struct frame *request, int who, const char *what) {
    uint8_t data[2048], mac[6];
    set_mac(mac, who);
    size_t n = read_frame(tap, data, sizeof(data), 3000);
    if (n < 42) ck_abort_msg("%s: no answer at t%d", what, tap);
    ck_assert_mem_eq(data, request->data + 6, 6); /* to whom asked */
    ck_assert_mem_eq(data + 6, mac, 6);
    ck_assert_uint_eq((unsigned)(data[20] << 8 | data[21]), 2);
    ck_assert_mem_eq(data + 22, mac, 6);
    ck_assert_mem_eq(data + 28, request->data + 38, 4);
    ck_assert_mem_eq(data + 32, request->data + 22, 10);
}

/* The sliver on t0 has a public address, which this node translates. */
static void begin_public(bool router_known) {
    struct forwarding_uplink up = { .port = "t5", .router_known = router_known };
    set_mac(up.mac, UPLINK_HOST);
    set_mac(up.router_mac, HOP_HOST);
    forwarding_set_uplink(forwarding, &up);
    links[0].router = ROUTER;
    set_mac(links[0].router_mac, ROUTER_HOST);
    vnics_100[0].public_address = PUBLIC;
    begin();
}

static void end_public(void) {
    forwarding_set_uplink(forwarding, &(struct forwarding_uplink){ .router_known = false });
    links[0].router = NULL;
    vnics_100[0].public_address = vnics_100[0].gateway_vtep = NULL;
    begin();
    /* Nothing of it stays. */
    struct frame ask = arp_request(HOP_HOST, OUTSIDER, PUBLIC), f = udp(HOP_HOST, UPLINK_HOST, OUTSIDER, PUBLIC, 64);
    send_on(5, &ask);
    send_on(5, &f);
    expect_silence(5);
    expect_silence(0);
}

START_TEST(test_public_in) {
    uint32_t ofport = 0;
    add_port("t5", &ofport);
    begin_public(true);
    struct frame ask = arp_request(HOP_HOST, OUTSIDER, PUBLIC), other = arp_request(HOP_HOST, OUTSIDER, "203.0.113.18");
    send_on(5, &other);
    send_on(5, &ask);
    expect_answer(5, &ask, UPLINK_HOST, "ARP for the public address");
    expect_silence(5);

    const struct frame untouched[] = {
        udp(HOP_HOST, UPLINK_HOST, OUTSIDER, "203.0.113.18", 64), /* nobody's */
        udp(HOP_HOST, UPLINK_HOST, OUTSIDER, "10.0.0.1", 64),     /* by its private address */
        udp(HOP_HOST, UPLINK_HOST + 1, OUTSIDER, PUBLIC, 64),     /* for another device */
        udp(HOP_HOST, UPLINK_HOST, "10.0.0.2", PUBLIC, 64),       /* as a neighbour of the sliver */
        udp(HOP_HOST, UPLINK_HOST, OUTSIDER, PUBLIC, 1),          /* at the end of its life */
        ether(HOP_HOST, 1, 0x88b5),                               /* straight into the link */
    };
    uint64_t spoofed = drops_of(100).spoofed;
    for (size_t i = 0; i < COUNT_OF(untouched); i++) send_on(5, &untouched[i]);
    struct frame f = udp(HOP_HOST, UPLINK_HOST, OUTSIDER, PUBLIC, 64);
    struct frame inside = udp(ROUTER_HOST, 1, OUTSIDER, "10.0.0.1", 63);
    send_on(5, &f);
    expect_translated(0, &f, &inside, "from outside");
    for (int tap = 0; tap < 4; tap++) expect_silence(tap);
    ck_assert_uint_eq(drops_of(100).spoofed, spoofed + 1);

    /* The switch tells all this back as it was sent: a restarted agent changes nothing. */
    forwarding_forget(forwarding);
    struct forwarding_result r = apply_all();
    ck_assert_uint_eq(r.added + r.changed + r.deleted, 0);
    ck_assert_uint_eq(r.missing_ports, 0);
    end_public();
}
END_TEST

START_TEST(test_public_out) {
    begin_public(true);
    struct frame ask = arp_request(1, "10.0.0.1", ROUTER);
    send_on(0, &ask);
    expect_answer(0, &ask, ROUTER_HOST, "ARP for the router");
    for (int tap = 0; tap < 4; tap++) expect_silence(tap); /* and nobody else hears of it */

    const struct frame untouched[] = {
        udp(1, ROUTER_HOST, "10.0.0.2", OUTSIDER, 64), /* a spoofed source */
        udp(1, ROUTER_HOST, PUBLIC, OUTSIDER, 64),     /* also its own outside */
        udp(1, ROUTER_HOST, "10.0.0.1", OUTSIDER, 1),
        ether(1, ROUTER_HOST, 0x88b5),
    };
    for (size_t i = 0; i < COUNT_OF(untouched); i++) send_on(0, &untouched[i]);
    struct frame stranger = udp(2, ROUTER_HOST, "10.0.0.1", OUTSIDER, 64), thief = udp(1, ROUTER_HOST, "10.0.0.1", OUTSIDER, 64);
    send_on(1, &stranger); /* its neighbour's address from its own MAC */
    send_on(1, &thief);    /* and with its neighbour's MAC */
    expect_silence(5);
    struct frame f = udp(1, ROUTER_HOST, "10.0.0.1", OUTSIDER, 64);
    struct frame outside = udp(UPLINK_HOST, HOP_HOST, PUBLIC, OUTSIDER, 63);
    send_on(0, &f);
    expect_translated(5, &f, &outside, "to the outside");

    begin_public(false); /* the router outside is not known yet */
    send_on(0, &f);
    expect_silence(5);
    struct frame in = udp(HOP_HOST, UPLINK_HOST, OUTSIDER, PUBLIC, 64);
    struct frame inside = udp(ROUTER_HOST, 1, OUTSIDER, "10.0.0.1", 63);
    send_on(5, &in);
    expect_translated(0, &in, &inside, "from outside, with no way back yet");
    end_public();
}
END_TEST

START_TEST(test_public_needs_an_uplink) {
    forwarding_set_uplink(forwarding, &(struct forwarding_uplink){ .port = "none" });
    links[0].router = ROUTER;
    set_mac(links[0].router_mac, ROUTER_HOST);
    vnics_100[0].public_address = PUBLIC;
    struct forwarding_result r;
    struct err err = ERR_INIT;
    ck_assert_int_eq(forwarding_apply(forwarding, links, 2, &r, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(r.missing_ports, 1);
    vnics_100[0].public_address = "203.0.113";
    ck_assert_int_eq(forwarding_apply(forwarding, links, 2, &r, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    end_public();
}
END_TEST

/* After test_vxlan, which has made the underlay: s9 is at another node. */
START_TEST(test_public_across_nodes) {
    static const char *const addresses_9[] = { "10.0.0.9/24" };
    uint8_t here[6], data[2048];
    mac_of("br-phy", here);
    begin_public(true);
    vnics_100[0].gateway_vtep = VTEP_PEER; /* ours goes by another gateway */
    vnics_100[3] = (struct forwarding_vnic){ .sliver = "s9", .name = "eth0", .epoch = 7, .mac = { 2, 0, 0, 0, 0, 9 },
                                             .addresses = addresses_9, .address_count = 1, .vtep = VTEP_PEER,
                                             .egress_allowed = true, .public_address = "203.0.113.19" };
    links[0].vnic_count = 4;
    ck_assert_uint_eq(apply_all().missing_ports, 0);
    drain();
    struct frame f = udp(1, ROUTER_HOST, "10.0.0.1", OUTSIDER, 64);
    expect_on_wire(&f, 100); /* as it is: its gateway translates it */
    expect_silence(5);
    usleep(50000);
    drain();
    struct frame in = udp(HOP_HOST, UPLINK_HOST, OUTSIDER, "203.0.113.19", 64);
    struct frame inside = udp(ROUTER_HOST, 9, OUTSIDER, "10.0.0.9", 63);
    send_on(5, &in);
    size_t n = read_vxlan(data, sizeof(data), 3000);
    ck_assert_uint_eq(n, OUTER_BYTES + FRAME_BYTES);
    check_translated(data + OUTER_BYTES, FRAME_BYTES, &in, &inside);
    struct frame back = udp(9, ROUTER_HOST, "10.0.0.9", OUTSIDER, 64);
    struct frame outside = udp(UPLINK_HOST, HOP_HOST, "203.0.113.19", OUTSIDER, 63);
    struct frame ask = arp_request(9, "10.0.0.9", ROUTER);
    struct frame forged = udp(9, ROUTER_HOST, "10.0.0.8", OUTSIDER, 64);
    send_vxlan(&forged, 100, here);
    send_vxlan(&ask, 100, here); /* its own node answers that */
    send_vxlan(&back, 100, here);
    expect_translated(5, &back, &outside, "from another node to the outside");
    ck_assert_uint_eq(read_vxlan(data, sizeof(data), 100), 0);
    /* A gateway where no sliver of the link runs. */
    links[0].vnics = &vnics_100[3];
    links[0].vnic_count = 1;
    apply_all();
    drain();
    send_on(5, &in);
    n = read_vxlan(data, sizeof(data), 3000);
    ck_assert_uint_eq(n, OUTER_BYTES + FRAME_BYTES);
    send_vxlan(&back, 100, here);
    expect_translated(5, &back, &outside, "through a gateway without slivers");
    links[0].vnics = vnics_100;
    end_public();
}
END_TEST


static void *hammer(void *arg) {
    for (int i = 0; i < 40; i++) {
        AUTO_FREE struct switch_port_number *numbers = NULL;
        AUTO_FREE struct switch_port *ports = NULL;
        size_t number_count = 0, port_count = 0;
        struct forwarding_result r;
        uint64_t generation = 0;
        if (switch_port_numbers(door, &numbers, &number_count, TIMEOUT_MS, NULL) ||
            switch_list_ports(door, &ports, &port_count, TIMEOUT_MS, NULL) ||
            switch_check(door, &generation, TIMEOUT_MS, NULL) ||
            forwarding_apply(forwarding, links, 2, &r, TIMEOUT_MS, NULL) || port_count < 4 ||
            r.added + r.changed + r.deleted > 0)
            return arg;
    }
    return NULL;
}

START_TEST(test_threads) {
    begin();
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, threads), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

#define WIDE 3000

/* A link with very many vNICs elsewhere: many parts of a multipart answer, one wide flood. */
START_TEST(test_wide_link) {
    begin();
    AUTO_FREE struct forwarding_vnic *wide = xcalloc(WIDE, sizeof(*wide));
    AUTO_FREE char *vteps = xcalloc(WIDE, 16);
    wide[0] = vnics_200[0];
    for (size_t i = 1; i < WIDE; i++) {
        wide[i] = (struct forwarding_vnic){
            "far",          "eth0", i, { 2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i }, NULL, 0, NULL,
            vteps + 16 * i, true,   0, NULL, NULL
        };
        snprintf(vteps + 16 * i, 16, "10.8.0.%zu", i % 200 + 1);
    }
    struct forwarding_link link = { .vni = 200, .vnics = wide, .vnic_count = WIDE };
    struct forwarding_result r;
    struct err err = ERR_INIT;
    int64_t start = clock_monotonic_ms();
    if (forwarding_apply_links(forwarding, &link, 1, &r, TIMEOUT_MS, &err))
        ck_abort_msg("%s", err.msg);
    ck_assert_uint_eq(r.added, WIDE - 1);
    int64_t applied = clock_monotonic_ms();
    forwarding_forget(forwarding);
    ck_assert_int_eq(forwarding_apply_links(forwarding, &link, 1, &r, TIMEOUT_MS, &err), 0);
    ck_assert_uint_eq(r.added + r.changed + r.deleted, 0);
    int64_t read = clock_monotonic_ms();
    ck_assert_int_eq(forwarding_apply_links(forwarding, &link, 1, &r, TIMEOUT_MS, &err), 0);
    int64_t again = clock_monotonic_ms();
    printf("%d flows: %lld ms to install, %lld ms to read back, %lld ms when nothing changed\n",
           WIDE, (long long)(applied - start), (long long)(read - applied),
           (long long)(again - read));
    ck_assert_uint_gt(apply_all().deleted, WIDE - 2);
}
END_TEST

START_TEST(test_restart) {
    begin();
    struct err err = ERR_INIT;
    struct forwarding_result r;
    uint64_t generation = switch_generation(door), after = 0;
    stop(&vswitchd_pid);
    struct switch_port_spec same = { "t0", SWITCH_PORT_SYSTEM, "sliver-1", "t0", 7 };
    uint32_t number = 0;
    ck_assert_int_eq(switch_add_port(door, &same, &number, 500, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(forwarding_apply(forwarding, links, 2, &r, 500, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_int_ne(err.remedy[0], 0);
    char control[96];
    snprintf(control, sizeof(control), "--unixctl=%s/ovs-vswitchd.ctl", dir);
    start_vswitchd(control);
    for (int i = 0; i < 100 && switch_check(door, &after, 1000, &err) != 0; i++) usleep(50000);
    ck_assert_uint_gt(after, generation);
    r = apply_all();
    ck_assert_uint_gt(r.added, 30);
    drain();
    struct frame f = ether(1, 2, 0x88b5);
    for (int i = 0; i < 2;
         i++) { /* the first frames may come before the ports' queues are set up */
        send_on(0, &f);
        usleep(20000);
    }
    expect(1, &f, "after the restart of ovs-vswitchd");
    ck_assert_uint_eq(apply_all().added, 0);

    stop(&db_pid);
    uint32_t ofport = 0;
    struct switch_port_spec spec = { "t0", SWITCH_PORT_SYSTEM, "sliver-1", "t0", 8 };
    ck_assert_int_eq(switch_add_port(door, &spec, &ofport, 500, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_int_ne(err.remedy[0], 0);
    start_db();
    if (switch_add_port(door, &spec, &ofport, 10000, &err)) ck_abort_msg("%s", err.msg);
    AUTO_FREE struct switch_port *ports = NULL;
    size_t count = 0, newer = 0;
    ck_assert_int_eq(switch_list_ports(door, &ports, &count, TIMEOUT_MS, &err), 0);
    for (size_t i = 0; i < count; i++) newer += ports[i].epoch == 8;
    ck_assert_uint_eq(newer, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("nm_switch");
    TCase *tc = tcase_create("ovs");
    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_bridge_and_ports);
    tcase_add_test(tc, test_unicast_flood_isolation);
    tcase_add_test(tc, test_anti_spoof);
    tcase_add_test(tc, test_egress_closed);
    tcase_add_test(tc, test_meter);
    tcase_add_test(tc, test_bundle_is_atomic);
    tcase_add_test(tc, test_foreign_and_resync);
    tcase_add_test(tc, test_one_link);
    tcase_add_test(tc, test_packet_out_and_counters);
    tcase_add_test(tc, test_public_in);
    tcase_add_test(tc, test_public_out);
    tcase_add_test(tc, test_public_needs_an_uplink);
    tcase_add_test(tc, test_vxlan);
    tcase_add_test(tc, test_public_across_nodes);
    tcase_add_test(tc, test_threads);
    tcase_add_test(tc, test_wide_link);
    tcase_add_test(tc, test_restart);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner,
                            CK_NOFORK); /* one Open vSwitch, and children that it may kill */
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
