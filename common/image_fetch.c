/*
 * Fetching: the manifest, then every distinct chunk from the nearest place that has it: the file
 * already at the destination, the part of an earlier attempt, a seed, the store. Whatever the
 * place, a chunk counts only after its digest was verified. The part becomes the file by rename,
 * after a sync; so a file at the destination is always whole.
 */
#include "image_client_internal.h"

#include "log.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

LOG_MODULE("image.fetch");

struct fetch {
    struct transfer transfer;
    const struct image_fetch *what;
    struct image_result *result;
    struct manifest manifest;
    struct distinct chunks;
    bool *have;    /* of each distinct chunk: is it in the part, wherever it occurs? */
    size_t *lack;  /* those still to be fetched */
    size_t lack_count;
    char *part, *manifest_path;
    int fd;        /* of the part, locked */
    bool fresh;    /* the part is new: nothing but a hole */
};

/* --- the manifest --- */

static int get_manifest(struct fetch *f, struct err *err) {
    AUTO_FREE char *path = xasprintf("/v1/manifests/%s", f->what->digest);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "GET", .timeout_ms = IMAGE_CALL_TIMEOUT_MS };
    char found[SHA256_TEXT_BYTES];
    if (!sha256_text_valid(f->what->digest))
        return err_set(err, ERR_INVALID, "%.80s is no image digest", f->what->digest);
    if (transfer_call(&f->transfer, &call, path, NULL, &answer, err)) return -1;
    if (!answer.body || manifest_from_json(answer.body, &f->manifest, err))
        return err_wrap(err, "%s answered", f->transfer.how->store_url);
    if (strcmp(manifest_digest(&f->manifest, found), f->what->digest) != 0)
        return err_set(err, ERR_INTEGRITY, "manifest %s is damaged: its content has digest %s",
                       f->what->digest, found);
    distinct_init(&f->chunks, &f->manifest);
    f->have = xcalloc(f->chunks.count + 1, sizeof *f->have);
    f->lack = xcalloc(f->chunks.count + 1, sizeof *f->lack);
    f->result->size_bytes = f->manifest.size_bytes;
    snprintf(f->result->digest, sizeof f->result->digest, "%s", found);
    return 0;
}

/* --- the part --- */

static int write_at(int fd, const uint8_t *data, size_t length, int64_t offset, struct err *err) {
    while (length > 0) {
        ssize_t n = pwrite(fd, data, length, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "write the image");
        data += n;
        offset += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Opens and locks; a part that another call renames or removes meanwhile is not the part. */
static int lock_part(struct fetch *f, struct err *err) {
    for (;;) {
        AUTO_FD int fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat mine, named;
        if (fd < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "make %s", f->part);
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            err_set(err, ERR_BUSY, "another fetch to %s is under way", f->what->dest_path);
            return err_remedy(err, "wait for it, or fetch to another path");
        }
        if (fstat(fd, &mine)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", f->part);
        if (stat(f->part, &named) || named.st_ino != mine.st_ino) continue;
        f->fresh = mine.st_size == 0;
        f->fd = STEAL_FD(fd);
        return 0;
    }
}

/* What an earlier attempt for another image may have left where zeros belong. */
static int clear_zeros(struct fetch *f) {
    for (size_t i = 0; i < f->manifest.chunk_count; i++) {
        const struct manifest_chunk *c = &f->manifest.chunks[i];
        if (c->zero && fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, c->offset,
                                 c->size))
            return -1;
    }
    return 0;
}

static int open_part(struct fetch *f, struct err *err) {
    if (lock_part(f, err)) return -1;
    if (!f->fresh && clear_zeros(f)) {
        if (ftruncate(f->fd, 0)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", f->part);
        f->fresh = true;
    }
    if (ftruncate(f->fd, f->manifest.size_bytes))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "resize %s", f->part);
    return 0;
}

static bool is_at(int fd, const struct occurrence *o, uint8_t *room) {
    uint8_t found[SHA256_BYTES];
    if (transfer_read(fd, room, o->size, o->offset, NULL)) return false;
    if (chunk_is_zero(room, o->size)) return false; /* most likely not yet written */
    sha256(room, o->size, found);
    return memcmp(found, o->digest, SHA256_BYTES) == 0;
}

/* Puts verified content everywhere where it belongs, but for the first place when it stands there. */
static int settle(struct fetch *f, size_t chunk, const uint8_t *content, bool stands_first,
                  struct err *err) {
    int64_t bytes = 0;
    size_t first = f->chunks.first[chunk];
    for (size_t i = first; i < f->chunks.first[chunk + 1]; i++) {
        const struct occurrence *o = &f->chunks.all[i];
        bytes += (int64_t)o->size;
        if (i == first && stands_first) continue;
        if (write_at(f->fd, content, o->size, o->offset, err)) return -1;
    }
    f->have[chunk] = true;
    transfer_advance(&f->transfer, bytes, 0);
    return 0;
}

/* --- what is near --- */

static int look_into_part(struct fetch *f, struct scratch *s, struct err *err) {
    for (size_t i = 0; !f->fresh && i < f->chunks.count; i++) {
        if (transfer_check(&f->transfer, err)) return -1;
        if (is_at(f->fd, &f->chunks.all[f->chunks.first[i]], s->content) &&
            settle(f, i, s->content, true, err))
            return -1;
    }
    return 0;
}

static int take_from(struct fetch *f, int fd, const struct manifest *m, struct scratch *s,
                     struct err *err) {
    for (size_t i = 0; i < m->chunk_count; i++) {
        const struct manifest_chunk *c = &m->chunks[i];
        ssize_t wanted = c->zero ? -1 : distinct_find(&f->chunks, c->digest);
        if (wanted < 0 || f->have[wanted]) continue;
        struct occurrence there = { .offset = c->offset, .size = (size_t)c->size };
        memcpy(there.digest, c->digest, SHA256_BYTES);
        if (transfer_check(&f->transfer, err)) return -1;
        if (is_at(fd, &there, s->content) &&
            settle(f, (size_t)wanted, s->content, false, err))
            return -1;
    }
    return 0;
}

/* The seed's chunks by the manifest beside it, else by reading it. -1: it is of no use. */
static int seed_manifest(const char *path, int fd, struct manifest *ret) {
    AUTO_FREE char *beside = xasprintf("%s.manifest", path);
    AUTO_JSON json *j = json_parse_file(beside, NULL);
    if (j && manifest_from_json(j, ret, NULL) == 0) return 0;
    return manifest_scan(ret, fd, NULL, NULL, NULL);
}

static int take_from_seed(struct fetch *f, const char *path, struct scratch *s, struct err *err) {
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_MANIFEST struct manifest m = { 0 };
    if (fd < 0 || seed_manifest(path, fd, &m)) {
        log_info("seed passed over", "path=%s", path);
        return 0;
    }
    return take_from(f, fd, &m, s, err);
}

static size_t count_lack(struct fetch *f) {
    f->lack_count = 0;
    for (size_t i = 0; i < f->chunks.count; i++)
        if (!f->have[i]) f->lack[f->lack_count++] = i;
    return f->lack_count;
}

static int64_t data_bytes(const struct fetch *f) {
    int64_t bytes = 0;
    for (size_t i = 0; i < f->chunks.all_count; i++) bytes += (int64_t)f->chunks.all[i].size;
    return bytes;
}

static int look_near(struct fetch *f, struct err *err) {
    AUTO_FREE struct scratch *s = xmalloc(sizeof *s);
    transfer_phase(&f->transfer, IMAGE_SCAN, data_bytes(f));
    if (look_into_part(f, s, err)) return -1;
    for (const char *const *seed = f->what->seeds; seed && *seed && count_lack(f); seed++)
        if (take_from_seed(f, *seed, s, err)) return -1;
    count_lack(f);
    return 0;
}

/* --- what is far --- */

static int64_t lacking_bytes(const struct fetch *f) {
    int64_t bytes = 0;
    for (size_t i = 0; i < f->lack_count; i++) {
        size_t chunk = f->lack[i], from = f->chunks.first[chunk];
        bytes += (int64_t)((f->chunks.first[chunk + 1] - from) * f->chunks.all[from].size);
    }
    return bytes;
}

static int check_room(const struct fetch *f, struct err *err) {
    struct statvfs fs;
    int64_t need = lacking_bytes(f);
    if (fstatvfs(f->fd, &fs) || fs.f_bavail * fs.f_frsize >= (uint64_t)need) return 0;
    return err_set(err, ERR_NO_SPACE, "%s needs %lld MiB more disk space", f->what->dest_path,
                   (long long)((need >> 20) + 1));
}

static int get_chunk(void *ctx, size_t index, struct scratch *s, struct err *err) {
    struct fetch *f = ctx;
    size_t chunk = f->lack[index], n;
    const struct occurrence *o = &f->chunks.all[f->chunks.first[chunk]];
    char digest[SHA256_TEXT_BYTES], path[96];
    hex_text(o->digest, SHA256_BYTES, digest);
    snprintf(path, sizeof path, "/v1/chunks/%s", digest);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "GET", .timeout_ms = IMAGE_CHUNK_TIMEOUT_MS,
                              .reply_max = CHUNK_MAX_BYTES };
    if (transfer_call(&f->transfer, &call, path, NULL, &answer, err)) return -1;
    if (!answer.raw) return err_set(err, ERR_INTEGRITY, "chunk %s came as JSON", digest);
    if (chunk_decode(chunk_encoding_of(answer.raw_length, o->size), answer.raw, answer.raw_length,
                     digest, o->size, s->content, o->size, &n, err))
        return err_wrap(err, "%s", f->transfer.how->store_url);
    transfer_advance(&f->transfer, 0, (int64_t)answer.raw_length);
    return settle(f, chunk, s->content, false, err);
}

/* --- the end --- */

static int sync_parent(const char *path, struct err *err) {
    AUTO_FREE char *copy = xstrdup(path);
    AUTO_FD int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "sync %s", path);
    return 0;
}

static int finish(struct fetch *f, struct err *err) {
    const char *dest = f->what->dest_path;
    if (f->what->keep_manifest) {
        AUTO_FREE char *text = manifest_text(&f->manifest);
        if (file_write(f->manifest_path, text, strlen(text), 0600, err)) return -1;
    }
    if (fchmod(f->fd, f->what->mode ? f->what->mode : 0600) || fsync(f->fd))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "finish %s", f->part);
    if (rename(f->part, dest))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "keep %s", dest);
    return sync_parent(dest, err);
}

/* The file at the destination already, when it is the image, whole. */
static bool is_there(struct fetch *f) {
    AUTO_FD int fd = open(f->what->dest_path, O_RDONLY | O_CLOEXEC);
    AUTO_MANIFEST struct manifest m = { 0 };
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || st.st_size != f->manifest.size_bytes) return false;
    if (manifest_scan(&m, fd, NULL, NULL, NULL) || m.chunk_count != f->manifest.chunk_count)
        return false;
    for (size_t i = 0; i < m.chunk_count; i++)
        if (m.chunks[i].size != f->manifest.chunks[i].size ||
            m.chunks[i].zero != f->manifest.chunks[i].zero ||
            memcmp(m.chunks[i].digest, f->manifest.chunks[i].digest, SHA256_BYTES))
            return false;
    return true;
}

static int fetch_all(struct fetch *f, struct err *err) {
    if (open_part(f, err) || look_near(f, err) || check_room(f, err)) return -1;
    f->result->chunks_reused = f->chunks.count - f->lack_count;
    f->result->chunks_moved = f->lack_count;
    transfer_phase(&f->transfer, IMAGE_TRANSFER, lacking_bytes(f));
    if (transfer_work(&f->transfer, f->lack_count, get_chunk, f, err)) return -1;
    return finish(f, err);
}

static int run(struct fetch *f, struct err *err) {
    f->part = xasprintf("%s.part", f->what->dest_path);
    f->manifest_path = xasprintf("%s.manifest", f->what->dest_path);
    if (get_manifest(f, err)) return err_wrap(err, "fetch image %.64s", f->what->digest);
    if (is_there(f)) {
        f->result->chunks_reused = f->chunks.count;
        return 0;
    }
    if (fetch_all(f, err) == 0) return 0;
    if (err->code == ERR_NO_SPACE) {
        unlink(f->part);
        err_remedy(err, "make room on that disk, then fetch again");
    }
    return err_wrap(err, "fetch image %s", f->manifest.name);
}

int image_fetch(const struct image_transfer *t, const struct image_fetch *what,
                struct image_result *ret, struct err *err) {
    struct image_result result = { 0 };
    struct err mine = ERR_INIT;
    struct fetch f = { .what = what, .result = &result, .fd = -1 };
    transfer_init(&f.transfer, t);
    int failed = run(&f, &mine);
    result.moved_bytes = f.transfer.now.moved_bytes;
    if (!failed) *ret = result;
    else if (err) *err = mine;
    if (f.fd >= 0) close(f.fd);
    free(f.have);
    free(f.lack);
    free(f.part);
    free(f.manifest_path);
    distinct_done(&f.chunks);
    manifest_done(&f.manifest);
    transfer_done(&f.transfer);
    return failed;
}

void image_fetch_forget(const char *dest_path) {
    AUTO_FREE char *part = xasprintf("%s.part", dest_path);
    AUTO_FREE char *manifest = xasprintf("%s.manifest", dest_path);
    unlink(part);
    unlink(manifest);
}
