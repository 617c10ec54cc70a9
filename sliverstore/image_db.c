#include "image_db.h"

#include <stdio.h>

#define COLUMNS \
    "id, name, digest, owner, public, kind, format, virtual_size_bytes, size_bytes, " \
    "stored_bytes, created_ms, uploaded_ms "

static const char SQL_BY_NAME[] = "SELECT " COLUMNS "FROM images WHERE name = ?";
static const char SQL_BY_DIGEST[] = "SELECT " COLUMNS "FROM images WHERE digest = ?";
static const char SQL_MANIFEST[] = "SELECT manifest FROM images WHERE id = ?";
static const char SQL_LIST[] =
    "SELECT " COLUMNS "FROM images WHERE name > ? AND (? = 1 OR public = 1 OR owner = ?) "
    " AND (? = '' OR kind = ?) ORDER BY name";
static const char SQL_INSERT[] =
    "INSERT INTO images (name, digest, owner, public, kind, format, virtual_size_bytes, "
    " size_bytes, stored_bytes, created_ms, uploaded_ms, manifest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)";
static const char SQL_NEED[] =
    "INSERT INTO image_chunks (image_id, chunk_id) VALUES (?, ?) "
    "ON CONFLICT (image_id, chunk_id) DO NOTHING";
static const char SQL_SUM[] =
    "SELECT COALESCE(SUM(stored_bytes), 0) AS bytes FROM chunks "
    "WHERE id IN (SELECT chunk_id FROM image_chunks WHERE image_id = ?)";
static const char SQL_SET_STORED[] = "UPDATE images SET stored_bytes = ? WHERE id = ?";
static const char SQL_SET_PUBLIC[] = "UPDATE images SET public = ? WHERE id = ?";
static const char SQL_LET_GO[] =
    "UPDATE chunks SET touched_ms = ? WHERE id IN "
    " (SELECT chunk_id FROM image_chunks WHERE image_id = ?)";
static const char SQL_FREE_CHUNKS[] = "DELETE FROM image_chunks WHERE image_id = ?";
static const char SQL_DELETE[] = "DELETE FROM images WHERE id = ?";

static void copy(char *to, size_t size, struct db_stmt *s, const char *column) {
    const char *text = db_text(s, column);
    snprintf(to, size, "%s", text ? text : "");
}

static void read_row(struct db_stmt *s, struct image_row *row) {
    *row = (struct image_row){
        .id = db_int(s, "id"),
        .is_public = db_int(s, "public") != 0,
        .virtual_size_bytes = db_int(s, "virtual_size_bytes"),
        .size_bytes = db_int(s, "size_bytes"),
        .stored_bytes = db_int(s, "stored_bytes"),
        .created_ms = db_int(s, "created_ms"),
        .uploaded_ms = db_int(s, "uploaded_ms"),
    };
    copy(row->name, sizeof row->name, s, "name");
    copy(row->digest, sizeof row->digest, s, "digest");
    copy(row->owner, sizeof row->owner, s, "owner");
    copy(row->kind, sizeof row->kind, s, "kind");
    copy(row->format, sizeof row->format, s, "format");
}

int image_db_find(struct db_conn *c, const char *key, struct image_row *ret, struct err *err) {
    const char *sql = sha256_text_valid(key) ? SQL_BY_DIGEST : SQL_BY_NAME;
    AUTO_STMT struct db_stmt *s = db_query(c, err, sql, "s", key);
    if (!s) return -1;
    int found = db_step(s, err);
    if (found == 1) read_row(s, ret);
    return found;
}

char *image_db_manifest(struct db_conn *c, int64_t id, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_MANIFEST, "i", id);
    if (!s) return NULL;
    int found = db_step(s, err);
    if (found == 0) err_set(err, ERR_NOT_FOUND, "the image is gone");
    return found == 1 ? xstrdup(db_text(s, "manifest")) : NULL;
}

int image_db_list(struct db_conn *c, const struct caller *caller, const char *after,
                  const char *kind, bool (*fn)(void *ctx, const struct image_row *row), void *ctx,
                  struct err *err) {
    const char *only = kind ? kind : "";
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_LIST, "sisss", after,
                                           (int64_t)caller->reads_all, caller->urn, only, only);
    if (!s) return -1;
    int more;
    struct image_row row;
    while ((more = db_step(s, err)) == 1) {
        read_row(s, &row);
        if (!fn(ctx, &row)) return 0;
    }
    return more;
}

int image_db_insert(struct db_conn *c, struct image_row *row, const char *manifest,
                    struct err *err) {
    if (db_exec(c, NULL, err, SQL_INSERT, "sssissiiiis", row->name, row->digest, row->owner,
                (int64_t)row->is_public, row->kind, row->format, row->virtual_size_bytes,
                row->size_bytes, row->created_ms, row->uploaded_ms, manifest))
        return -1;
    row->id = db_last_rowid(c);
    return 0;
}

int image_db_need_chunk(struct db_conn *c, int64_t image_id, int64_t chunk_id, struct err *err) {
    return db_exec(c, NULL, err, SQL_NEED, "ii", image_id, chunk_id);
}

static int sum(struct db_conn *c, struct image_row *row, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_SUM, "i", row->id);
    if (!s || db_step(s, err) != 1) return -1;
    row->stored_bytes = db_int(s, "bytes");
    return 0;
}

int image_db_sum_up(struct db_conn *c, struct image_row *row, struct err *err) {
    if (sum(c, row, err)) return -1;
    return db_exec(c, NULL, err, SQL_SET_STORED, "ii", row->stored_bytes, row->id);
}

int image_db_set_public(struct db_conn *c, int64_t id, bool is_public, struct err *err) {
    return db_exec(c, NULL, err, SQL_SET_PUBLIC, "ii", (int64_t)is_public, id);
}

int image_db_delete(struct db_conn *c, int64_t id, int64_t now_ms, struct err *err) {
    if (db_exec(c, NULL, err, SQL_LET_GO, "ii", now_ms, id)) return -1;
    if (db_exec(c, NULL, err, SQL_FREE_CHUNKS, "i", id)) return -1;
    return db_exec(c, NULL, err, SQL_DELETE, "i", id);
}
