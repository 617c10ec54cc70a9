/*
 * Images to and from the sliver store: for the CLI, which uploads, and the node agent, which fetches.
 *
 * Both directions move only the chunks that the other side lacks, over several connections, and
 * both can be broken off at any instant and called again: an upload asks the store what it has; a
 * fetch looks at what stands in `<dest>.part`, chunk by chunk, and believes nothing that it has
 * not verified. Nothing else is kept, so nothing else can be wrong.
 *
 * Calls block; progress is told from several threads, one at a time. The cancel flag is looked at
 * between chunks and while a chunk is on its way.
 */
#ifndef JOGAK_IMAGE_CLIENT_H
#define JOGAK_IMAGE_CLIENT_H

#include "http_client.h"
#include "manifest.h"

#include <stdatomic.h>

#define IMAGE_CONNECTIONS_DEFAULT 4
#define IMAGE_CONNECTIONS_MAX 16

enum image_phase {
    IMAGE_SCAN,     /* reading the local file (upload), or what is there already (fetch) */
    IMAGE_TRANSFER, /* chunks are moving */
};
struct image_progress {
    enum image_phase phase;
    int64_t done_bytes, total_bytes; /* of this phase's work, uncompressed */
    int64_t moved_bytes;             /* over the network so far, compressed */
};

/* How to reach the store and how to go about it; everything is borrowed during the call. */
struct image_transfer {
    struct http_client *client;
    const char *store_url;  /* "https://10.0.0.1:8403" */
    const char *peer_urn;   /* the store's URN; NULL: the client's option */
    const char *credential; /* header Jogak-Credential; NULL: none */
    unsigned connections;   /* 0: IMAGE_CONNECTIONS_DEFAULT */
    void (*progress)(void *ctx, const struct image_progress *p); /* may be NULL; must be quick */
    void *progress_ctx;
    const atomic_bool *cancel; /* may be NULL */
};
struct image_result {
    char digest[SHA256_TEXT_BYTES];
    int64_t size_bytes;
    int64_t moved_bytes;  /* over the network, compressed */
    size_t chunks_moved, chunks_reused; /* each distinct chunk once */
};

struct image_upload {
    const char *path;
    const char *name;
    enum manifest_kind kind;
    const char *format;  /* "qcow2", "raw"; NULL: what the file looks like */
    bool is_public;
    const char *replace; /* the digest of the image of this name that may be replaced, or NULL */
    int level;           /* zstd 1 to 3; 0: CHUNK_LEVEL_DEFAULT */
};
/* Errors: ERR_CANCELLED, ERR_CONFLICT (the file changed meanwhile; the name is taken),
 * ERR_UNPROCESSABLE (no image that the store takes), ERR_NO_SPACE, ERR_UNAVAILABLE, ERR_TIMEOUT.
 * Call again to resume. */
int image_upload(const struct image_transfer *t, const struct image_upload *what,
                 struct image_result *ret, struct err *err);

struct image_fetch {
    const char *digest;    /* of the manifest: the image's id */
    const char *dest_path; /* the file appears whole, verified and synced, or not at all */
    unsigned mode;         /* of the file; 0: 0600 */
    /* Files that may share chunks with the image, NULL-terminated; may be NULL. One that was
     * fetched with keep_manifest is looked through fast, any other is read in full. A seed that
     * cannot be read is passed over. */
    const char *const *seeds;
    bool keep_manifest; /* also write <dest>.manifest (canonical JSON) */
};
/* Fetches into <dest>.part, then renames. A file at dest_path that has the right content is taken
 * as it is. Errors: ERR_CANCELLED, ERR_INTEGRITY (names the chunk), ERR_NOT_FOUND, ERR_BUSY
 * (another call is fetching to the same path), ERR_NO_SPACE (the part is removed),
 * ERR_UNAVAILABLE, ERR_TIMEOUT. But for ERR_NO_SPACE the part stays: call again to resume. */
int image_fetch(const struct image_transfer *t, const struct image_fetch *what,
                struct image_result *ret, struct err *err);
/* Removes what an abandoned fetch to dest_path left, and its manifest. */
void image_fetch_forget(const char *dest_path);

#endif
