/*
 * Fetch one image from the store: manifest, chunks, file.
 */
#ifndef JOGAK_NODEMGR_IMAGE_FETCH_H
#define JOGAK_NODEMGR_IMAGE_FETCH_H

#include "common/http_client.h"

/* Makes <directory>/<digest>.<format>, whole or not at all; what an earlier attempt had fetched is
 * used. `progress` is told bytes done and in all, and ends the work by returning non-zero.
 * Blocks. Errors: ERR_INTEGRITY (names the chunk), ERR_NO_SPACE, ERR_CANCELLED, and the store's. */
int image_fetch(const char *directory, const char *digest, const char *store_url,
                struct http_client *client,
                int (*progress)(void *ctx, int64_t done, int64_t total), void *ctx,
                struct err *err);
/* Size of a regular file, -1 when there is none. */
int64_t image_file_bytes(const char *path);

#endif
