#include "address.h"

#include "common/log.h"
#include "event.h"
#include "node.h"

#include <arpa/inet.h>
#include <stdio.h>

LOG_MODULE("am.address");

static const char SQL_OF_SITE[] = "SELECT address FROM public_address WHERE site = ?";
static const char SQL_ADD[] =
    "INSERT INTO public_address (address, site, slice, sliver, vnic, state, operation)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)";
static const char SQL_CLAIMED[] =
    "SELECT 1 AS there FROM public_address WHERE operation = ? AND state = 'claimed'";
static const char SQL_UNCLAIM[] = "DELETE FROM public_address WHERE operation = ? AND state = 'claimed'";
static const char SQL_LEAVE[] =
    "UPDATE public_address SET state = 'leaving', operation = ?1 WHERE state = 'used' AND sliver IN"
    " (SELECT sliver FROM public_address WHERE operation = ?1 AND state = 'claimed')";
static const char SQL_USE[] =
    "UPDATE public_address SET state = 'used', operation = NULL WHERE operation = ? AND state = 'claimed'";
static const char SQL_RELEASE[] =
    "UPDATE public_address SET state = 'leaving', operation = NULL WHERE sliver = ? AND state = 'used'";
static const char SQL_CHANGE[] =
    "SELECT old.vnic AS vnic, old.address AS before, new.address AS after FROM public_address AS old"
    " JOIN public_address AS new ON new.sliver = old.sliver AND new.state = 'used'"
    " WHERE old.operation = ? AND old.state = 'leaving'";
static const char SQL_TOLD[] =
    "UPDATE public_address SET operation = NULL WHERE operation = ? AND state = 'leaving'";
/* A node that was retired is never told anything again. */
static const char SQL_SWEEP[] =
    "DELETE FROM public_address WHERE (state = 'leaving' AND operation IS NULL AND NOT EXISTS (SELECT 1"
    "  FROM behind JOIN node ON node.name = behind.node WHERE behind.slice = public_address.slice"
    "  AND node.state <> 'retired'))"
    " OR (state = 'claimed' AND NOT EXISTS (SELECT 1 FROM operation WHERE"
    "  operation.id = public_address.operation AND operation.state IN ('pending', 'running', 'cancelling')))";
static const char SQL_ANY_GOING[] = "SELECT 1 AS there FROM public_address WHERE state <> 'used' LIMIT 1";

/* --- what is free --- */

int address_sweep(struct db_conn *c, struct err *err) { return db_exec(c, NULL, err, SQL_SWEEP, ""); }

/* One byte for each address of the pool: is it taken? The caller frees. */
static char *taken_of(struct db_conn *c, const struct site *site, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_OF_SITE, "s", site->name);
    if (!q) return NULL;
    char *taken AUTO_FREE = xcalloc(site->count + 1, 1);
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        struct in_addr a;
        if (inet_pton(AF_INET, db_text(q, "address"), &a) != 1) continue;
        uint32_t at = ntohl(a.s_addr) - site->first; /* outside: from an earlier pool */
        if (at < site->count) taken[at] = 1;
    }
    return rc < 0 ? NULL : STEAL(taken);
}

static int count_free(struct db_conn *c, const struct site *site, int64_t *ret, struct err *err) {
    char *taken AUTO_FREE = taken_of(c, site, err);
    if (!taken) return -1;
    for (uint32_t i = 0; i < site->count; i++) *ret += !taken[i];
    return 0;
}

static bool has_gateway(const struct node_list *nodes, const struct site *site) {
    for (size_t i = 0; i < nodes->count; i++)
        if (strcmp(nodes->rows[i].name, site->gateway) == 0) return nodes->rows[i].vtep[0];
    return false;
}

int address_offer(struct db_conn *c, const struct aggregate *am, struct node_list *nodes,
                  struct err *err) {
    const struct sites *sites = am->sites;
    if (!sites || !sites->count) return 0;
    free(nodes->pools);
    nodes->pools = xcalloc(sites->count, sizeof *nodes->pools);
    for (size_t i = 0; i < sites->count; i++)
        if (count_free(c, &sites->rows[i], &nodes->pools[i], err)) return -1;
    for (size_t i = 0; i < nodes->count; i++) {
        const struct site *site = site_named(sites, nodes->rows[i].site);
        if (!site) continue;
        nodes->rows[i].public_free = &nodes->pools[site - sites->rows];
        if (!has_gateway(nodes, site)) nodes->rows[i].public_problem = "no_gateway";
    }
    return 0;
}

/* --- giving out --- */

static int add(struct db_conn *c, const struct aggregate *am, const struct sliver *s,
               const char *site_name, const char *state, const char *operation, struct err *err) {
    const struct site *site = site_named(am->sites, site_name);
    if (!site) {
        err_set(err, ERR_NO_SPACE, "site %s has no public addresses", site_name);
        return err_remedy(err, "the operator gives it some by [site.%s] in aggregate.conf", site_name);
    }
    char *taken AUTO_FREE = taken_of(c, site, err);
    if (!taken) return -1;
    uint32_t i = 0;
    while (i < site->count && taken[i]) i++;
    if (i == site->count) {
        err_set(err, ERR_NO_SPACE, "all %u public addresses of site %s are taken", site->count, site_name);
        return err_remedy(err, "free some, or ask the operator for a larger public_pool");
    }
    struct in_addr a = { .s_addr = htonl(site->first + i) };
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &a, text, sizeof text);
    log_info("public address", "sliver=%s address=%s site=%s state=%s", s->id, text, site_name, state);
    return db_exec(c, NULL, err, SQL_ADD, "sssssss", text, site_name, s->slice, s->id,
                   sliver_public_vnic(s)->name, state, operation);
}

static int site_of(struct db_conn *c, const char *node, char ret[SITE_NAME_BYTES], struct err *err) {
    struct node n AUTO_NODE = { 0 };
    if (node_get(c, node, &n, err)) return -1;
    snprintf(ret, SITE_NAME_BYTES, "%s", n.site);
    return 0;
}

int address_take(struct db_conn *c, const struct aggregate *am, const struct sliver *s,
                 struct err *err) {
    char site[SITE_NAME_BYTES];
    if (!sliver_public_vnic(s)) return 0;
    if (site_of(c, s->node, site, err) || add(c, am, s, site, "used", NULL, err))
        return err_wrap(err, "sliver %s", s->name);
    return 0;
}

static int exists(struct db_conn *c, const char *sql, const char *key, bool *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, sql, key ? "s" : "", key);
    int rc = q ? db_step(q, err) : -1;
    *ret = rc == 1;
    return rc < 0 ? -1 : 0;
}

int address_claim(struct db_conn *c, const struct aggregate *am, const struct sliver *s,
                  const char *node, const char *operation, struct err *err) {
    char site[SITE_NAME_BYTES];
    bool have = false;
    const struct vnic *v = sliver_public_vnic(s);
    if (!v) return 0;
    if (site_of(c, node, site, err)) return -1;
    if (v->public_address[0] && strcmp(v->public_site, site) == 0) return 0;
    if (exists(c, SQL_CLAIMED, operation, &have, err)) return -1;
    return have ? 0 : add(c, am, s, site, "claimed", operation, err);
}

int address_unclaim(struct db_conn *c, const char *operation, struct err *err) {
    return db_exec(c, NULL, err, SQL_UNCLAIM, "s", operation);
}

int address_commit(struct db_conn *c, const char *operation, struct err *err) {
    return db_exec(c, NULL, err, SQL_LEAVE, "s", operation) ||
                   db_exec(c, NULL, err, SQL_USE, "s", operation)
               ? -1
               : 0;
}

int address_release(struct db_conn *c, const char *sliver, struct err *err) {
    return db_exec(c, NULL, err, SQL_RELEASE, "s", sliver);
}

/* --- telling --- */
struct tell {
    const struct sliver *s;
    const char *operation;
    json *ret;
};

static json *read_change(struct db_conn *c, const char *operation, int *ret_rc, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_CHANGE, "s", operation);
    *ret_rc = q ? db_step(q, err) : -1;
    if (*ret_rc != 1) return NULL;
    json *j = json_set_str(json_object(), "vnic", db_text(q, "vnic"));
    json_set_str(j, "from", db_text(q, "before"));
    return json_set_str(j, "to", db_text(q, "after"));
}

static int tell_fn(struct db_conn *c, void *arg, struct err *err) {
    struct tell *t = arg;
    int rc;
    json *change AUTO_JSON = read_change(c, t->operation, &rc, err);
    if (!change) return rc;
    json *data = json_copy(change);
    json_set_str(data, "sliver", t->s->id);
    json_set_str(data, "name", t->s->name);
    if (event_add(c, "sliver.address", t->s->slice, data, err) ||
        db_exec(c, NULL, err, SQL_TOLD, "s", t->operation))
        return -1;
    json_put(t->ret); /* of a transaction that was tried before */
    t->ret = STEAL(change);
    return 0;
}

int address_tell(struct aggregate *am, const struct sliver *s, const char *operation, json **ret,
                 struct err *err) {
    struct tell t = { s, operation, NULL };
    if (!sliver_public_vnic(s)) return *ret = NULL, 0;
    int rc = db_write(am->db, tell_fn, &t, err);
    if (rc) json_put(t.ret), t.ret = NULL;
    *ret = t.ret;
    if (t.ret) events_wake(am->events);
    return rc;
}

static int going_fn(struct db_conn *c, void *arg, struct err *err) {
    return exists(c, SQL_ANY_GOING, NULL, arg, err);
}

static int sweep_fn(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    return address_sweep(c, err);
}

void address_tick(struct aggregate *am) {
    bool going = false;
    struct err err = ERR_INIT;
    if (db_read(am->db, going_fn, &going, &err) || (going && db_write(am->db, sweep_fn, NULL, &err)))
        log_warn("addresses that left are not free yet", "error=%s", err.msg);
}
