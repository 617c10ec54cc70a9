#include "image_commit.h"

#include "chunk_db.h"
#include "chunks.h"
#include "image.h"
#include "needed.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/qcow2.h"

#include <inttypes.h>
#include <stdio.h>

LOG_MODULE("ss.image_commit");

struct commit {
    struct store *store;
    const struct http_request *req;
    struct caller caller;
    struct manifest manifest;
    char *text; /* canonical manifest */
    char digest[SHA256_TEXT_BYTES];
    struct image_row row; /* what is there at the end */
    bool made;
    struct needed chunks; /* of check_chunks() */
};

static void commit_done(struct commit *k) {
    manifest_done(&k->manifest);
    free(k->text);
    needed_done(&k->chunks);
}

/* --- the request --- */

static int read_request(struct commit *k, struct err *err) {
    const json *body = k->req->body;
    const char *name = k->req->params[0], *digest = json_get_str(body, "digest");
    if (!name_valid(name) || sha256_text_valid(name))
        return err_set(err, ERR_INVALID, "%.80s can not be an image's name", name);
    if (manifest_from_json(json_get(body, "manifest"), &k->manifest, err)) return -1;
    if (strcmp(k->manifest.name, name) != 0)
        return err_set(err, ERR_INVALID, "the manifest is that of image %s, not of %s",
                       k->manifest.name, name);
    k->text = manifest_text(&k->manifest);
    sha256_text(k->text, strlen(k->text), k->digest);
    if (digest && strcmp(digest, k->digest) != 0)
        return err_set(err, ERR_INTEGRITY, "the manifest's digest is %s, not %s", k->digest,
                       digest);
    if (k->manifest.virtual_size_bytes >> 20 > k->store->config->virtual_size_max_mib)
        return err_set(err, ERR_TOO_LARGE, "the disk has %" PRId64 " MiB, at most %" PRId64
                       " are allowed", k->manifest.virtual_size_bytes >> 20,
                       k->store->config->virtual_size_max_mib);
    return 0;
}

static int check_chunks(struct db_conn *c, void *arg, struct err *err) {
    struct commit *k = arg;
    return needed_find(c, &k->manifest, &k->caller, &k->chunks, err);
}

/* --- the content's head --- */

static int check_qcow2(const struct commit *k, const void *data, size_t length, struct err *err) {
    struct qcow2_head head;
    if (qcow2_check(data, length, k->manifest.size_bytes, &head, err)) return -1;
    if (head.virtual_size_bytes != k->manifest.virtual_size_bytes)
        return err_set(err, ERR_UNPROCESSABLE, "the qcow2 header describes a disk of %" PRId64
                       " bytes, the manifest one of %" PRId64, head.virtual_size_bytes,
                       k->manifest.virtual_size_bytes);
    return 0;
}

/* Whoever probes a raw disk that begins like a qcow2 would open the files that it names. */
static int check_raw(const struct commit *k, const void *data, size_t length, struct err *err) {
    if (qcow2_is(data, length)) {
        err_set(err, ERR_UNPROCESSABLE, "the image is said to be raw but begins like a qcow2");
        return err_remedy(err, "put it as format qcow2");
    }
    if (k->manifest.kind != MANIFEST_CHECKPOINT &&
        k->manifest.virtual_size_bytes != k->manifest.size_bytes)
        return err_set(err, ERR_UNPROCESSABLE, "a raw image's virtual_size_bytes is its size_bytes");
    return 0;
}

static int check_head(struct commit *k, struct err *err) {
    static const uint8_t zeros[4096];
    const struct manifest *m = &k->manifest;
    bool is_qcow2 = m->format == MANIFEST_QCOW2;
    if (m->chunk_count == 0 || m->chunks[0].zero)
        return is_qcow2 ? check_qcow2(k, zeros, m->chunk_count ? sizeof zeros : 0, err)
                        : check_raw(k, zeros, 0, err);
    char digest[SHA256_TEXT_BYTES];
    size_t size = (size_t)m->chunks[0].size;
    hex_text(m->chunks[0].digest, SHA256_BYTES, digest);
    AUTO_FREE void *data = xmalloc(size);
    if (chunks_load(k->store, digest, size, (size_t)k->chunks.first.stored_bytes, data, err)) return -1;
    return is_qcow2 ? check_qcow2(k, data, size, err) : check_raw(k, data, size, err);
}

/* --- the transaction --- */

static void fill_row(struct commit *k, const char *owner, bool is_public) {
    const struct manifest *m = &k->manifest;
    struct image_row *row = &k->row;
    *row = (struct image_row){
        .is_public = json_get_bool(k->req->body, "public", is_public),
        .virtual_size_bytes = m->virtual_size_bytes,
        .size_bytes = m->size_bytes,
        .created_ms = m->created_ms,
        .uploaded_ms = clock_wall_ms(),
    };
    snprintf(row->name, sizeof row->name, "%s", m->name);
    snprintf(row->digest, sizeof row->digest, "%s", k->digest);
    snprintf(row->owner, sizeof row->owner, "%s", owner);
    snprintf(row->kind, sizeof row->kind, "%s", manifest_kind_name(m->kind));
    snprintf(row->format, sizeof row->format, "%s", manifest_format_name(m->format));
}

static int insert(struct db_conn *c, struct commit *k, struct err *err) {
    int64_t used, quota = k->store->config->quota_mib << 20;
    if (image_db_insert(c, &k->row, k->text, err)) return -1;
    for (size_t i = 0; i < k->chunks.count; i++)
        if (image_db_need_chunk(c, k->row.id, k->chunks.ids[i], err)) return -1;
    if (image_db_sum_up(c, &k->row, err) ||
        chunk_db_drop_claims(c, k->row.id, k->caller.urn, err) ||
        chunk_db_used_bytes(c, k->row.owner, &used, err))
        return -1;
    k->made = true;
    return chunk_db_check_quota(k->row.owner, used, quota, err);
}

/* The same image again: only its visibility may change. */
static int put_again(struct db_conn *c, struct commit *k, const struct image_row *there,
                     struct err *err) {
    k->row = *there;
    k->row.is_public = json_get_bool(k->req->body, "public", there->is_public);
    if (k->row.is_public == there->is_public) return 0;
    return image_db_set_public(c, there->id, k->row.is_public, err);
}

static int replace(struct db_conn *c, struct commit *k, const struct image_row *there,
                   struct err *err) {
    int match = image_if_match(k->req, there->digest);
    if (match != 1) {
        err_set(err, match ? ERR_CONFLICT : ERR_PRECONDITION,
                "there is an image %s already, of digest %s", there->name, there->digest);
        return err_remedy(err, "choose another name, delete it, or replace it by naming that "
                               "digest in If-Match");
    }
    fill_row(k, there->owner, there->is_public);
    return image_db_delete(c, there->id, clock_wall_ms(), err);
}

/* The chunks are checked before anything goes: an old image may be what makes them readable. */
static int commit_fn(struct db_conn *c, void *arg, struct err *err) {
    struct commit *k = arg;
    struct image_row there;
    k->made = false;
    int found = image_db_find(c, k->manifest.name, &there, err);
    if (found < 0) return -1;
    if (found == 1 && image_check_owner(&k->caller, &there, err)) return -1;
    if (check_chunks(c, k, err)) return -1;
    if (found == 1 && strcmp(there.digest, k->digest) == 0) return put_again(c, k, &there, err);
    if (found == 0) fill_row(k, k->caller.urn, false);
    else if (replace(c, k, &there, err)) return -1;
    return insert(c, k, err);
}

static int put(struct commit *k, struct err *err) {
    if (read_request(k, err)) return -1;
    if (db_read(k->store->db, check_chunks, k, err)) return -1;
    if (check_head(k, err)) return -1;
    return db_write(k->store->db, commit_fn, k, err);
}

int image_put(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct commit k = { .store = ctx, .req = req, .caller = access_caller(req) };
    int failed = put(&k, err);
    if (!failed) {
        if (k.made)
            log_info("image stored", "image=%s digest=%s owner=%s bytes=%" PRId64, k.row.name,
                     k.row.digest, k.row.owner, k.row.stored_bytes);
        reply->status = k.made ? 201 : 200;
        reply->body = image_json(&k.row);
        snprintf(reply->etag, sizeof reply->etag, "%s", k.row.digest);
        snprintf(reply->location, sizeof reply->location, "/v1/images/%s", k.row.name);
    }
    commit_done(&k);
    return failed;
}
