/*
 * A slice as the aggregate knows it: from the credentials it was shown, not from a question to the
 * clearing house.
 */
#ifndef JOGAK_AGGREGATE_SLICE_H
#define JOGAK_AGGREGATE_SLICE_H

#include "aggregate.h"

struct slice_row {
    char id[37];
    char urn[256];
    int64_t expires_ms;
    int64_t generation;
};

/* In a transaction: find or make the slice of that URN; a later expiry is noted. */
int slice_ensure(struct db_conn *c, const char *urn, int64_t expires_ms, struct slice_row *ret,
                 struct err *err);
int slice_get(struct db_conn *c, const char *id, struct slice_row *ret, struct err *err);
int slice_get_by_urn(struct db_conn *c, const char *urn, struct slice_row *ret, struct err *err);
/* As slice_get_by_urn(), in a transaction of its own. ERR_NOT_FOUND when nothing of it is here. */
int slice_find(struct aggregate *am, const char *urn, struct slice_row *ret, struct err *err);
/* As slice_find(), but a slice that nothing is here of is no error:
 * *ret_known says, and the row is empty (an id that nothing has). */
int slice_known(struct aggregate *am, const char *urn, struct slice_row *ret, bool *ret_known,
                struct err *err);
/* "project:name", as people know it, of a slice's URN. Returns ret. */
#define SLICE_TITLE_BYTES 256
const char *slice_title(const char *urn, char ret[SLICE_TITLE_BYTES]);
/* In a transaction: the slice's forwarding changes; returns the new generation by *ret. */
int slice_next_generation(struct db_conn *c, const char *id, int64_t *ret, struct err *err);

#endif
