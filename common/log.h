/*
 * Logs: logfmt lines on standard error (the journal reads them), one module name per file.
 *
 *   LOG_MODULE("nm.link");
 *   log_info("port added", "sliver=%s port=%s", id, name);
 * prints
 *   ts=2026-11-22T10:00:00.123Z level=info module=nm.link req=4f2a msg="port added" sliver=.. port=..
 *
 * error: an operator must act. warn: unexpected, but continuing. info: a state change.
 * The request id is per thread and crosses services (header Jogak-Request-Id). Secrets never get
 * here: callers log names and ids, not bodies.
 */
#ifndef JOGAK_LOG_H
#define JOGAK_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_module {
    const char *name;
    int level; /* -1: the default level */
    struct log_module *next;
};

void log_register(struct log_module *m);
/* Levels by text: "info" or "info,nm.link=debug". 0, or -1 when the text is not understood
 * (nothing is changed then). May be called at any time from any thread. */
int log_set_levels(const char *spec);
/* The request id of this thread (at most 63 characters are kept); "" for none. */
void log_set_request_id(const char *id);
const char *log_request_id(void);
void log_write(struct log_module *m, enum log_level level, const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define LOG_MODULE(name_) \
    static struct log_module log_this_module = { name_, -1, 0 }; \
    __attribute__((constructor)) static void log_register_this(void) { \
        log_register(&log_this_module); \
    } \
    struct log_module_needs_semicolon

#define log_error(msg, ...) log_write(&log_this_module, LOG_LEVEL_ERROR, msg, __VA_ARGS__)
#define log_warn(msg, ...) log_write(&log_this_module, LOG_LEVEL_WARN, msg, __VA_ARGS__)
#define log_info(msg, ...) log_write(&log_this_module, LOG_LEVEL_INFO, msg, __VA_ARGS__)
#define log_debug(msg, ...) log_write(&log_this_module, LOG_LEVEL_DEBUG, msg, __VA_ARGS__)

#endif
