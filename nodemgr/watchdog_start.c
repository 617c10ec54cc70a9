#include "nodemgr/watchdog_start.h"

#include "common/clock.h"
#include "common/mem.h"
#include "nodemgr/lease_page.h"
#include "nodemgr/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define PROGRAM "jogak-watchdog"
#define COME_UP_MS 1000
#define LOOK_MS 10

/* Beside our own program; the caller frees. */
static char *program_path(struct err *err) {
    char own[4096];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0) {
        err_set_errno(err, ERR_UNAVAILABLE, errno, "find our own program");
        return NULL;
    }
    own[length] = '\0';
    *strrchr(own, '/') = '\0';
    char *path = xasprintf("%s/" PROGRAM, own);
    if (access(path, X_OK) == 0) return path;
    err_set_errno(err, ERR_UNAVAILABLE, errno, "find %s", path);
    err_remedy(err, "Install it: without it guests run on when this node is cut off and its agent hangs.");
    free(path);
    return NULL;
}

/* In the child of a process with threads: nothing here allocates. Its child is the watchdog; our parent waits
 * for us alone. */
static void become(const char *program, char *const argv[]) {
    struct sigaction normal = { .sa_handler = SIG_DFL };
    sigset_t none;
    sigemptyset(&none);
    setsid();
    if (fork() != 0) _exit(0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sigaction(SIGPIPE, &normal, NULL);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1); /* standard error is the log's */
    close_range(3, ~0U, 0);
    execv(program, argv);
    _exit(127);
}

/* A fresh heartbeat of another process than before. */
static int wait_until_up(const char *page_path, int32_t before, struct err *err) {
    struct lease_page *page = lease_page_open(page_path, NULL, err);
    if (!page) return -1;
    bool up = false;
    int64_t deadline = clock_monotonic_ms() + COME_UP_MS;
    while (!up && clock_monotonic_ms() < deadline) {
        up = atomic_load(&page->watchdog) != before && lease_page_watched(page, clock_boottime_ms());
        if (!up) clock_sleep_ms(LOOK_MS);
    }
    lease_page_close(page);
    return up ? 0 : err_set(err, ERR_UNAVAILABLE, PROGRAM " was started and did not come up");
}

static int32_t present(const char *page_path) {
    struct err none = ERR_INIT;
    struct lease_page *page = lease_page_open(page_path, NULL, &none);
    int32_t pid = page ? atomic_load(&page->watchdog) : 0;
    lease_page_close(page);
    return pid;
}

int watchdog_start(const char *page_path, const char *unfenced_directory, struct err *err) {
    char *program AUTO_FREE = program_path(err);
    if (!program) return -1;
    char *const argv[] = { (char *)(uintptr_t)PROGRAM, (char *)(uintptr_t)page_path,
                           (char *)(uintptr_t)PIN_DIRECTORY, (char *)(uintptr_t)unfenced_directory, NULL };
    int32_t before = present(page_path);
    pid_t pid = fork();
    if (pid == 0) become(program, argv);
    if (pid < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "start " PROGRAM);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return wait_until_up(page_path, before, err);
}
