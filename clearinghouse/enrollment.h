/*
 * Enrolment: one-time tokens, and the first certificate for one (see common/enroll.h).
 *
 * A secret reads "<selector>.<random>": the selector finds the row, the hash of the whole is
 * compared in constant time. Ten wrong secrets with one selector void the token, and an address
 * that shows ten wrong ones in a minute is told to wait (throttle.h).
 */
#ifndef JOGAK_CLEARINGHOUSE_ENROLLMENT_H
#define JOGAK_CLEARINGHOUSE_ENROLLMENT_H

#include "common/http.h"

struct house;
struct enrollment;
struct db_conn;

#define ENROLLMENT_WRONG_MAX 10
#define ENROLLMENT_REPEAT_MS (10 * 60000LL) /* the same key may ask again so long */

/* A new token for a URN: fills the row to store and returns the token's text (caller frees). */
char *enrollment_new(const struct house *h, const char *urn, struct enrollment *ret);

int enrollment_post(void *ctx, const struct http_request *req, struct http_reply *reply,
                    struct err *err);
int enrollment_enroll(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err);

#endif
