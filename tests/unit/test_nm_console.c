/* Consoles: history, a reader that waits, and a sliver that goes away under it. */
#include "nodemgr/console.h"

#include "common/mem.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SLIVER "11111111-1111-4111-8111-111111111111"

static char dir[64], path[96];
static struct console_hub *hub;
static int listener, guest = -1;

/* What QEMU does: listens, and has one client. */
static void setup(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(dir, sizeof dir, "/tmp/jogak-test-console-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/tty", dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    struct err err = ERR_INIT;
    ck_assert_ptr_nonnull(hub = console_hub_start(&err));
    ck_assert_msg(console_attach(hub, SLIVER, 1, path, &err) == 0, "%s", err.msg);
    ck_assert_int_ge(guest = accept(listener, NULL, NULL), 0);
}

static void teardown(void) {
    console_hub_stop(hub);
    if (guest >= 0) close(STEAL_FD(guest));
    close(listener);
    unlink(path);
    rmdir(dir);
}

static void says(const char *text) {
    ck_assert_int_eq(send(guest, text, strlen(text), 0), (ssize_t)strlen(text));
}

START_TEST(what_was_said_and_what_is_typed) {
    char buf[16] = "";
    struct console_place place = { 0 };
    struct err err = ERR_INIT;
    says("hello");
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf, 3, 2000), 3);
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf + 3, 13, 0), 2);
    ck_assert_str_eq(buf, "hello");
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf, sizeof buf, 20), 0);
    ck_assert_int_eq(console_write(hub, SLIVER, "ls\r", 3, &err), 0);
    ck_assert_int_eq(recv(guest, buf, sizeof buf, 0), 3);
    ck_assert_int_eq(console_read(hub, "none", &place, buf, sizeof buf, 20), -1);
}
END_TEST

static void *read_on(void *arg) {
    static int64_t answer;
    char buf[64];
    answer = console_read(hub, SLIVER, arg, buf, sizeof buf, 400);
    return &answer;
}

/* The guest's end closes first, as when a migration ends its QEMU; then the sliver is forgotten. */
START_TEST(a_reader_waits_while_the_sliver_goes) {
    char buf[16];
    struct console_place place = { 0 };
    says("bye");
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf, sizeof buf, 2000), 3);
    close(STEAL_FD(guest));
    usleep(50000);
    pthread_t reader;
    void *answer;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_on, &place), 0);
    usleep(100000);
    console_forget(hub, SLIVER, 1);
    pthread_join(reader, &answer);
    ck_assert_int_eq(*(int64_t *)answer, -1);
}
END_TEST

/* Gone and back while nobody looked: its reader must not wait for a place in the new one. */
START_TEST(a_console_that_comes_back_is_another_one) {
    char buf[16];
    struct console_place place = { 0 }, anew = { 0 };
    struct err err = ERR_INIT;
    says("bye");
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf, sizeof buf, 2000), 3);
    console_forget(hub, SLIVER, 1);
    ck_assert_int_eq(console_attach(hub, SLIVER, 2, path, &err), 0);
    close(guest);
    guest = accept(listener, NULL, NULL);
    says("hi");
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf, sizeof buf, 2000), -1);
    ck_assert_int_eq(console_read(hub, SLIVER, &anew, buf, sizeof buf, 2000), 2);
}
END_TEST

START_TEST(an_older_incarnation_is_not_forgotten) {
    char buf[16];
    struct console_place place = { 0 };
    console_forget(hub, SLIVER, 0);
    says("x");
    ck_assert_int_eq(console_read(hub, SLIVER, &place, buf, sizeof buf, 2000), 1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("nodemgr.console");
    TCase *t = tcase_create("nodemgr.console");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_was_said_and_what_is_typed);
    tcase_add_test(t, a_reader_waits_while_the_sliver_goes);
    tcase_add_test(t, a_console_that_comes_back_is_another_one);
    tcase_add_test(t, an_older_incarnation_is_not_forgotten);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
