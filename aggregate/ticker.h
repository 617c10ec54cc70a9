/* The ticker: one thread that does, once a second, what no request asks for. */
#ifndef JOGAK_AGGREGATE_TICKER_H
#define JOGAK_AGGREGATE_TICKER_H

#include "aggregate.h"

struct ticker;
struct ticker *ticker_start(struct aggregate *am, struct err *err);
void ticker_stop(struct ticker *t);

#endif
