#include "nodemgr/watchdog.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "nodemgr/pin.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

LOG_MODULE("watchdog");

/* "NAME.pid" of one of our domains. */
static bool domain_of(const char *file, char ret[DOMAIN_NAME_BYTES]) {
    size_t length = strlen(file);
    if (length < 5 || length - 4 >= DOMAIN_NAME_BYTES || strcmp(file + length - 4, ".pid") != 0)
        return false;
    snprintf(ret, DOMAIN_NAME_BYTES, "%.*s", (int)(length - 4), file);
    return domain_name_epoch(ret) > 0;
}

static bool is_unfenced(const struct watchdog *w, const char *domain) {
    char *path AUTO_FREE = xasprintf("%s/%s", w->unfenced_directory, domain);
    return access(path, F_OK) == 0;
}

static bool ended(const struct watchdog *w) { return lease_page_ended(w->page, clock_boottime_ms()); }

/* The note comes first: whoever is killed in between leaves a note too many, never one too few. */
static void freeze(struct watchdog *w, const char *domain) {
    struct err err = ERR_INIT; /* it is gone already */
    struct pin *qemu = pin_open_in(w->pid_directory, domain, &err);
    if (qemu && !pin_is_stopped(qemu) && ended(w)) {
        if (!lease_hold_add(w->page, HOLD_FROZEN, domain))
            log_error("the lease page is full; an operator has to let it go on", "domain=%s", domain);
        if (pin_stop(qemu, &err) == 0)
            log_warn("frozen: the node has no lease", "domain=%s pid=%d", domain, (int)pin_pid(qemu));
        else log_error("not frozen", "domain=%s cause=\"%s\"", domain, err.msg);
    }
    pin_close(qemu);
}

/* Every QEMU of ours; returns how many there are. */
static size_t each_qemu(struct watchdog *w, void (*fn)(struct watchdog *w, const char *domain)) {
    DIR *directory = opendir(w->pid_directory);
    size_t count = 0;
    if (!directory) return 0;
    for (struct dirent *e; (e = readdir(directory));) {
        char domain[DOMAIN_NAME_BYTES];
        if (!domain_of(e->d_name, domain)) continue;
        count++;
        if (fn && !is_unfenced(w, domain)) fn(w, domain);
    }
    closedir(directory);
    return count;
}

int64_t watchdog_look(struct watchdog *w) {
    int64_t now = clock_boottime_ms();
    atomic_store(&w->page->watched_ms, now);
    bool strict = lease_page_ended(w->page, now);
    if (strict != w->strict)
        log_info(strict ? "the lease has ended" : "there is a lease", "until_ms=%lld now_ms=%lld",
                 (long long)atomic_load(&w->page->until_ms), (long long)now);
    w->strict = strict;
    if (strict) {
        each_qemu(w, freeze);
        return WATCHDOG_STRICT_MS;
    }
    int64_t left = atomic_load(&w->page->until_ms) - now;
    return left < WATCHDOG_IDLE_MS ? (left > 0 ? left : 1) : WATCHDOG_IDLE_MS;
}

/* Nobody left to serve: the agent was removed and no guest is there. */
static bool is_over(struct watchdog *w) {
    pid_t agent = atomic_load(&w->page->agent);
    int64_t now = clock_boottime_ms();
    bool alone = (agent <= 0 || (kill(agent, 0) < 0 && errno == ESRCH)) && each_qemu(w, NULL) == 0;
    if (!alone) w->alone_since_ms = 0;
    else if (w->alone_since_ms == 0) w->alone_since_ms = now;
    return alone && now - w->alone_since_ms >= WATCHDOG_ALONE_MS;
}

void watchdog_run(struct watchdog *w, const char *page_path, ino_t page_inode) {
    int32_t mine = (int32_t)getpid();
    atomic_store(&w->page->watchdog, mine);
    while (atomic_load(&w->page->watchdog) == mine && lease_page_is(page_path, page_inode)) {
        clock_sleep_ms(watchdog_look(w));
        if (is_over(w)) break;
    }
    log_info("ends", "pid=%d", (int)mine);
}
