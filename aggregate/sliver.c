#include "sliver.h"

#include "access.h"
#include "common/clock.h"
#include "common/pki.h"
#include "guest_seed.h"
#include "lease.h"
#include "node.h"
#include "operation.h"
#include "reservation.h"
#include "slice.h"

#include <stdio.h>

#define TICKET_MS 60000

const struct vnic *sliver_public_vnic(const struct sliver *s) {
    for (size_t i = 0; i < s->vnic_count; i++)
        if (s->vnics[i].is_public) return &s->vnics[i];
    return NULL;
}

static json *vnic_json(const struct vnic *v) {
    json *j = json_object();
    json_set_str(j, "name", v->name);
    json_set_str(j, "link", v->link);
    json_set_str(j, "mac", v->mac);
    json_set_int(j, "vni", v->vni);
    json_set_int(j, "mtu", v->mtu);
    json_set_int(j, "rate_kbps", v->rate_kbps);
    if (v->is_public) json_set_bool(j, "public", true);
    if (v->public_address[0]) json_set_str(j, "public_address", v->public_address);
    return json_set(j, "addresses", json_copy(v->addresses));
}

json *sliver_json(const struct sliver *s) {
    char when[CLOCK_TEXT_BYTES];
    json *j = json_object(), *vnics = json_array();
    json_set_str(j, "id", s->id);
    json_set_str(j, "urn", s->urn);
    json_set_str(j, "name", s->name);
    json_set_str(j, "slice", s->slice);
    json_set_str(j, "reservation", s->reservation);
    json_set_str(j, "allocation", s->allocation);
    json_set_str(j, "state", s->state);
    if (s->reason[0]) json_set_str(j, "reason", s->reason);
    json_set_str(j, "node", s->node);
    json_set_int(j, "epoch", s->epoch);
    json_set_str(j, "kind", s->kind);
    json_set_int(j, "vcpus", s->vcpus);
    json_set_int(j, "memory_mib", s->memory_mib);
    json_set_int(j, "disk_mib", s->disk_mib);
    json_set_str(j, "image", json_get_str(s->wanted, "image"));
    if (s->busy[0]) json_set_str(j, "operation", s->busy);
    for (size_t i = 0; i < s->vnic_count; i++) json_add(vnics, vnic_json(&s->vnics[i]));
    json_set(j, "vnics", vnics);
    return json_set_str(j, "created", clock_rfc3339(s->created_ms, when));
}

json *sliver_spec(struct aggregate *am, const struct sliver *s, const char *node, int64_t epoch,
                  const json *owner_keys) {
    (void)node;
    json *j = json_object(), *vnics = json_array();
    json_set_str(j, "sliver", s->id);
    json_set_str(j, "urn", s->urn);
    json_set_str(j, "slice", s->slice);
    json_set_str(j, "name", s->name);
    json_set_int(j, "epoch", epoch);
    json_set_str(j, "kind", s->kind);
    json_set_int(j, "vcpus", s->vcpus);
    json_set_int(j, "memory_mib", s->memory_mib);
    json_set_int(j, "disk_mib", s->disk_mib);
    json_set(j, "image", json_copy(s->image));
    json_set_str(j, "store_url", am->config->store_url);
    if (!lease_fences(s)) json_set_bool(j, "unfenced", true);
    for (size_t i = 0; i < s->vnic_count; i++) {
        json *v = vnic_json(&s->vnics[i]);
        json_del(v, "link");
        json_del(v, "public");
        json_del(v, "public_address");
        json_add(vnics, v);
    }
    json_set(j, "vnics", vnics);
    return json_set(j, "seed", guest_seed(s, owner_keys));
}

struct ask {
    const char *id;
    struct sliver *ret;
    struct slice_row slice;
    const char *owner, *action;
    char operation[37];
};

static int get_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    return sliver_get(c, a->id, a->ret, err) || slice_get(c, a->ret->slice, &a->slice, err) ? -1 : 0;
}

int sliver_of_request(struct aggregate *am, const struct http_request *req, unsigned need,
                      struct sliver *ret, struct err *err) {
    struct ask a = { .id = req->params[0], .ret = ret };
    if (db_read(am->db, get_fn, &a, err)) return -1;
    return access_slice(am, req, a.slice.urn, need, NULL, err);
}

int sliver_show(void *ctx, const struct http_request *req, struct http_reply *reply,
                struct err *err) {
    struct sliver s AUTO_SLIVER = { 0 };
    if (sliver_of_request(ctx, req, PRIV_INFO, &s, err)) return -1;
    reply->body = sliver_json(&s);
    snprintf(reply->etag, sizeof reply->etag, "%lld-%s", (long long)s.epoch, s.state);
    return 0;
}

static int of_node_fn(struct db_conn *c, void *arg, struct err *err) {
    void **a = arg;
    return sliver_of_node(c, a[0], a[1], err);
}

/* None when the slice has nothing here. */
static int of_slice_fn(struct db_conn *c, void *arg, struct err *err) {
    void **a = arg;
    struct slice_row slice;
    struct err missing = ERR_INIT;
    if (slice_get_by_urn(c, a[0], &slice, &missing) == 0)
        return sliver_of_slice(c, slice.id, a[1], err);
    if (missing.code == ERR_NOT_FOUND) return 0;
    *err = missing;
    return -1;
}

int sliver_list_route(void *ctx, const struct http_request *req, struct http_reply *reply,
                      struct err *err) {
    struct aggregate *am = ctx;
    struct sliver_list all AUTO_SLIVERS = { 0 };
    const char *param = http_query(req, "slice"), *node = http_query(req, "node");
    if (param) {
        char urn[256];
        void *arg[] = { urn, &all };
        if (access_slice_urn(am, param, urn, err) ||
            access_slice(am, req, urn, PRIV_INFO, NULL, err) ||
            db_read(am->db, of_slice_fn, arg, err))
            return -1;
    } else if (node && (req->roles & ROLE_OPERATOR)) {
        void *arg[] = { (void *)(uintptr_t)node, &all };
        if (db_read(am->db, of_node_fn, arg, err)) return -1;
    } else {
        return err_set(err, ERR_INVALID, "say which: ?slice=project:name, or (operators) ?node=name");
    }
    json *items = json_array();
    for (size_t i = 0; i < all.count; i++) json_add(items, sliver_json(&all.rows[i]));
    reply->body = json_set(json_object(), "items", items);
    return 0;
}

/* A ticket opens one sliver's console at its node for a minute: the stream itself does not pass
 * through the aggregate. */
int sliver_console(void *ctx, const struct http_request *req, struct http_reply *reply,
                   struct err *err) {
    struct aggregate *am = ctx;
    struct sliver s AUTO_SLIVER = { 0 };
    struct node node AUTO_NODE = { 0 };
    if (sliver_of_request(am, req, PRIV_OPERATE, &s, err) || node_find(am, s.node, &node, err))
        return -1;
    char when[CLOCK_TEXT_BYTES];
    json *content AUTO_JSON = json_object();
    json_set_str(content, "sliver", s.id);
    json_set_str(content, "owner", req->peer->urn);
    json_set_str(content, "expires", clock_rfc3339(clock_wall_ms() + TICKET_MS, when));
    char *text AUTO_FREE = json_text(content);
    char *ticket AUTO_FREE = pki_sign(text, am->identity->key_pem, am->identity->cert_pem, err);
    if (!ticket) return -1;
    char *url AUTO_FREE = xasprintf("https://%s:%d/v1/slivers/%s/console", node.host,
                                    (int)node.port, s.id);
    reply->body = json_object();
    json_set_str(reply->body, "url", url);
    json_set_str(reply->body, "node", node.urn);
    json_set_str(reply->body, "ticket", ticket);
    return 0;
}

static int power_fn(struct db_conn *c, void *arg, struct err *err) {
    struct ask *a = arg;
    struct operation op AUTO_OPERATION = { .kind = "power" };
    memcpy(op.slice, a->ret->slice, sizeof op.slice);
    memcpy(op.sliver, a->ret->id, sizeof op.sliver);
    snprintf(op.owner, sizeof op.owner, "%s", a->owner);
    if (operation_add(c, &op, json_set_str(json_object(), "action", a->action), err) ||
        sliver_set_busy(c, a->ret->id, op.id, err))
        return -1;
    memcpy(a->operation, op.id, sizeof a->operation);
    return 0;
}

int sliver_power(void *ctx, const struct http_request *req, struct http_reply *reply,
                 struct err *err) {
    struct aggregate *am = ctx;
    struct sliver s AUTO_SLIVER = { 0 };
    struct ask a = { .ret = &s, .owner = req->peer->urn, .action = json_get_str(req->body, "action") };
    if (sliver_of_request(am, req, PRIV_OPERATE, &s, err)) return -1;
    if (strcmp(s.allocation, "provisioned"))
        return err_set(err, ERR_CONFLICT, "sliver %s is not provisioned", s.name);
    if (db_write(am->db, power_fn, &a, err)) return -1;
    return operation_accepted(am, a.operation, reply, err);
}
