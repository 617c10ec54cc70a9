/*
 * Events: what changed, for whoever watches. Rows in the database, so that a client that was away
 * goes on from its Last-Event-ID; a wake-up so that one that is there hears at once.
 */
#ifndef JOGAK_AGGREGATE_EVENT_H
#define JOGAK_AGGREGATE_EVENT_H

#include "aggregate.h"

#define EVENTS_KEPT 100000 /* rows; older ones go */

struct events *events_new(void);
void events_free(struct events *e);
/* Inside the transaction that makes the change. slice: UUID, or NULL for operators only.
 * Takes data. */
int event_add(struct db_conn *c, const char *kind, const char *slice, json *data, struct err *err);
/* After a commit that may have added some. */
void events_wake(struct events *e);
/* Waits until something was woken after `seen`, or timeout_ms; returns the new count. */
uint64_t events_wait(struct events *e, uint64_t seen, int64_t timeout_ms);
/* GET /v1/events: server-sent, from Last-Event-ID or ?after=; ?slice= for those who are no
 * operators. */
int event_stream(void *am, const struct http_request *req, struct http_reply *reply,
                 struct err *err);

#endif
