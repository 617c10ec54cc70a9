/*
 * /v1/states: what a running sliver was at one instant. Nodes put and get them, the aggregate decides
 * how long they are kept; users never see them, since a guest's memory is in them.
 */
#ifndef JOGAK_SLIVERSTORE_STATE_H
#define JOGAK_SLIVERSTORE_STATE_H

#include "store.h"

int state_list(void *ctx, const struct http_request *req, struct http_reply *reply,
               struct err *err);
/* A manifest of kind checkpoint whose chunks are there. Putting it again changes nothing. */
int state_put(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err);
int state_get(void *ctx, const struct http_request *req, struct http_reply *reply,
              struct err *err);
/* One that is not there is no error: it may be deleted again. */
int state_delete(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err);

#endif
