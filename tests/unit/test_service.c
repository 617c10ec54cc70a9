/*
 * The frame of a service: each case runs one in a child process.
 */
#include "common/mem.h"
#include "common/service.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

struct demo_config {
    struct service_config base;
    int64_t size;
};
static const struct config_row rows[] = {
    SERVICE_CONFIG_ROWS(struct demo_config, "demo", "8499"),
    { "demo", "size", CONFIG_INT, offsetof(struct demo_config, size), 1, 9, "3", "MiB", "Size." },
};
static char dir[64], conf[96], state[96], notify[96];
static struct err err;

static void put_conf(const char *rest) {
    char *text AUTO_FREE = xasprintf("[service]\nstate_dir = %s\n%s", state, rest);
    ck_assert_int_eq(file_write(conf, text, strlen(text), 0600, &err), 0);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/jogak-test-service-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(conf, sizeof conf, "%s/demo.conf", dir);
    snprintf(state, sizeof state, "%s/state", dir);
    snprintf(notify, sizeof notify, "%s/notify", dir);
    put_conf("");
}

static void teardown(void) {
    char lock[128];
    snprintf(lock, sizeof lock, "%s/lock", state);
    unlink(lock);
    rmdir(state);
    unlink(conf);
    unlink(notify);
    rmdir(dir);
}

/* Runs the frame in a child whose output goes to out; returns its process id. */
static pid_t run(int out, bool share, char *const *args) {
    pid_t pid = fork();
    if (pid) return pid;
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    char *argv[8] = { (char *)(uintptr_t) "jogak-demo" };
    int argc = 1;
    for (; args[argc - 1]; argc++) argv[argc] = args[argc - 1];
    struct demo_config config;
    struct service service = { "demo", rows, COUNT_OF(rows), &config };
    if (share) service_share_state();
    int status = service_begin(&service, argc, argv);
    if (status < 0) {
        struct rlimit core;
        getrlimit(RLIMIT_CORE, &core);
        printf("ready dumpable=%d core=%d size=%d\n", prctl(PR_GET_DUMPABLE), (int)core.rlim_cur,
               (int)config.size);
        fflush(stdout);
        raise(SIGPIPE); /* ignored */
        service_wait(&service);
        service_end(&service);
        status = 0;
    }
    fflush(NULL);
    _exit(status);
}

/* Its output until it ends; *ret_status its exit status. */
static char *run_to_end(int *ret_status, char *const *args) {
    int fds[2], status;
    struct buf b = BUF_INIT;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = run(fds[1], false, args);
    close(fds[1]);
    char piece[512];
    for (ssize_t n; (n = read(fds[0], piece, sizeof piece)) > 0;) buf_add(&b, piece, (size_t)n);
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    *ret_status = WEXITSTATUS(status);
    return buf_steal(&b);
}

#define ARGS(...) ((char *[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
#define TEXT(s) ((char *)(uintptr_t)(s))

START_TEST(options) {
    int status;
    char *version AUTO_FREE = run_to_end(&status, ARGS(TEXT("--version")));
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(version, "jogak-demo " JOGAK_VERSION "\n");
    char *help AUTO_FREE = run_to_end(&status, ARGS(TEXT("--help")));
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(strstr(help, "[demo] size"));
    char *bad AUTO_FREE = run_to_end(&status, ARGS(TEXT("--nonsense")));
    ck_assert_int_eq(status, 2);
    ck_assert_ptr_nonnull(strstr(bad, "usage:"));
    char *extra AUTO_FREE = run_to_end(&status, ARGS(TEXT("extra")));
    ck_assert_int_eq(status, 2);
    ck_assert_ptr_nonnull(strstr(extra, "extra"));
}
END_TEST

START_TEST(check_config) {
    int status;
    char *text AUTO_FREE =
        run_to_end(&status, ARGS(TEXT("--check-config"), TEXT("--config"), conf));
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(strstr(text, "listen_port = 8499"));
    ck_assert_ptr_nonnull(strstr(text, "# Size. From 1 to 9 MiB."));
    ck_assert_int_eq(access(state, F_OK), -1); /* it only looks */
    put_conf("[demo]\nsize = 10\n");
    char *bad AUTO_FREE = run_to_end(&status, ARGS(TEXT("--config"), conf));
    ck_assert_int_eq(status, 78);
    ck_assert_ptr_nonnull(strstr(bad, "demo.conf:4: size must be"));
    put_conf("log_levels = loud\n");
    char *levels AUTO_FREE = run_to_end(&status, ARGS(TEXT("--config"), conf));
    ck_assert_int_eq(status, 78);
    ck_assert_ptr_nonnull(strstr(levels, "\"loud\" is not understood"));
    char *missing AUTO_FREE = run_to_end(&status, ARGS(TEXT("--config"), TEXT("/nonexistent")));
    ck_assert_int_eq(status, 78);
    ck_assert_ptr_nonnull(strstr(missing, "/nonexistent"));
}
END_TEST

static int notify_socket(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", notify);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", notify, 1);
    return fd;
}

static void expect_notify(int fd, const char *text) {
    char got[256] = "";
    struct pollfd p = { fd, POLLIN, 0 };
    ck_assert_int_eq(poll(&p, 1, 10000), 1);
    ck_assert_int_gt(recv(fd, got, sizeof got - 1, 0), 0);
    ck_assert_msg(strstr(got, text) != NULL, "\"%s\"", got);
}

static int wait_status(pid_t pid) {
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A directory that stood open is closed, but may stay searchable. */
static void check_closing(unsigned before, unsigned after) {
    int status;
    struct stat st;
    ck_assert_int_eq(dir_make(state, 0700, &err), 0);
    ck_assert_int_eq(chmod(state, before), 0);
    char blocked[128]; /* ends the start right after */
    snprintf(blocked, sizeof blocked, "%s/lock", state);
    ck_assert_int_eq(mkdir(blocked, 0700), 0);
    char *text AUTO_FREE = run_to_end(&status, ARGS(TEXT("--config"), conf));
    ck_assert_int_eq(status, 1);
    ck_assert_ptr_nonnull(strstr(text, "/lock"));
    ck_assert_int_eq(stat(state, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, after);
    rmdir(blocked);
}

START_TEST(state_directory_is_closed) {
    check_closing(0777, 0711);
    check_closing(0750, 0710);
    check_closing(0711, 0711);
    check_closing(0700, 0700);
}
END_TEST

START_TEST(life) {
    int fd = notify_socket(), out = open("/dev/null", O_WRONLY | O_CLOEXEC), fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = run(fds[1], false, ARGS(TEXT("--config"), conf));
    close(fds[1]);
    expect_notify(fd, "READY=1");
    struct stat st;
    ck_assert_int_eq(stat(state, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    char line[128] = "";
    ck_assert_int_gt(read(fds[0], line, sizeof line - 1), 0);
    ck_assert_msg(strstr(line, "core=0 size=3") != NULL, "%s", line);
#ifndef __SANITIZE_ADDRESS__
    ck_assert_msg(strstr(line, "dumpable=0") != NULL, "%s", line);
#endif
    pid_t second = run(out, false, ARGS(TEXT("--config"), conf));
    ck_assert_int_eq(wait_status(second), 1); /* the state directory is the first one's */
    pid_t beside = run(out, true, ARGS(TEXT("--config"), conf));
    expect_notify(fd, "READY=1");
    kill(beside, SIGINT);
    expect_notify(fd, "STOPPING=1");
    ck_assert_int_eq(wait_status(beside), 0);
    put_conf("log_levels = debug\n");
    for (int i = 0; i < 2; i++) { /* a good file, then a broken one: it goes on with both */
        kill(pid, SIGHUP);
        expect_notify(fd, "RELOADING=1");
        expect_notify(fd, "READY=1");
        put_conf("nonsense\n");
    }
    kill(pid, SIGTERM);
    expect_notify(fd, "STOPPING=1");
    ck_assert_int_eq(wait_status(pid), 0);
    close(fds[0]);
    close(out);
    close(fd);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("service");
    TCase *tc = tcase_create("service");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, options);
    tcase_add_test(tc, check_config);
    tcase_add_test(tc, state_directory_is_closed);
    tcase_add_test(tc, life);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
