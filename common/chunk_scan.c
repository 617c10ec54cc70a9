/*
 * A file as a row of chunks. A window of the file is kept in memory, always far enough ahead to see
 * whether a run of zeros begins before the longest possible chunk would end. One thread per scan.
 */
#include "chunk.h"
#include "mem.h"

#include <errno.h>
#include <unistd.h>

#define ZERO_PAGES (CHUNK_MIN_BYTES / CHUNK_PAGE_BYTES)
/* A chunk, the run of zeros that may begin right at its end, and the page it may begin in. */
#define AHEAD_BYTES (CHUNK_MAX_BYTES + CHUNK_MIN_BYTES + CHUNK_PAGE_BYTES)
#define WINDOW_BYTES (4u << 20)

struct chunk_scan {
    int fd;
    int64_t size;
    int64_t at;           /* where the next chunk begins */
    int64_t window_at;    /* file offset of window[0] */
    size_t window_length; /* bytes of it that are filled */
    uint8_t *window;
};

struct chunk_scan *chunk_scan_new(int fd, int64_t size_bytes) {
    struct chunk_scan *s = xcalloc(1, sizeof *s);
    s->fd = fd;
    s->size = size_bytes;
    s->window = xmalloc(WINDOW_BYTES);
    return s;
}

struct chunk_scan *chunk_scan_from(int fd, int64_t from, int64_t size_bytes) {
    struct chunk_scan *s = chunk_scan_new(fd, size_bytes);
    s->at = s->window_at = from;
    return s;
}

void chunk_scan_free(struct chunk_scan *s) {
    if (!s) return;
    free(s->window);
    free(s);
}

static int read_exactly(int fd, uint8_t *to, size_t length, int64_t offset, struct err *err) {
    while (length > 0) {
        ssize_t n = pread(fd, to, length, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read the image");
        if (n == 0) {
            err_set(err, ERR_CONFLICT, "the image became shorter while it was read");
            return err_remedy(err, "make sure that nothing writes to the file, and try again");
        }
        to += n;
        offset += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Have at least min(want, rest of the file) bytes from s->at on in the window. */
static int look_ahead(struct chunk_scan *s, size_t want, struct err *err) {
    if ((int64_t)want > s->size - s->at) want = (size_t)(s->size - s->at);
    int64_t skip = s->at - s->window_at;
    if (skip > (int64_t)s->window_length) skip = (int64_t)s->window_length;
    size_t kept = s->window_length - (size_t)skip;
    if (kept >= want) return 0;
    memmove(s->window, s->window + skip, kept);
    s->window_at = s->at;
    s->window_length = kept;
    size_t fill = WINDOW_BYTES - kept;
    if ((int64_t)fill > s->size - s->at - (int64_t)kept)
        fill = (size_t)(s->size - s->at - (int64_t)kept);
    if (read_exactly(s->fd, s->window + kept, fill, s->at + (int64_t)kept, err)) return -1;
    s->window_length += fill;
    return 0;
}

static const uint8_t *here(const struct chunk_scan *s) {
    return s->window + (s->at - s->window_at);
}

/* How many bytes from s->at (with `length` in the window) lie before the next run of zeros that is
 * long enough; length when there is none. */
static size_t data_before_zeros(const struct chunk_scan *s, size_t length) {
    size_t misaligned = (size_t)(s->at % CHUNK_PAGE_BYTES);
    size_t page = misaligned ? CHUNK_PAGE_BYTES - misaligned : 0;
    size_t run = 0;
    for (; page + CHUNK_PAGE_BYTES <= length; page += CHUNK_PAGE_BYTES) {
        run = chunk_is_zero(here(s) + page, CHUNK_PAGE_BYTES) ? run + 1 : 0;
        if (run == ZERO_PAGES) return page + CHUNK_PAGE_BYTES - CHUNK_MIN_BYTES;
    }
    return length;
}

/* Move s->at to the end of a hole it stands in; a file system that cannot tell changes nothing. */
static void skip_hole(struct chunk_scan *s) {
    off_t data = lseek(s->fd, s->at, SEEK_DATA);
    if (data < 0) data = errno == ENXIO ? s->size : s->at; /* ENXIO: nothing but a hole follows */
    if (data > s->size) data = s->size;
    if (data < s->size) data -= data % CHUNK_PAGE_BYTES;
    if (data > s->at) s->at = data;
}

/* Move s->at behind the zeros it stands before. */
static int skip_zeros(struct chunk_scan *s, struct err *err) {
    while (s->at < s->size) {
        skip_hole(s);
        if (s->at == s->size) break;
        if (look_ahead(s, CHUNK_PAGE_BYTES, err)) return -1;
        size_t left = s->window_length - (size_t)(s->at - s->window_at);
        while (left > 0) {
            size_t page = left < CHUNK_PAGE_BYTES ? left : CHUNK_PAGE_BYTES;
            bool whole = page == CHUNK_PAGE_BYTES || s->at + (int64_t)page == s->size;
            if (!whole) break; /* read on */
            if (!chunk_is_zero(here(s), page)) return 0;
            s->at += (int64_t)page;
            left -= page;
        }
    }
    return 0;
}

/* Does a hole of at least the minimum begin here? Found without reading it. */
static bool at_hole(struct chunk_scan *s) {
    if (s->at % CHUNK_PAGE_BYTES) return false;
    int64_t from = s->at;
    skip_hole(s);
    bool hole = s->at - from >= CHUNK_MIN_BYTES;
    s->at = from;
    return hole;
}

static int next_zero(struct chunk_scan *s, struct chunk_span *ret, struct err *err) {
    int64_t from = s->at;
    if (skip_zeros(s, err)) return -1;
    *ret = (struct chunk_span){ .offset = from, .size = s->at - from, .zero = true };
    return 1;
}

int chunk_scan_next(struct chunk_scan *s, struct chunk_span *ret, struct err *err) {
    if (s->at >= s->size) return 0;
    if (at_hole(s)) return next_zero(s, ret, err);
    if (look_ahead(s, AHEAD_BYTES, err)) return -1;
    size_t length = s->window_length - (size_t)(s->at - s->window_at);
    if (length > AHEAD_BYTES) length = AHEAD_BYTES;
    size_t data = data_before_zeros(s, length);
    if (data == 0) return next_zero(s, ret, err);
    size_t cut = chunk_cut(here(s), data);
    *ret = (struct chunk_span){ .offset = s->at, .size = (int64_t)cut, .data = here(s) };
    s->at += (int64_t)cut;
    return 1;
}
