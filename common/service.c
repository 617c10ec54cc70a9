#include "service.h"

#include "log.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

LOG_MODULE("service");

enum { EXIT_USAGE = 2, EXIT_CONFIG = 78 /* sysexits.h's EX_CONFIG */ };

/* One service per process. */
static char *config_path;
static int lock_fd = -1;
static bool shared;

/* --- options --- */

static void print_usage(FILE *out, const struct service *s) {
    fprintf(out,
            "usage: jogak-%s [--config FILE] [--check-config] [--version] [--help]\n"
            "  --config FILE   read this file (default /etc/jogak/%s.conf, when it is there)\n"
            "  --check-config  check it, print what would be used, and exit\n"
            "Sections and keys:\n",
            s->name, s->name);
    for (size_t i = 0; i < s->row_count; i++) {
        const struct config_row *row = &s->rows[i];
        fprintf(out, "  [%s] %s: %s\n", row->section, row->key, row->help ? row->help : "");
    }
}

struct options {
    const char *config_path; /* NULL: the default one */
    bool check_only;
};

/* -1 to go on, else the exit status. */
static int read_options(const struct service *s, int argc, char **argv, struct options *ret) {
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, 'k' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    optind = 0; /* the caller's argv from its beginning, also for a second time */
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'c':
            ret->config_path = optarg;
            break;
        case 'k':
            ret->check_only = true;
            break;
        case 'v':
            printf("jogak-%s %s\n", s->name, JOGAK_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            print_usage(stdout, s);
            return EXIT_SUCCESS;
        default:
            print_usage(stderr, s);
            return EXIT_USAGE;
        }
    }
    if (optind == argc) return -1;
    fprintf(stderr, "jogak-%s: unexpected argument \"%s\"\n", s->name, argv[optind]);
    return EXIT_USAGE;
}

/* --- configuration --- */

static int load_config(struct service *s, const struct options *o, struct err *err) {
    if (o->config_path && access(o->config_path, R_OK))
        return err_set_errno(err, ERR_NOT_FOUND, errno, "read %s", o->config_path);
    free(config_path);
    config_path =
        o->config_path ? xstrdup(o->config_path) : xasprintf("/etc/jogak/%s.conf", s->name);
    if (config_load(config_path, s->rows, s->row_count, s->config, err)) return -1;
    const struct service_config *base = s->config;
    if (log_set_levels(base->log_levels) == 0) return 0;
    err_set(err, ERR_INVALID, "%s: log_levels \"%s\" is not understood", config_path,
            base->log_levels);
    config_free(s->rows, s->row_count, s->config);
    return err_remedy(err,
                      "write a level (error, warn, info, debug), then module=level, by commas");
}

/* SIGHUP: the new log levels, or, when the file is not right, the old ones. */
static void reload(const struct service *s) {
    size_t size = 0;
    for (size_t i = 0; i < s->row_count; i++)
        if (s->rows[i].offset + sizeof(int64_t) > size) size = s->rows[i].offset + sizeof(int64_t);
    void *fresh AUTO_FREE =
        xcalloc(1, size > sizeof(struct service_config) ? size : sizeof(struct service_config));
    struct err err = ERR_INIT;
    if (config_load(config_path, s->rows, s->row_count, fresh, &err)) {
        log_warn("configuration not reloaded", "reason=\"%s\"", err.msg);
        return;
    }
    const struct service_config *base = fresh;
    if (log_set_levels(base->log_levels))
        log_warn("log levels not understood", "levels=\"%s\"", base->log_levels);
    else
        log_info("log levels loaded", "levels=%s", base->log_levels);
    config_free(s->rows, s->row_count, fresh);
}

/* --- the process --- */

/* Keys and tokens are in our memory: no core files, and no other process looks in. */
static void forbid_dumps(void) {
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak checker attaches to the process */
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

static void our_signals(sigset_t *ret) {
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
}

/* Blocked here, before any thread starts, so that only service_wait() gets them. */
static void set_up_signals(void) {
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    sigaction(SIGPIPE, &ignore, NULL);
    sigset_t set;
    our_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Nobody else reads or writes there; that others may pass through (the agent's images, which QEMU's
 * user opens) is left as it was set up. */
static int close_dir(const char *path, struct err *err) {
    struct stat st;
    if (stat(path, &st)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", path);
    if ((st.st_mode & 066) && chmod(path, st.st_mode & 0711))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "chmod %s", path);
    return 0;
}

/* The lock lasts as long as the process: two of them would break each other's state. */
static int take_state_dir(struct service *s, struct err *err) {
    const struct service_config *base = s->config;
    if (dir_make(base->state_dir, 0700, err)) return -1;
    if (close_dir(base->state_dir, err)) return -1;
    if (shared) return 0;
    char *path AUTO_FREE = xasprintf("%s/lock", base->state_dir);
    int fd AUTO_FD = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        err_set(err, ERR_CONFLICT, "another process uses %s", base->state_dir);
        return err_remedy(err, "stop the other jogak-%s, or give this one a state_dir of its own",
                          s->name);
    }
    lock_fd = STEAL_FD(fd);
    return 0;
}

static int complain(const struct service *s, const struct err *err, int status) {
    fprintf(stderr, "jogak-%s: %s\n", s->name, err->msg);
    if (err->remedy[0]) fprintf(stderr, "jogak-%s: %s\n", s->name, err->remedy);
    return status;
}

void service_share_state(void) { shared = true; }

int service_begin(struct service *s, int argc, char **argv) {
    struct options options = { .config_path = NULL };
    struct err err = ERR_INIT;
    int status = read_options(s, argc, argv, &options);
    if (status >= 0) return status;
    umask(077);
    if (load_config(s, &options, &err)) return complain(s, &err, EXIT_CONFIG);
    if (options.check_only) {
        config_print(stdout, s->rows, s->row_count, s->config);
        return EXIT_SUCCESS;
    }
    mallopt(M_ARENA_MAX, 2); /* many threads that do little: arenas of their own only cost memory */
    forbid_dumps();
    set_up_signals();
    if (take_state_dir(s, &err)) return complain(s, &err, EXIT_FAILURE);
    return -1;
}

/* Segments that nobody can have written: what is dropped comes back from the file when needed. */
static int drop_code(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size, (void)unused;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &object->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W)) continue;
        uintptr_t from = (object->dlpi_addr + p->p_vaddr) & ~(page - 1);
        uintptr_t to = object->dlpi_addr + p->p_vaddr + p->p_filesz;
        madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

/* Starting has read documents, made keys and opened libraries: memory and code that an idle service
 * does not need. */
static void settle(void) {
    malloc_trim(0);
    dl_iterate_phdr(drop_code, NULL);
}

void service_wait(struct service *s) {
    sigset_t set;
    settle();
    our_signals(&set);
    log_debug("ready", "service=%s version=%s", s->name, JOGAK_VERSION);
    sd_notify(0, "READY=1");
    for (;;) {
        int got = 0;
        if (sigwait(&set, &got) || got != SIGHUP) {
            log_info("stopping", "service=%s signal=%d", s->name, got);
            break;
        }
        sd_notify(0, "RELOADING=1");
        reload(s);
        sd_notify(0, "READY=1");
    }
    sd_notify(0, "STOPPING=1");
}

void service_end(struct service *s) {
    if (lock_fd >= 0) close(lock_fd);
    lock_fd = -1;
    config_free(s->rows, s->row_count, s->config);
    free(config_path);
    config_path = NULL;
}
