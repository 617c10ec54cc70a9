#include "sliver.h"

#include "address.h"
#include "common/clock.h"
#include "common/log.h"
#include "event.h"

#include <stdio.h>

LOG_MODULE("am.sliver");

static const char SQL_ONE[] = "SELECT * FROM sliver WHERE id = ?";
static const char SQL_OF_SLICE[] =
    "SELECT * FROM sliver WHERE slice = ? AND allocation <> 'unallocated' ORDER BY name";
static const char SQL_OF_RESERVATION[] =
    "SELECT * FROM sliver WHERE reservation = ? AND allocation <> 'unallocated' ORDER BY name";
static const char SQL_OF_NODE[] =
    "SELECT * FROM sliver WHERE node = ? AND allocation <> 'unallocated' ORDER BY memory_mib, name";
static const char SQL_VNICS[] =
    "SELECT vnic.*, link.vni, link.mtu, link.router, p.address AS public_address, p.site AS public_site"
    " FROM vnic JOIN sliver ON sliver.id = vnic.sliver"
    " JOIN link ON link.slice = sliver.slice AND link.name = vnic.link"
    " LEFT JOIN public_address AS p ON p.sliver = vnic.sliver AND p.vnic = vnic.name AND p.state = 'used'"
    " WHERE vnic.sliver = ? ORDER BY position";
static const char SQL_ADD[] =
    "INSERT INTO sliver (id, urn, slice, reservation, name, allocation, state, node, epoch, kind,"
    " vcpus, memory_mib, disk_mib, rate_kbps, wanted, created_ms, checkpoint_s,"
    " on_down, armed)"
    " VALUES (?, ?, ?, ?, ?, 'allocated', 'notready', ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_ADD_VNIC[] =
    "INSERT INTO vnic (sliver, name, position, link, mac, addresses, rate_kbps, public)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_STATE[] = "UPDATE sliver SET state = ?2, reason = ?3 WHERE id = ?1";
static const char SQL_ALLOCATION[] = "UPDATE sliver SET allocation = ?2 WHERE id = ?1";
static const char SQL_DROP_VNICS[] = "DELETE FROM vnic WHERE sliver = ?";
static const char SQL_DISARM[] = "DELETE FROM claim WHERE operation = ?1 AND sliver = ?1";
static const char SQL_IMAGE[] = "UPDATE sliver SET image = ?2 WHERE id = ?1";
static const char SQL_OWNER[] =
    "UPDATE sliver SET node = ?2, epoch = ?3 WHERE id = ?1 AND (epoch < ?3 OR"
    " (epoch = ?3 AND node = ?2))";
static const char SQL_BUSY[] =
    "UPDATE sliver SET busy = ?2 WHERE id = ?1 AND (busy IS NULL OR busy = ?2)";
static const char SQL_IDLE[] = "UPDATE sliver SET busy = NULL WHERE busy = ?";

void sliver_done(struct sliver *s) {
    json_put(s->wanted);
    json_put(s->image);
    for (size_t i = 0; i < s->vnic_count; i++) json_put(s->vnics[i].addresses);
    s->wanted = s->image = NULL;
    s->vnic_count = 0;
}

void sliver_list_done(struct sliver_list *l) {
    for (size_t i = 0; i < l->count; i++) sliver_done(&l->rows[i]);
    free(l->rows);
    *l = (struct sliver_list){ 0 };
}

static void text(struct db_stmt *q, const char *column, char *to, size_t size) {
    const char *value = db_text(q, column);
    snprintf(to, size, "%s", value ? value : "");
}
#define TEXT(q, s, field) text(q, #field, (s)->field, sizeof (s)->field)

static json *object(struct db_stmt *q, const char *column) {
    const char *value = db_text(q, column);
    return json_parse(value, strlen(value), NULL);
}

static void from_row(struct db_stmt *q, struct sliver *s) {
    *s = (struct sliver){
        .epoch = db_int(q, "epoch"),
        .vcpus = db_int(q, "vcpus"),
        .memory_mib = db_int(q, "memory_mib"),
        .disk_mib = db_int(q, "disk_mib"),
        .rate_kbps = db_int(q, "rate_kbps"),
        .created_ms = db_int(q, "created_ms"),
    };
    TEXT(q, s, id);
    TEXT(q, s, urn);
    TEXT(q, s, slice);
    TEXT(q, s, reservation);
    TEXT(q, s, name);
    TEXT(q, s, allocation);
    TEXT(q, s, state);
    TEXT(q, s, reason);
    TEXT(q, s, node);
    TEXT(q, s, kind);
    TEXT(q, s, busy);
    s->wanted = object(q, "wanted");
    s->image = object(q, "image");
}

static int read_vnics(struct db_conn *c, struct sliver *s, struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_VNICS, "s", s->id);
    if (!q) return -1;
    int rc;
    while ((rc = db_step(q, err)) == 1 && s->vnic_count < SLIVER_VNICS_MAX) {
        struct vnic *v = &s->vnics[s->vnic_count++];
        TEXT(q, v, name);
        TEXT(q, v, link);
        TEXT(q, v, mac);
        TEXT(q, v, router);
        TEXT(q, v, public_address);
        TEXT(q, v, public_site);
        v->is_public = db_int(q, "public");
        v->position = db_int(q, "position");
        v->rate_kbps = db_int(q, "rate_kbps");
        v->vni = db_int(q, "vni");
        v->mtu = db_int(q, "mtu");
        v->addresses = object(q, "addresses");
    }
    return rc < 0 ? -1 : 0;
}

static int many(struct db_conn *c, const char *sql, const char *key, struct sliver_list *ret,
                struct err *err) {
    struct db_stmt *q AUTO_STMT = db_query(c, err, sql, "s", key);
    if (!q) return -1;
    struct sliver_list all AUTO_SLIVERS = { 0 };
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        all.rows = xrealloc_array(all.rows, all.count + 1, sizeof *all.rows);
        from_row(q, &all.rows[all.count++]);
    }
    for (size_t i = 0; rc == 0 && i < all.count; i++) rc = read_vnics(c, &all.rows[i], err);
    if (rc < 0) return -1;
    *ret = all;
    all = (struct sliver_list){ 0 };
    return 0;
}

int sliver_get(struct db_conn *c, const char *id, struct sliver *ret, struct err *err) {
    struct sliver_list one AUTO_SLIVERS = { 0 };
    if (many(c, SQL_ONE, id, &one, err)) return -1;
    if (!one.count) {
        err_set(err, ERR_NOT_FOUND, "there is no sliver %s", id);
        return err_remedy(err, "see `jogak sliver list`");
    }
    *ret = one.rows[0];
    one.count = 0; /* its contents were moved */
    return 0;
}

int sliver_of_slice(struct db_conn *c, const char *slice, struct sliver_list *ret,
                    struct err *err) {
    return many(c, SQL_OF_SLICE, slice, ret, err);
}

int sliver_of_reservation(struct db_conn *c, const char *reservation, struct sliver_list *ret,
                          struct err *err) {
    return many(c, SQL_OF_RESERVATION, reservation, ret, err);
}

int sliver_of_node(struct db_conn *c, const char *node, struct sliver_list *ret,
                   struct err *err) {
    return many(c, SQL_OF_NODE, node, ret, err);
}

/* 1: its policy says something else there than what it says by default. */
static int64_t policy_says(const struct sliver *s, const char *field, const char *otherwise) {
    const char *text = json_get_str(json_get(s->wanted, "migration"), field);
    return text && strcmp(text, otherwise) != 0;
}

int sliver_add(struct db_conn *c, const struct sliver *s, struct err *err) {
    char *wanted AUTO_FREE = json_text(s->wanted);
    if (db_exec(c, NULL, err, SQL_ADD, "sssssssiiiisiiii", s->id, s->urn, s->slice, s->reservation,
                s->name, s->node, s->kind, s->vcpus, s->memory_mib, s->disk_mib, s->rate_kbps,
                wanted, clock_wall_ms(),
                json_get_int(json_get(s->wanted, "migration"), "checkpoint_interval_s", 0),
                policy_says(s, "on_down", "none"), policy_says(s, "policy", "dynamic")))
        return err_wrap(err, "sliver %s", s->name);
    for (size_t i = 0; i < s->vnic_count; i++) {
        const struct vnic *v = &s->vnics[i];
        char *addresses AUTO_FREE = json_text(v->addresses);
        if (db_exec(c, NULL, err, SQL_ADD_VNIC, "ssisssii", s->id, v->name, v->position, v->link,
                    v->mac, addresses, v->rate_kbps, (int64_t)v->is_public))
            return err_wrap(err, "vNIC %s of sliver %s (%s)", v->name, s->name, v->mac);
    }
    return 0;
}

static const struct { const char *from, *to; } transitions[] = {
    { "notready", "configuring" }, { "configuring", "ready" },  { "configuring", "failed" },
    { "ready", "migrating" },      { "migrating", "ready" },    { "migrating", "failed" },
    { "ready", "stopped" },        { "stopped", "ready" },      { "ready", "failed" },
    { "failed", "configuring" },   { "failed", "ready" },       { "stopped", "configuring" },
    { "stopped", "failed" },       { "migrating", "stopped" },  { "ready", "configuring" },
    { "failed", "migrating" }, { "stopped", "migrating" },
};

static bool allowed(const char *from, const char *to) {
    for (size_t i = 0; i < COUNT_OF(transitions); i++)
        if (!strcmp(transitions[i].from, from) && !strcmp(transitions[i].to, to)) return true;
    return false;
}

int sliver_set_state(struct db_conn *c, const char *id, const char *state, const char *reason,
                     struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    if (sliver_get(c, id, &s, err)) return -1;
    if (strcmp(s.state, state) == 0) return 0;
    if (!allowed(s.state, state))
        return err_set(err, ERR_CONFLICT, "sliver %s is %s and cannot become %s", s.name, s.state,
                       state);
    if (db_exec(c, NULL, err, SQL_STATE, "sss", id, state, reason ? reason : "")) return -1;
    log_info("sliver state", "sliver=%s name=%s node=%s epoch=%lld from=%s to=%s", id, s.name,
             s.node, (long long)s.epoch, s.state, state);
    json *data = json_object();
    json_set_str(data, "sliver", id);
    json_set_str(data, "name", s.name);
    json_set_str(data, "from", s.state);
    json_set_str(data, "state", state);
    if (reason && *reason) json_set_str(data, "reason", reason);
    return event_add(c, "sliver.state", s.slice, data, err);
}

int sliver_set_allocation(struct db_conn *c, const char *id, const char *allocation,
                          struct err *err) {
    if (db_exec(c, NULL, err, SQL_ALLOCATION, "ss", id, allocation)) return -1;
    if (strcmp(allocation, "unallocated") == 0) /* its addresses are free again */
        return address_release(c, id, err) || db_exec(c, NULL, err, SQL_DROP_VNICS, "s", id) ||
                       db_exec(c, NULL, err, SQL_DISARM, "s", id)
                   ? -1
                   : 0;
    return 0;
}

int sliver_set_image(struct db_conn *c, const char *id, const json *image, struct err *err) {
    char *image_text AUTO_FREE = json_text(image);
    return db_exec(c, NULL, err, SQL_IMAGE, "ss", id, image_text);
}

int sliver_set_owner(struct db_conn *c, const char *id, const char *node, int64_t epoch,
                     struct err *err) {
    int changes = 0;
    if (db_exec(c, &changes, err, SQL_OWNER, "ssi", id, node, epoch)) return -1;
    if (!changes)
        return err_set(err, ERR_STALE_EPOCH, "sliver %s has a newer owner than epoch %lld", id,
                       (long long)epoch);
    log_info("sliver owner", "sliver=%s node=%s epoch=%lld", id, node, (long long)epoch);
    return 0;
}

int sliver_set_busy(struct db_conn *c, const char *id, const char *operation, struct err *err) {
    int changes = 0;
    if (db_exec(c, &changes, err, SQL_BUSY, "ss", id, operation)) return -1;
    if (changes) return 0;
    struct sliver s AUTO_SLIVER = { 0 };
    if (sliver_get(c, id, &s, err)) return -1;
    err_set(err, ERR_CONFLICT, "sliver %s is being worked on by operation %s", s.name, s.busy);
    return err_remedy(err, "wait for it (jogak operation wait %s) or cancel it", s.busy);
}

int sliver_clear_busy(struct db_conn *c, const char *operation, struct err *err) {
    return db_exec(c, NULL, err, SQL_IDLE, "s", operation);
}

struct find {
    const char *id, *state, *reason;
    struct sliver *ret;
    struct sliver_list *ret_list;
};

static int list_fn(struct db_conn *c, void *arg, struct err *err) {
    struct find *f = arg;
    return sliver_of_slice(c, f->id, f->ret_list, err);
}

int sliver_list_of(struct aggregate *am, const char *slice, struct sliver_list *ret,
                   struct err *err) {
    struct find f = { .id = slice, .ret_list = ret };
    return db_read(am->db, list_fn, &f, err);
}

static int find_fn(struct db_conn *c, void *arg, struct err *err) {
    struct find *f = arg;
    return sliver_get(c, f->id, f->ret, err);
}

int sliver_find(struct aggregate *am, const char *id, struct sliver *ret, struct err *err) {
    struct find f = { .id = id, .ret = ret };
    return db_read(am->db, find_fn, &f, err);
}

static int change_fn(struct db_conn *c, void *arg, struct err *err) {
    struct find *f = arg;
    return sliver_set_state(c, f->id, f->state, f->reason, err);
}

int sliver_change_state(struct aggregate *am, const char *id, const char *state,
                        const char *reason, struct err *err) {
    struct find f = { .id = id, .state = state, .reason = reason };
    int rc = db_write(am->db, change_fn, &f, err);
    events_wake(am->events);
    return rc;
}
