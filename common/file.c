/*
 * Files that are there whole or not at all, also after SIGKILL or a power cut.
 */
#include "service.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int write_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

/* The directory that holds this path; the caller frees. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return xstrdup(".");
    return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int sync_parent(const char *path, struct err *err) {
    char *parent AUTO_FREE = parent_of(path);
    int fd AUTO_FD = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync %s", parent);
    return 0;
}

static int write_temporary(const char *path, const void *data, size_t length, unsigned mode,
                           struct err *err) {
    int fd AUTO_FD = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "create %s", path);
    if (fchmod(fd, mode) || write_all(fd, data, length) || fsync(fd))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "write %s", path);
    return 0;
}

int file_write(const char *path, const void *data, size_t length, unsigned mode, struct err *err) {
    /* One name for all attempts, so that what a killed one left is cleared away by the next. */
    char *temporary AUTO_FREE = xasprintf("%s.new", path);
    unlink(temporary);
    int rc = write_temporary(temporary, data, length, mode, err);
    if (rc == 0 && rename(temporary, path))
        rc = err_set_errno(err, ERR_UNAVAILABLE, errno, "rename %s", temporary);
    if (rc) {
        unlink(temporary);
        return -1;
    }
    return sync_parent(path, err);
}

static int read_up_to(int fd, struct buf *b, size_t max_bytes) {
    char piece[8192];
    while (b->length <= max_bytes) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return (int)n;
        buf_add(b, piece, (size_t)n);
    }
    return 0;
}

char *file_read(const char *path, size_t max_bytes, size_t *ret_length, struct err *err) {
    int fd AUTO_FD = open(path, O_RDONLY | O_CLOEXEC);
    struct buf b AUTO_BUF = BUF_INIT;
    if (fd < 0 || read_up_to(fd, &b, max_bytes) < 0) {
        err_set_errno(err, ERR_UNAVAILABLE, errno, "read %s", path);
        return NULL;
    }
    if (b.length > max_bytes) {
        err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max_bytes);
        return NULL;
    }
    if (ret_length) *ret_length = b.length;
    return buf_steal(&b);
}

static int make_one(const char *path, unsigned mode, struct err *err) {
    if (mkdir(path, mode) == 0 || errno == EEXIST) return 0;
    return err_set_errno(err, ERR_UNAVAILABLE, errno, "make directory %s", path);
}

int dir_make(const char *path, unsigned mode, struct err *err) {
    if (!*path) return err_set(err, ERR_INVALID, "a directory without a name");
    char *part AUTO_FREE = xstrdup(path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (make_one(part, 0755, err)) return -1;
        *slash = '/';
    }
    if (make_one(path, mode, err)) return -1;
    struct stat st;
    if (stat(path, &st)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", path);
    if (!S_ISDIR(st.st_mode)) return err_set(err, ERR_UNAVAILABLE, "%s is not a directory", path);
    return 0;
}
