#include "collect.h"

#include "chunk_db.h"
#include "chunk_files.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/mem.h"

#include <inttypes.h>
#include <malloc.h>
#include <time.h>

LOG_MODULE("ss.collect");

#define BATCH_CHUNKS 500 /* rows of one transaction, so that uploads wait little */
#define ANSWER_MS 800
#define ROUND_MS INT64_C(3600000)
#define TIDY_S 20

static const char SQL_SHRINK[] = "PRAGMA shrink_memory";

struct collector {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock;  /* of stop */
    pthread_cond_t wake;   /* on the monotonic clock */
    bool stop;
    pthread_mutex_t walk;  /* one walk at a time; guards stripes_left */
    unsigned stripes_left; /* of the round that a budget interrupted; 0: begin a new one */
};

/* One transaction's worth. */
struct batch {
    unsigned stripe;
    int64_t before_ms;
    bool remove;
    size_t count;
    int64_t bytes;
    char digests[BATCH_CHUNKS][SHA256_TEXT_BYTES];
};

static void add(void *ctx, const char *digest, int64_t bytes) {
    struct batch *b = ctx;
    memcpy(b->digests[b->count++], digest, SHA256_TEXT_BYTES);
    b->bytes += bytes;
}

static int find(struct db_conn *c, void *arg, struct err *err) {
    struct batch *b = arg;
    b->count = 0;
    b->bytes = 0;
    return chunk_db_unneeded(c, b->stripe, b->before_ms, BATCH_CHUNKS, b->remove, add, b, err);
}

static int expire(struct db_conn *c, void *arg, struct err *err) {
    return chunk_db_expire_claims(c, *(int64_t *)arg, err);
}

/* 1: a full batch was removed, there may be more; 0: done; -1: error. */
static int remove_batch(struct store *s, struct batch *b, struct collect_result *sum,
                        struct err *err) {
    WITH_LOCK(&s->stripes[b->stripe]);
    if (db_write(s->db, find, b, err)) return -1;
    for (size_t i = 0; i < b->count; i++) chunk_files_remove(s, b->digests[i]);
    sum->chunks += (int64_t)b->count;
    sum->bytes += b->bytes;
    return b->count == BATCH_CHUNKS;
}

/* --- files without rows --- */

struct orphans {
    struct store *store;
    struct db_conn *conn;
    unsigned stripe;
    int64_t removed;
    int failed;
};

static void remove_if_orphan(void *ctx, const char *name) {
    struct orphans *o = ctx;
    static const struct caller nobody = { "", false, false };
    uint8_t digest[SHA256_BYTES];
    struct chunk_row row;
    if (!sha256_text_valid(name) || hex_parse(name, digest, SHA256_BYTES)) return;
    int found = chunk_db_find(o->conn, digest, &nobody, &row, NULL);
    if (found < 0) o->failed = -1;
    if (found != 0) return;
    chunk_files_remove(o->store, name);
    o->removed++;
}

static int walk_files(struct db_conn *c, void *arg, struct err *err) {
    struct orphans *o = arg;
    o->conn = c;
    return chunk_files_each(o->store, o->stripe, remove_if_orphan, o, err);
}

static int remove_orphans(struct store *s, unsigned stripe, struct collect_result *sum,
                          struct err *err) {
    struct orphans o = { .store = s, .stripe = stripe };
    WITH_LOCK(&s->stripes[stripe]);
    if (db_read(s->db, walk_files, &o, err)) return -1;
    sum->orphans += o.removed;
    return o.failed;
}

/* --- the walk --- */

static int collect_stripe(struct store *s, unsigned stripe, int64_t before_ms,
                          struct collect_result *sum, struct err *err) {
    AUTO_FREE struct batch *b = xcalloc(1, sizeof *b);
    b->stripe = stripe;
    b->before_ms = before_ms;
    b->remove = true;
    int more;
    while ((more = remove_batch(s, b, sum, err)) == 1) {}
    return more ? -1 : remove_orphans(s, stripe, sum, err);
}

struct dry_run {
    int64_t before_ms;
    struct collect_result *sum;
};

static void count(void *ctx, const char *digest, int64_t bytes) {
    struct dry_run *d = ctx;
    (void)digest;
    d->sum->chunks++;
    d->sum->bytes += bytes;
}

static int count_all(struct db_conn *c, void *arg, struct err *err) {
    struct dry_run *d = arg;
    for (unsigned i = 0; i < STORE_STRIPES; i++)
        if (chunk_db_unneeded(c, i, d->before_ms, 1 << 16, false, count, d, err)) return -1;
    return 0;
}

static bool stopping(struct collector *c) {
    WITH_LOCK(&c->lock);
    return c->stop;
}

static int walk(struct store *s, int64_t before_ms, int64_t budget_ms, struct collect_result *sum,
                struct err *err) {
    struct collector *c = s->collector;
    int64_t end_ms = clock_monotonic_ms() + budget_ms;
    WITH_LOCK(&c->walk);
    if (db_write(s->db, expire, &before_ms, err)) return -1;
    if (c->stripes_left == 0) c->stripes_left = STORE_STRIPES;
    do {
        if (collect_stripe(s, c->stripes_left - 1, before_ms, sum, err)) return -1;
        c->stripes_left--;
    } while (c->stripes_left > 0 && clock_monotonic_ms() < end_ms && !stopping(c));
    sum->complete = c->stripes_left == 0;
    return 0;
}

int collect_run(struct store *s, bool dry_run, int64_t budget_ms, struct collect_result *ret,
                struct err *err) {
    struct collect_result sum = { 0 };
    /* Untouched since *before* that instant; with no grace at all, up to now. */
    int64_t before_ms = clock_wall_ms() - s->config->grace_s * 1000 + 1;
    struct dry_run d = { before_ms, &sum };
    if (dry_run ? db_read(s->db, count_all, &d, err) : walk(s, before_ms, budget_ms, &sum, err))
        return err_wrap(err, "collect");
    if (dry_run) sum.complete = true;
    if (!dry_run && (sum.chunks || sum.orphans))
        log_info("chunks removed", "chunks=%" PRId64 " bytes=%" PRId64 " orphans=%" PRId64,
                 sum.chunks, sum.bytes, sum.orphans);
    *ret = sum;
    return 0;
}

int collect_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct collect_result r;
    bool dry_run = json_get_bool(req->body, "dry_run", false);
    if (collect_run(ctx, dry_run, ANSWER_MS, &r, err)) return -1;
    reply->body = json_set_bool(json_object(), "dry_run", dry_run);
    json_set_int(reply->body, "chunks", r.chunks);
    json_set_int(reply->body, "bytes", r.bytes);
    json_set_int(reply->body, "orphans", r.orphans);
    json_set_bool(reply->body, "complete", r.complete);
    return 0;
}

/* --- the thread --- */

/* Waits so long; true when it is time to end. */
static bool wait_s(struct collector *c, int64_t seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    WITH_LOCK(&c->lock);
    while (!c->stop && pthread_cond_timedwait(&c->wake, &c->lock, &until) == 0) {}
    return c->stop;
}

static int shrink(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    return db_exec(c, NULL, err, SQL_SHRINK, "");
}

/* Waits an interval. Meanwhile what a transfer has left in caches is given back when it is over. */
static bool rest(struct collector *c) {
    uint64_t seen = 0;
    for (int64_t left = c->store->config->collect_interval_s; left > 0; left -= TIDY_S) {
        if (wait_s(c, left < TIDY_S ? left : TIDY_S)) return true;
        struct db_stats stats;
        db_stats(c->store->db, &stats);
        if (stats.functions == seen) continue;
        db_write(c->store->db, shrink, NULL, NULL);
        malloc_trim(0);
        db_stats(c->store->db, &stats);
        seen = stats.functions;
    }
    return false;
}

static void *collect_thread(void *arg) {
    struct collector *c = arg;
    while (!rest(c)) {
        struct collect_result r;
        struct err err = ERR_INIT;
        if (collect_run(c->store, false, ROUND_MS, &r, &err))
            log_warn("collection failed", "error=\"%s\"", err.msg);
    }
    return NULL;
}

struct collector *collect_start(struct store *s) {
    struct collector *c = xcalloc(1, sizeof *c);
    pthread_condattr_t attr;
    c->store = s;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->walk, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&c->thread, NULL, collect_thread, c)) abort(); /* no memory for a thread */
    return c;
}

void collect_stop(struct collector *c) {
    if (!c) return;
    {
        WITH_LOCK(&c->lock);
        c->stop = true;
        pthread_cond_signal(&c->wake);
    }
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->walk);
    free(c);
}
