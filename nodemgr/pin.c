#include "nodemgr/pin.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

struct pin {
    pid_t pid;
    int fd;
    bool holds; /* it was stopped by this pin, and is listed */
    struct pin *next;
};

/* Those that hold a process stopped, so that nobody of this agent lets it go on by another way. */
static pthread_mutex_t holding_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pin *holding;

static void list(struct pin *p) {
    if (p->holds) return;
    p->holds = true;
    p->next = holding;
    holding = p;
}

static void unlist(struct pin *p) {
    struct pin **at = &holding;
    while (*at && *at != p) at = &(*at)->next;
    if (*at) *at = p->next;
    p->holds = false;
}

static bool is_held(pid_t pid) {
    for (const struct pin *p = holding; p; p = p->next)
        if (p->pid == pid) return true;
    return false;
}

static ssize_t read_file(const char *path, char *buf, size_t size) {
    int fd AUTO_FD = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = fd < 0 ? -1 : 0;
    while (fd >= 0 && used + 1 < size && (n = read(fd, buf + used, size - 1 - used)) > 0)
        used += (size_t)n;
    buf[used] = '\0';
    return n < 0 ? -1 : (ssize_t)used;
}

static pid_t read_pid(const char *directory, const char *domain) {
    char *path AUTO_FREE = xasprintf("%s/%s.pid", directory, domain), text[32];
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
    return pin_open_in(PIN_DIRECTORY, domain, err);
}

struct pin *pin_open_in(const char *directory, const char *domain, struct err *err) {
    pid_t pid = read_pid(directory, domain);
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
    {
        WITH_LOCK(&holding_lock);
        unlist(p);
    }
    close(p->fd);
    free(p);
}

pid_t pin_pid(const struct pin *p) { return p->pid; }

static int send_signal(struct pin *p, int number, struct err *err) {
    if (syscall(SYS_pidfd_send_signal, p->fd, number, NULL, 0) == 0 || errno == ESRCH) return 0;
    return err_set_errno(err, ERR_UNAVAILABLE, errno, "send signal %d to QEMU %d", number,
                         (int)p->pid);
}

int pin_stop(struct pin *p, struct err *err) {
    WITH_LOCK(&holding_lock);
    list(p);
    return send_signal(p, SIGSTOP, err);
}

int pin_continue(struct pin *p, struct err *err) {
    WITH_LOCK(&holding_lock);
    unlist(p);
    return send_signal(p, SIGCONT, err);
}

int pin_thaw(const char *directory, const char *domain, struct err *err) {
    struct err gone = ERR_INIT;
    struct pin *p = pin_open_in(directory, domain, &gone);
    if (!p) return 0;
    int failed = 0;
    {
        WITH_LOCK(&holding_lock);
        if (!is_held(p->pid)) failed = send_signal(p, SIGCONT, err);
    }
    pin_close(p);
    return failed;
}

bool pin_gone(struct pin *p, int ms) {
    struct pollfd wait = { .fd = p->fd, .events = POLLIN };
    return poll(&wait, 1, ms) > 0;
}

bool pin_is_stopped(struct pin *p) {
    char *path AUTO_FREE = xasprintf("/proc/%d/status", (int)p->pid), text[4096];
    return read_file(path, text, sizeof text) > 0 && strstr(text, "\nState:\tT") != NULL;
}

bool pin_ending(struct pin *p) {
    char *path AUTO_FREE = xasprintf("/proc/%d/status", (int)p->pid), text[4096];
    if (read_file(path, text, sizeof text) <= 0) return false;
    const char *line = strstr(text, "\nShdPnd:\t");
    uint64_t pending = line ? strtoull(line + 9, NULL, 16) : 0;
    return (pending >> (SIGTERM - 1) & 1) || (pending >> (SIGKILL - 1) & 1);
}

int pin_kill(struct pin *p, struct err *err) { return send_signal(p, SIGKILL, err); }
