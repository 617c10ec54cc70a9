#include "certificate_db.h"

static const char SQL_INSERT[] =
    "INSERT INTO certificates (serial, urn, hosts, issued_ms, expires_ms) VALUES (?, ?, ?, ?, ?)";
static const char SQL_HOSTS[] = "SELECT hosts FROM certificates WHERE serial = ?";
static const char SQL_COUNT[] = "SELECT count(*) AS n FROM certificates WHERE urn = ?";
static const char SQL_REVOKE_SERIAL[] =
    "UPDATE certificates SET revoked_ms = ? WHERE serial = ? AND revoked_ms IS NULL";
static const char SQL_REVOKE_URN[] =
    "UPDATE certificates SET revoked_ms = ? WHERE urn = ? AND revoked_ms IS NULL";
static const char SQL_REVOKED[] =
    "SELECT serial AS word FROM certificates"
    " WHERE revoked_ms IS NOT NULL AND expires_ms > ? ORDER BY serial";
static const char SQL_DISABLED[] = "SELECT urn AS word FROM users WHERE disabled = 1 ORDER BY urn";
static const char SQL_PURGE[] = "DELETE FROM certificates WHERE expires_ms < ?";

int certificate_db_insert(struct db_conn *c, const struct pki_cert *facts, const json *hosts,
                          int64_t now_ms, struct err *err) {
    AUTO_FREE char *text = json_text(hosts);
    return db_exec(c, NULL, err, SQL_INSERT, "sssii", facts->serial, facts->urn, text, now_ms,
                   facts->not_after_ms);
}

json *certificate_db_hosts(struct db_conn *c, const char *serial, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_HOSTS, "s", serial);
    int more = q ? db_step(q, err) : -1;
    if (more < 0) return NULL;
    if (more == 0) return json_array();
    const char *text = db_text(q, "hosts");
    return json_parse(text, strlen(text), err);
}

int64_t certificate_db_count(struct db_conn *c, const char *urn, struct err *err) {
    AUTO_STMT struct db_stmt *q = db_query(c, err, SQL_COUNT, "s", urn);
    return q && db_step(q, err) > 0 ? db_int(q, "n") : -1;
}

int certificate_db_revoke_serial(struct db_conn *c, const char *serial, int64_t now_ms,
                                 int *ret_changes, struct err *err) {
    return db_exec(c, ret_changes, err, SQL_REVOKE_SERIAL, "is", now_ms, serial);
}

int certificate_db_revoke_urn(struct db_conn *c, const char *urn, int64_t now_ms, int *ret_changes,
                              struct err *err) {
    return db_exec(c, ret_changes, err, SQL_REVOKE_URN, "is", now_ms, urn);
}

/* Takes the query; its column `word` becomes an array. */
static json *take_words(struct db_stmt *query, struct err *err) {
    AUTO_STMT struct db_stmt *q = query;
    AUTO_JSON json *words = json_array();
    int more = q ? 1 : -1;
    while (q && (more = db_step(q, err)) > 0) json_add(words, json_string(db_text(q, "word")));
    return more < 0 ? NULL : STEAL(words);
}

json *certificate_db_revoked(struct db_conn *c, int64_t now_ms, struct err *err) {
    return take_words(db_query(c, err, SQL_REVOKED, "i", now_ms), err);
}

json *certificate_db_disabled(struct db_conn *c, struct err *err) {
    return take_words(db_query(c, err, SQL_DISABLED, ""), err);
}

int certificate_db_purge(struct db_conn *c, int64_t before_ms, struct err *err) {
    return db_exec(c, NULL, err, SQL_PURGE, "i", before_ms);
}
