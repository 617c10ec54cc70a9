/*
 * States of slivers to and from the sliver store, for node agents. See image_client.h for what both have
 * in common: only chunks that the other side lacks are moved, over several connections; what moved is
 * verified; a call can be broken off at any instant and made again.
 *
 * A state is one manifest of several parts ("about", "memory", "disk"); a part stands in a file, possibly
 * behind something else that belongs to the file alone.
 */
#ifndef JOGAK_STATE_CLIENT_H
#define JOGAK_STATE_CLIENT_H

#include "image_client.h"

struct state_part {
    const char *name;
    const char *path;
    int64_t offset; /* where in the file it begins; it ends where the file ends */
};
struct state_upload {
    const struct state_part *parts;
    size_t part_count;
    const char *sliver;         /* UUID */
    const char *owner;          /* URN, whose quota it counts to; NULL: ours */
    int64_t epoch, taken_ms;    /* wall clock */
    int64_t virtual_size_bytes; /* of the disk */
    bool chunks_only; /* put what is missing but not the manifest: most will be there later */
    int level;        /* zstd 1 to 3; 0: CHUNK_LEVEL_DEFAULT */
};
struct state_result {
    char digest[SHA256_TEXT_BYTES]; /* of the manifest */
    int64_t bytes_total; /* of content; runs of zeros do not count */
    int64_t bytes_new;   /* of them, what the store lacked */
    int64_t bytes_sent;  /* the same, compressed */
};
/* Errors as image_upload(). The files must not change meanwhile (ERR_CONFLICT). */
int state_upload(const struct image_transfer *t, const struct state_upload *what,
                 struct state_result *ret, struct err *err);

struct state;
/* Gets the manifest and checks it. Borrows t until state_close(). Errors: ERR_NOT_FOUND,
 * ERR_INTEGRITY, and those of the network. */
struct state *state_open(const struct image_transfer *t, const char *digest, struct err *err);
void state_close(struct state *s); /* NULL is fine */
const struct manifest *state_manifest(const struct state *s);
/* The bytes of a part, or -1 when there is none of that name. */
int64_t state_part_bytes(const struct state *s, const char *part);
/* A small part as text (caller frees). ERR_TOO_LARGE when it has more than max bytes. */
char *state_text(struct state *s, const char *part, size_t max, struct err *err);
/* Writes a part into an empty piece of a file (borrowed), from `offset` on; zeros are left as holes.
 * The file ends with it. Not synced. Errors: ERR_INTEGRITY names the chunk, ERR_NO_SPACE, ... */
int state_fetch(struct state *s, const char *part, int fd, int64_t offset, struct err *err);

#endif
