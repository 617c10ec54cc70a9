#include "nodemgr/pin.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#define PIDFILES "/run/libvirt/qemu"

struct pin {
    pid_t pid;
    int fd;
};

static ssize_t read_file(const char *path, char *buf, size_t size) {
    int fd AUTO_FD = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = fd < 0 ? -1 : 0;
    while (fd >= 0 && used + 1 < size && (n = read(fd, buf + used, size - 1 - used)) > 0)
        used += (size_t)n;
    buf[used] = '\0';
    return n < 0 ? -1 : (ssize_t)used;
}

static pid_t read_pid(const char *domain) {
    char *path AUTO_FREE = xasprintf(PIDFILES "/%s.pid", domain), text[32];
    if (read_file(path, text, sizeof text) <= 0) return 0;
    long pid = strtol(text, NULL, 10);
    return pid > 1 && pid < 1 << 30 ? (pid_t)pid : 0;
}

/* libvirt starts QEMU with "-name guest=<domain>,..."; words are separated by NUL. */
static bool is_qemu_of(pid_t pid, const char *domain) {
    char *path AUTO_FREE = xasprintf("/proc/%d/cmdline", (int)pid);
    char *word AUTO_FREE = xasprintf("guest=%s", domain);
    char text[4096];
    ssize_t length = read_file(path, text, sizeof text);
    for (ssize_t i = 0; i < length; i += (ssize_t)strlen(text + i) + 1) {
        size_t n = strlen(word);
        if (strncmp(text + i, word, n) != 0) continue;
        if (text[i + (ssize_t)n] == ',' || text[i + (ssize_t)n] == '\0') return true;
    }
    return false;
}

struct pin *pin_open(const char *domain, struct err *err) {
    pid_t pid = read_pid(domain);
    int fd AUTO_FD = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    /* The command line is read after the pidfd is open: from then on the number stays its own. */
    if (fd < 0 || !is_qemu_of(pid, domain)) {
        err_set(err, ERR_NOT_FOUND, "no QEMU runs for the domain %s", domain);
        return NULL;
    }
    struct pin *p = xcalloc(1, sizeof *p);
    p->pid = pid;
    p->fd = STEAL_FD(fd);
    return p;
}

void pin_close(struct pin *p) {
    if (!p) return;
    close(p->fd);
    free(p);
}

pid_t pin_pid(const struct pin *p) { return p->pid; }

static int send_signal(struct pin *p, int number, struct err *err) {
    if (syscall(SYS_pidfd_send_signal, p->fd, number, NULL, 0) == 0 || errno == ESRCH) return 0;
    return err_set_errno(err, ERR_UNAVAILABLE, errno, "send signal %d to QEMU %d", number,
                         (int)p->pid);
}

int pin_stop(struct pin *p, struct err *err) { return send_signal(p, SIGSTOP, err); }
int pin_continue(struct pin *p, struct err *err) { return send_signal(p, SIGCONT, err); }

bool pin_gone(struct pin *p, int ms) {
    struct pollfd wait = { .fd = p->fd, .events = POLLIN };
    return poll(&wait, 1, ms) > 0;
}

bool pin_ending(struct pin *p) {
    char *path AUTO_FREE = xasprintf("/proc/%d/status", (int)p->pid), text[4096];
    if (read_file(path, text, sizeof text) <= 0) return false;
    const char *line = strstr(text, "\nShdPnd:\t");
    uint64_t pending = line ? strtoull(line + 9, NULL, 16) : 0;
    return (pending >> (SIGTERM - 1) & 1) || (pending >> (SIGKILL - 1) & 1);
}

int pin_kill(struct pin *p, struct err *err) { return send_signal(p, SIGKILL, err); }
