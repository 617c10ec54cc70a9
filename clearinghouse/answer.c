#include "answer.h"

#include "common/clock.h"
#include "common/digest.h"

#include <inttypes.h>
#include <stdio.h>

json *answer_set_time(json *object, const char *key, int64_t wall_ms) {
    char text[CLOCK_TEXT_BYTES];
    return json_set_str(object, key, clock_rfc3339(wall_ms, text));
}

int answer_with(struct http_reply *reply, unsigned status, json *body, int64_t version) {
    reply->status = status;
    reply->body = body;
    snprintf(reply->etag, sizeof reply->etag, "%" PRId64, version);
    return 0;
}

int answer_check_match(const struct http_request *req, int64_t version, struct err *err) {
    const char *match = http_header(req, "If-Match");
    if (!match || strcmp(match, "*") == 0) return 0;
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%" PRId64 "\"", version);
    if (strcmp(match, quoted) == 0) return 0;
    err_set(err, ERR_PRECONDITION, "it is at version %s now, If-Match says %.32s", quoted, match);
    return err_remedy(err, "Read it again, decide again, and send the new ETag.");
}

int page_begin(const struct http_request *req, struct page *p, struct err *err) {
    memset(p, 0, sizeof *p);
    if (http_query_int(req, "limit", 1, PAGE_LIMIT_MAX, 100, &p->limit, err) != 0) return -1;
    const char *cursor = http_query(req, "cursor");
    if (cursor) {
        size_t length = 0;
        AUTO_FREE uint8_t *key = base64url_decode(cursor, &length);
        if (!key || length == 0 || length >= sizeof p->after || memchr(key, 0, length)) {
            err_set(err, ERR_INVALID, "the cursor is not one of ours");
            return err_remedy(err, "Use `next` of the page before as it is, or none.");
        }
        memcpy(p->after, key, length);
    }
    p->items = json_array();
    return 0;
}

bool page_add(struct page *p, json *item, const char *key) {
    if (json_length(p->items) >= (size_t)p->limit) {
        json_put(item);
        p->more = true;
        return false;
    }
    json_add(p->items, item);
    snprintf(p->last, sizeof p->last, "%s", key);
    return true;
}

int page_end(struct page *p, struct http_reply *reply) {
    reply->body = json_set(json_object(), "items", STEAL(p->items));
    if (p->more) {
        AUTO_FREE char *next = base64url_encode(p->last, strlen(p->last));
        json_set_str(reply->body, "next", next);
    }
    return 0;
}

void page_done(struct page *p) { json_put(p->items); }
