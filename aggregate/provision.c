/*
 * provision: resolve the image, let the node fetch it, start the domain, then set the slice's forwarding.
 * release: forwarding without the sliver first, then its node removes it, then the row goes.
 * Each step is idempotent at the agent, so an operation that is started again does them all again.
 * A sliver that fails is `failed` with its reason; the others of the operation go on.
 */
#include "provision.h"

#include "agents.h"
#include "checkpoint.h"
#include "common/log.h"
#include "event.h"
#include "forwarding.h"
#include "image.h"
#include "reservation.h"
#include "sliver.h"

#include <stdio.h>

LOG_MODULE("am.provision");

#define CREATE_MS 60000
#define REMOVE_MS 30000
#define POWER_MS 30000

struct view {
    const char *reservation;
    struct sliver_list slivers;
    struct reservation r;
};

static void view_done(struct view *v) {
    sliver_list_done(&v->slivers);
    reservation_done(&v->r);
}

static int view_fn(struct db_conn *c, void *arg, struct err *err) {
    struct view *v = arg;
    return reservation_get(c, v->reservation, &v->r, err) ||
                   sliver_of_reservation(c, v->reservation, &v->slivers, err)
               ? -1
               : 0;
}

struct mark {
    const char *sliver, *allocation;
    const json *image;
};

static int mark_fn(struct db_conn *c, void *arg, struct err *err) {
    struct mark *m = arg;
    if (m->image && sliver_set_image(c, m->sliver, m->image, err)) return -1;
    return m->allocation ? sliver_set_allocation(c, m->sliver, m->allocation, err) : 0;
}

static void progress(struct aggregate *am, const struct operation *op, const char *doing,
                     const char *sliver, size_t done, size_t total) {
    json *p = json_set_str(json_object(), "doing", doing);
    json_set_str(p, "sliver", sliver);
    json_set_int(p, "done", (int64_t)done);
    operation_progress(am, op->id, json_set_int(p, "total", (int64_t)total), NULL);
    events_wake(am->events);
}

static int make(struct aggregate *am, const struct operation *op, struct sliver *s,
                const json *keys, struct err *err) {
    json *image AUTO_JSON = image_resolve(am, json_get_str(s->wanted, "image"), err);
    if (!image) return -1;
    int64_t need_mib = (json_get_int(image, "virtual_size_bytes", 0) + (1 << 20) - 1) >> 20;
    if (need_mib > s->disk_mib)
        return err_set(err, ERR_UNPROCESSABLE, "its image needs a disk of %lld MiB, not %lld",
                       (long long)need_mib, (long long)s->disk_mib);
    struct mark m = { .sliver = s->id, .image = image };
    if (db_write(am->db, mark_fn, &m, err) || image_at_node(am, op, s->node, image, err)) return -1;
    json_put(s->image);
    s->image = json_ref(image);
    json *spec AUTO_JSON = sliver_spec(am, s, s->node, s->epoch, keys);
    json *answer AUTO_JSON =
        agents_call(am, s->node, "PUT", spec, CREATE_MS, err, "/v1/slivers/%s", s->id);
    return answer ? 0 : -1;
}

static int provision_one(struct aggregate *am, const struct operation *op, struct sliver *s,
                         const json *keys, struct err *err) {
    struct mark m = { .sliver = s->id, .allocation = "provisioned" };
    if (strcmp(s->state, "ready") == 0) return 0; /* done before a restart */
    if (db_write(am->db, mark_fn, &m, err) ||
        sliver_change_state(am, s->id, "configuring", "", err))
        return -1;
    if (make(am, op, s, keys, err)) {
        struct err ignored = ERR_INIT;
        sliver_change_state(am, s->id, "failed", err->msg, &ignored);
        return err_wrap(err, "sliver %s", s->name);
    }
    return 0;
}

int provision_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct view v CLEANUP(view_done) = { .reservation = json_get_str(op->input, "reservation") };
    if (db_read(am->db, view_fn, &v, err)) return -1;
    size_t failed = 0, n = v.slivers.count;
    bool *ok AUTO_FREE = xcalloc(n, sizeof *ok);
    for (size_t i = 0; i < n; i++) {
        if (operation_cancelled(am, op->id))
            return err_set(err, ERR_CANCELLED, "cancelled with %zu of %zu slivers made", i, n);
        progress(am, op, "creating", v.slivers.rows[i].name, i, n);
        struct err one = ERR_INIT;
        ok[i] = provision_one(am, op, &v.slivers.rows[i], v.r.keys, &one) == 0;
        if (!ok[i]) {
            log_warn("sliver not made", "sliver=%s error=%s", v.slivers.rows[i].id, one.msg);
            if (!failed++ && err) *err = one;
        }
    }
    progress(am, op, "setting the forwarding", "", n - failed, n);
    struct err push = ERR_INIT;
    if (n && forwarding_push(am, op->slice, NULL, NULL, NULL, &push) && !failed++ && err)
        *err = push;
    for (size_t i = 0; i < n; i++)
        if (ok[i]) sliver_change_state(am, v.slivers.rows[i].id, "ready", "", NULL);
    return failed ? -1 : 0;
}

/* --- release --- */
static int gone_fn(struct db_conn *c, void *arg, struct err *err) {
    return sliver_set_allocation(c, arg, "unallocated", err) || checkpoint_forget(c, arg, err) ? -1 : 0;
}

static int release_one(struct aggregate *am, const char *id, struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    if (sliver_find(am, id, &s, err)) return -1;
    if (strcmp(s.allocation, "unallocated") == 0) return 0;
    if (strcmp(s.allocation, "provisioned") == 0) {
        struct err push = ERR_INIT;
        if (forwarding_push(am, s.slice, NULL, s.id, NULL, &push))
            log_warn("flows of a released sliver remain", "sliver=%s error=%s", s.id, push.msg);
        json *answer AUTO_JSON = agents_call(am, s.node, "DELETE", NULL, REMOVE_MS, err,
                                             "/v1/slivers/%s?epoch=%lld", s.id, (long long)s.epoch);
        if (!answer) {
            err_wrap(err, "sliver %s", s.name);
            return err_remedy(err, "its node must answer before it can be released; retire the node "
                                   "if it will not come back");
        }
    }
    return db_write(am->db, gone_fn, s.id, err);
}

static int released_fn(struct db_conn *c, void *arg, struct err *err) {
    return reservation_set_state(c, arg, "released", err);
}

int release_run(struct aggregate *am, const struct operation *op, struct err *err) {
    const json *ids = json_get(op->input, "slivers");
    size_t n = json_length(ids), failed = 0;
    for (size_t i = 0; i < n; i++) {
        struct err one = ERR_INIT;
        const char *id = json_str(json_at(ids, i));
        progress(am, op, "removing", id, i, n);
        if (release_one(am, id, &one)) {
            log_warn("sliver not removed", "sliver=%s error=%s", id, one.msg);
            if (!failed++ && err) *err = one;
        }
    }
    const char *reservation = json_get_str(op->input, "reservation");
    if (failed || !reservation) return failed ? -1 : 0;
    char id[37];
    snprintf(id, sizeof id, "%s", reservation);
    return db_write(am->db, released_fn, id, err);
}

/* --- power --- */
int power_run(struct aggregate *am, const struct operation *op, struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    const char *action = json_get_str(op->input, "action");
    if (sliver_find(am, op->sliver, &s, err)) return -1;
    json *body AUTO_JSON = json_set_int(json_object(), "epoch", s.epoch);
    json_set_str(body, "action", action);
    json *answer AUTO_JSON = agents_call(am, s.node, "POST", body, POWER_MS, err,
                                         "/v1/slivers/%s/power", s.id);
    if (!answer) return err_wrap(err, "sliver %s", s.name);
    /* Its ports may be new ones, as after a crash of the node. */
    if (strcmp(action, "stop") && forwarding_push_node(am, s.slice, s.node, NULL, err)) return -1;
    return sliver_change_state(am, s.id, strcmp(action, "stop") == 0 ? "stopped" : "ready", "", err);
}
