/*
 * What handlers share: times in JSON, pages of lists, ETags.
 */
#ifndef JOGAK_CLEARINGHOUSE_ANSWER_H
#define JOGAK_CLEARINGHOUSE_ANSWER_H

#include "common/http.h"

/* Sets a member to RFC 3339 text. Returns the object. */
json *answer_set_time(json *object, const char *key, int64_t wall_ms);

/* The reply's body becomes `body` (taken), its ETag the version. Returns 0. */
int answer_with(struct http_reply *reply, unsigned status, json *body, int64_t version);

/* If-Match, when the request has one, must name this version ("*" names any). ERR_PRECONDITION. */
int answer_check_match(const struct http_request *req, int64_t version, struct err *err);

/* A page of a list: ?limit= (1 to 1000, default 100) and ?cursor=, the key after which it begins.
 */
#define PAGE_LIMIT_MAX 1000
struct page {
    int64_t limit;
    char after[96]; /* "" for the first page */
    json *items;    /* array; the database function adds to it */
    char last[96];  /* key of the last item */
    bool more;
};
int page_begin(const struct http_request *req, struct page *p, struct err *err);
/* Adds an item (taken) whose key is `key`. False when the page is full: stop (item is dropped). */
bool page_add(struct page *p, json *item, const char *key);
/* {items, next?} becomes the reply. Returns 0. */
int page_end(struct page *p, struct http_reply *reply);
void page_done(struct page *p);
#define AUTO_PAGE CLEANUP(page_done)

#endif
