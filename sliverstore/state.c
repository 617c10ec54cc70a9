#include "state.h"

#include "access.h"
#include "needed.h"
#include "state_db.h"
#include "common/clock.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>

LOG_MODULE("ss.state");

#define PAGE_LIMIT_MAX 1000

static json *state_json(const struct state_row *row) {
    char created[CLOCK_TEXT_BYTES], uploaded[CLOCK_TEXT_BYTES];
    json *j = json_set_str(json_object(), "digest", row->digest);
    json_set_str(j, "sliver", row->sliver);
    json_set_int(j, "epoch", row->epoch);
    json_set_str(j, "owner", row->owner);
    json_set_str(j, "node", row->node);
    json_set_int(j, "size_bytes", row->size_bytes);
    json_set_int(j, "stored_bytes", row->stored_bytes);
    json_set_str(j, "created", clock_rfc3339(row->created_ms, created));
    return json_set_str(j, "uploaded", clock_rfc3339(row->uploaded_ms, uploaded));
}

static int check_digest(const char *text, struct err *err) {
    if (sha256_text_valid(text)) return 0;
    return err_set(err, ERR_INVALID, "%.80s is no digest of 64 lower-case hexadecimal digits", text);
}

/* --- putting --- */

struct put_call {
    struct store *store;
    struct caller caller;
    struct manifest manifest;
    char *text; /* canonical manifest */
    struct needed chunks;
    struct state_row row; /* what is there at the end */
    bool made;
};

static void put_done(struct put_call *call) {
    manifest_done(&call->manifest);
    needed_done(&call->chunks);
    free(call->text);
}

static int check_manifest(struct put_call *call, const char *digest, struct err *err) {
    const struct manifest *m = &call->manifest;
    char found[SHA256_TEXT_BYTES];
    call->text = manifest_text(m);
    if (strcmp(sha256_text(call->text, strlen(call->text), found), digest) != 0)
        return err_set(err, ERR_INTEGRITY, "the manifest's digest is %s, not %s", found, digest);
    if (m->kind != MANIFEST_CHECKPOINT)
        return err_set(err, ERR_UNPROCESSABLE, "a state's manifest is of kind checkpoint, not %s",
                       manifest_kind_name(m->kind));
    if (!uuid_valid(m->name) || m->epoch < 1 || m->part_count == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "a state's manifest names its sliver's UUID, its epoch and its parts");
    if (m->virtual_size_bytes >> 20 > call->store->config->virtual_size_max_mib)
        return err_set(err, ERR_TOO_LARGE, "the disk has %" PRId64 " MiB, at most %" PRId64
                       " are allowed", m->virtual_size_bytes >> 20,
                       call->store->config->virtual_size_max_mib);
    return 0;
}

static int read_put(struct put_call *call, const struct http_request *req, struct err *err) {
    const char *digest = req->params[0], *owner = json_get_str(req->body, "owner");
    if (check_digest(digest, err) ||
        manifest_from_json(json_get(req->body, "manifest"), &call->manifest, err) ||
        check_manifest(call, digest, err))
        return -1;
    call->row = (struct state_row){
        .epoch = call->manifest.epoch,
        .size_bytes = call->manifest.size_bytes,
        .created_ms = call->manifest.created_ms,
        .uploaded_ms = clock_wall_ms(),
    };
    snprintf(call->row.digest, sizeof call->row.digest, "%s", digest);
    snprintf(call->row.sliver, sizeof call->row.sliver, "%.36s", call->manifest.name);
    snprintf(call->row.owner, sizeof call->row.owner, "%s", owner ? owner : call->caller.urn);
    snprintf(call->row.node, sizeof call->row.node, "%s", call->caller.urn);
    return 0;
}

static int insert(struct db_conn *c, struct put_call *call, struct err *err) {
    int64_t used, quota = call->store->config->quota_mib << 20;
    if (state_db_insert(c, &call->row, call->text, err)) return -1;
    for (size_t i = 0; i < call->chunks.count; i++)
        if (state_db_need_chunk(c, call->row.id, call->chunks.ids[i], err)) return -1;
    if (state_db_sum_up(c, &call->row, err) ||
        chunk_db_drop_state_claims(c, call->row.id, call->caller.urn, err) ||
        chunk_db_used_bytes(c, call->row.owner, &used, err))
        return -1;
    call->made = true;
    return chunk_db_check_quota(call->row.owner, used, quota, err);
}

static int put(struct db_conn *c, void *arg, struct err *err) {
    struct put_call *call = arg;
    struct state_row there;
    call->made = false;
    int found = state_db_find(c, call->row.digest, &there, err);
    if (found < 0 || needed_find(c, &call->manifest, &call->caller, &call->chunks, err)) return -1;
    if (found == 0) return insert(c, call, err);
    call->row = there;
    return 0;
}

int state_put(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct put_call call CLEANUP(put_done) = { .store = ctx, .caller = access_caller(req) };
    if (read_put(&call, req, err) || db_write(call.store->db, put, &call, err)) return -1;
    if (call.made)
        log_info("state stored", "sliver=%s epoch=%" PRId64 " digest=%s bytes=%" PRId64 " node=%s",
                 call.row.sliver, call.row.epoch, call.row.digest, call.row.stored_bytes,
                 call.row.node);
    reply->status = call.made ? 201 : 200;
    reply->body = state_json(&call.row);
    snprintf(reply->location, sizeof reply->location, "/v1/states/%s", call.row.digest);
    return 0;
}

/* --- getting --- */

struct get_call {
    const char *digest;
    char *manifest;
};

static int get(struct db_conn *c, void *arg, struct err *err) {
    struct get_call *call = arg;
    struct state_row row;
    int found = state_db_find(c, call->digest, &row, err);
    if (found < 0) return -1;
    if (found == 0) {
        err_set(err, ERR_NOT_FOUND, "there is no state %s", call->digest);
        return err_remedy(err, "take another checkpoint of that sliver: GET /v1/states");
    }
    call->manifest = state_db_manifest(c, row.id, err);
    return call->manifest ? 0 : -1;
}

int state_get(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct store *s = ctx;
    struct get_call call = { .digest = req->params[0] };
    if (check_digest(call.digest, err) || db_read(s->db, get, &call, err)) return -1;
    reply->text = call.manifest;
    reply->text_length = strlen(call.manifest);
    reply->content_type = "application/json";
    snprintf(reply->etag, sizeof reply->etag, "%s", call.digest);
    return 0;
}

/* --- listing --- */

struct list_call {
    const char *sliver, *after;
    int64_t limit;
    json *items;
    char last[SHA256_TEXT_BYTES];
    bool more;
};

static bool add(void *ctx, const struct state_row *row) {
    struct list_call *call = ctx;
    if ((int64_t)json_length(call->items) == call->limit) {
        call->more = true;
        return false;
    }
    json_add(call->items, state_json(row));
    snprintf(call->last, sizeof call->last, "%s", row->digest);
    return true;
}

static int list(struct db_conn *c, void *arg, struct err *err) {
    struct list_call *call = arg;
    return state_db_list(c, call->after, call->sliver, add, call, err);
}

int state_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct store *s = ctx;
    const char *sliver = http_query(req, "sliver"), *cursor = http_query(req, "cursor");
    struct list_call call = { .sliver = sliver ? sliver : "", .after = cursor ? cursor : "" };
    if (sliver && !uuid_valid(sliver)) return err_set(err, ERR_INVALID, "?sliver= is not a UUID");
    if (cursor && !sha256_text_valid(cursor))
        return err_set(err, ERR_INVALID, "the cursor is not one of ours");
    if (http_query_int(req, "limit", 1, PAGE_LIMIT_MAX, 100, &call.limit, err)) return -1;
    AUTO_JSON json *items = call.items = json_array();
    if (db_read(s->db, list, &call, err)) return -1;
    reply->body = json_set(json_object(), "items", STEAL(items));
    if (call.more) json_set_str(reply->body, "next", call.last);
    return 0;
}

/* --- deleting --- */

struct delete_call {
    const char *digest;
    bool found;
};

static int delete(struct db_conn *c, void *arg, struct err *err) {
    struct delete_call *call = arg;
    struct state_row row;
    int found = state_db_find(c, call->digest, &row, err);
    call->found = found == 1;
    if (found <= 0) return found;
    return state_db_delete(c, row.id, clock_wall_ms(), err);
}

int state_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct store *s = ctx;
    struct delete_call call = { .digest = req->params[0] };
    if (check_digest(call.digest, err) || db_write(s->db, delete, &call, err)) return -1;
    if (call.found) log_info("state deleted", "digest=%s by=%s", call.digest, req->peer->urn);
    reply->status = 204;
    return 0;
}
