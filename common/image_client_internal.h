/*
 * What uploading and fetching share: workers, calls to the store, progress.
 */
#ifndef JOGAK_IMAGE_CLIENT_INTERNAL_H
#define JOGAK_IMAGE_CLIENT_INTERNAL_H

#include "image_client.h"

#define IMAGE_CHUNK_TIMEOUT_MS 60000
#define IMAGE_CALL_TIMEOUT_MS 120000 /* manifests of the largest images take their time */

/* One call to image_upload() or image_fetch(). */
struct transfer {
    const struct image_transfer *how;
    pthread_mutex_t lock; /* of `now`, and of telling it */
    struct image_progress now;
};
void transfer_init(struct transfer *t, const struct image_transfer *how);
void transfer_done(struct transfer *t);
/* ERR_CANCELLED when the flag is up. */
int transfer_check(const struct transfer *t, struct err *err);
void transfer_phase(struct transfer *t, enum image_phase phase, int64_t total_bytes);
/* So much more is done, and was moved; tells the caller. */
void transfer_advance(struct transfer *t, int64_t done_bytes, int64_t moved_bytes);

/* Room of one worker: a chunk's content and its encoded form. */
struct scratch {
    uint8_t content[CHUNK_MAX_BYTES];
    uint8_t encoded[CHUNK_MAX_BYTES];
};
/* Calls fn for 0 .. count-1 from several threads, until all are done or one fails; the first
 * error is the result. */
int transfer_work(struct transfer *t, size_t count,
                  int (*fn)(void *ctx, size_t index, struct scratch *s, struct err *err),
                  void *ctx, struct err *err);

/* One call, `path` below the store's URL; the caller's http_answer_done(). What fails for a moment
 * (not reachable, no answer, busy) is tried again a few times: every call to the store may be. */
int transfer_call(struct transfer *t, struct http_call *call, const char *path,
                  const char *header, struct http_answer *ret, struct err *err);

/* All of them or nothing; ERR_CONFLICT when the file is too short. */
int transfer_read(int fd, void *to, size_t length, int64_t offset, struct err *err);

/* The distinct chunks of a manifest with content, and where each occurs. */
struct occurrence {
    uint8_t digest[SHA256_BYTES];
    int64_t offset;
    size_t size;
};
struct distinct {
    struct occurrence *all; /* sorted by digest, then offset */
    size_t all_count;
    size_t *first; /* of each distinct chunk: its first occurrence; [count] is all_count */
    size_t count;
};
void distinct_init(struct distinct *d, const struct manifest *m);
/* The distinct chunk of this digest, or -1. */
ssize_t distinct_find(const struct distinct *d, const uint8_t digest[SHA256_BYTES]);
void distinct_done(struct distinct *d);

#endif
