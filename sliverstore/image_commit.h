/*
 * PUT /v1/images/{name}: an upload becomes an image.
 *
 * The manifest is checked by itself, then the head of its content (a qcow2 must stand on its own),
 * and then, in one transaction, that every chunk is there, has the size the manifest says, and is
 * the caller's to use; only then the image exists.
 */
#ifndef JOGAK_SLIVERSTORE_IMAGE_COMMIT_H
#define JOGAK_SLIVERSTORE_IMAGE_COMMIT_H

#include "store.h"

int image_put(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err);

#endif
