/* The frame that a paused QEMU swallows, found again. The test plays QEMU: it reads the tap. */
#include "nodemgr/witness.h"

#include "common/clock.h"
#include "common/mem.h"
#include "nodemgr/held.h"
#include "nodemgr/netdev.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TAP "jgwitness"
static const char *const taps[] = { TAP, NULL };

static int guest_fd, wire_fd;

static int attach(void) {
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    memcpy(req.ifr_name, TAP, sizeof TAP);
    ck_assert_int_eq(ioctl(fd, TUNSETIFF, &req), 0);
    return fd;
}

static int wire(void) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5),
                              .sll_ifindex = (int)if_nametoindex(TAP) };
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void setup(void) {
    struct err err = ERR_INIT;
    ck_assert_msg(unshare(CLONE_NEWNET) == 0, "unshare: %s (run as root)", strerror(errno));
    ck_assert_msg(netdev_tap_create(TAP, 1500, 8192, &err) == 0, "%s", err.msg);
    guest_fd = attach();
    wire_fd = wire();
    usleep(50000); /* the kernel's own first frames (IPv6) */
    uint8_t space[2048];
    while (read(guest_fd, space, sizeof space) > 0) {}
}

static void teardown(void) {
    close(guest_fd);
    close(wire_fd);
    netdev_delete(TAP, NULL);
}

static void send_frame(uint8_t number) {
    uint8_t frame[64] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, number };
    ck_assert_int_eq(send(wire_fd, frame, sizeof frame, 0), (int)sizeof frame);
}

/* One of ours that the guest reads; its number. */
static int guest_reads(void) {
    for (;;) {
        uint8_t space[2048];
        struct pollfd p = { guest_fd, POLLIN, 0 };
        if (poll(&p, 1, 1000) != 1) return -1;
        ssize_t n = read(guest_fd, space, sizeof space);
        if (n >= HELD_HEADER_BYTES + 15 && space[HELD_HEADER_BYTES + 12] == 0x88)
            return space[HELD_HEADER_BYTES + 14];
    }
}

static int swallowed(struct witness *w, int64_t leftovers, int64_t paused_ms) {
    uint8_t *frame AUTO_FREE = NULL;
    size_t length;
    if (witness_swallowed(w, TAP, leftovers, leftovers > 0, paused_ms, &frame, &length) != 1) return -1;
    ck_assert_uint_eq(length, HELD_HEADER_BYTES + 64);
    return frame[HELD_HEADER_BYTES + 14];
}

START_TEST(the_one_before_the_leftovers) {
    struct err err = ERR_INIT;
    struct witness *w = witness_new(taps, &err);
    ck_assert_msg(w != NULL, "%s", err.msg);
    for (uint8_t i = 1; i <= 9; i++) send_frame(i);
    for (int i = 1; i <= 5; i++) ck_assert_int_eq(guest_reads(), i); /* the fifth is swallowed */
    ck_assert_int_eq(swallowed(w, 4, clock_wall_ms()), 5);
    witness_free(w);
}
END_TEST

START_TEST(without_leftovers_the_time_decides) {
    struct err err = ERR_INIT;
    struct witness *w = witness_new(taps, &err);
    ck_assert_msg(w != NULL, "%s", err.msg);
    usleep(200000); /* the kernel begins to note times a moment after it was asked to */
    send_frame(1);
    ck_assert_int_eq(guest_reads(), 1);
    usleep(20000);
    int64_t paused_ms = clock_wall_ms();
    ck_assert_int_eq(swallowed(w, 0, paused_ms), -1); /* the guest had it */
    usleep(5000);
    send_frame(2);
    ck_assert_int_eq(guest_reads(), 2);
    ck_assert_int_eq(swallowed(w, 0, paused_ms), 2);
    witness_free(w);
}
END_TEST

START_TEST(nothing_was_sent) {
    struct err err = ERR_INIT;
    struct witness *w = witness_new(taps, &err);
    ck_assert_msg(w != NULL, "%s", err.msg);
    ck_assert_int_eq(swallowed(w, 0, clock_wall_ms()), -1);
    ck_assert_int_eq(swallowed(w, 3, clock_wall_ms()), -1);
    witness_free(w);
    static const char *const none[] = { "jgnothere", NULL };
    ck_assert_ptr_null(witness_new(none, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("witness");
    TCase *tc = tcase_create("witness");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_one_before_the_leftovers);
    tcase_add_test(tc, without_leftovers_the_time_decides);
    tcase_add_test(tc, nothing_was_sent);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
