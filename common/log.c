#include "log.h"

#include "mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct log_module *modules;
static atomic_int default_level = LOG_LEVEL_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local char request_id[64];

static const char *const names[] = { "error", "warn", "info", "debug" };

void log_register(struct log_module *m) {
    WITH_LOCK(&lock);
    m->next = modules;
    modules = m;
}

static int level_by_name(const char *s, size_t n) {
    for (int i = 0; i < (int)COUNT_OF(names); i++)
        if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0) return i;
    return -1;
}

/* One "level" or "module=level"; apply == 0 only checks it. */
static int set_one(const char *s, size_t n, int apply) {
    const char *eq = memchr(s, '=', n);
    const char *level_text = eq ? eq + 1 : s;
    int level = level_by_name(level_text, n - (size_t)(level_text - s));
    if (level < 0) return -1;
    if (!apply) return 0;
    if (!eq) {
        atomic_store(&default_level, level);
        return 0;
    }
    size_t name_length = (size_t)(eq - s);
    for (struct log_module *m = modules; m; m = m->next)
        if (strlen(m->name) == name_length && memcmp(m->name, s, name_length) == 0)
            m->level = level;
    return 0;
}

int log_set_levels(const char *spec) {
    WITH_LOCK(&lock);
    for (int apply = 0; apply < 2; apply++) {
        const char *s = spec;
        do {
            size_t n = strcspn(s, ",");
            if (set_one(s, n, apply)) return -1;
            s += n;
        } while (*s++ == ',');
    }
    return 0;
}

void log_set_request_id(const char *id) {
    snprintf(request_id, sizeof request_id, "%s", id ? id : "");
}

const char *log_request_id(void) { return request_id; }

void log_write(struct log_module *m, enum log_level level, const char *msg, const char *fmt, ...) {
    int limit = m->level >= 0 ? m->level : atomic_load(&default_level);
    if ((int)level > limit) return;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    struct tm tm;
    gmtime_r(&ts.tv_sec, &tm);
    char when[32];
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    struct buf b AUTO_BUF = BUF_INIT;
    buf_printf(&b, "ts=%s.%03ldZ level=%s module=%s", when, ts.tv_nsec / 1000000, names[level],
               m->name);
    if (request_id[0]) buf_printf(&b, " req=%s", request_id);
    buf_printf(&b, " msg=\"%s\"", msg);
    size_t fields = b.length;
    if (fmt && *fmt) {
        buf_puts(&b, " ");
        va_list ap;
        va_start(ap, fmt);
        char *text AUTO_FREE = xvasprintf(fmt, ap);
        va_end(ap);
        buf_puts(&b, text);
    }
    for (size_t i = fields; i < b.length; i++) /* one event, one line */
        if ((unsigned char)b.data[i] < ' ') b.data[i] = ' ';
    buf_puts(&b, "\n");
    (void)!write(STDERR_FILENO, b.data, b.length);
}
