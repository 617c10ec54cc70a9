/* The lease page, and the watchdog with real processes: a shell that counts stands for QEMU. */
#include "common/clock.h"
#include "nodemgr/lease_hold.h"
#include "nodemgr/pin.h"
#include "nodemgr/watchdog.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BOOT "01234567-89ab-4cde-8f01-23456789abcd"
#define DOMAIN "jogak-11111111-e3"
#define OTHER "jogak-22222222-e1"
#define TICK_MS 20
#define WATCHDOG_PROGRAM TEST_WATCHDOG

static char dir[64], page_path[96], pids[96], unfenced[96];

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/jogak-lease-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(page_path, sizeof page_path, "%s/lease", dir);
    snprintf(pids, sizeof pids, "%s/qemu", dir);
    snprintf(unfenced, sizeof unfenced, "%s/unfenced", dir);
    ck_assert_int_eq(mkdir(pids, 0700) | mkdir(unfenced, 0700), 0);
}

static void teardown(void) {
    const char *const command[] = { "rm", "-rf", dir, NULL };
    pid_t pid = fork();
    if (pid == 0) {
        execvp("rm", (char *const *)(uintptr_t)command);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static struct lease_page *new_page(int64_t left_ms) {
    struct err err = ERR_INIT;
    struct lease_page *p = lease_page_make(page_path, BOOT, &err);
    ck_assert_msg(p != NULL, "%s", err.msg);
    atomic_store(&p->until_ms, clock_boottime_ms() + left_ms);
    atomic_store(&p->length_ms, 1000);
    atomic_store(&p->agent, (int32_t)getpid());
    return p;
}

/* --- what stands for a QEMU --- */

struct guest {
    pid_t pid;
    char domain[DOMAIN_NAME_BYTES], counter[128];
};

/* As libvirt does: the command line names the guest, and a file its process. */
static struct guest guest_start(const char *domain) {
    struct guest g = { .pid = 0 };
    snprintf(g.domain, sizeof g.domain, "%s", domain);
    snprintf(g.counter, sizeof g.counter, "%s/%s.count", dir, domain);
    char name[64], path[160];
    snprintf(name, sizeof name, "guest=%s,debug-threads=on", domain);
    g.pid = fork();
    if (g.pid == 0) {
        execl("/bin/sh", "sh", "-c", "while :; do printf x >>\"$1\"; sleep 0.01; done", name, g.counter, (char *)NULL);
        _exit(127);
    }
    snprintf(path, sizeof path, "%s/%s.pid", pids, domain);
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "%d\n", (int)g.pid);
    fclose(f);
    for (int i = 0; i < 500 && access(g.counter, F_OK) != 0; i++) clock_sleep_ms(10);
    return g;
}

static void guest_end(struct guest *g) {
    kill(g->pid, SIGKILL);
    waitpid(g->pid, NULL, 0);
    char path[160];
    snprintf(path, sizeof path, "%s/%s.pid", pids, g->domain);
    unlink(path);
}

static int64_t count_of(const struct guest *g) {
    struct stat st;
    return stat(g->counter, &st) == 0 ? st.st_size : -1;
}

/* By what it does, not by what the kernel says of it. */
static bool guest_runs(const struct guest *g) {
    clock_sleep_ms(60); /* a child of the shell that was at work ends */
    int64_t before = count_of(g);
    for (int i = 0; i < 15; i++) {
        clock_sleep_ms(TICK_MS);
        if (count_of(g) > before) return true;
    }
    return false;
}

/* --- the page --- */

START_TEST(page_survives_its_users) {
    struct lease_page *p = new_page(5000);
    int64_t until = atomic_load(&p->until_ms);
    ck_assert(lease_hold_add(p, HOLD_PAUSED, DOMAIN));
    lease_page_close(p);
    struct err err = ERR_INIT;
    p = lease_page_make(page_path, BOOT, &err);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(atomic_load(&p->until_ms), until);
    ck_assert(lease_hold_has(p, HOLD_PAUSED, DOMAIN));
    lease_page_close(p);
}
END_TEST

START_TEST(page_of_another_boot_is_worth_nothing) {
    struct lease_page *p = new_page(5000);
    lease_hold_add(p, HOLD_PAUSED, DOMAIN);
    lease_page_close(p);
    struct err err = ERR_INIT;
    p = lease_page_make(page_path, "11234567-89ab-4cde-8f01-23456789abcd", &err);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(atomic_load(&p->until_ms), 0);
    ck_assert(!lease_holds_any(p));
    lease_page_close(p);
}
END_TEST

START_TEST(page_that_is_rubbish_is_made_anew) {
    FILE *f = fopen(page_path, "we");
    fputs("no page", f);
    fclose(f);
    struct err err = ERR_INIT;
    ck_assert_ptr_null(lease_page_open(page_path, NULL, &err));
    struct lease_page *p = new_page(1000);
    lease_page_close(p);
    p = lease_page_open(page_path, NULL, &err);
    ck_assert_ptr_nonnull(p);
    lease_page_close(p);
}
END_TEST

START_TEST(lease_ends_at_its_moment) {
    struct lease_page *p = new_page(0);
    atomic_store(&p->until_ms, 1000);
    ck_assert(!lease_page_ended(p, 999));
    ck_assert(lease_page_ended(p, 1000));
    atomic_store(&p->length_ms, 600); /* the guard is 300 then, its least; else a sixth, and 3 s at most */
    ck_assert(!lease_page_closing(p, 699) && lease_page_closing(p, 700));
    atomic_store(&p->length_ms, 6000);
    atomic_store(&p->until_ms, 10000);
    ck_assert(!lease_page_closing(p, 8999) && lease_page_closing(p, 9000));
    atomic_store(&p->length_ms, 600000);
    ck_assert(!lease_page_closing(p, 6999) && lease_page_closing(p, 7000));
    atomic_store(&p->until_ms, 1000);
    ck_assert(!lease_page_watched(p, 1000));
    atomic_store(&p->watched_ms, 1000);
    ck_assert(lease_page_watched(p, 1000 + LEASE_WATCHED_MS - 1));
    ck_assert(!lease_page_watched(p, 1000 + LEASE_WATCHED_MS));
    lease_page_close(p);
}
END_TEST

START_TEST(holds) {
    struct lease_page *p = new_page(1000);
    char domain[DOMAIN_NAME_BYTES];
    size_t at = 0;
    ck_assert(!lease_holds_any(p));
    ck_assert(lease_hold_add(p, HOLD_FROZEN, DOMAIN) && lease_hold_add(p, HOLD_FROZEN, DOMAIN));
    ck_assert(lease_hold_add(p, HOLD_PAUSED, DOMAIN) && lease_hold_add(p, HOLD_FROZEN, OTHER));
    ck_assert(lease_hold_next(p, HOLD_FROZEN, &at, domain));
    ck_assert_str_eq(domain, DOMAIN);
    ck_assert(lease_hold_next(p, HOLD_FROZEN, &at, domain));
    ck_assert_str_eq(domain, OTHER);
    ck_assert(!lease_hold_next(p, HOLD_FROZEN, &at, domain));
    lease_hold_remove(p, HOLD_FROZEN, DOMAIN);
    ck_assert(!lease_hold_has(p, HOLD_FROZEN, DOMAIN));
    ck_assert(lease_hold_has(p, HOLD_PAUSED, DOMAIN));
    for (int i = 0; i < LEASE_HOLDS_MAX - 2; i++) {
        char name[DOMAIN_NAME_BYTES];
        snprintf(name, sizeof name, "jogak-%08x-e1", i + 0x100);
        ck_assert(lease_hold_add(p, HOLD_FROZEN, name));
    }
    ck_assert(!lease_hold_add(p, HOLD_FROZEN, "jogak-33333333-e1")); /* full, and says so */
    lease_page_close(p);
}
END_TEST

/* --- looks, in this process --- */

static struct watchdog watchdog_on(struct lease_page *p) {
    return (struct watchdog){ .page = p, .pid_directory = pids, .unfenced_directory = unfenced };
}

START_TEST(looks_leave_guests_alone_within_the_lease) {
    struct lease_page *p = new_page(60000);
    struct guest g = guest_start(DOMAIN);
    struct watchdog w = watchdog_on(p);
    int64_t sleep_ms = watchdog_look(&w);
    ck_assert_int_gt(sleep_ms, 0);
    ck_assert_int_le(sleep_ms, WATCHDOG_IDLE_MS);
    ck_assert(guest_runs(&g));
    ck_assert(!lease_holds_any(p));
    ck_assert(lease_page_watched(p, clock_boottime_ms()));
    atomic_store(&p->until_ms, clock_boottime_ms() + 200);
    ck_assert_int_le(watchdog_look(&w), 200); /* it is there when the lease ends */
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

START_TEST(looks_freeze_without_a_lease) {
    struct lease_page *p = new_page(-1);
    struct guest g = guest_start(DOMAIN), free_one = guest_start(OTHER);
    char mark[160];
    snprintf(mark, sizeof mark, "%s/%s", unfenced, OTHER);
    close(open(mark, O_CREAT | O_WRONLY, 0600));
    struct watchdog w = watchdog_on(p);
    ck_assert_int_le(watchdog_look(&w), WATCHDOG_STRICT_MS);
    ck_assert(!guest_runs(&g));
    ck_assert(lease_hold_has(p, HOLD_FROZEN, DOMAIN));
    ck_assert(guest_runs(&free_one)); /* its policy is to run on */
    ck_assert(!lease_hold_has(p, HOLD_FROZEN, OTHER));
    guest_end(&g);
    guest_end(&free_one);
    lease_page_close(p);
}
END_TEST

START_TEST(looks_meet_those_that_come_late_or_go_on) {
    struct lease_page *p = new_page(-1);
    struct watchdog w = watchdog_on(p);
    watchdog_look(&w);
    struct guest g = guest_start(DOMAIN); /* a call that hung got through after the end */
    watchdog_look(&w);
    ck_assert(!guest_runs(&g));
    kill(g.pid, SIGCONT);
    watchdog_look(&w);
    ck_assert(!guest_runs(&g));
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

START_TEST(looks_do_not_note_what_another_stopped) {
    struct lease_page *p = new_page(-1);
    struct guest g = guest_start(DOMAIN);
    struct watchdog w = watchdog_on(p);
    struct err err = ERR_INIT;
    struct pin *pin = pin_open_in(pids, DOMAIN, &err);
    ck_assert_ptr_nonnull(pin);
    ck_assert(!pin_is_stopped(pin));
    ck_assert_int_eq(pin_stop(pin, &err), 0);
    for (int i = 0; i < 100 && !pin_is_stopped(pin); i++) clock_sleep_ms(10);
    watchdog_look(&w);
    ck_assert(!lease_hold_has(p, HOLD_FROZEN, DOMAIN)); /* so nobody thaws it by the lease */
    pin_close(pin);
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

START_TEST(looks_do_not_touch_strangers) {
    struct lease_page *p = new_page(-1);
    struct guest g = guest_start(DOMAIN);
    char path[160];
    snprintf(path, sizeof path, "%s/%s.pid", pids, OTHER); /* a stale file: the number is another's now */
    FILE *f = fopen(path, "we");
    fprintf(f, "%d\n", (int)getpid());
    fclose(f);
    snprintf(path, sizeof path, "%s/debian12.pid", pids); /* somebody's own machine */
    f = fopen(path, "we");
    fprintf(f, "%d\n", (int)g.pid);
    fclose(f);
    snprintf(path, sizeof path, "%s/%s.pid", pids, DOMAIN);
    unlink(path);
    struct watchdog w = watchdog_on(p);
    watchdog_look(&w);
    ck_assert(guest_runs(&g));
    ck_assert(!lease_holds_any(p));
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

/* --- thawing --- */

#define SLIVER "11111111-2222-4333-8444-555555555555" /* its third incarnation is DOMAIN */

static json *named(const char *sliver, int64_t epoch) {
    json *one = json_set_str(json_object(), "sliver", sliver);
    json_set_int(one, "epoch", epoch);
    json *all = json_array();
    json_add(all, one);
    return all;
}

START_TEST(thaws_what_is_still_ours) {
    struct lease_page *p = new_page(-1);
    struct guest g = guest_start(DOMAIN), moved = guest_start(OTHER);
    struct watchdog w = watchdog_on(p);
    watchdog_look(&w);
    ck_assert(!guest_runs(&g) && !guest_runs(&moved));
    json *older AUTO_JSON = named(SLIVER, 2), *ours AUTO_JSON = named(SLIVER, 3);
    atomic_store(&p->until_ms, clock_boottime_ms() + 60000);
    lease_thaw(p, pids, older); /* another incarnation than the one that is here */
    ck_assert(!guest_runs(&g));
    lease_thaw(p, pids, ours);
    ck_assert(guest_runs(&g));
    ck_assert(!lease_hold_has(p, HOLD_FROZEN, DOMAIN));
    ck_assert(!guest_runs(&moved)); /* it was started elsewhere meanwhile */
    ck_assert(lease_hold_has(p, HOLD_FROZEN, OTHER));
    guest_end(&g);
    guest_end(&moved);
    lease_page_close(p);
}
END_TEST

START_TEST(thaw_leaves_a_pinned_one) {
    struct lease_page *p = new_page(-1);
    struct guest g = guest_start(DOMAIN);
    struct watchdog w = watchdog_on(p);
    struct err err = ERR_INIT;
    watchdog_look(&w);
    struct pin *pin = pin_open_in(pids, DOMAIN, &err); /* a migration has begun to rely on its standing still */
    ck_assert(pin && pin_stop(pin, &err) == 0);
    json *ours AUTO_JSON = named(SLIVER, 3);
    atomic_store(&p->until_ms, clock_boottime_ms() + 60000);
    lease_thaw(p, pids, ours);
    ck_assert(!guest_runs(&g));
    ck_assert_int_eq(pin_continue(pin, &err), 0);
    ck_assert(guest_runs(&g));
    pin_close(pin);
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

/* --- the program --- */

static pid_t program_start(void) {
    pid_t pid = fork();
    if (pid == 0) {
        execl(WATCHDOG_PROGRAM, "jogak-watchdog", page_path, pids, unfenced, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static bool wait_for(bool (*condition)(void *ctx), void *ctx, int64_t ms) {
    int64_t deadline = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < deadline) {
        if (condition(ctx)) return true;
        clock_sleep_ms(5);
    }
    return condition(ctx);
}

static bool is_watched(void *ctx) { return lease_page_watched(ctx, clock_boottime_ms()); }
static bool has_frozen(void *ctx) { return lease_hold_has(ctx, HOLD_FROZEN, DOMAIN); }
static bool has_ended(void *ctx) { return waitpid(*(pid_t *)ctx, NULL, WNOHANG) == *(pid_t *)ctx; }

/* One that is not our child, as the agent is to the watchdog's guests; it renews, then is killed. */
START_TEST(program_freezes_when_its_agent_dies) {
    struct lease_page *p = new_page(60000);
    struct guest g = guest_start(DOMAIN);
    pid_t agent = fork();
    if (agent == 0) /* renews every 50 ms, for 500 ms each */
        for (;;) {
            atomic_store(&p->until_ms, clock_boottime_ms() + 500);
            clock_sleep_ms(50);
        }
    pid_t watchdog = program_start();
    ck_assert(wait_for(is_watched, p, 5000));
    clock_sleep_ms(1200);
    ck_assert(guest_runs(&g)); /* it was renewed, more than twice a lease long */
    ck_assert(!lease_holds_any(p));
    kill(agent, SIGSTOP); /* a hung one is as good as a dead one */
    ck_assert(wait_for(has_frozen, p, 5000));
    ck_assert(!guest_runs(&g));
    kill(agent, SIGCONT); /* the watchdog thaws nobody: that is for the agent to decide */
    ck_assert(!guest_runs(&g));
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    kill(watchdog, SIGKILL);
    waitpid(watchdog, NULL, 0);
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

START_TEST(program_is_there_in_time) {
    struct lease_page *p = new_page(60000);
    struct guest g = guest_start(DOMAIN);
    pid_t watchdog = program_start();
    ck_assert(wait_for(is_watched, p, 5000));
    int64_t until = clock_boottime_ms() + 700;
    atomic_store(&p->until_ms, until);
    ck_assert(wait_for(has_frozen, p, 10000));
    int64_t late = clock_boottime_ms() - until;
    ck_assert_msg(late >= 0, "frozen %lld ms too early", (long long)-late);
    ck_assert_msg(late < 1000, "frozen %lld ms after the end", (long long)late); /* well within the margin */
    kill(watchdog, SIGKILL);
    waitpid(watchdog, NULL, 0);
    guest_end(&g);
    lease_page_close(p);
}
END_TEST

START_TEST(program_gives_way_to_another) {
    struct lease_page *p = new_page(60000);
    pid_t first = program_start();
    ck_assert(wait_for(is_watched, p, 5000));
    pid_t second = program_start();
    ck_assert(wait_for(has_ended, &first, 5000));
    atomic_store(&p->watched_ms, 0);
    ck_assert(wait_for(is_watched, p, 5000));
    ck_assert_int_eq(atomic_load(&p->watchdog), (int32_t)second);
    unlink(page_path); /* the directory was emptied: it watches on, until there is another page */
    clock_sleep_ms(700);
    ck_assert(!has_ended(&second));
    struct lease_page *other = new_page(60000);
    ck_assert(wait_for(has_ended, &second, 5000));
    lease_page_close(other);
    lease_page_close(p);
}
END_TEST

START_TEST(program_refuses_what_is_no_page) {
    pid_t pid = program_start();
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("the node's lease");
    TCase *t = tcase_create("lease");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, page_survives_its_users);
    tcase_add_test(t, page_of_another_boot_is_worth_nothing);
    tcase_add_test(t, page_that_is_rubbish_is_made_anew);
    tcase_add_test(t, lease_ends_at_its_moment);
    tcase_add_test(t, holds);
    tcase_add_test(t, looks_leave_guests_alone_within_the_lease);
    tcase_add_test(t, looks_freeze_without_a_lease);
    tcase_add_test(t, looks_meet_those_that_come_late_or_go_on);
    tcase_add_test(t, looks_do_not_note_what_another_stopped);
    tcase_add_test(t, looks_do_not_touch_strangers);
    tcase_add_test(t, thaws_what_is_still_ours);
    tcase_add_test(t, thaw_leaves_a_pinned_one);
    tcase_add_test(t, program_freezes_when_its_agent_dies);
    tcase_add_test(t, program_is_there_in_time);
    tcase_add_test(t, program_gives_way_to_another);
    tcase_add_test(t, program_refuses_what_is_no_page);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
