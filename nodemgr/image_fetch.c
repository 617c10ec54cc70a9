#include "nodemgr/image_fetch.h"

#include "common/clock.h"
#include "common/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define CHUNK_TIMEOUT_MS 30000
#define MANIFEST_TIMEOUT_MS 30000
#define ATTEMPTS 4

struct fetch {
    const char *store_url;
    struct http_client *client;
    struct manifest manifest;
    int fd;
    int64_t done;
    uint8_t *encoded, *plain; /* CHUNK_MAX_BYTES each */
    size_t encoded_length;
};

int64_t image_file_bytes(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) ? s.st_size : -1;
}

static int fetch_manifest(struct fetch *f, const char *digest, struct err *err) {
    char *url AUTO_FREE = xasprintf("%s/v1/manifests/%s", f->store_url, digest);
    json *body AUTO_JSON = http_json(f->client, "GET", url, NULL, MANIFEST_TIMEOUT_MS, err);
    char found[SHA256_TEXT_BYTES];
    if (!body || manifest_from_json(body, &f->manifest, err)) return -1;
    manifest_digest(&f->manifest, found);
    if (strcmp(found, digest) == 0) return 0;
    return err_set(err, ERR_INTEGRITY, "the store sent the manifest %s for the image %s", found,
                   digest);
}

static int collect(void *ctx, const void *data, size_t length) {
    struct fetch *f = ctx;
    if (length > CHUNK_MAX_BYTES - f->encoded_length) return -1;
    memcpy(f->encoded + f->encoded_length, data, length);
    f->encoded_length += length;
    return 0;
}

static int fetch_chunk(struct fetch *f, const struct manifest_chunk *chunk, const char *digest,
                       struct err *err) {
    char *url AUTO_FREE = xasprintf("%s/v1/chunks/%s", f->store_url, digest);
    struct http_answer answer AUTO_ANSWER = { .status = 0 };
    struct http_call call = {
        .method = "GET",
        .url = url,
        .timeout_ms = CHUNK_TIMEOUT_MS,
        .on_data = collect,
        .on_data_ctx = f,
    };
    size_t size;
    f->encoded_length = 0;
    if (http_call(f->client, &call, &answer, err)) return -1;
    return chunk_decode(chunk_encoding_of(f->encoded_length, (size_t)chunk->size), f->encoded,
                        f->encoded_length, digest, (size_t)chunk->size, f->plain, CHUNK_MAX_BYTES,
                        &size, err);
}

static bool worth_another(const struct err *err) {
    return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_BUSY;
}

static int fetch_patiently(struct fetch *f, const struct manifest_chunk *chunk, const char *digest,
                           struct err *err) {
    for (int attempt = 1;; attempt++) {
        struct err why = ERR_INIT;
        if (fetch_chunk(f, chunk, digest, &why) == 0) return 0;
        if (attempt == ATTEMPTS || !worth_another(&why)) {
            if (err) *err = why;
            return err_wrap(err, "fetch chunk %s", digest);
        }
        clock_sleep_ms(100 << attempt);
    }
}

static int write_at(int fd, const uint8_t *data, size_t length, int64_t offset, struct err *err) {
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(fd, data + done, length - done, offset + (int64_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "write the image");
        done += (size_t)n;
    }
    return 0;
}

/* Is this chunk in the file already, from an attempt that was cut short? */
static bool have_chunk(struct fetch *f, const struct manifest_chunk *chunk) {
    uint8_t digest[SHA256_BYTES];
    if (chunk->size > (int64_t)CHUNK_MAX_BYTES) return false;
    if (pread(f->fd, f->plain, (size_t)chunk->size, chunk->offset) != chunk->size) return false;
    sha256(f->plain, (size_t)chunk->size, digest);
    return memcmp(digest, chunk->digest, sizeof digest) == 0;
}

static int take_chunk(struct fetch *f, const struct manifest_chunk *chunk, bool resumed,
                      struct err *err) {
    char digest[SHA256_TEXT_BYTES];
    f->done += chunk->size;
    if (chunk->zero || (resumed && have_chunk(f, chunk))) return 0;
    hex_text(chunk->digest, SHA256_BYTES, digest);
    if (fetch_patiently(f, chunk, digest, err)) return -1;
    return write_at(f->fd, f->plain, (size_t)chunk->size, chunk->offset, err);
}

static int take_all(struct fetch *f, int (*progress)(void *, int64_t, int64_t), void *ctx,
                    struct err *err) {
    int64_t total = f->manifest.size_bytes;
    bool resumed = lseek(f->fd, 0, SEEK_END) > 0;
    if (ftruncate(f->fd, total) < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "make an image of %lld bytes",
                             (long long)total);
    for (size_t i = 0; i < f->manifest.chunk_count; i++) {
        if (take_chunk(f, &f->manifest.chunks[i], resumed, err)) return -1;
        if (progress(ctx, f->done, total))
            return err_set(err, ERR_CANCELLED, "the agent is ending");
    }
    if (fsync(f->fd) < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync the image");
    return 0;
}

static int sync_directory(const char *path, struct err *err) {
    int fd AUTO_FD = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync %s", path);
    return 0;
}

static int make_file(struct fetch *f, const char *directory, const char *digest,
                     int (*progress)(void *, int64_t, int64_t), void *ctx, struct err *err) {
    const char *format = manifest_format_name(f->manifest.format);
    char *part AUTO_FREE = xasprintf("%s/%s.part", directory, digest);
    char *path AUTO_FREE = xasprintf("%s/%s.%s", directory, digest, format);
    f->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "make %s", part);
    if (take_all(f, progress, ctx, err)) return -1;
    if (fchmod(f->fd, 0644) < 0 || rename(part, path) < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "name the image %s", path);
    return sync_directory(directory, err);
}

static void fetch_done(struct fetch *f) {
    if (f->fd >= 0) close(f->fd);
    manifest_done(&f->manifest);
    free(f->encoded);
    free(f->plain);
}

int image_fetch(const char *directory, const char *digest, const char *store_url,
                struct http_client *client,
                int (*progress)(void *ctx, int64_t done, int64_t total), void *ctx,
                struct err *err) {
    struct fetch f CLEANUP(fetch_done) = { .store_url = store_url, .client = client, .fd = -1 };
    f.encoded = xmalloc(CHUNK_MAX_BYTES);
    f.plain = xmalloc(CHUNK_MAX_BYTES);
    if (fetch_manifest(&f, digest, err) || make_file(&f, directory, digest, progress, ctx, err))
        return err_wrap(err, "fetch image %.12s", digest);
    return 0;
}
