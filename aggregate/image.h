/*
 * Images, seen from the aggregate: a name in the store becomes a digest, and a node gets it.
 */
#ifndef JOGAK_AGGREGATE_IMAGE_H
#define JOGAK_AGGREGATE_IMAGE_H

#include "operation.h"
#include "sliver.h"

/* {digest, format, virtual_size_bytes} of an image by name or digest; asks the store (blocks). */
json *image_resolve(struct aggregate *am, const char *name, struct err *err);
/* Until the node has it: fetches, reports progress to the operation (may be NULL), heeds a cancel
 * request. Blocks. */
int image_at_node(struct aggregate *am, const struct operation *op, const char *node,
                  const json *image, struct err *err);

#endif
