#include "state_db.h"

#include "common/mem.h"

#include <stdio.h>

#define COLUMNS \
    "id, digest, sliver, epoch, owner, node, size_bytes, stored_bytes, created_ms, uploaded_ms "

static const char SQL_FIND[] = "SELECT " COLUMNS "FROM states WHERE digest = ?";
static const char SQL_MANIFEST[] = "SELECT manifest FROM states WHERE id = ?";
static const char SQL_LIST[] =
    "SELECT " COLUMNS "FROM states WHERE digest > ? AND (? = '' OR sliver = ?) ORDER BY digest";
static const char SQL_INSERT[] =
    "INSERT INTO states (digest, sliver, epoch, owner, node, size_bytes, stored_bytes, created_ms, "
    " uploaded_ms, manifest) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)";
static const char SQL_NEED[] =
    "INSERT INTO state_chunks (state_id, chunk_id) VALUES (?, ?) "
    "ON CONFLICT (state_id, chunk_id) DO NOTHING";
static const char SQL_SUM[] =
    "SELECT COALESCE(SUM(stored_bytes), 0) AS bytes FROM chunks "
    "WHERE id IN (SELECT chunk_id FROM state_chunks WHERE state_id = ?)";
static const char SQL_SET_STORED[] = "UPDATE states SET stored_bytes = ? WHERE id = ?";
static const char SQL_LET_GO[] =
    "UPDATE chunks SET touched_ms = ? WHERE id IN "
    " (SELECT chunk_id FROM state_chunks WHERE state_id = ?)";
static const char SQL_FREE_CHUNKS[] = "DELETE FROM state_chunks WHERE state_id = ?";
static const char SQL_DELETE[] = "DELETE FROM states WHERE id = ?";

static void copy(char *to, size_t size, struct db_stmt *s, const char *column) {
    const char *text = db_text(s, column);
    snprintf(to, size, "%s", text ? text : "");
}

static void read_row(struct db_stmt *s, struct state_row *row) {
    *row = (struct state_row){
        .id = db_int(s, "id"),
        .epoch = db_int(s, "epoch"),
        .size_bytes = db_int(s, "size_bytes"),
        .stored_bytes = db_int(s, "stored_bytes"),
        .created_ms = db_int(s, "created_ms"),
        .uploaded_ms = db_int(s, "uploaded_ms"),
    };
    copy(row->digest, sizeof row->digest, s, "digest");
    copy(row->sliver, sizeof row->sliver, s, "sliver");
    copy(row->owner, sizeof row->owner, s, "owner");
    copy(row->node, sizeof row->node, s, "node");
}

int state_db_find(struct db_conn *c, const char *digest, struct state_row *ret, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_FIND, "s", digest);
    if (!s) return -1;
    int found = db_step(s, err);
    if (found == 1) read_row(s, ret);
    return found;
}

char *state_db_manifest(struct db_conn *c, int64_t id, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_MANIFEST, "i", id);
    if (!s) return NULL;
    int found = db_step(s, err);
    if (found == 0) err_set(err, ERR_NOT_FOUND, "the state is gone");
    return found == 1 ? xstrdup(db_text(s, "manifest")) : NULL;
}

int state_db_list(struct db_conn *c, const char *after, const char *sliver,
                  bool (*fn)(void *ctx, const struct state_row *row), void *ctx, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_LIST, "sss", after, sliver, sliver);
    if (!s) return -1;
    int more;
    struct state_row row;
    while ((more = db_step(s, err)) == 1) {
        read_row(s, &row);
        if (!fn(ctx, &row)) return 0;
    }
    return more;
}

int state_db_insert(struct db_conn *c, struct state_row *row, const char *manifest,
                    struct err *err) {
    if (db_exec(c, NULL, err, SQL_INSERT, "ssissiiis", row->digest, row->sliver, row->epoch,
                row->owner, row->node, row->size_bytes, row->created_ms, row->uploaded_ms,
                manifest))
        return -1;
    row->id = db_last_rowid(c);
    return 0;
}

int state_db_need_chunk(struct db_conn *c, int64_t state_id, int64_t chunk_id, struct err *err) {
    return db_exec(c, NULL, err, SQL_NEED, "ii", state_id, chunk_id);
}

static int sum(struct db_conn *c, struct state_row *row, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_SUM, "i", row->id);
    if (!s || db_step(s, err) != 1) return -1;
    row->stored_bytes = db_int(s, "bytes");
    return 0;
}

int state_db_sum_up(struct db_conn *c, struct state_row *row, struct err *err) {
    if (sum(c, row, err)) return -1;
    return db_exec(c, NULL, err, SQL_SET_STORED, "ii", row->stored_bytes, row->id);
}

int state_db_delete(struct db_conn *c, int64_t id, int64_t now_ms, struct err *err) {
    if (db_exec(c, NULL, err, SQL_LET_GO, "ii", now_ms, id)) return -1;
    if (db_exec(c, NULL, err, SQL_FREE_CHUNKS, "i", id)) return -1;
    return db_exec(c, NULL, err, SQL_DELETE, "i", id);
}
