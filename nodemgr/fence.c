#include "nodemgr/fence.h"

#define SQL_GET "SELECT epoch, ended FROM fence WHERE sliver = ?"
#define SQL_RAISE \
    "INSERT INTO fence (sliver, epoch) VALUES (?, ?)" \
    " ON CONFLICT (sliver) DO UPDATE SET epoch = max(epoch, excluded.epoch)"
#define SQL_END \
    "INSERT INTO fence (sliver, epoch, ended) VALUES (?, ?, ?)" \
    " ON CONFLICT (sliver) DO UPDATE SET ended = max(ended, excluded.ended)," \
    " epoch = max(epoch, excluded.epoch)"

struct question {
    const char *sliver;
    int64_t epoch;
    bool known; /* out: this very epoch is on disk */
};

static int stale(const struct question *q, int64_t seen, struct err *err) {
    err_set(err, ERR_STALE_EPOCH, "sliver %s has been at epoch %lld here, so %lld is past", q->sliver,
            (long long)seen, (long long)q->epoch);
    return err_remedy(err, "Read the sliver again; what asked for this works from old data.");
}

static int check(struct db_conn *c, void *arg, struct err *err) {
    struct question *q = arg;
    struct db_stmt *s AUTO_STMT = db_query(c, err, SQL_GET, "s", q->sliver);
    int row = s ? db_step(s, err) : -1;
    if (row <= 0) return row;
    int64_t seen = db_int(s, "epoch"), ended = db_int(s, "ended");
    if (q->epoch < seen) return stale(q, seen, err);
    if (q->epoch <= ended) return stale(q, ended, err);
    q->known = q->epoch == seen;
    return 0;
}

static int raise_fn(struct db_conn *c, void *arg, struct err *err) {
    struct question *q = arg;
    if (check(c, q, err)) return -1;
    return db_exec(c, NULL, err, SQL_RAISE, "si", q->sliver, q->epoch);
}

static int end_fn(struct db_conn *c, void *arg, struct err *err) {
    struct question *q = arg;
    return db_exec(c, NULL, err, SQL_END, "sii", q->sliver, q->epoch, q->epoch);
}

int fence_check(struct db *db, const char *sliver, int64_t epoch, struct err *err) {
    struct question q = { sliver, epoch, false };
    return db_read(db, check, &q, err);
}

int fence_raise(struct db *db, const char *sliver, int64_t epoch, struct err *err) {
    struct question q = { sliver, epoch, false };
    if (db_read(db, check, &q, err)) return -1;
    return q.known ? 0 : db_write(db, raise_fn, &q, err);
}

struct lesson {
    const struct fence_mark *marks;
    size_t count;
};

static int learn_fn(struct db_conn *c, void *arg, struct err *err) {
    const struct lesson *l = arg;
    for (size_t i = 0; i < l->count; i++)
        if (db_exec(c, NULL, err, SQL_RAISE, "si", l->marks[i].sliver, l->marks[i].epoch)) return -1;
    return 0;
}

int fence_learn(struct db *db, const struct fence_mark *marks, size_t count, struct err *err) {
    struct lesson l = { marks, count };
    return count ? db_write(db, learn_fn, &l, err) : 0;
}

int fence_end(struct db *db, const char *sliver, int64_t epoch, struct err *err) {
    struct question q = { sliver, epoch, false };
    return db_write(db, end_fn, &q, err);
}
