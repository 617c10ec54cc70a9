/*
 * What anyone may ask: who we are, and the authority's certificate.
 */
#ifndef JOGAK_CLEARINGHOUSE_INFO_H
#define JOGAK_CLEARINGHOUSE_INFO_H

#include "common/http.h"

int info_get(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);
int info_ca(void *ctx, const struct http_request *req, struct http_reply *reply, struct err *err);

#endif
