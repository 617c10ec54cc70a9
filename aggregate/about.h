/* What this service is: GET /v1, for everybody. */
#ifndef JOGAK_AGGREGATE_ABOUT_H
#define JOGAK_AGGREGATE_ABOUT_H

#include "aggregate.h"

int about_show(void *am, const struct http_request *req, struct http_reply *reply,
               struct err *err);

#endif
