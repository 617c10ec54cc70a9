/*
 * SQL of issued certificates and of what was revoked. All run inside a database function.
 */
#ifndef JOGAK_CLEARINGHOUSE_CERTIFICATE_DB_H
#define JOGAK_CLEARINGHOUSE_CERTIFICATE_DB_H

#include "common/db.h"
#include "common/json.h"
#include "common/pki.h"

/* hosts: JSON array (borrowed) of the names and addresses in it. */
int certificate_db_insert(struct db_conn *c, const struct pki_cert *facts, const json *hosts,
                          int64_t now_ms, struct err *err);
/* The hosts of the certificate with this serial; an empty array when it is unknown. */
json *certificate_db_hosts(struct db_conn *c, const char *serial, struct err *err);
/* How many certificates has this URN had? -1 on error. */
int64_t certificate_db_count(struct db_conn *c, const char *urn, struct err *err);
/* Revoke one, or all of a URN, that are not yet. ret_changes: how many. */
int certificate_db_revoke_serial(struct db_conn *c, const char *serial, int64_t now_ms,
                                 int *ret_changes, struct err *err);
int certificate_db_revoke_urn(struct db_conn *c, const char *urn, int64_t now_ms, int *ret_changes,
                              struct err *err);
/* [serial] of those revoked that would still be valid, and [urn] of disabled users. */
json *certificate_db_revoked(struct db_conn *c, int64_t now_ms, struct err *err);
json *certificate_db_disabled(struct db_conn *c, struct err *err);
/* Forget certificates that expired before this time. */
int certificate_db_purge(struct db_conn *c, int64_t before_ms, struct err *err);

#endif
