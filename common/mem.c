#include "mem.h"

#include <stdint.h>
#include <stdio.h>

static void *checked(void *p) {
    if (!p) {
        static const char text[] = "out of memory\n";
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        abort();
    }
    return p;
}

void *xmalloc(size_t size_bytes) { return checked(malloc(size_bytes ? size_bytes : 1)); }

void *xcalloc(size_t count, size_t size_bytes) {
    return checked(calloc(count ? count : 1, size_bytes ? size_bytes : 1));
}

void *xrealloc_array(void *p, size_t count, size_t size_bytes) {
    return checked(reallocarray(p, count ? count : 1, size_bytes ? size_bytes : 1));
}

char *xstrdup(const char *s) { return s ? checked(strdup(s)) : NULL; }
char *xstrndup(const char *s, size_t n) { return checked(strndup(s, n)); }

char *xvasprintf(const char *fmt, va_list ap) {
    char *s = NULL;
    if (vasprintf(&s, fmt, ap) < 0) s = NULL;
    return checked(s);
}

char *xasprintf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    return s;
}

static void reserve(struct buf *b, size_t more) {
    if (more > SIZE_MAX / 2 - b->length - 1) checked(NULL);
    size_t need = b->length + more + 1;
    if (need <= b->capacity) return;
    size_t capacity = b->capacity ? b->capacity : 128;
    while (capacity < need) capacity *= 2;
    b->data = xrealloc_array(b->data, capacity, 1);
    b->capacity = capacity;
}

void buf_add(struct buf *b, const void *data, size_t length) {
    reserve(b, length);
    if (length) memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
}

void buf_puts(struct buf *b, const char *s) { buf_add(b, s, strlen(s)); }

void buf_printf(struct buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s AUTO_FREE = xvasprintf(fmt, ap);
    va_end(ap);
    buf_puts(b, s);
}

char *buf_steal(struct buf *b) {
    reserve(b, 0);
    b->data[b->length] = '\0';
    char *s = b->data;
    *b = (struct buf)BUF_INIT;
    return s;
}

void buf_done(struct buf *b) {
    free(b->data);
    *b = (struct buf)BUF_INIT;
}
