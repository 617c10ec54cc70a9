/*
 * /v1/images and /v1/manifests: reading, listing, deleting. Putting is in image_commit.h.
 */
#ifndef JOGAK_SLIVERSTORE_IMAGE_H
#define JOGAK_SLIVERSTORE_IMAGE_H

#include "image_db.h"
#include "store.h"

int image_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);
int image_get(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err);
int image_manifest(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int image_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err);

/* An image as it is answered. */
json *image_json(const struct image_row *row);
/* The image's digest is what If-Match names: 1 yes, 0 no, -1 there is no If-Match. */
int image_if_match(const struct http_request *req, const char *digest);
/* ERR_FORBIDDEN unless the caller owns it or is an operator. */
int image_check_owner(const struct caller *caller, const struct image_row *row, struct err *err);

#endif
