/*
 * /v1/chunks: what is missing, and the chunks themselves.
 */
#ifndef JOGAK_SLIVERSTORE_CHUNKS_H
#define JOGAK_SLIVERSTORE_CHUNKS_H

#include "store.h"

#define CHUNKS_ASKED_MAX 4096

int chunks_missing(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
/* Answers 201, or 200 when it was there, once the chunk is verified and on disk. */
int chunks_put(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);
int chunks_get(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);

/* The content of a stored chunk into ret (size bytes), verified. A bad file is marked, so that
 * the next upload replaces it: ERR_INTEGRITY. */
int chunks_load(struct store *s, const char *digest, size_t size, size_t stored, void *ret,
                struct err *err);

#endif
