/*
 * GET /v1: who this is.
 */
#ifndef JOGAK_SLIVERSTORE_INFO_H
#define JOGAK_SLIVERSTORE_INFO_H

#include "common/http.h"

int info_get(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);

#endif
