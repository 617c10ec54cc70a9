#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned status;
    const char *title;
} rows[ERR_MAX_] = {
    [ERR_NONE] = { "none", 200, "OK" },
    [ERR_INVALID] = { "invalid", 400, "The request is not valid" },
    [ERR_UNAUTHENTICATED] = { "unauthenticated", 401, "Who you are could not be established" },
    [ERR_FORBIDDEN] = { "forbidden", 403, "Not allowed for your role" },
    [ERR_NOT_FOUND] = { "not_found", 404, "Not found" },
    [ERR_METHOD] = { "method_not_allowed", 405, "Method not allowed" },
    [ERR_CONFLICT] = { "conflict", 409, "Conflict with the present state" },
    [ERR_GONE] = { "gone", 410, "Expired or deleted" },
    [ERR_PRECONDITION] = { "precondition_failed", 412, "It was changed meanwhile" },
    [ERR_TOO_LARGE] = { "too_large", 413, "Too large" },
    [ERR_UNSUPPORTED] = { "unsupported", 415, "Not supported" },
    [ERR_UNPROCESSABLE] = { "unprocessable", 422, "Understood, but not possible" },
    [ERR_BUSY] = { "busy", 429, "Busy, try again" },
    [ERR_INTERNAL] = { "internal", 500, "Internal error" },
    [ERR_UNAVAILABLE] = { "unavailable", 503, "A needed part is not available" },
    [ERR_TIMEOUT] = { "timeout", 504, "No answer in time" },
    [ERR_NO_SPACE] = { "no_space", 507, "Out of capacity" },
    [ERR_STALE_EPOCH] = { "stale_epoch", 409, "Message of an older epoch" },
    [ERR_CANCELLED] = { "cancelled", 409, "Cancelled" },
    [ERR_INTEGRITY] = { "integrity", 422, "Digest or signature does not match" },
};

static enum err_code known(enum err_code code) {
    return (unsigned)code < ERR_MAX_ ? code : ERR_INTERNAL;
}

const char *err_name(enum err_code code) { return rows[known(code)].name; }
unsigned err_http_status(enum err_code code) { return rows[known(code)].status; }
const char *err_title(enum err_code code) { return rows[known(code)].title; }

enum err_code err_from_name(const char *name) {
    for (unsigned i = 0; name && i < ERR_MAX_; i++)
        if (strcmp(rows[i].name, name) == 0) return (enum err_code)i;
    return ERR_INTERNAL;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...) {
    if (!err) return -1;
    char msg[sizeof err->msg]; /* an argument may point into err->msg */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    memcpy(err->msg, msg, sizeof msg);
    err->code = known(code);
    err->remedy[0] = '\0';
    return -1;
}

int err_set_errno(struct err *err, enum err_code code, int errnum, const char *fmt, ...) {
    if (!err) return -1;
    char msg[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof msg ? (size_t)n : sizeof msg - 1;
    char reason[128];
    snprintf(msg + at, sizeof msg - at, ": %s", strerror_r(errnum, reason, sizeof reason));
    if (errnum == ENOSPC || errnum == EDQUOT) code = ERR_NO_SPACE;
    if (errnum == ENOENT) code = ERR_NOT_FOUND;
    return err_set(err, code, "%s", msg);
}

int err_wrap(struct err *err, const char *fmt, ...) {
    if (!err) return -1;
    char context[512], whole[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    size_t n = strlen(context), rest = strlen(err->msg);
    memcpy(whole, context, n);
    memcpy(whole + n, ": ", 2);
    if (rest > sizeof whole - n - 3) rest = sizeof whole - n - 3;
    memcpy(whole + n + 2, err->msg, rest);
    whole[n + 2 + rest] = '\0';
    memcpy(err->msg, whole, n + 3 + rest);
    return -1;
}

int err_remedy(struct err *err, const char *fmt, ...) {
    if (!err) return -1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->remedy, sizeof err->remedy, fmt, ap);
    va_end(ap);
    return -1;
}

void err_clear(struct err *err) {
    if (!err) return;
    err->code = ERR_NONE;
    err->msg[0] = err->remedy[0] = '\0';
}
