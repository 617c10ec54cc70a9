#include "reservation.h"

#include "access.h"
#include "allocate.h"
#include "common/clock.h"
#include "common/log.h"
#include "event.h"
#include "operation.h"
#include "slice.h"
#include "topology.h"

#include <stdio.h>

LOG_MODULE("am.reservation");

#define SAME_END_MS 60000

static const char SQL_GET[] = "SELECT * FROM reservation WHERE id = ?";
static const char SQL_OF_SLICE[] =
    "SELECT id FROM reservation WHERE slice = ? AND state <> 'released' ORDER BY created_ms";
static const char SQL_STATE[] = "UPDATE reservation SET state = ?2 WHERE id = ?1";
static const char SQL_EXPIRES[] = "UPDATE reservation SET expires_ms = ?2 WHERE id = ?1";
static const char SQL_ENDED[] =
    "SELECT id FROM reservation WHERE state = ?1 AND expires_ms <= ?2 AND NOT EXISTS (SELECT 1 FROM"
    " sliver WHERE sliver.reservation = reservation.id AND sliver.busy IS NOT NULL) LIMIT 20";

void reservation_done(struct reservation *r) {
    json_put(r->keys);
    r->keys = NULL;
}

int reservation_get(struct db_conn *c, const char *id, struct reservation *ret, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_GET, "s", id);
    if (!q) return -1;
    int rc = db_step(q, err);
    if (rc < 0) return -1;
    if (rc == 0) return err_set(err, ERR_NOT_FOUND, "there is no reservation %s", id);
    snprintf(ret->id, sizeof ret->id, "%s", db_text(q, "id"));
    snprintf(ret->slice, sizeof ret->slice, "%s", db_text(q, "slice"));
    snprintf(ret->state, sizeof ret->state, "%s", db_text(q, "state"));
    snprintf(ret->owner, sizeof ret->owner, "%s", db_text(q, "owner"));
    ret->created_ms = db_int(q, "created_ms");
    ret->expires_ms = db_int(q, "expires_ms");
    ret->keys = json_parse(db_text(q, "keys"), strlen(db_text(q, "keys")), NULL);
    return 0;
}

int reservation_set_state(struct db_conn *c, const char *id, const char *state, struct err *err) {
    log_info("reservation state", "reservation=%s to=%s", id, state);
    return db_exec(c, NULL, err, SQL_STATE, "ss", id, state);
}

static json *show(struct db_conn *c, const char *id, struct err *err) {
    struct reservation r AUTO_RESERVATION = { 0 };
    struct slice_row slice;
    struct sliver_list slivers AUTO_SLIVERS = { 0 };
    if (reservation_get(c, id, &r, err) || slice_get(c, r.slice, &slice, err) ||
        sliver_of_reservation(c, id, &slivers, err))
        return NULL;
    char when[CLOCK_TEXT_BYTES];
    json *j = json_object();
    json_set_str(j, "id", r.id);
    json_set_str(j, "slice", slice.urn);
    json_set_str(j, "state", r.state);
    json_set_str(j, "owner", r.owner);
    json_set_str(j, "created", clock_rfc3339(r.created_ms, when));
    json_set_str(j, "expires", clock_rfc3339(r.expires_ms, when));
    json *items = json_array();
    for (size_t i = 0; i < slivers.count; i++) json_add(items, sliver_json(&slivers.rows[i]));
    return json_set(j, "slivers", items);
}

/* --- what a handler hands to its transaction --- */
struct ask {
    struct aggregate *am;
    const struct http_request *req;
    const char *id;
    const json *names;
    char slice[37];
    char operation[37];
    int64_t expires_ms;
    json *ret;
};

static int show_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    a->ret = show(c, a->id, err);
    return a->ret ? 0 : -1;
}

/* The reservation of the path, with the caller's right to it checked against its slice. */
static int permitted(struct aggregate *am, const struct http_request *req, unsigned need,
                     struct credential *who, json **ret, struct err *err) {
    struct ask a = { .id = req->params[0] };
    if (db_read(am->db, show_fn, &a, err)) return -1;
    if (access_slice(am, req, json_get_str(a.ret, "slice"), need, who, err)) {
        json_put(a.ret);
        return -1;
    }
    *ret = a.ret;
    return 0;
}

int reservation_allocate(void *ctx, const struct http_request *req, struct http_reply *reply,
                         struct err *err) {
    struct aggregate *am = ctx;
    char urn[256];
    struct credential who CLEANUP(credential_done) = { 0 };
    const json *topology = json_get(req->body, "topology");
    if (access_slice_urn(am, json_get_str(req->body, "slice"), urn, err) ||
        access_slice(am, req, urn, PRIV_ALLOCATE, &who, err) || topology_check(topology, err))
        return -1;
    struct allocate a = { .am = am, .who = &who, .slice_urn = urn, .topology = topology };
    int rc = db_write(am->db, allocate, &a, err);
    reply->reasons = a.reasons; /* for programs, beside the sentence for people */
    if (rc) return -1;
    events_wake(am->events);
    if (!a.id[0]) {
        err_set(err, ERR_CONFLICT, "the slice has all slivers of this topology already");
        return err_remedy(err, "POST /v1/slices/{slice}/plan tells what would change");
    }
    struct ask s = { .id = a.id };
    if (db_read(am->db, show_fn, &s, err)) return -1;
    reply->status = 201;
    reply->body = s.ret;
    snprintf(reply->location, sizeof reply->location, "/v1/reservations/%s", a.id);
    return 0;
}

int reservation_show(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    return permitted(ctx, req, PRIV_INFO, NULL, &reply->body, err);
}

static int list_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_OF_SLICE, "s", a->slice);
    if (!q) return -1;
    json *items AUTO_JSON = json_array();
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        json *one = show(c, db_text(q, "id"), err);
        if (!one) return -1;
        json_add(items, one);
    }
    a->ret = STEAL(items);
    return rc;
}

/* The slice of ?slice= or of the path; ERR_NOT_FOUND is not an error: *ret_known says. */
static int slice_asked(struct aggregate *am, const struct http_request *req, const char *param,
                       unsigned need, struct slice_row *ret, bool *ret_known, struct err *err) {
    char urn[256];
    if (!param) return err_set(err, ERR_INVALID, "say which slice: ?slice=project:name");
    return access_slice_urn(am, param, urn, err) || access_slice(am, req, urn, need, NULL, err) ||
                   slice_known(am, urn, ret, ret_known, err)
               ? -1
               : 0;
}

int reservation_list(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct aggregate *am = ctx;
    struct slice_row slice;
    bool known;
    if (slice_asked(am, req, http_query(req, "slice"), PRIV_INFO, &slice, &known, err)) return -1;
    struct ask a = { 0 };
    memcpy(a.slice, slice.id, sizeof a.slice);
    if (known && db_read(am->db, list_fn, &a, err)) return -1;
    reply->body = json_set(json_object(), "items", a.ret ? a.ret : json_array());
    return 0;
}

int reservation_plan(void *ctx, const struct http_request *req, struct http_reply *reply,
                     struct err *err) {
    struct aggregate *am = ctx;
    struct slice_row slice;
    bool known;
    const json *topology = json_get(req->body, "topology");
    if (slice_asked(am, req, req->params[0], PRIV_INFO, &slice, &known, err) ||
        topology_check(topology, err))
        return -1;
    struct sliver_list have AUTO_SLIVERS = { 0 };
    if (known && sliver_list_of(am, slice.id, &have, err)) return -1;
    struct rehearsal r = { .am = am, .topology = topology, .have = &have,
                           .plan = topology_plan(topology, &have) };
    if (db_read(am->db, allocate_rehearse, &r, err)) {
        json_put(r.plan);
        return -1;
    }
    reply->body = r.plan;
    return 0;
}

/* --- operations on it --- */
static int mark_busy(struct db_conn *c, const struct sliver_list *all, const char *operation,
                     struct err *err) {
    for (size_t i = 0; i < all->count; i++)
        if (sliver_set_busy(c, all->rows[i].id, operation, err)) return -1;
    return 0;
}

static int provision_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct reservation r AUTO_RESERVATION = { 0 };
    struct sliver_list slivers AUTO_SLIVERS = { 0 };
    if (reservation_get(c, a->id, &r, err) || sliver_of_reservation(c, a->id, &slivers, err))
        return -1;
    if (strcmp(r.state, "allocated"))
        return err_set(err, ERR_CONFLICT, "reservation %s is %s", a->id, r.state);
    if (r.expires_ms <= clock_wall_ms())
        return err_set(err, ERR_GONE, "the hold of reservation %s has ended", a->id);
    struct operation op AUTO_OPERATION = { .kind = "provision" };
    memcpy(op.slice, r.slice, sizeof op.slice);
    snprintf(op.owner, sizeof op.owner, "%s", a->req->peer->urn);
    json *input = json_set_str(json_object(), "reservation", a->id);
    json_set_int(input, "expires_ms", a->expires_ms);
    if (operation_add(c, &op, input, err) || mark_busy(c, &slivers, op.id, err)) return -1;
    memcpy(a->operation, op.id, sizeof a->operation);
    return reservation_set_state(c, a->id, "provisioned", err) ||
                   db_exec(c, NULL, err, SQL_EXPIRES, "si", a->id, a->expires_ms)
               ? -1
               : 0;
}

/* The end that the caller asks for, or the slice's; never later than the slice's. */
static int wanted_expiry(const struct http_request *req, const struct credential *who,
                         int64_t *ret, struct err *err) {
    *ret = who->target_expires_ms;
    const char *text = json_get_str(req->body, "expires");
    if (text && clock_parse_rfc3339(text, ret))
        return err_set(err, ERR_INVALID, "/expires: \"%s\" is no time", text);
    /* "seven days" said twice is not the same instant: what ends within a minute ends together. */
    if (*ret > who->target_expires_ms && *ret - who->target_expires_ms <= SAME_END_MS)
        *ret = who->target_expires_ms;
    if (*ret > who->target_expires_ms) {
        err_set(err, ERR_UNPROCESSABLE, "a reservation cannot outlive its slice");
        return err_remedy(err, "renew the slice first: jogak slice renew");
    }
    if (*ret <= clock_wall_ms()) return err_set(err, ERR_UNPROCESSABLE, "/expires is in the past");
    return 0;
}

int reservation_provision(void *ctx, const struct http_request *req, struct http_reply *reply,
                          struct err *err) {
    struct aggregate *am = ctx;
    struct credential who CLEANUP(credential_done) = { 0 };
    json *before AUTO_JSON = NULL;
    struct ask a = { .am = am, .req = req, .id = req->params[0] };
    if (permitted(am, req, PRIV_ALLOCATE, &who, &before, err) ||
        wanted_expiry(req, &who, &a.expires_ms, err) ||
        db_write(am->db, provision_fn, &a, err))
        return -1;
    return operation_accepted(am, a.operation, reply, err);
}

static int renew_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct reservation r AUTO_RESERVATION = { 0 };
    if (reservation_get(c, a->id, &r, err)) return -1;
    if (strcmp(r.state, "provisioned"))
        return err_set(err, ERR_CONFLICT, "reservation %s is %s; only a provisioned one is renewed",
                       a->id, r.state);
    return db_exec(c, NULL, err, SQL_EXPIRES, "si", a->id, a->expires_ms) || show_fn(c, a, err)
               ? -1
               : 0;
}

int reservation_renew(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    struct aggregate *am = ctx;
    struct credential who CLEANUP(credential_done) = { 0 };
    json *before AUTO_JSON = NULL;
    struct ask a = { .am = am, .req = req, .id = req->params[0] };
    if (permitted(am, req, PRIV_ALLOCATE, &who, &before, err) ||
        wanted_expiry(req, &who, &a.expires_ms, err) || db_write(am->db, renew_fn, &a, err))
        return -1;
    reply->body = a.ret;
    return 0;
}

/* Adds the operation that releases these slivers (all of one slice). */
static int add_release(struct db_conn *c, struct ask *a, const struct sliver_list *slivers,
                       const char *owner, const char *reservation, struct err *err) {
    struct operation op AUTO_OPERATION = { .kind = "release" };
    snprintf(op.owner, sizeof op.owner, "%s", owner);
    memcpy(op.slice, a->slice, sizeof op.slice);
    json *ids = json_array();
    for (size_t i = 0; i < slivers->count; i++) json_add(ids, json_string(slivers->rows[i].id));
    json *input = json_set(json_object(), "slivers", ids);
    if (reservation) json_set_str(input, "reservation", reservation);
    if (operation_add(c, &op, input, err) || mark_busy(c, slivers, op.id, err)) return -1;
    memcpy(a->operation, op.id, sizeof a->operation);
    return 0;
}

/* A hold: nothing was made on any node, so the rows are all there is to undo. */
static int drop_hold(struct db_conn *c, const char *id, const struct sliver_list *slivers,
                     struct err *err) {
    for (size_t i = 0; i < slivers->count; i++)
        if (sliver_set_allocation(c, slivers->rows[i].id, "unallocated", err)) return -1;
    return reservation_set_state(c, id, "released", err);
}

static int release_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct reservation r AUTO_RESERVATION = { 0 };
    struct sliver_list slivers AUTO_SLIVERS = { 0 };
    if (reservation_get(c, a->id, &r, err) || sliver_of_reservation(c, a->id, &slivers, err))
        return -1;
    if (strcmp(r.state, "released") == 0)
        return err_set(err, ERR_GONE, "reservation %s is released already", a->id);
    if (strcmp(r.state, "allocated") == 0) return drop_hold(c, a->id, &slivers, err);
    memcpy(a->slice, r.slice, sizeof a->slice);
    return add_release(c, a, &slivers, a->req ? a->req->peer->urn : r.owner, a->id, err);
}

int reservation_release(void *ctx, const struct http_request *req, struct http_reply *reply,
                        struct err *err) {
    struct aggregate *am = ctx;
    json *before AUTO_JSON = NULL;
    struct ask a = { .am = am, .req = req, .id = req->params[0] };
    if (permitted(am, req, PRIV_ALLOCATE, NULL, &before, err) ||
        db_write(am->db, release_fn, &a, err))
        return -1;
    if (a.operation[0]) return operation_accepted(am, a.operation, reply, err);
    reply->status = 204;
    return 0;
}

static bool named(const json *names, const char *name) {
    if (!names) return true;
    for (size_t i = 0; i < json_length(names); i++)
        if (strcmp(json_str(json_at(names, i)), name) == 0) return true;
    return false;
}

static int release_slivers_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct sliver_list all AUTO_SLIVERS = { 0 };
    if (sliver_of_slice(c, a->slice, &all, err)) return -1;
    size_t kept = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (named(a->names, all.rows[i].name)) all.rows[kept++] = all.rows[i];
        else sliver_done(&all.rows[i]);
    }
    all.count = kept;
    if (a->names && kept < json_length(a->names))
        return err_set(err, ERR_NOT_FOUND, "not all of the named slivers are in the slice");
    return add_release(c, a, &all, a->req->peer->urn, NULL, err);
}

int reservation_release_slivers(void *ctx, const struct http_request *req,
                                struct http_reply *reply, struct err *err) {
    struct aggregate *am = ctx;
    struct slice_row slice;
    bool known;
    struct ask a = { .am = am, .req = req, .names = json_get(req->body, "slivers") };
    if (slice_asked(am, req, req->params[0], PRIV_ALLOCATE, &slice, &known, err)) return -1;
    if (!known) return err_set(err, ERR_NOT_FOUND, "this aggregate has nothing of that slice");
    memcpy(a.slice, slice.id, sizeof a.slice);
    if (db_write(am->db, release_slivers_fn, &a, err)) return -1;
    return operation_accepted(am, a.operation, reply, err);
}

/* --- ends of holds and leases --- */
struct ended {
    char ids[20][37];
    size_t count;
    const char *state;
};

static int ended_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ended *e = arg;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_ENDED, "si", e->state, clock_wall_ms());
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1 && e->count < COUNT_OF(e->ids))
        snprintf(e->ids[e->count++], 37, "%s", db_text(q, "id"));
    return rc < 0 ? -1 : 0;
}

/* One that had ended when it was read may have been provisioned or renewed since. */
static int end_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct reservation r AUTO_RESERVATION = { 0 };
    if (reservation_get(c, a->id, &r, err)) return -1;
    bool over = r.expires_ms <= clock_wall_ms() && strcmp(r.state, "released") != 0;
    return over ? release_fn(c, a, err) : 0;
}

static void end_all(struct aggregate *am, const char *state) {
    struct err err = ERR_INIT;
    struct ended e = { .state = state };
    if (db_read(am->db, ended_fn, &e, &err)) {
        log_warn("ended reservations not readable", "error=%s", err.msg);
        return;
    }
    for (size_t i = 0; i < e.count; i++) {
        struct ask a = { .am = am, .id = e.ids[i] };
        log_info("reservation has ended", "reservation=%s state=%s", e.ids[i], state);
        if (db_write(am->db, end_fn, &a, &err))
            log_warn("reservation not ended", "reservation=%s error=%s", e.ids[i], err.msg);
    }
    if (e.count) work_wake(am->work), events_wake(am->events);
}

void reservation_tick(struct aggregate *am) {
    end_all(am, "allocated");
    end_all(am, "provisioned");
}
