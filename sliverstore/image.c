#include "image.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("ss.image");

#define PAGE_LIMIT_MAX 1000

json *image_json(const struct image_row *row) {
    char created[CLOCK_TEXT_BYTES], uploaded[CLOCK_TEXT_BYTES];
    json *j = json_set_str(json_object(), "name", row->name);
    json_set_str(j, "digest", row->digest);
    json_set_str(j, "owner", row->owner);
    json_set_bool(j, "public", row->is_public);
    json_set_str(j, "kind", row->kind);
    json_set_str(j, "format", row->format);
    json_set_int(j, "virtual_size_bytes", row->virtual_size_bytes);
    json_set_int(j, "size_bytes", row->size_bytes);
    json_set_int(j, "stored_bytes", row->stored_bytes);
    json_set_str(j, "created", clock_rfc3339(row->created_ms, created));
    return json_set_str(j, "uploaded", clock_rfc3339(row->uploaded_ms, uploaded));
}

int image_if_match(const struct http_request *req, const char *digest) {
    const char *match = http_header(req, "If-Match");
    if (!match) return -1;
    if (strcmp(match, "*") == 0) return 1;
    char quoted[SHA256_TEXT_BYTES + 2];
    snprintf(quoted, sizeof quoted, "\"%s\"", digest);
    return strcmp(match, quoted) == 0 || strcmp(match, digest) == 0;
}

int image_check_owner(const struct caller *caller, const struct image_row *row, struct err *err) {
    if (caller->operator_ || strcmp(caller->urn, row->owner) == 0) return 0;
    err_set(err, ERR_FORBIDDEN, "image %s belongs to %s", row->name, row->owner);
    return err_remedy(err, "choose another name, or ask its owner or an operator");
}

/* --- reading --- */

struct get_call {
    struct caller caller;
    const char *key;
    bool with_manifest;
    struct image_row row;
    char *manifest;
};

static int get(struct db_conn *c, void *arg, struct err *err) {
    struct get_call *call = arg;
    int found = image_db_find(c, call->key, &call->row, err);
    if (found < 0) return -1;
    if (found == 0 || !(call->caller.reads_all || call->row.is_public ||
                        strcmp(call->row.owner, call->caller.urn) == 0)) {
        err_set(err, ERR_NOT_FOUND, "there is no image %.64s, or it is not yours to see", call->key);
        return err_remedy(err, "see which there are: GET /v1/images");
    }
    if (!call->with_manifest) return 0;
    call->manifest = image_db_manifest(c, call->row.id, err);
    return call->manifest ? 0 : -1;
}

int image_get(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err) {
    struct store *s = ctx;
    struct get_call call = { .caller = access_caller(req), .key = req->params[0] };
    if (db_read(s->db, get, &call, err)) return -1;
    reply->body = image_json(&call.row);
    snprintf(reply->etag, sizeof reply->etag, "%s", call.row.digest);
    return 0;
}

int image_manifest(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct store *s = ctx;
    struct get_call call = { .caller = access_caller(req), .key = req->params[0],
                             .with_manifest = true };
    if (!sha256_text_valid(call.key))
        return err_set(err, ERR_INVALID, "%.80s is no digest of 64 hexadecimal digits", call.key);
    if (db_read(s->db, get, &call, err)) return -1;
    reply->text = call.manifest;
    reply->text_length = strlen(call.manifest);
    reply->content_type = "application/json";
    snprintf(reply->etag, sizeof reply->etag, "%s", call.row.digest);
    return 0;
}

/* --- listing --- */

struct list_call {
    struct caller caller;
    const char *kind;
    char after[64];
    int64_t limit;
    json *items;
    char last[64];
    bool more;
};

static bool add(void *ctx, const struct image_row *row) {
    struct list_call *call = ctx;
    if ((int64_t)json_length(call->items) == call->limit) {
        call->more = true;
        return false;
    }
    json_add(call->items, image_json(row));
    snprintf(call->last, sizeof call->last, "%s", row->name);
    return true;
}

static int list(struct db_conn *c, void *arg, struct err *err) {
    struct list_call *call = arg;
    return image_db_list(c, &call->caller, call->after, call->kind, add, call, err);
}

static int read_cursor(const struct http_request *req, char ret[64], struct err *err) {
    const char *cursor = http_query(req, "cursor");
    if (!cursor) return 0;
    size_t length = 0;
    AUTO_FREE uint8_t *name = base64url_decode(cursor, &length);
    if (!name || length == 0 || length > 63 || memchr(name, 0, length)) {
        err_set(err, ERR_INVALID, "the cursor is not one of ours");
        return err_remedy(err, "give back `next` of the page before as it is");
    }
    memcpy(ret, name, length);
    ret[length] = '\0';
    return 0;
}

int image_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err) {
    struct store *s = ctx;
    enum manifest_kind kind;
    struct list_call call = { .caller = access_caller(req), .kind = http_query(req, "kind") };
    if (call.kind && manifest_kind_parse(call.kind, &kind, err)) return -1;
    if (read_cursor(req, call.after, err)) return -1;
    if (http_query_int(req, "limit", 1, PAGE_LIMIT_MAX, 100, &call.limit, err)) return -1;
    AUTO_JSON json *items = call.items = json_array();
    if (db_read(s->db, list, &call, err)) return -1;
    reply->body = json_set(json_object(), "items", STEAL(items));
    if (call.more) {
        AUTO_FREE char *next = base64url_encode(call.last, strlen(call.last));
        json_set_str(reply->body, "next", next);
    }
    return 0;
}

/* --- deleting --- */

struct delete_call {
    const struct http_request *req;
    struct get_call get;
};

static int delete(struct db_conn *c, void *arg, struct err *err) {
    struct delete_call *call = arg;
    if (get(c, &call->get, err)) return -1;
    if (image_check_owner(&call->get.caller, &call->get.row, err)) return -1;
    if (image_if_match(call->req, call->get.row.digest) == 0) {
        err_set(err, ERR_PRECONDITION, "image %s has digest %s now", call->get.row.name,
                call->get.row.digest);
        return err_remedy(err, "read it again, and decide again");
    }
    return image_db_delete(c, call->get.row.id, clock_wall_ms(), err);
}

int image_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct store *s = ctx;
    struct delete_call call = { req, { .caller = access_caller(req), .key = req->params[0] } };
    if (db_write(s->db, delete, &call, err)) return -1;
    log_info("image deleted", "image=%s digest=%s by=%s", call.get.row.name, call.get.row.digest,
             req->peer->urn);
    reply->status = 204;
    return 0;
}
