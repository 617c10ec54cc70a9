#include "nodemgr/spawn.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>

extern char **environ;

struct child {
    pid_t pid;
    int output; /* read end of what it writes */
};

static int start(const char *const *argv, struct child *ret, struct err *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "make a pipe");
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    posix_spawn_file_actions_adddup2(&files, ends[1], 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none; /* our threads block signals; the program must not inherit that */
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    sigset_t ignored_here;
    sigemptyset(&ignored_here);
    sigaddset(&ignored_here, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &ignored_here);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int cause = posix_spawnp(&ret->pid, argv[0], &files, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    ret->output = ends[0];
    if (cause == 0) return 0;
    close(ends[0]);
    return err_set_errno(err, ERR_UNAVAILABLE, cause, "start %s", argv[0]);
}

/* Collects the output until the program closes it or the time is over. */
static bool listen_to(const struct child *c, int64_t deadline_ms, char *text, size_t size) {
    size_t used = 0;
    char rest[256];
    for (;;) {
        int64_t left = deadline_ms - clock_monotonic_ms();
        struct pollfd p = { .fd = c->output, .events = POLLIN };
        if (left <= 0 || poll(&p, 1, (int)left) == 0) return false;
        bool full = used + 1 >= size;
        ssize_t n = read(c->output, full ? rest : text + used, full ? sizeof rest : size - 1 - used);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        if (!full) used += (size_t)n;
        text[used] = '\0';
    }
}

static int status_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int report(const char *program, struct spawn_result *result, struct err *err) {
    if (result->status == 0) return 0;
    bool full = strstr(result->output, strerror(ENOSPC)) != NULL;
    result->output[strcspn(result->output, "\n")] = '\0';
    return err_set(err, full ? ERR_NO_SPACE : ERR_UNAVAILABLE, "%s failed (status %d): %s", program,
                   result->status, result->output);
}

int spawn_run(const char *const *argv, int64_t timeout_ms, struct spawn_result *ret,
              struct err *err) {
    struct child child;
    struct spawn_result result = { .status = 0 };
    if (start(argv, &child, err)) return -1;
    bool ended = listen_to(&child, clock_monotonic_ms() + timeout_ms, result.output,
                           sizeof result.output);
    close(child.output);
    if (!ended) kill(child.pid, SIGKILL);
    int status = 0;
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) continue;
    if (!ended)
        return err_set(err, ERR_TIMEOUT, "%s took longer than %lld ms", argv[0],
                       (long long)timeout_ms);
    result.status = status_of(status);
    if (!ret) return report(argv[0], &result, err);
    *ret = result;
    return 0;
}
