#include "event.h"

#include "access.h"
#include "common/clock.h"
#include "slice.h"

#include <errno.h>
#include <time.h>

static const char SQL_ADD[] =
    "INSERT INTO event (time_ms, kind, slice, data) VALUES (?, ?, ?, ?)";
static const char SQL_TRIM[] = "DELETE FROM event WHERE id <= ?";
static const char SQL_AFTER[] =
    "SELECT id, time_ms, kind, data FROM event"
    " WHERE id > ? AND (?2 IS NULL OR slice = ?2) ORDER BY id LIMIT 50";
static const char SQL_LAST[] = "SELECT COALESCE(MAX(id), 0) AS id FROM event";

struct events {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    uint64_t count;
};

struct events *events_new(void) {
    struct events *e = xcalloc(1, sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->woken, &attr);
    pthread_condattr_destroy(&attr);
    return e;
}

void events_free(struct events *e) {
    if (!e) return;
    pthread_cond_destroy(&e->woken);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

int event_add(struct db_conn *c, const char *kind, const char *slice, json *data,
              struct err *err) {
    json *owned AUTO_JSON = data;
    char *text AUTO_FREE = json_text(owned);
    if (db_exec(c, NULL, err, SQL_ADD, "isss", clock_wall_ms(), kind, slice, text)) return -1;
    int64_t id = db_last_rowid(c);
    if (id % 1000 == 0 && id > EVENTS_KEPT)
        return db_exec(c, NULL, err, SQL_TRIM, "i", id - EVENTS_KEPT);
    return 0;
}

void events_wake(struct events *e) {
    WITH_LOCK(&e->lock);
    e->count++;
    pthread_cond_broadcast(&e->woken);
}

uint64_t events_wait(struct events *e, uint64_t seen, int64_t timeout_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    WITH_LOCK(&e->lock);
    while (e->count == seen)
        if (pthread_cond_timedwait(&e->woken, &e->lock, &until) == ETIMEDOUT) break;
    return e->count;
}

/* --- the stream --- */
struct stream {
    struct aggregate *am;
    char slice[40]; /* "" for all */
    int64_t after;
    uint64_t seen;
    struct buf pending;
    size_t sent;
    int idle; /* waits without anything to say */
};

static int read_more(struct db_conn *c, void *arg, struct err *err) {
    struct stream *s = arg;
    struct db_stmt *q AUTO_STMT =
        db_query(c, err, SQL_AFTER, "is", s->after, s->slice[0] ? s->slice : NULL);
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        s->after = db_int(q, "id");
        char when[CLOCK_TEXT_BYTES];
        json *data AUTO_JSON = json_parse(db_text(q, "data"), strlen(db_text(q, "data")), NULL);
        json *event AUTO_JSON = json_object();
        json_set_str(event, "time", clock_rfc3339(db_int(q, "time_ms"), when));
        json_set_str(event, "kind", db_text(q, "kind"));
        json_set(event, "data", STEAL(data));
        char *text AUTO_FREE = json_text(event);
        buf_printf(&s->pending, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)s->after,
                   db_text(q, "kind"), text);
    }
    return rc;
}

static int64_t stream_next(void *ctx, char *data, size_t size) {
    struct stream *s = ctx;
    if (s->am->stopping) return 0;
    if (s->sent == s->pending.length) {
        s->pending.length = s->sent = 0;
        uint64_t seen = s->seen;
        if (db_read(s->am->db, read_more, s, NULL)) return -1;
        if (!s->pending.length) {
            s->seen = events_wait(s->am->events, seen, 500);
            if (s->seen != seen && db_read(s->am->db, read_more, s, NULL)) return -1;
        }
        if (!s->pending.length) {
            if (++s->idle < 20) return HTTP_STREAM_AGAIN;
            buf_puts(&s->pending, ": still here\n\n"); /* so that a dead client is noticed */
        }
        s->idle = 0;
    }
    size_t n = s->pending.length - s->sent;
    if (n > size) n = size;
    memcpy(data, s->pending.data + s->sent, n);
    s->sent += n;
    return (int64_t)n;
}

static void stream_free(void *ctx) {
    struct stream *s = ctx;
    buf_done(&s->pending);
    free(s);
}

static int read_last(struct db_conn *c, void *arg, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_LAST, "");
    if (!q || db_step(q, err) < 0) return -1;
    *(int64_t *)arg = db_int(q, "id");
    return 0;
}

int event_stream(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct aggregate *am = ctx;
    struct stream *s = xcalloc(1, sizeof *s);
    s->am = am;
    reply->stream_ctx = s;
    reply->stream_free = stream_free;
    const char *slice = http_query(req, "slice");
    if (!slice && !(req->roles & ROLE_OPERATOR)) {
        err_set(err, ERR_FORBIDDEN, "events of the whole aggregate are for operators");
        return err_remedy(err, "ask for one slice: /v1/events?slice=project:name");
    }
    struct slice_row row;
    if (slice) {
        char urn[256];
        if (access_slice_urn(am, slice, urn, err) ||
            access_slice(am, req, urn, PRIV_INFO, NULL, err) || slice_find(am, urn, &row, err))
            return -1;
        memcpy(s->slice, row.id, sizeof row.id);
    }
    const char *last = http_header(req, "Last-Event-ID");
    if (last) s->after = strtoll(last, NULL, 10);
    else if (http_query(req, "after")) s->after = strtoll(http_query(req, "after"), NULL, 10);
    else if (db_read(am->db, read_last, &s->after, err)) return -1;
    reply->content_type = "text/event-stream";
    reply->stream = stream_next;
    return 0;
}
