/*
 * Ownership in one place: cleanup attributes, STEAL, and allocators that cannot return NULL.
 *
 * Three words are used in every docblock: a function *borrows* what it only reads during the call,
 * *takes* what it will free, and *returns* what the caller must free.
 * Sizes that came from outside are bounded by their reader before anything here is called; an
 * allocation that still fails means the host is out of memory, and the process ends (its
 * supervisor starts it again, and the journal makes that safe).
 */
#ifndef JOGAK_MEM_H
#define JOGAK_MEM_H

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

static inline void mem_cleanup_free(void *p) { free(*(void **)p); }
static inline void mem_cleanup_fd(int *fd) {
    if (*fd >= 0) close(*fd);
}
static inline void mem_cleanup_unlock(pthread_mutex_t **m) {
    if (*m) pthread_mutex_unlock(*m);
}
static inline pthread_mutex_t *mem_lock(pthread_mutex_t *m) {
    pthread_mutex_lock(m);
    return m;
}

#define AUTO_FREE CLEANUP(mem_cleanup_free)
#define AUTO_FD CLEANUP(mem_cleanup_fd)
/* Hold a mutex until the end of the block: `WITH_LOCK(&s->lock);` */
#define MEM_CAT2(a, b) a##b
#define MEM_CAT(a, b) MEM_CAT2(a, b)
#define WITH_LOCK(m) \
    pthread_mutex_t *MEM_CAT(lock_, __LINE__) CLEANUP(mem_cleanup_unlock) \
        __attribute__((unused)) = mem_lock(m)

/* Hand over a pointer: its cleanup variable becomes NULL. */
#define STEAL(p) \
    ({ \
        __typeof__(p) steal_ = (p); \
        (p) = NULL; \
        steal_; \
    })
#define STEAL_FD(fd) \
    ({ \
        int steal_ = (fd); \
        (fd) = -1; \
        steal_; \
    })
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* As malloc, calloc, realloc (of an array), strdup, strndup, asprintf; never NULL. Caller frees. */
void *xmalloc(size_t size_bytes);
void *xcalloc(size_t count, size_t size_bytes);
void *xrealloc_array(void *p, size_t count, size_t size_bytes);
char *xstrdup(const char *s); /* NULL in, NULL out */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* A growing string of bytes. Zero-initialise (`struct buf b = BUF_INIT;`), buf_done() at the end. */
struct buf {
    char *data; /* always NUL-terminated when not NULL */
    size_t length;
    size_t capacity;
};
#define BUF_INIT { NULL, 0, 0 }
void buf_add(struct buf *b, const void *data, size_t length);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *buf_steal(struct buf *b); /* returns the string ("" when empty) and empties the buffer */
void buf_done(struct buf *b);
#define AUTO_BUF CLEANUP(buf_done)

#endif
