#include "slice.h"

#include "common/clock.h"
#include "common/ids.h"

#include <stdio.h>

static const char SQL_ENSURE[] =
    "INSERT INTO slice (id, urn, expires_ms, created_ms) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (urn) DO UPDATE SET expires_ms = MAX(expires_ms, excluded.expires_ms)";
static const char SQL_BY_URN[] = "SELECT * FROM slice WHERE urn = ?";
static const char SQL_BY_ID[] = "SELECT * FROM slice WHERE id = ?";
static const char SQL_BUMP[] = "UPDATE slice SET generation = generation + 1 WHERE id = ?";

static int get(struct db_conn *c, const char *sql, const char *key, struct slice_row *ret,
               struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, sql, "s", key);
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc < 0) return -1;
    if (rc == 0) return err_set(err, ERR_NOT_FOUND, "this aggregate has nothing of slice %s", key);
    snprintf(ret->id, sizeof ret->id, "%s", db_text(q, "id"));
    snprintf(ret->urn, sizeof ret->urn, "%s", db_text(q, "urn"));
    ret->expires_ms = db_int(q, "expires_ms");
    ret->generation = db_int(q, "generation");
    return 0;
}

int slice_get(struct db_conn *c, const char *id, struct slice_row *ret, struct err *err) {
    return get(c, SQL_BY_ID, id, ret, err);
}

int slice_get_by_urn(struct db_conn *c, const char *urn, struct slice_row *ret, struct err *err) {
    return get(c, SQL_BY_URN, urn, ret, err);
}

int slice_ensure(struct db_conn *c, const char *urn, int64_t expires_ms, struct slice_row *ret,
                 struct err *err) {
    char id[UUID_TEXT_BYTES];
    if (db_exec(c, NULL, err, SQL_ENSURE, "ssii", uuid_new(id), urn, expires_ms, clock_wall_ms()))
        return -1;
    return slice_get_by_urn(c, urn, ret, err);
}

struct find {
    const char *urn;
    struct slice_row *ret;
};

static int find_fn(struct db_conn *c, void *arg, struct err *err) {
    struct find *f = arg;
    return slice_get_by_urn(c, f->urn, f->ret, err);
}

int slice_find(struct aggregate *am, const char *urn, struct slice_row *ret, struct err *err) {
    struct find f = { urn, ret };
    return db_read(am->db, find_fn, &f, err);
}

int slice_known(struct aggregate *am, const char *urn, struct slice_row *ret, bool *ret_known,
                struct err *err) {
    struct err missing = ERR_INIT;
    *ret = (struct slice_row){ 0 };
    *ret_known = slice_find(am, urn, ret, &missing) == 0;
    if (*ret_known || missing.code == ERR_NOT_FOUND) return 0;
    if (err) *err = missing;
    return -1;
}

int slice_next_generation(struct db_conn *c, const char *id, int64_t *ret, struct err *err) {
    struct slice_row row;
    if (db_exec(c, NULL, err, SQL_BUMP, "s", id) || slice_get(c, id, &row, err)) return -1;
    *ret = row.generation;
    return 0;
}

const char *slice_title(const char *urn, char ret[SLICE_TITLE_BYTES]) {
    struct urn parts;
    if (urn_parse(urn, &parts, NULL)) {
        snprintf(ret, SLICE_TITLE_BYTES, "%s", urn);
        return ret;
    }
    const char *project = strrchr(parts.authority, ':');
    snprintf(ret, SLICE_TITLE_BYTES, "%s%s%s", project ? project + 1 : "", project ? ":" : "",
             parts.name);
    return ret;
}
