/*
 * Errors: one table of codes, one struct on the caller's stack.
 *
 * A function that can fail returns int (0, or -1 with *err filled) or a pointer (NULL with *err
 * filled) and takes `struct err *err` as its last parameter. The place that notices a fault calls
 * err_set(); the place that knows the context calls err_wrap(); the place that knows what the
 * reader can do calls err_remedy(). The problem+json body of an answer is made from a struct err
 * in one place only (route.c). `err` may be NULL wherever a caller does not care.
 */
#ifndef JOGAK_ERR_H
#define JOGAK_ERR_H

#include <stddef.h>

/* Stored in databases and sent on the wire by name; append only. Rows are in err.c. */
enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,        /* 400 the request is malformed or breaks its schema */
    ERR_UNAUTHENTICATED,/* 401 no usable certificate or token */
    ERR_FORBIDDEN,      /* 403 the caller's role does not allow it */
    ERR_NOT_FOUND,      /* 404 */
    ERR_METHOD,         /* 405 */
    ERR_CONFLICT,       /* 409 the present state forbids it (name taken, busy, wrong state) */
    ERR_GONE,           /* 410 expired, or deleted */
    ERR_PRECONDITION,   /* 412 If-Match did not match */
    ERR_TOO_LARGE,      /* 413 a bounded size was exceeded */
    ERR_UNSUPPORTED,    /* 415 content type or feature */
    ERR_UNPROCESSABLE,  /* 422 well-formed, but does not make sense */
    ERR_BUSY,           /* 429 try again after a while */
    ERR_INTERNAL,       /* 500 our bug */
    ERR_UNAVAILABLE,    /* 503 a part we need (libvirt, Open vSwitch, a peer) is down */
    ERR_TIMEOUT,        /* 504 a remote call's deadline passed; the outcome is unknown */
    ERR_NO_SPACE,       /* 507 disk full, or no capacity on any node */
    ERR_STALE_EPOCH,    /* 409 a message of an older epoch; never accepted */
    ERR_CANCELLED,      /* 409 the operation was cancelled */
    ERR_INTEGRITY,      /* 422 a digest or signature does not match */
    ERR_MAX_
};

struct err {
    enum err_code code;
    char msg[1024];   /* what happened, with its context, one sentence, no trailing newline */
    char remedy[512]; /* what the reader can do next; may be empty */
};

#define ERR_INIT { ERR_NONE, "", "" }

/* Name on the wire ("not_found"), HTTP status and title of a code. Never NULL. */
const char *err_name(enum err_code code);
unsigned err_http_status(enum err_code code);
const char *err_title(enum err_code code);
/* The code with that wire name; ERR_INTERNAL when there is none. */
enum err_code err_from_name(const char *name);

/* Fill *err (when not NULL), clearing an earlier remedy. Always returns -1, so that a caller can
 * write `return err_set(err, ERR_NOT_FOUND, "no node %s", name);`. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* As err_set(), with ": strerror(errnum)" appended; maps ENOSPC/EDQUOT to ERR_NO_SPACE,
 * ENOENT to ERR_NOT_FOUND, everything else to `code`. */
int err_set_errno(struct err *err, enum err_code code, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Put "context: " before the message. Always returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Say what to do next. Always returns -1. */
int err_remedy(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Forget an error that was handled. */
void err_clear(struct err *err);

#endif
