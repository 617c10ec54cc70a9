#include "nodemgr/image_cache.h"

#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/service.h"
#include "nodemgr/image_fetch.h"
#include "nodemgr/waiting.h"

#include <stdio.h>

LOG_MODULE("nm.image");

struct wanted {
    struct wanted *next;
    struct image_cache *cache;
    char digest[SHA256_TEXT_BYTES];
    char *store_url;
    bool running, present;
    int64_t bytes_done, bytes_total;
    struct err err; /* of the last attempt */
};
struct image_cache {
    char *directory;
    struct http_client *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct wanted *first;
    unsigned running;
    bool ending;
};

struct image_cache *image_cache_open(const char *directory, struct http_client *client,
                                     struct err *err) {
    if (dir_make(directory, 0711, err)) return NULL;
    struct image_cache *c = xcalloc(1, sizeof *c);
    c->directory = xstrdup(directory);
    c->client = client;
    pthread_mutex_init(&c->lock, NULL);
    waiting_init(&c->changed);
    return c;
}

void image_cache_close(struct image_cache *c) {
    if (!c) return;
    {
        WITH_LOCK(&c->lock);
        c->ending = true;
        while (c->running > 0) pthread_cond_wait(&c->changed, &c->lock);
    }
    while (c->first) {
        struct wanted *w = c->first;
        c->first = w->next;
        free(w->store_url);
        free(w);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c->directory);
    free(c);
}

static int progress(void *ctx, int64_t done, int64_t total) {
    struct wanted *w = ctx;
    WITH_LOCK(&w->cache->lock);
    w->bytes_done = done;
    w->bytes_total = total;
    return w->cache->ending ? -1 : 0;
}

static void *fetch_main(void *arg) {
    struct wanted *w = arg;
    struct image_cache *c = w->cache;
    struct err err = ERR_INIT;
    int64_t begin = clock_monotonic_ms();
    int failed = image_fetch(c->directory, w->digest, w->store_url, c->client, progress, w, &err);
    if (failed)
        log_warn("image not fetched", "digest=%s cause=\"%s\"", w->digest, err.msg);
    else
        log_info("image fetched", "digest=%s ms=%lld", w->digest,
                 (long long)(clock_monotonic_ms() - begin));
    WITH_LOCK(&c->lock);
    w->present = !failed;
    w->running = false;
    w->err = err;
    c->running--;
    pthread_cond_broadcast(&c->changed);
    return NULL;
}

static bool on_disk(struct image_cache *c, const char *digest, int64_t *ret_bytes) {
    static const char *const formats[] = { "qcow2", "raw" };
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        char *path AUTO_FREE = xasprintf("%s/%s.%s", c->directory, digest, formats[i]);
        if ((*ret_bytes = image_file_bytes(path)) >= 0) return true;
    }
    return false;
}

static struct wanted *find(struct image_cache *c, const char *digest) {
    struct wanted *w = c->first;
    while (w && strcmp(w->digest, digest) != 0) w = w->next;
    if (w) return w;
    w = xcalloc(1, sizeof *w);
    w->cache = c;
    snprintf(w->digest, sizeof w->digest, "%s", digest);
    w->next = c->first;
    return c->first = w;
}

static void start(struct image_cache *c, struct wanted *w, const char *store_url) {
    pthread_t thread;
    pthread_attr_t detached;
    free(w->store_url);
    w->store_url = xstrdup(store_url);
    err_clear(&w->err);
    w->bytes_done = w->bytes_total = 0;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    w->running = pthread_create(&thread, &detached, fetch_main, w) == 0;
    pthread_attr_destroy(&detached);
    if (w->running) c->running++;
    else err_set(&w->err, ERR_UNAVAILABLE, "no thread to fetch an image with");
}

static json *answer(const struct wanted *w) {
    json *out = json_object();
    json_set_str(out, "state", w->present ? "present" : w->running ? "fetching" : "failed");
    json_set_int(out, "bytes_done", w->bytes_done);
    json_set_int(out, "bytes_total", w->bytes_total);
    if (w->present || w->running) return out;
    json *error = json_object();
    json_set_str(error, "code", err_name(w->err.code));
    json_set_str(error, "message", w->err.msg);
    if (*w->err.remedy) json_set_str(error, "remedy", w->err.remedy);
    return json_set(out, "error", error);
}

json *image_cache_want(struct image_cache *c, const char *digest, const char *store_url,
                       int64_t wait_ms, struct err *err) {
    int64_t deadline = clock_monotonic_ms() + wait_ms, bytes;
    if (!sha256_text_valid(digest)) {
        err_set(err, ERR_INVALID, "\"%s\" is no SHA-256", digest);
        return NULL;
    }
    WITH_LOCK(&c->lock);
    struct wanted *w = find(c, digest);
    if (!w->running && (w->present = on_disk(c, digest, &bytes)))
        w->bytes_done = w->bytes_total = bytes;
    if (!w->running && !w->present) start(c, w, store_url);
    while (w->running && !c->ending)
        if (!waiting_until(&c->changed, &c->lock, deadline)) break;
    return answer(w);
}
