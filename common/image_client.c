#include "image_client_internal.h"

#include "clock.h"
#include "credential.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>

LOG_MODULE("image.client");

#define TRIES 6
#define FIRST_PAUSE_MS 200

/* --- progress --- */

void transfer_init(struct transfer *t, const struct image_transfer *how) {
    *t = (struct transfer){ .how = how };
    pthread_mutex_init(&t->lock, NULL);
}

void transfer_done(struct transfer *t) { pthread_mutex_destroy(&t->lock); }

static bool cancelled(const struct transfer *t) {
    return t->how->cancel && atomic_load(t->how->cancel);
}

int transfer_check(const struct transfer *t, struct err *err) {
    return cancelled(t) ? err_set(err, ERR_CANCELLED, "the transfer was cancelled") : 0;
}

static void tell(struct transfer *t) {
    if (t->how->progress) t->how->progress(t->how->progress_ctx, &t->now);
}

void transfer_phase(struct transfer *t, enum image_phase phase, int64_t total_bytes) {
    WITH_LOCK(&t->lock);
    t->now = (struct image_progress){ phase, 0, total_bytes, t->now.moved_bytes };
    tell(t);
}

void transfer_advance(struct transfer *t, int64_t done_bytes, int64_t moved_bytes) {
    WITH_LOCK(&t->lock);
    t->now.done_bytes += done_bytes;
    t->now.moved_bytes += moved_bytes;
    tell(t);
}

/* --- workers --- */

struct crew {
    struct transfer *transfer;
    int (*fn)(void *ctx, size_t index, struct scratch *s, struct err *err);
    void *ctx;
    const char *request_id;
    pthread_mutex_t lock; /* of what follows */
    size_t next, count;
    bool failed;
    struct err err;
};

static bool take(struct crew *c, size_t *ret_index) {
    WITH_LOCK(&c->lock);
    if (c->failed || c->next == c->count) return false;
    *ret_index = c->next++;
    return true;
}

static void give_up(struct crew *c, const struct err *err) {
    WITH_LOCK(&c->lock);
    if (!c->failed) c->err = *err;
    c->failed = true;
}

static void *work(void *arg) {
    struct crew *c = arg;
    AUTO_FREE struct scratch *s = xmalloc(sizeof *s);
    size_t index;
    log_set_request_id(c->request_id);
    while (take(c, &index)) {
        struct err err = ERR_INIT;
        if (transfer_check(c->transfer, &err) || c->fn(c->ctx, index, s, &err)) give_up(c, &err);
    }
    return NULL;
}

static unsigned crew_size(const struct transfer *t, size_t count) {
    unsigned n = t->how->connections ? t->how->connections : IMAGE_CONNECTIONS_DEFAULT;
    if (n > IMAGE_CONNECTIONS_MAX) n = IMAGE_CONNECTIONS_MAX;
    return n < count ? n : (unsigned)count;
}

int transfer_work(struct transfer *t, size_t count,
                  int (*fn)(void *ctx, size_t index, struct scratch *s, struct err *err),
                  void *ctx, struct err *err) {
    char request_id[64];
    snprintf(request_id, sizeof request_id, "%s", log_request_id());
    struct crew c = { .transfer = t, .fn = fn, .ctx = ctx, .request_id = request_id,
                      .count = count };
    pthread_t threads[IMAGE_CONNECTIONS_MAX];
    unsigned started = 0, wanted = crew_size(t, count);
    pthread_mutex_init(&c.lock, NULL);
    /* This thread is one of them, so that the work is done even where no thread can be had. */
    while (started + 1 < wanted && !pthread_create(&threads[started], NULL, work, &c)) started++;
    work(&c);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&c.lock);
    if (!c.failed) return 0;
    if (err) *err = c.err;
    return -1;
}

/* --- calls --- */

static bool may_pass(const struct err *err) {
    return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_BUSY;
}

/* Sleeps in steps, so that a cancellation is noticed. */
static void pause_ms(const struct transfer *t, int64_t ms) {
    for (; ms > 0 && !cancelled(t); ms -= 50) clock_sleep_ms(ms < 50 ? ms : 50);
}

int transfer_call(struct transfer *t, struct http_call *call, const char *path,
                  const char *header, struct http_answer *ret, struct err *err) {
    AUTO_FREE char *url = xasprintf("%s%s", t->how->store_url, path);
    AUTO_FREE char *credential =
        t->how->credential ? xasprintf(CREDENTIAL_HEADER ": %s", t->how->credential) : NULL;
    const char *headers[] = { credential ? credential : header, credential ? header : NULL, NULL };
    struct err mine = ERR_INIT;
    call->url = url;
    call->peer_urn = t->how->peer_urn;
    call->headers = headers;
    call->cancel = t->how->cancel;
    for (int try = 1;; try++) {
        if (transfer_check(t, err)) return -1;
        if (http_call(t->how->client, call, ret, &mine) == 0) return 0;
        http_answer_done(ret);
        *ret = (struct http_answer){ 0 };
        if (!may_pass(&mine) || try == TRIES) break;
        log_info("trying again", "path=%s try=%d error=\"%s\"", path, try, mine.msg);
        pause_ms(t, (int64_t)FIRST_PAUSE_MS << (try - 1));
    }
    if (err) *err = mine;
    return -1;
}

int transfer_read(int fd, void *to, size_t length, int64_t offset, struct err *err) {
    for (size_t done = 0; done < length;) {
        ssize_t n = pread(fd, (uint8_t *)to + done, length - done, offset + (int64_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read the image");
        if (n == 0) return err_set(err, ERR_CONFLICT, "the image became shorter meanwhile");
        done += (size_t)n;
    }
    return 0;
}

/* --- distinct chunks --- */

static int compare(const void *a, const void *b) {
    const struct occurrence *x = a, *y = b;
    int order = memcmp(x->digest, y->digest, SHA256_BYTES);
    return order ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

void distinct_init(struct distinct *d, const struct manifest *m) {
    *d = (struct distinct){ 0 };
    d->all = xcalloc(m->chunk_count + 1, sizeof *d->all);
    d->first = xcalloc(m->chunk_count + 1, sizeof *d->first);
    for (size_t i = 0; i < m->chunk_count; i++) {
        const struct manifest_chunk *c = &m->chunks[i];
        if (c->zero) continue;
        struct occurrence *o = &d->all[d->all_count++];
        memcpy(o->digest, c->digest, SHA256_BYTES);
        o->offset = c->offset;
        o->size = (size_t)c->size;
    }
    qsort(d->all, d->all_count, sizeof *d->all, compare);
    for (size_t i = 0; i < d->all_count; i++)
        if (i == 0 || memcmp(d->all[i - 1].digest, d->all[i].digest, SHA256_BYTES))
            d->first[d->count++] = i;
    d->first[d->count] = d->all_count;
}

ssize_t distinct_find(const struct distinct *d, const uint8_t digest[SHA256_BYTES]) {
    size_t low = 0, high = d->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = memcmp(digest, d->all[d->first[middle]].digest, SHA256_BYTES);
        if (order == 0) return (ssize_t)middle;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return -1;
}

void distinct_done(struct distinct *d) {
    free(d->all);
    free(d->first);
    *d = (struct distinct){ 0 };
}
