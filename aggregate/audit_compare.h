/*
 * The comparison of the audit: what should be on a node against what its inventory shows. Pure: no
 * database, no clock, no network, so that every rule can be tested by itself.
 *
 * Where something of a sliver is found, its *standing* decides:
 *
 *   unknown   the aggregate never had such a sliver      reported, never touched
 *   ahead     of an epoch that was never given out       reported, never touched: we may be an old copy
 *   moving    an operation works on the sliver           left alone
 *   here      this node owns it at this very epoch       compared in detail
 *   old       an incarnation that another has replaced   removed, once the owner was seen to have its own
 *   ended     its sliver was released                    removed
 *
 * "Removed" is by epoch (a debt of the node) for a whole incarnation, and one by one for parts that no
 * incarnation there owns. That the owner must have its own first means that the last incarnation of a sliver is
 * never removed, whatever our database says: a copy of it that is older than the last move would name as
 * owner a node that has nothing.
 */
#ifndef JOGAK_AGGREGATE_AUDIT_COMPARE_H
#define JOGAK_AGGREGATE_AUDIT_COMPARE_H

#include "common/json.h"

struct audit_sliver {
    char id[37], name[64], slice[37];
    char allocation[16], state[16], node[64];
    int64_t epoch, last_epoch;
    int64_t vnics;
    bool moving; /* an operation has it, or a migration of it is under way */
    bool armed;  /* a migration of it waits for its signal */
    bool owner_has_it; /* its owner was seen to have this very incarnation, when it was last looked at */
};
struct audit_link {
    int64_t vni;
    char slice[37];
    bool here;   /* the slice has a sliver on this node */
    bool moving; /* an operation works on one of the slice's slivers */
};
struct audit_view { /* what should be */
    const char *node;
    struct audit_sliver *slivers; /* of this node, and those that the inventory names */
    size_t sliver_count;
    struct audit_link *links;     /* those of flows that their agent cannot explain */
    size_t link_count;
    json *migrations;             /* {id: true (open) | false}, those that the inventory names */
};
const struct audit_sliver *audit_sliver_of(const struct audit_view *v, const char *id);

enum audit_standing {
    STANDING_UNKNOWN,
    STANDING_AHEAD,
    STANDING_MOVING,
    STANDING_HERE,
    STANDING_OLD,
    STANDING_ENDED,
};
/* s may be NULL. */
enum audit_standing audit_standing(const struct audit_sliver *s, const char *node, int64_t epoch);

enum audit_repair {
    REPAIR_NONE,
    REPAIR_CLEANUP,    /* a debt of the node: DELETE of that incarnation */
    REPAIR_COLLECT,    /* the agent removes this one thing */
    REPAIR_FORGET,     /* the agent forgets this migration */
    REPAIR_FORWARDING, /* the slice's forwarding is told again */
    REPAIR_ADOPT,      /* the agent is given the sliver's spec again */
    REPAIR_STATE,      /* the sliver's state becomes what it is */
};
const char *audit_repair_name(enum audit_repair r);

struct audit_finding {
    char kind[16], name[401], what[24], sliver[37], slice[37];
    char cause[256];
    int64_t epoch;
    enum audit_repair repair;
    char state[16]; /* REPAIR_STATE: the one that the sliver gets */
    bool foreign;   /* noted and left alone */
    bool withheld;  /* not repaired yet: its sliver's owner was not seen to have it */
};
struct audit_findings {
    struct audit_finding *rows;
    size_t count;
};
void audit_findings_done(struct audit_findings *f);
#define AUTO_FINDINGS CLEANUP(audit_findings_done)

/* inventory: an Inventory with the items of all pages. Of a source that did not answer nothing is
 * concluded. *ret is appended to. */
void audit_compare(const struct audit_view *v, const json *inventory, struct audit_findings *ret);
/* Does the inventory show the sliver's present incarnation, as a domain or at least as a row? */
bool audit_shows(const json *inventory, const struct audit_sliver *s);
/* Did every source answer, and is nothing left out? */
bool audit_whole(const json *inventory);

#endif
