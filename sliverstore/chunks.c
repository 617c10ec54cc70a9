#include "chunks.h"

#include "access.h"
#include "chunk_db.h"
#include "chunk_files.h"
#include "common/chunk.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("ss.chunks");

#define ENCODING_HEADER "Jogak-Encoding"

static int digest_param(const struct http_request *req, uint8_t ret[SHA256_BYTES],
                        struct err *err) {
    if (sha256_text_valid(req->params[0]) && hex_parse(req->params[0], ret, SHA256_BYTES) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "%.80s is no digest of 64 lower-case hexadecimal digits",
                   req->params[0]);
}

/* --- what is missing --- */

struct missing_call {
    struct caller caller;
    const json *asked;
    json *missing;
};

static int ask_one(struct db_conn *c, struct missing_call *call, const char *text,
                   struct err *err) {
    uint8_t digest[SHA256_BYTES];
    struct chunk_row row;
    if (hex_parse(text, digest, SHA256_BYTES))
        return err_set(err, ERR_INVALID, "/digests: %.80s is no digest", text);
    int found = chunk_db_find(c, digest, &call->caller, &row, err);
    if (found < 0) return -1;
    if (found == 0 || row.damaged || !row.readable) {
        json_add(call->missing, json_string(text));
        return 0;
    }
    return chunk_db_touch_claim(c, row.id, call->caller.urn, clock_wall_ms(), err);
}

static int ask_all(struct db_conn *c, void *arg, struct err *err) {
    struct missing_call *call = arg;
    json_put(call->missing);
    call->missing = json_array();
    for (size_t i = 0; i < json_length(call->asked); i++)
        if (ask_one(c, call, json_str(json_at(call->asked, i)), err)) return -1;
    return 0;
}

int chunks_missing(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct store *s = ctx;
    struct missing_call call = { access_caller(req), json_get(req->body, "digests"), NULL };
    if (db_write(s->db, ask_all, &call, err)) {
        json_put(call.missing);
        return -1;
    }
    reply->body = json_set(json_object(), "missing", call.missing);
    return 0;
}

/* --- putting one --- */

struct put_call {
    struct store *store;
    struct caller caller;
    const char *text; /* digest */
    uint8_t digest[SHA256_BYTES];
    size_t size, stored;
    struct chunk_row row;
    bool found;
    int64_t used_bytes;
};

static int look(struct db_conn *c, void *arg, struct err *err) {
    struct put_call *call = arg;
    int found = chunk_db_find(c, call->digest, &call->caller, &call->row, err);
    call->found = found == 1;
    return found < 0 ? -1 : chunk_db_used_bytes(c, call->caller.urn, &call->used_bytes, err);
}

static int64_t quota_bytes(const struct store *s) { return s->config->quota_mib << 20; }

static int note(struct db_conn *c, void *arg, struct err *err) {
    struct put_call *call = arg;
    return chunk_db_put(c, call->digest, (int64_t)call->size, (int64_t)call->stored,
                        call->caller.urn, quota_bytes(call->store), clock_wall_ms(), err);
}

static bool is_sound(const struct put_call *call) {
    return call->found && !call->row.damaged &&
           chunk_files_has(call->store, call->text, (size_t)call->row.stored_bytes);
}

/* With the stripe's lock held. */
static int keep(struct put_call *call, const void *data, struct err *err) {
    struct store *s = call->store;
    if (db_read(s->db, look, call, err)) return -1;
    bool there = is_sound(call);
    if (there) {
        call->stored = (size_t)call->row.stored_bytes; /* the file stays as it is */
    } else {
        int64_t after = call->used_bytes + (int64_t)call->stored;
        if (chunk_db_check_quota(call->caller.urn, after, quota_bytes(s), err) ||
            chunk_files_room(s, call->stored, err) ||
            chunk_files_write(s, call->text, data, call->stored, err))
            return -1;
    }
    if (db_write(s->db, note, call, err) == 0) return 0;
    if (!call->found) chunk_files_remove(s, call->text);
    return -1;
}

static json *chunk_json(const struct put_call *call) {
    json *j = json_set_str(json_object(), "digest", call->text);
    json_set_int(j, "size", (int64_t)call->size);
    json_set_int(j, "stored_bytes", (int64_t)call->stored);
    return json_set_str(j, "encoding",
                        chunk_encoding_name(chunk_encoding_of(call->stored, call->size)));
}

int chunks_put(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct put_call call = { .store = ctx, .caller = access_caller(req), .text = req->params[0] };
    enum chunk_encoding encoding;
    if (digest_param(req, call.digest, err)) return -1;
    if (chunk_encoding_parse(http_header(req, ENCODING_HEADER), &encoding, err))
        return err_remedy(err, "say in the header %s: how the body is encoded", ENCODING_HEADER);
    AUTO_FREE void *content = xmalloc(CHUNK_MAX_BYTES);
    if (chunk_decode(encoding, req->raw, req->raw_length, call.text, 0, content, CHUNK_MAX_BYTES,
                     &call.size, err))
        return -1;
    call.stored = req->raw_length;
    WITH_LOCK(chunk_stripe(ctx, call.text));
    if (keep(&call, req->raw, err)) return -1;
    reply->status = call.found ? 200 : 201;
    reply->body = chunk_json(&call);
    return 0;
}

/* --- getting one --- */

static int mark_damaged(struct db_conn *c, void *arg, struct err *err) {
    return chunk_db_set_damaged(c, arg, err);
}

/* Once more under the lock: an upload may just have replaced the file that was read. */
static bool still_damaged(struct store *s, const char *digest, size_t size, size_t stored) {
    AUTO_FREE void *encoded = chunk_files_read(s, digest, stored, NULL);
    AUTO_FREE void *content = xmalloc(size);
    size_t n;
    return !encoded || chunk_decode(chunk_encoding_of(stored, size), encoded, stored, digest, size,
                                    content, size, &n, NULL);
}

static void report_damage(struct store *s, const char *digest, size_t size, size_t stored) {
    uint8_t bytes[SHA256_BYTES];
    struct err err = ERR_INIT;
    WITH_LOCK(chunk_stripe(s, digest));
    if (!still_damaged(s, digest, size, stored)) return;
    log_error("stored chunk is damaged, upload an image that has it again", "digest=%s", digest);
    hex_parse(digest, bytes, SHA256_BYTES);
    if (db_write(s->db, mark_damaged, bytes, &err))
        log_warn("damage not noted", "digest=%s error=\"%s\"", digest, err.msg);
}

/* Reads and verifies; returns the encoded bytes, the content into ret. */
static void *load(struct store *s, const char *digest, size_t size, size_t stored, void *ret,
                  struct err *err) {
    size_t n;
    AUTO_FREE void *encoded = chunk_files_read(s, digest, stored, err);
    if (encoded && chunk_decode(chunk_encoding_of(stored, size), encoded, stored, digest, size, ret,
                                size, &n, err) == 0)
        return STEAL(encoded);
    if (err->code == ERR_INTEGRITY) {
        report_damage(s, digest, size, stored);
        err_remedy(err, "upload the image again: the store asks for just the damaged chunks");
    }
    return NULL;
}

int chunks_load(struct store *s, const char *digest, size_t size, size_t stored, void *ret,
                struct err *err) {
    AUTO_FREE void *encoded = load(s, digest, size, stored, ret, err);
    return encoded ? 0 : -1;
}

int chunks_get(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct put_call call = { .store = ctx, .caller = access_caller(req), .text = req->params[0] };
    if (digest_param(req, call.digest, err)) return -1;
    if (db_read(call.store->db, look, &call, err)) return -1;
    if (!call.found || !call.row.readable)
        return err_set(err, ERR_NOT_FOUND, "there is no chunk %s", call.text);
    size_t size = (size_t)call.row.size_bytes, stored = (size_t)call.row.stored_bytes;
    AUTO_FREE void *content = xmalloc(size);
    reply->text = load(call.store, call.text, size, stored, content, err);
    if (!reply->text) return -1;
    reply->text_length = stored;
    reply->content_type = stored < size ? "application/zstd" : "application/octet-stream";
    snprintf(reply->etag, sizeof reply->etag, "%s", call.text);
    return 0;
}
