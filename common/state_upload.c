/*
 * Uploading a state: cut each part, ask what is missing, put that, put the manifest; once more when the
 * store then misses a chunk after all.
 */
#include "state_client.h"

#include "image_client_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define ASK_MAX 4096
#define ROUNDS 4

struct upload {
    struct transfer transfer;
    const struct state_upload *what;
    struct state_result *result;
    int fds[MANIFEST_PARTS_MAX];
    struct manifest manifest;
    struct distinct chunks;
    size_t *missing; /* indices of distinct chunks */
    size_t missing_count;
};

/* --- looking at the files --- */

static int scanned(void *ctx, int64_t done_bytes) {
    struct upload *u = ctx;
    (void)done_bytes;
    return transfer_check(&u->transfer, NULL);
}

static int look_at(struct upload *u, size_t i, struct err *err) {
    const struct state_part *p = &u->what->parts[i];
    u->fds[i] = open(p->path, O_RDONLY | O_CLOEXEC);
    if (u->fds[i] < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "open %s", p->path);
    return manifest_scan_part(&u->manifest, p->name, u->fds[i], p->offset, scanned, u, err);
}

static int look(struct upload *u, struct err *err) {
    struct manifest *m = &u->manifest;
    m->kind = MANIFEST_CHECKPOINT;
    m->format = MANIFEST_RAW;
    m->epoch = u->what->epoch;
    m->created_ms = u->what->taken_ms;
    m->virtual_size_bytes = u->what->virtual_size_bytes;
    snprintf(m->name, sizeof m->name, "%s", u->what->sliver);
    for (size_t i = 0; i < u->what->part_count; i++)
        if (look_at(u, i, err)) return err_wrap(err, "read the state's %s", u->what->parts[i].name);
    distinct_init(&u->chunks, m);
    u->missing = xcalloc(u->chunks.count + 1, sizeof *u->missing);
    manifest_digest(m, u->result->digest);
    for (size_t i = 0; i < u->chunks.all_count; i++)
        u->result->bytes_total += (int64_t)u->chunks.all[i].size;
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

/* Which file a place in the whole is in, and where. */
static int file_of(const struct upload *u, int64_t offset, int64_t *ret_at) {
    size_t i = 0;
    while (offset >= u->manifest.parts[i].size_bytes) offset -= u->manifest.parts[i++].size_bytes;
    *ret_at = offset + u->what->parts[i].offset;
    return u->fds[i];
}

static int put_chunk(void *ctx, size_t index, struct scratch *s, struct err *err) {
    struct upload *u = ctx;
    const struct occurrence *o = &u->chunks.all[u->chunks.first[u->missing[index]]];
    uint8_t found[SHA256_BYTES];
    char digest[SHA256_TEXT_BYTES], path[96];
    int64_t at;
    int fd = file_of(u, o->offset, &at);
    if (transfer_read(fd, s->content, o->size, at, err)) return -1;
    sha256(s->content, o->size, found);
    if (memcmp(found, o->digest, SHA256_BYTES))
        return err_set(err, ERR_CONFLICT, "the state changed while it was uploaded");
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
    transfer_advance(&u->transfer, (int64_t)o->size, (int64_t)n);
    return 0;
}

static int put_missing(struct upload *u, struct err *err) {
    int64_t total = 0;
    for (size_t i = 0; i < u->missing_count; i++)
        total += (int64_t)u->chunks.all[u->chunks.first[u->missing[i]]].size;
    u->result->bytes_new += total;
    transfer_phase(&u->transfer, IMAGE_TRANSFER, total);
    return transfer_work(&u->transfer, u->missing_count, put_chunk, u, err);
}

static int put_manifest(struct upload *u, struct err *err) {
    AUTO_FREE char *text = manifest_text(&u->manifest);
    AUTO_FREE char *path = xasprintf("/v1/states/%s", u->result->digest);
    AUTO_JSON json *body = json_object();
    json *manifest = json_parse(text, strlen(text), err);
    if (!manifest) return -1;
    json_set(body, "manifest", manifest);
    if (u->what->owner) json_set_str(body, "owner", u->what->owner);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "PUT", .body = body,
                              .timeout_ms = IMAGE_CALL_TIMEOUT_MS };
    return transfer_call(&u->transfer, &call, path, NULL, &answer, err);
}

/* 1: chunks were missing after all; 0: done; -1: failed. */
static int round_once(struct upload *u, struct err *err) {
    if (ask(u, err) || put_missing(u, err)) return -1;
    if (u->what->chunks_only || put_manifest(u, err) == 0) return 0;
    struct err why = *err;
    if (why.code != ERR_CONFLICT || ask(u, err) || u->missing_count == 0) {
        *err = why;
        return -1;
    }
    return 1;
}

static int run(struct upload *u, struct err *err) {
    int more = 1;
    if (u->what->part_count > MANIFEST_PARTS_MAX)
        return err_set(err, ERR_INVALID, "a state has at most %u parts", MANIFEST_PARTS_MAX);
    if (look(u, err)) return -1;
    for (int i = 0; i < ROUNDS && more == 1; i++) more = round_once(u, err);
    if (more == 1) return err_wrap(err, "the store keeps losing chunks");
    u->result->bytes_sent = u->transfer.now.moved_bytes;
    return more;
}

int state_upload(const struct image_transfer *t, const struct state_upload *what,
                 struct state_result *ret, struct err *err) {
    struct state_result result = { .bytes_total = 0 };
    struct err mine = ERR_INIT;
    struct upload u = { .what = what, .result = &result };
    for (size_t i = 0; i < MANIFEST_PARTS_MAX; i++) u.fds[i] = -1;
    transfer_init(&u.transfer, t);
    int failed = run(&u, &mine);
    if (!failed) *ret = result;
    else if (err) *err = mine;
    for (size_t i = 0; i < MANIFEST_PARTS_MAX; i++)
        if (u.fds[i] >= 0) close(u.fds[i]);
    free(u.missing);
    distinct_done(&u.chunks);
    manifest_done(&u.manifest);
    transfer_done(&u.transfer);
    return failed;
}
