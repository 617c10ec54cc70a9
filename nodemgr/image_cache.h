/*
 * Base images at this node: <state_dir>/images/<digest>.<format>.
 *
 * An image's digest is that of its manifest (manifest.h). Chunks are fetched from the store, each is
 * checked against its digest, and zero chunks are not fetched at all. A file gets its name only
 * when it is whole and on disk; one that was begun before is gone on with after checking what it
 * has. Images are not changed and not removed here while they are used as backing files.
 */
#ifndef JOGAK_NODEMGR_IMAGE_CACHE_H
#define JOGAK_NODEMGR_IMAGE_CACHE_H

#include "common/http_client.h"

struct image_cache;
/* Borrows the client; copies the directory, which is made. */
struct image_cache *image_cache_open(const char *directory, struct http_client *client,
                                     struct err *err);
void image_cache_close(struct image_cache *c); /* ends what is being fetched */

/* Starts fetching unless it is here or under way, and waits up to wait_ms for the end. Returns
 * {state: fetching|present|failed, bytes_done, bytes_total, error?}; the caller's. A failed one is
 * tried again by the next call. Errors: ERR_INVALID. */
json *image_cache_want(struct image_cache *c, const char *digest, const char *store_url,
                       int64_t wait_ms, struct err *err);

#endif
