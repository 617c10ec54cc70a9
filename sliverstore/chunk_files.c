#include "chunk_files.h"

#include "common/digest.h"
#include "common/log.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

LOG_MODULE("ss.chunk_files");

#define NO_SPACE_REMEDY "delete images that are not needed, collect (POST /v1/collect), or give " \
                        "the store a larger disk"

static char *stripe_dir(const struct store *s, unsigned stripe) {
    return xasprintf("%s/%02x", s->chunk_dir, stripe);
}

static char *chunk_path(const struct store *s, const char *digest) {
    return xasprintf("%s/%.2s/%s", s->chunk_dir, digest, digest);
}

static unsigned stripe_of(const char *digest) {
    uint8_t first = 0;
    hex_parse((char[]){ digest[0], digest[1], '\0' }, &first, 1);
    return first;
}

pthread_mutex_t *chunk_stripe(struct store *s, const char *digest) {
    return &s->stripes[stripe_of(digest)];
}

static int remove_leftovers(const char *path, struct err *err) {
    DIR *dir = opendir(path);
    if (!dir) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", path);
    unsigned count = 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && unlinkat(dirfd(dir), e->d_name, 0) == 0) count++;
    closedir(dir);
    if (count > 0) log_info("temporary files removed", "count=%u", count);
    return 0;
}

static int sync_dir(const char *path, struct err *err) {
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync %s", path);
    return 0;
}

int chunk_files_open(struct store *s, struct err *err) {
    if (dir_make(s->chunk_dir, 0700, err) || dir_make(s->tmp_dir, 0700, err)) return -1;
    for (unsigned i = 0; i < STORE_STRIPES; i++) {
        AUTO_FREE char *path = stripe_dir(s, i);
        if (mkdir(path, 0700) && errno != EEXIST)
            return err_set_errno(err, ERR_UNAVAILABLE, errno, "make %s", path);
    }
    if (sync_dir(s->chunk_dir, err)) return -1;
    return remove_leftovers(s->tmp_dir, err);
}

int chunk_files_room(const struct store *s, size_t bytes, struct err *err) {
    struct statvfs fs;
    if (statvfs(s->chunk_dir, &fs))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "look at %s", s->chunk_dir);
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t reserve = (uint64_t)s->config->reserve_mib << 20;
    if (free_bytes >= reserve && free_bytes - reserve >= bytes) return 0;
    err_set(err, ERR_NO_SPACE, "the store's disk is full: %" PRIu64 " MiB are free, %" PRId64
            " MiB of them reserved", free_bytes >> 20, s->config->reserve_mib);
    return err_remedy(err, NO_SPACE_REMEDY);
}

static int write_all(int fd, const uint8_t *data, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

static int fail(struct err *err, const char *what, const char *digest) {
    err_set_errno(err, ERR_UNAVAILABLE, errno, "%s chunk %.64s", what, digest);
    if (err && err->code == ERR_NO_SPACE) err_remedy(err, NO_SPACE_REMEDY);
    return -1;
}

static int write_tmp(const char *path, const char *digest, const void *data, size_t length,
                     struct err *err) {
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(err, "create", digest);
    if (write_all(fd, data, length) || fsync(fd)) {
        fail(err, "write", digest);
        unlink(path);
        return -1;
    }
    return 0;
}

int chunk_files_write(struct store *s, const char *digest, const void *data, size_t length,
                      struct err *err) {
    AUTO_FREE char *tmp = xasprintf("%s/%s", s->tmp_dir, digest); /* alone there: stripe is held */
    AUTO_FREE char *path = chunk_path(s, digest);
    AUTO_FREE char *dir = stripe_dir(s, stripe_of(digest));
    unlink(tmp);
    if (write_tmp(tmp, digest, data, length, err)) return -1;
    if (rename(tmp, path)) {
        fail(err, "keep", digest);
        unlink(tmp);
        return -1;
    }
    return sync_dir(dir, err);
}

static int missing(const char *digest, struct err *err) {
    return err_set(err, ERR_INTEGRITY, "chunk %.64s is damaged: its file is missing or cut short",
                   digest);
}

static int read_all(int fd, uint8_t *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t n = read(fd, to + done, length - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        done += (size_t)n;
    }
    return 0;
}

void *chunk_files_read(const struct store *s, const char *digest, size_t length, struct err *err) {
    AUTO_FREE char *path = chunk_path(s, digest);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno != ENOENT) {
        fail(err, "open", digest);
        return NULL;
    }
    if (fd < 0 || fstat(fd, &st) || st.st_size != (off_t)length) {
        missing(digest, err);
        return NULL;
    }
    AUTO_FREE uint8_t *data = xmalloc(length);
    if (read_all(fd, data, length)) {
        missing(digest, err);
        return NULL;
    }
    return STEAL(data);
}

bool chunk_files_has(const struct store *s, const char *digest, size_t length) {
    AUTO_FREE char *path = chunk_path(s, digest);
    struct stat st;
    return stat(path, &st) == 0 && st.st_size == (off_t)length;
}

void chunk_files_remove(struct store *s, const char *digest) {
    AUTO_FREE char *path = chunk_path(s, digest);
    if (unlink(path) && errno != ENOENT)
        log_warn("chunk not removed", "digest=%s errno=%d", digest, errno);
}

int chunk_files_each(struct store *s, unsigned stripe, void (*fn)(void *ctx, const char *name),
                     void *ctx, struct err *err) {
    AUTO_FREE char *path = stripe_dir(s, stripe);
    DIR *dir = opendir(path);
    if (!dir) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", path);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') fn(ctx, e->d_name);
    closedir(dir);
    return 0;
}
