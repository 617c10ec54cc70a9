#include "chunk_db.h"

#include "common/mem.h"

#include <inttypes.h>

static const char SQL_FIND[] =
    "SELECT id, size_bytes, stored_bytes, damaged, "
    " CASE WHEN ? = 1 THEN 1 "
    "  WHEN EXISTS (SELECT 1 FROM claims WHERE chunk_id = chunks.id AND owner = ?) THEN 1 "
    "  WHEN EXISTS (SELECT 1 FROM image_chunks JOIN images ON images.id = image_id "
    "   WHERE chunk_id = chunks.id AND (public = 1 OR images.owner = ?)) THEN 1 "
    "  ELSE 0 END AS readable "
    "FROM chunks WHERE digest = ?";
static const char SQL_INSERT[] =
    "INSERT INTO chunks (digest, size_bytes, stored_bytes, damaged, touched_ms) "
    "VALUES (?, ?, ?, 0, ?) ON CONFLICT (digest) DO UPDATE SET damaged = 0, "
    " stored_bytes = excluded.stored_bytes, touched_ms = excluded.touched_ms";
static const char SQL_DAMAGED[] = "UPDATE chunks SET damaged = 1 WHERE digest = ?";
static const char SQL_CLAIM[] =
    "INSERT INTO claims (owner, chunk_id, touched_ms) SELECT ?, id, ? FROM chunks WHERE digest = ? "
    "ON CONFLICT (owner, chunk_id) DO NOTHING";
static const char SQL_TOUCH_CLAIM[] =
    "UPDATE claims SET touched_ms = ? WHERE owner = ? AND chunk_id = ? AND touched_ms < ?";
static const char SQL_COUNT_CLAIM[] =
    "INSERT INTO owners (owner, claimed_bytes) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET "
    " claimed_bytes = owners.claimed_bytes + excluded.claimed_bytes";
#define CLAIMED \
    "SELECT COALESCE(SUM(stored_bytes), 0) AS bytes FROM claims " \
    "JOIN chunks ON chunks.id = claims.chunk_id WHERE owner = ? AND claims.chunk_id IN "
#define DROP_CLAIMS "DELETE FROM claims WHERE owner = ? AND chunk_id IN "
static const char SQL_CLAIMED_OF_IMAGE[] =
    CLAIMED "(SELECT chunk_id FROM image_chunks WHERE image_id = ?)";
static const char SQL_DROP_CLAIMS_OF_IMAGE[] =
    DROP_CLAIMS "(SELECT chunk_id FROM image_chunks WHERE image_id = ?)";
static const char SQL_CLAIMED_OF_STATE[] =
    CLAIMED "(SELECT chunk_id FROM state_chunks WHERE state_id = ?)";
static const char SQL_DROP_CLAIMS_OF_STATE[] =
    DROP_CLAIMS "(SELECT chunk_id FROM state_chunks WHERE state_id = ?)";
static const char SQL_USED[] =
    "SELECT COALESCE((SELECT claimed_bytes FROM owners WHERE owner = ?), 0) + "
    " COALESCE((SELECT SUM(stored_bytes) FROM images WHERE owner = ?), 0) + "
    " COALESCE((SELECT SUM(stored_bytes) FROM states WHERE owner = ?), 0) AS bytes";
static const char SQL_EXPIRE_CLAIMS[] = "DELETE FROM claims WHERE touched_ms < ?";
static const char SQL_RECOUNT[] =
    "UPDATE owners SET claimed_bytes = (SELECT COALESCE(SUM(stored_bytes), 0) FROM claims "
    " JOIN chunks ON chunks.id = claims.chunk_id WHERE claims.owner = owners.owner)";
static const char SQL_FORGET_OWNERS[] = "DELETE FROM owners WHERE claimed_bytes = 0";
static const char SQL_UNNEEDED[] =
    "SELECT id, digest, stored_bytes FROM chunks "
    "WHERE digest >= ? AND digest < ? AND touched_ms < ? "
    " AND NOT EXISTS (SELECT 1 FROM image_chunks WHERE chunk_id = chunks.id) "
    " AND NOT EXISTS (SELECT 1 FROM state_chunks WHERE chunk_id = chunks.id) "
    " AND NOT EXISTS (SELECT 1 FROM claims WHERE chunk_id = chunks.id AND claims.touched_ms >= ?) "
    "LIMIT ?";
static const char SQL_DELETE[] = "DELETE FROM chunks WHERE id = ?";

int chunk_db_find(struct db_conn *c, const uint8_t digest[SHA256_BYTES],
                  const struct caller *caller, struct chunk_row *ret, struct err *err) {
    AUTO_STMT struct db_stmt *s =
        db_query(c, err, SQL_FIND, "issb", (int64_t)caller->reads_all, caller->urn, caller->urn,
                 (const void *)digest, (size_t)SHA256_BYTES);
    if (!s) return -1;
    int found = db_step(s, err);
    if (found != 1) return found;
    *ret = (struct chunk_row){
        .id = db_int(s, "id"),
        .size_bytes = db_int(s, "size_bytes"),
        .stored_bytes = db_int(s, "stored_bytes"),
        .damaged = db_int(s, "damaged") != 0,
        .readable = db_int(s, "readable") != 0,
    };
    return 1;
}

int chunk_db_used_bytes(struct db_conn *c, const char *urn, int64_t *ret, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, SQL_USED, "sss", urn, urn, urn);
    if (!s || db_step(s, err) != 1) return -1;
    *ret = db_int(s, "bytes");
    return 0;
}

int chunk_db_check_quota(const char *urn, int64_t used_bytes, int64_t quota_bytes,
                         struct err *err) {
    if (used_bytes <= quota_bytes) return 0;
    err_set(err, ERR_TOO_LARGE, "%s would store more than the quota of %" PRId64 " MiB", urn,
            quota_bytes >> 20);
    return err_remedy(err, "delete images that you do not need, or ask an operator for more");
}

int chunk_db_put(struct db_conn *c, const uint8_t digest[SHA256_BYTES], int64_t size_bytes,
                 int64_t stored_bytes, const char *urn, int64_t quota_bytes, int64_t now_ms,
                 struct err *err) {
    int claimed = 0;
    int64_t used;
    if (db_exec(c, NULL, err, SQL_INSERT, "biii", (const void *)digest, (size_t)SHA256_BYTES,
                size_bytes, stored_bytes, now_ms) ||
        db_exec(c, &claimed, err, SQL_CLAIM, "sib", urn, now_ms, (const void *)digest,
                (size_t)SHA256_BYTES))
        return -1;
    if (claimed == 0) return 0; /* again */
    if (db_exec(c, NULL, err, SQL_COUNT_CLAIM, "si", urn, stored_bytes) ||
        chunk_db_used_bytes(c, urn, &used, err))
        return -1;
    return chunk_db_check_quota(urn, used, quota_bytes, err);
}

int chunk_db_set_damaged(struct db_conn *c, const uint8_t digest[SHA256_BYTES], struct err *err) {
    return db_exec(c, NULL, err, SQL_DAMAGED, "b", (const void *)digest, (size_t)SHA256_BYTES);
}

int chunk_db_touch_claim(struct db_conn *c, int64_t id, const char *urn, int64_t now_ms,
                         struct err *err) {
    return db_exec(c, NULL, err, SQL_TOUCH_CLAIM, "isii", now_ms, urn, id, now_ms);
}

static int claimed_of(struct db_conn *c, const char *sql, int64_t id, const char *urn,
                      int64_t *ret, struct err *err) {
    AUTO_STMT struct db_stmt *s = db_query(c, err, sql, "si", urn, id);
    if (!s || db_step(s, err) != 1) return -1;
    *ret = db_int(s, "bytes");
    return 0;
}

int chunk_db_drop_claims(struct db_conn *c, int64_t image_id, const char *urn, struct err *err) {
    int64_t bytes;
    if (claimed_of(c, SQL_CLAIMED_OF_IMAGE, image_id, urn, &bytes, err)) return -1;
    if (db_exec(c, NULL, err, SQL_DROP_CLAIMS_OF_IMAGE, "si", urn, image_id)) return -1;
    return db_exec(c, NULL, err, SQL_COUNT_CLAIM, "si", urn, -bytes);
}

int chunk_db_drop_state_claims(struct db_conn *c, int64_t state_id, const char *urn,
                               struct err *err) {
    int64_t bytes;
    if (claimed_of(c, SQL_CLAIMED_OF_STATE, state_id, urn, &bytes, err)) return -1;
    if (db_exec(c, NULL, err, SQL_DROP_CLAIMS_OF_STATE, "si", urn, state_id)) return -1;
    return db_exec(c, NULL, err, SQL_COUNT_CLAIM, "si", urn, -bytes);
}

int chunk_db_expire_claims(struct db_conn *c, int64_t before_ms, struct err *err) {
    if (db_exec(c, NULL, err, SQL_EXPIRE_CLAIMS, "i", before_ms)) return -1;
    if (db_exec(c, NULL, err, SQL_RECOUNT, "")) return -1;
    return db_exec(c, NULL, err, SQL_FORGET_OWNERS, "");
}

/* The digests of a stripe lie between these two; the upper one is no digest. */
static void stripe_bounds(unsigned stripe, uint8_t low[1], uint8_t high[SHA256_BYTES + 1]) {
    low[0] = (uint8_t)stripe;
    memset(high, 0xff, SHA256_BYTES + 1);
    high[0] = (uint8_t)stripe;
}

int chunk_db_unneeded(struct db_conn *c, unsigned stripe, int64_t before_ms, int64_t limit,
                      bool remove, void (*fn)(void *ctx, const char *digest, int64_t bytes),
                      void *ctx, struct err *err) {
    uint8_t low[1], high[SHA256_BYTES + 1];
    stripe_bounds(stripe, low, high);
    AUTO_STMT struct db_stmt *s =
        db_query(c, err, SQL_UNNEEDED, "bbiii", (const void *)low, sizeof low, (const void *)high,
                 sizeof high, before_ms, before_ms, limit);
    if (!s) return -1;
    int more;
    AUTO_FREE int64_t *ids = xcalloc((size_t)limit, sizeof *ids);
    size_t count = 0;
    while ((more = db_step(s, err)) == 1) {
        size_t length = 0;
        char digest[SHA256_TEXT_BYTES];
        const void *blob = db_blob(s, "digest", &length);
        if (length != SHA256_BYTES) continue;
        hex_text(blob, SHA256_BYTES, digest);
        fn(ctx, digest, db_int(s, "stored_bytes"));
        ids[count++] = db_int(s, "id");
    }
    for (size_t i = 0; more == 0 && remove && i < count; i++)
        if (db_exec(c, NULL, err, SQL_DELETE, "i", ids[i])) return -1;
    return more;
}
