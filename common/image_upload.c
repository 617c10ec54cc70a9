/*
 * Uploading: cut, ask what is missing, put that, put the image. When the store then misses a chunk
 * after all (its collection, or another's deletion, was between), once more.
 */
#include "image_client_internal.h"

#include "ids.h"
#include "qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define ASK_MAX 4096
#define ROUNDS 4

struct upload {
    struct transfer transfer;
    const struct image_upload *what;
    struct image_result *result;
    int fd;
    struct manifest manifest;
    struct distinct chunks;
    size_t *missing; /* indices of distinct chunks */
    size_t missing_count;
    atomic_size_t moved;
};

/* --- looking at the file --- */

/* The file's own time, so that the same file has the same digest at each upload. */
static int64_t written_ms(const struct stat *st) {
    int64_t s = st->st_mtim.tv_sec;
    if (s < 0) return 0;
    return s > MANIFEST_CREATED_MAX_MS / 1000 ? MANIFEST_CREATED_MAX_MS : s * 1000;
}

static int find_format(struct upload *u, struct err *err) {
    uint8_t head[65536];
    struct stat st;
    ssize_t n = pread(u->fd, head, sizeof head, 0);
    if (n < 0 || fstat(u->fd, &st))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "read %s", u->what->path);
    if (u->what->format) {
        if (manifest_format_parse(u->what->format, &u->manifest.format, err)) return -1;
    } else {
        u->manifest.format = qcow2_is(head, (size_t)n) ? MANIFEST_QCOW2 : MANIFEST_RAW;
    }
    u->manifest.created_ms = written_ms(&st);
    u->manifest.virtual_size_bytes = st.st_size;
    struct qcow2_head q;
    if (u->manifest.format == MANIFEST_RAW) return 0;
    if (qcow2_check(head, (size_t)n, st.st_size, &q, err)) return err_wrap(err, "%s", u->what->path);
    u->manifest.virtual_size_bytes = q.virtual_size_bytes;
    return 0;
}

static int scanned(void *ctx, int64_t done_bytes) {
    struct upload *u = ctx;
    transfer_advance(&u->transfer, done_bytes - u->transfer.now.done_bytes, 0);
    return transfer_check(&u->transfer, NULL);
}

static int look(struct upload *u, struct err *err) {
    struct stat st;
    u->fd = open(u->what->path, O_RDONLY | O_CLOEXEC);
    if (u->fd < 0 || fstat(u->fd, &st))
        return err_set_errno(err, ERR_INVALID, errno, "open %s", u->what->path);
    if (!S_ISREG(st.st_mode)) return err_set(err, ERR_INVALID, "%s is no file", u->what->path);
    if (!name_valid(u->what->name))
        return err_set(err, ERR_INVALID, "%.80s can not be an image's name", u->what->name);
    u->manifest.kind = u->what->kind;
    u->manifest.epoch = -1;
    snprintf(u->manifest.name, sizeof u->manifest.name, "%s", u->what->name);
    if (find_format(u, err)) return -1;
    transfer_phase(&u->transfer, IMAGE_SCAN, st.st_size);
    if (manifest_scan(&u->manifest, u->fd, scanned, u, err))
        return err_wrap(err, "%s", u->what->path);
    distinct_init(&u->chunks, &u->manifest);
    u->missing = xcalloc(u->chunks.count + 1, sizeof *u->missing);
    manifest_digest(&u->manifest, u->result->digest);
    u->result->size_bytes = u->manifest.size_bytes;
    return 0;
}

/* --- asking --- */

static json *question(const struct upload *u, size_t from, size_t count) {
    json *digests = json_array();
    for (size_t i = from; i < from + count; i++) {
        char text[SHA256_TEXT_BYTES];
        hex_text(u->chunks.all[u->chunks.first[i]].digest, SHA256_BYTES, text);
        json_add(digests, json_string(text));
    }
    return json_set(json_object(), "digests", digests);
}

static int note_missing(struct upload *u, const char *text, struct err *err) {
    uint8_t digest[SHA256_BYTES];
    ssize_t i = -1;
    if (text && sha256_text_valid(text) && hex_parse(text, digest, SHA256_BYTES) == 0)
        i = distinct_find(&u->chunks, digest);
    if (i < 0 || u->missing_count == u->chunks.count)
        return err_set(err, ERR_INTERNAL, "the store asks for a chunk that it was not asked about");
    u->missing[u->missing_count++] = (size_t)i;
    return 0;
}

static int ask_some(struct upload *u, size_t from, size_t count, struct err *err) {
    AUTO_JSON json *body = question(u, from, count);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "POST", .body = body,
                              .timeout_ms = IMAGE_CALL_TIMEOUT_MS };
    if (transfer_call(&u->transfer, &call, "/v1/chunks/missing", NULL, &answer, err)) return -1;
    const json *missing = json_get(answer.body, "missing");
    for (size_t i = 0; i < json_length(missing); i++)
        if (note_missing(u, json_str(json_at(missing, i)), err)) return -1;
    return 0;
}

static int ask(struct upload *u, struct err *err) {
    u->missing_count = 0;
    for (size_t from = 0; from < u->chunks.count; from += ASK_MAX) {
        size_t left = u->chunks.count - from;
        if (ask_some(u, from, left < ASK_MAX ? left : ASK_MAX, err)) return -1;
    }
    return 0;
}

/* --- putting --- */

static int put_chunk(void *ctx, size_t index, struct scratch *s, struct err *err) {
    struct upload *u = ctx;
    const struct occurrence *o = &u->chunks.all[u->chunks.first[u->missing[index]]];
    uint8_t found[SHA256_BYTES];
    char digest[SHA256_TEXT_BYTES], path[96];
    if (transfer_read(u->fd, s->content, o->size, o->offset, err)) return -1;
    sha256(s->content, o->size, found);
    if (memcmp(found, o->digest, SHA256_BYTES))
        return err_set(err, ERR_CONFLICT, "%s changed while it was uploaded", u->what->path);
    enum chunk_encoding encoding;
    size_t n = chunk_encode(s->content, o->size, u->what->level, s->encoded, &encoding);
    hex_text(o->digest, SHA256_BYTES, digest);
    snprintf(path, sizeof path, "/v1/chunks/%s", digest);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "PUT", .raw = s->encoded, .raw_length = n,
                              .timeout_ms = IMAGE_CHUNK_TIMEOUT_MS };
    if (transfer_call(&u->transfer, &call, path,
                      encoding == CHUNK_ZSTD ? "Jogak-Encoding: zstd" : "Jogak-Encoding: raw",
                      &answer, err))
        return -1;
    atomic_fetch_add(&u->moved, 1);
    transfer_advance(&u->transfer, (int64_t)o->size, (int64_t)n);
    return 0;
}

static int put_missing(struct upload *u, struct err *err) {
    int64_t total = 0;
    for (size_t i = 0; i < u->missing_count; i++)
        total += (int64_t)u->chunks.all[u->chunks.first[u->missing[i]]].size;
    transfer_phase(&u->transfer, IMAGE_TRANSFER, total);
    return transfer_work(&u->transfer, u->missing_count, put_chunk, u, err);
}

static int put_image(struct upload *u, struct err *err) {
    AUTO_FREE char *text = manifest_text(&u->manifest);
    AUTO_FREE char *path = xasprintf("/v1/images/%s", u->what->name);
    AUTO_FREE char *match =
        u->what->replace ? xasprintf("If-Match: \"%s\"", u->what->replace) : NULL;
    AUTO_JSON json *body = json_object();
    json *manifest = json_parse(text, strlen(text), err);
    if (!manifest) return -1;
    json_set(body, "manifest", manifest);
    json_set_str(body, "digest", u->result->digest);
    json_set_bool(body, "public", u->what->is_public);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "PUT", .body = body,
                              .timeout_ms = IMAGE_CALL_TIMEOUT_MS };
    return transfer_call(&u->transfer, &call, path, match, &answer, err);
}

/* 1: chunks were missing after all; 0: done; -1: failed. */
static int round_once(struct upload *u, struct err *err) {
    if (ask(u, err) || put_missing(u, err)) return -1;
    if (put_image(u, err) == 0) return 0;
    struct err why = *err;
    if (why.code != ERR_CONFLICT || ask(u, err) || u->missing_count == 0) {
        *err = why;
        return -1;
    }
    return 1;
}

static int run(struct upload *u, struct err *err) {
    if (look(u, err)) return -1;
    int more = 1;
    for (int i = 0; i < ROUNDS && more == 1; i++) more = round_once(u, err);
    if (more == 1) return err_wrap(err, "the store keeps losing chunks");
    return more;
}

int image_upload(const struct image_transfer *t, const struct image_upload *what,
                 struct image_result *ret, struct err *err) {
    struct image_result result = { 0 };
    struct err mine = ERR_INIT;
    struct upload u = { .what = what, .result = &result, .fd = -1 };
    transfer_init(&u.transfer, t);
    int failed = run(&u, &mine);
    if (!failed) {
        result.moved_bytes = u.transfer.now.moved_bytes;
        result.chunks_moved = atomic_load(&u.moved);
        result.chunks_reused =
            result.chunks_moved < u.chunks.count ? u.chunks.count - result.chunks_moved : 0;
        *ret = result;
    } else if (err) {
        *err = mine;
    }
    if (u.fd >= 0) close(u.fd);
    free(u.missing);
    distinct_done(&u.chunks);
    manifest_done(&u.manifest);
    transfer_done(&u.transfer);
    return failed;
}
