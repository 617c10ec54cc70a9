/* Step 2: the target, its capacity, and the next epoch: one transaction. */
#include "steps_internal.h"

#include "../address.h"
#include "../placement.h"
#include "arm.h"
#include "debt.h"

#include <stdio.h>

static const char SQL_CLAIM[] =
    "INSERT INTO claim (operation, sliver, node, vcpus, memory_mib, disk_mib, rate_kbps)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
static const char SQL_TAKE_EPOCH[] = "UPDATE sliver SET last_epoch = last_epoch + 1 WHERE id = ?";
static const char SQL_LAST_EPOCH[] = "SELECT last_epoch FROM sliver WHERE id = ?";
static const char SQL_ENDS[] =
    "UPDATE migration SET source = ?2, target = ?3, source_epoch = ?4, epoch = ?5 WHERE id = ?1";
static const char SQL_UNCLAIM_HELD[] = "DELETE FROM claim WHERE sliver = ? AND operation <> ?";
static const char SQL_UNCLAIM[] = "DELETE FROM claim WHERE operation = ?";

/* Whom to try, one after the other, until one takes it. */
enum among { AMONG_HELD, AMONG_LIST, AMONG_ANY, AMONG_END };

static struct placement_wish wish_of(const struct run *r, enum among among, const char *held) {
    struct placement_wish w;
    arm_wish(&r->s, &w);
    if (r->m.wanted_target[0]) w.node = r->m.wanted_target;
    else if (among == AMONG_HELD) w.node = held;
    if (w.node || among == AMONG_ANY) w.targets = NULL;
    return w;
}

/* A public address stays at its site: elsewhere it needs another one, if its policy lets it go there. */
static void public_wish(const struct run *r, struct placement_wish *w) {
    const char *rule = json_str(json_path(r->s.wanted, "migration.addresses"));
    const struct vnic *v = sliver_public_vnic(&r->s);
    if (!v) return;
    w->is_public = true;
    if (v->public_address[0]) w->has_site = v->public_site;
    w->stays = rule && strcmp(rule, "keep") == 0;
}

static int try_nodes(struct db_conn *c, struct run *r, struct placement_wish wish, const json *barred,
                     struct err *err) {
    struct node_list nodes CLEANUP(node_list_done) = { 0 };
    public_wish(r, &wish);
    json *reasons AUTO_JSON = NULL;
    wish.barred = barred;
    int rc = node_all(c, &nodes, err) || address_offer(c, r->am, &nodes, err) ||
             placement_choose(&nodes, &wish, 1, r->am->config->cpu_overcommit_percent, &reasons, err);
    if (reasons) json_set(r->detail, "refused", json_ref(reasons));
    if (rc) return -1;
    snprintf(r->m.target, sizeof r->m.target, "%s", nodes.rows[wish.chosen].name);
    err_clear(err);
    return 0;
}

/* The node that was held for it; then its list; and with a hybrid policy any other. */
static int try_all(struct db_conn *c, struct run *r, const char *held, const json *barred,
                   struct err *err) {
    const char *policy = json_str(json_path(r->s.wanted, "migration.policy"));
    bool hybrid = policy && strcmp(policy, "hybrid") == 0;
    int rc = -1;
    for (enum among a = held[0] ? AMONG_HELD : AMONG_LIST; rc && a < AMONG_END; a++) {
        if (a == AMONG_ANY && !hybrid) break;
        rc = try_nodes(c, r, wish_of(r, a, held), barred, err);
        if (r->m.wanted_target[0]) break;
    }
    if (rc == 0 && held[0]) json_set_str(r->detail, "held", held);
    return rc;
}

/* A node that still has to clear away an earlier attempt is out of the question: being told to
 * forget that one, it would forget this one too. A node at which an attempt has failed is taken if
 * there is no other. */
static int choose(struct db_conn *c, struct run *r, const char *held, struct err *err) {
    if (strcmp(r->m.wanted_target, r->s.node) == 0)
        return err_set(err, ERR_CONFLICT, "sliver %s is on node %s already", r->s.name, r->s.node);
    json *owing AUTO_JSON = json_object();
    if (debt_nodes_of(c, r->m.id, owing, err)) return -1;
    json *barred AUTO_JSON = json_copy(owing);
    const json *attempts = json_get(r->m.facts, "attempts");
    for (size_t i = 0; i < json_length(attempts); i++) {
        const char *node = json_get_str(json_at(attempts, i), "target");
        if (node && !json_has(barred, node)) json_set_str(barred, node, "failed_before");
    }
    struct err first = ERR_INIT;
    if (try_all(c, r, held, barred, &first) == 0) return 0;
    return try_all(c, r, held, owing, err);
}

/* Also an attempt that fails uses one up: its target has seen it and will refuse it from then on. */
static int take_epoch(struct db_conn *c, struct run *r, struct err *err) {
    if (db_exec(c, NULL, err, SQL_TAKE_EPOCH, "s", r->s.id)) return -1;
    struct db_stmt *q AUTO_STMT = db_query(c, err, SQL_LAST_EPOCH, "s", r->s.id);
    if (!q || db_step(q, err) != 1) return -1;
    r->m.epoch = db_int(q, "last_epoch");
    return 0;
}

static int choose_fn(struct db_conn *c, void *arg, struct err *err) {
    struct run *r = arg;
    char held[64];
    /* What its policy, or a drain, had claimed for it in advance becomes its own claim. */
    if (arm_take(c, r->s.id, held, err) ||
        db_exec(c, NULL, err, SQL_UNCLAIM_HELD, "ss", r->s.id, r->m.id) ||
        choose(c, r, held, err) || take_epoch(c, r, err))
        return -1;
    snprintf(r->m.source, sizeof r->m.source, "%s", r->s.node);
    r->m.source_epoch = r->s.epoch;
    return db_exec(c, NULL, err, SQL_CLAIM, "sssiiii", r->m.id, r->s.id, r->m.target, r->s.vcpus,
                   r->s.memory_mib, r->s.disk_mib, r->s.rate_kbps) ||
                   address_claim(c, r->am, &r->s, r->m.target, r->m.id, err) ||
                   db_exec(c, NULL, err, SQL_ENDS, "sssii", r->m.id, r->m.source, r->m.target,
                           r->m.source_epoch, r->m.epoch)
               ? -1
               : 0;
}

int choose_run(struct run *r, struct err *err) {
    if (!r->m.target[0] && db_write(r->am->db, choose_fn, r, err)) {
        r->m.target[0] = '\0';
        return -1;
    }
    json_set_str(r->detail, "target", r->m.target);
    json_set_int(r->detail, "epoch", r->m.epoch);
    return 0;
}

static int unclaim_fn(struct db_conn *c, void *arg, struct err *err) {
    return db_exec(c, NULL, err, SQL_UNCLAIM, "s", arg) || address_unclaim(c, arg, err) ? -1 : 0;
}

int choose_undo(struct run *r, struct err *err) {
    return db_write(r->am->db, unclaim_fn, r->m.id, err);
}
