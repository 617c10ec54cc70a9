/*
 * Fetching a state, part by part: every distinct chunk once, verified before it is written anywhere.
 */
#include "state_client.h"

#include "image_client_internal.h"

#include <errno.h>
#include <stdio.h>

struct state {
    struct transfer transfer;
    struct manifest manifest;
};

/* One part as a manifest of its own; its offsets begin at 0. */
struct piece {
    struct transfer *transfer;
    struct manifest view; /* its chunks are owned */
    struct distinct chunks;
    int fd;
    int64_t offset; /* in the file */
    char *text;     /* or into memory */
};

static int get_manifest(struct state *s, const char *digest, struct err *err) {
    AUTO_FREE char *path = xasprintf("/v1/states/%s", digest);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "GET", .timeout_ms = IMAGE_CALL_TIMEOUT_MS };
    char found[SHA256_TEXT_BYTES];
    if (!sha256_text_valid(digest))
        return err_set(err, ERR_INVALID, "%.80s is no state's digest", digest);
    if (transfer_call(&s->transfer, &call, path, NULL, &answer, err)) return -1;
    if (!answer.body || manifest_from_json(answer.body, &s->manifest, err))
        return err_wrap(err, "%s answered", s->transfer.how->store_url);
    if (strcmp(manifest_digest(&s->manifest, found), digest) == 0) return 0;
    return err_set(err, ERR_INTEGRITY, "state %s is damaged: its manifest has digest %s", digest,
                   found);
}

/* No chunk may reach over the edge of a part. */
static int check_edges(const struct manifest *m, struct err *err) {
    int64_t edge = 0;
    size_t chunk = 0;
    for (size_t i = 0; i < m->part_count; i++) {
        edge += m->parts[i].size_bytes;
        while (chunk < m->chunk_count && m->chunks[chunk].offset < edge) chunk++;
        int64_t at = chunk < m->chunk_count ? m->chunks[chunk].offset : m->size_bytes;
        if (at != edge)
            return err_set(err, ERR_UNPROCESSABLE, "the state's part %s does not end with a chunk",
                           m->parts[i].name);
    }
    if (m->part_count > 0 && m->kind == MANIFEST_CHECKPOINT) return 0;
    return err_set(err, ERR_UNPROCESSABLE, "this is no sliver's state");
}

struct state *state_open(const struct image_transfer *t, const char *digest, struct err *err) {
    struct state *s = xcalloc(1, sizeof *s);
    transfer_init(&s->transfer, t);
    if (get_manifest(s, digest, err) == 0 && check_edges(&s->manifest, err) == 0) {
        transfer_phase(&s->transfer, IMAGE_TRANSFER, s->manifest.size_bytes);
        return s;
    }
    state_close(s);
    err_wrap(err, "fetch the state %.12s", digest);
    return NULL;
}

void state_close(struct state *s) {
    if (!s) return;
    manifest_done(&s->manifest);
    transfer_done(&s->transfer);
    free(s);
}

const struct manifest *state_manifest(const struct state *s) { return &s->manifest; }

static const struct manifest_part *find_part(const struct state *s, const char *name,
                                             int64_t *ret_from) {
    *ret_from = 0;
    for (size_t i = 0; i < s->manifest.part_count; i++) {
        if (strcmp(s->manifest.parts[i].name, name) == 0) return &s->manifest.parts[i];
        *ret_from += s->manifest.parts[i].size_bytes;
    }
    return NULL;
}

int64_t state_part_bytes(const struct state *s, const char *part) {
    int64_t from;
    const struct manifest_part *p = find_part(s, part, &from);
    return p ? p->size_bytes : -1;
}

/* --- chunks --- */

static int write_at(int fd, const uint8_t *data, size_t length, int64_t offset, struct err *err) {
    while (length > 0) {
        ssize_t n = pwrite(fd, data, length, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "write the state");
        data += n;
        offset += n;
        length -= (size_t)n;
    }
    return 0;
}

static int settle(struct piece *p, size_t chunk, const uint8_t *content, struct err *err) {
    for (size_t i = p->chunks.first[chunk]; i < p->chunks.first[chunk + 1]; i++) {
        const struct occurrence *o = &p->chunks.all[i];
        if (p->text) memcpy(p->text + o->offset, content, o->size);
        else if (write_at(p->fd, content, o->size, p->offset + o->offset, err)) return -1;
        transfer_advance(p->transfer, (int64_t)o->size, 0);
    }
    return 0;
}

static int get_chunk(void *ctx, size_t chunk, struct scratch *s, struct err *err) {
    struct piece *p = ctx;
    const struct occurrence *o = &p->chunks.all[p->chunks.first[chunk]];
    char digest[SHA256_TEXT_BYTES], path[96];
    size_t n;
    hex_text(o->digest, SHA256_BYTES, digest);
    snprintf(path, sizeof path, "/v1/chunks/%s", digest);
    AUTO_ANSWER struct http_answer answer = { 0 };
    struct http_call call = { .method = "GET", .timeout_ms = IMAGE_CHUNK_TIMEOUT_MS,
                              .reply_max = CHUNK_MAX_BYTES };
    if (transfer_call(p->transfer, &call, path, NULL, &answer, err)) return -1;
    if (!answer.raw) return err_set(err, ERR_INTEGRITY, "chunk %s came as JSON", digest);
    if (chunk_decode(chunk_encoding_of(answer.raw_length, o->size), answer.raw, answer.raw_length,
                     digest, o->size, s->content, o->size, &n, err))
        return err_wrap(err, "%s", p->transfer->how->store_url);
    transfer_advance(p->transfer, 0, (int64_t)answer.raw_length);
    return settle(p, chunk, s->content, err);
}

/* --- parts --- */

static void piece_done(struct piece *p) {
    distinct_done(&p->chunks);
    manifest_done(&p->view);
}

static int take_piece(struct state *s, const char *name, struct piece *ret, struct err *err) {
    int64_t from;
    const struct manifest_part *part = find_part(s, name, &from);
    if (!part) return err_set(err, ERR_UNPROCESSABLE, "the state has no %s", name);
    struct manifest *view = &ret->view;
    ret->transfer = &s->transfer;
    view->size_bytes = part->size_bytes;
    view->chunks = xcalloc(s->manifest.chunk_count + 1, sizeof *view->chunks);
    for (size_t i = 0; i < s->manifest.chunk_count; i++) {
        struct manifest_chunk chunk = s->manifest.chunks[i];
        chunk.offset -= from;
        if (chunk.offset >= 0 && chunk.offset < part->size_bytes)
            view->chunks[view->chunk_count++] = chunk;
    }
    distinct_init(&ret->chunks, view);
    return 0;
}

char *state_text(struct state *s, const char *part, size_t max, struct err *err) {
    struct piece p CLEANUP(piece_done) = { .fd = -1 };
    if (take_piece(s, part, &p, err)) return NULL;
    if (p.view.size_bytes > (int64_t)max) {
        err_set(err, ERR_TOO_LARGE, "the state's %s has %lld bytes", part,
                (long long)p.view.size_bytes);
        return NULL;
    }
    AUTO_FREE char *text = xcalloc(1, (size_t)p.view.size_bytes + 1);
    p.text = text;
    if (transfer_work(p.transfer, p.chunks.count, get_chunk, &p, err)) return NULL;
    return STEAL(text);
}

int state_fetch(struct state *s, const char *part, int fd, int64_t offset, struct err *err) {
    struct piece p CLEANUP(piece_done) = { .fd = fd, .offset = offset };
    if (take_piece(s, part, &p, err)) return -1;
    if (ftruncate(fd, offset) || ftruncate(fd, offset + p.view.size_bytes))
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "make room for the state's %s", part);
    if (transfer_work(p.transfer, p.chunks.count, get_chunk, &p, err) == 0) return 0;
    return err_wrap(err, "fetch the state's %s", part);
}
