/*
 * The clearing house as one value: what every handler gets as its context.
 *
 * Threads: handlers run on the server's pool and share it; `config` and `authority` never change
 * after house_open() (but for the server's certificate, see authority.h), the rest locks itself.
 */
#ifndef JOGAK_CLEARINGHOUSE_HOUSE_H
#define JOGAK_CLEARINGHOUSE_HOUSE_H

#include "authority.h"
#include "standing.h"
#include "throttle.h"
#include "common/db.h"
#include "common/service.h"

#include <stdatomic.h>

struct house_config {
    struct service_config base;
    char *authority; /* "example.org" */
    int64_t slice_days, slice_days_max;
    int64_t credential_hours;
    int64_t user_days, service_days; /* life of certificates */
    int64_t token_hours;
};
extern const struct config_row house_config_rows[];
extern const size_t house_config_row_count;

struct house {
    const struct house_config *config;
    struct authority authority;
    struct db *db;
    struct standing standing;       /* who is whom, in memory */
    struct throttle throttle;       /* of wrong secrets */
    _Atomic int64_t next_expiry_ms; /* wall clock; no slice expires before; see slice_settle() */
};

/* Opens authority and database in the state directory (made on the first start) and reads the
 * users' standing. config is borrowed until house_close(). Blocks on the disk. */
int house_open(struct house *h, const struct house_config *config, struct err *err);
void house_close(struct house *h);

/* "https://host:port", as others reach us; the caller frees. */
char *house_url(const struct house *h);

#endif
