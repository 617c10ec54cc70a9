#include "needed.h"

#include "common/mem.h"

#include <inttypes.h>

#define NAMED_MISSING 8 /* digests that the message names; the answer is bounded */

struct missing {
    struct buf named;
    size_t count;
};

static void add_missing(struct missing *m, const char *digest) {
    if (m->count++ < NAMED_MISSING)
        buf_printf(&m->named, "%s%s", m->named.length ? ", " : "", digest);
}

static int say_missing(struct missing *m, struct err *err) {
    if (m->count == 0) return 0;
    err_set(err, ERR_CONFLICT, "%zu chunks are missing: %s%s", m->count, m->named.data,
            m->count > NAMED_MISSING ? ", ..." : "");
    return err_remedy(err, "ask for all of them with POST /v1/chunks/missing, upload them, and put "
                           "the manifest again");
}

static int find_one(struct db_conn *c, const struct manifest_chunk *chunk,
                    const struct caller *caller, struct missing *missing, struct chunk_row *ret,
                    struct err *err) {
    char digest[SHA256_TEXT_BYTES];
    hex_text(chunk->digest, SHA256_BYTES, digest);
    int found = chunk_db_find(c, chunk->digest, caller, ret, err);
    if (found < 0) return -1;
    if (found == 0 || ret->damaged || !ret->readable) {
        add_missing(missing, digest);
        return 0;
    }
    if (ret->size_bytes == chunk->size) return 1;
    return err_set(err, ERR_UNPROCESSABLE, "chunk %s has %" PRId64 " bytes, the manifest says %"
                   PRId64, digest, ret->size_bytes, chunk->size);
}

int needed_find(struct db_conn *c, const struct manifest *m, const struct caller *caller,
                struct needed *ret, struct err *err) {
    struct missing missing = { BUF_INIT, 0 };
    struct chunk_row row;
    int found = 0;
    if (!ret->ids) ret->ids = xcalloc(m->chunk_count + 1, sizeof *ret->ids);
    ret->count = 0;
    for (size_t i = 0; found >= 0 && i < m->chunk_count; i++) {
        if (m->chunks[i].zero) continue;
        found = find_one(c, &m->chunks[i], caller, &missing, &row, err);
        if (found != 1) continue;
        if (i == 0) ret->first = row;
        ret->ids[ret->count++] = row.id;
    }
    int failed = found < 0 || say_missing(&missing, err) ? -1 : 0;
    buf_done(&missing.named);
    return failed;
}

void needed_done(struct needed *n) {
    free(n->ids);
    *n = (struct needed){ 0 };
}
