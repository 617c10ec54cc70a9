/*
 * The sources of the inventory. Each adds its items; -1 when it did not answer.
 */
#ifndef JOGAK_NODEMGR_INVENTORY_INTERNAL_H
#define JOGAK_NODEMGR_INVENTORY_INTERNAL_H

#include "nodemgr/inventory.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/switch.h"

struct inventory {
    struct agent *agent;
    struct sliver_rows rows;
    json *documents;           /* slice_forwarding_documents() */
    json *migrations;          /* {id: true} */
    struct switch_port *ports; /* ours, once the switch was read */
    size_t port_count;
    char **bridges;            /* of others */
    json **items;
    size_t count, capacity, left_out;
};
#define OURS "yes"
#define FOREIGN "no"
#define UNCLEAR "unknown"

/* A new item; sliver may be NULL, epoch 0. Never NULL; borrowed (one beyond the bound is not sent). */
json *inventory_add(struct inventory *v, const char *kind, const char *name, const char *ours,
                    const char *sliver, int64_t epoch);
bool inventory_has_row(const struct inventory *v, const char *sliver, int64_t epoch);

int inventory_database(struct inventory *v, struct err *err);
int inventory_libvirt(struct inventory *v, struct err *err);
int inventory_switch(struct inventory *v, struct err *err);
int inventory_devices(struct inventory *v, struct err *err); /* after the switch */
int inventory_files(struct inventory *v, struct err *err);

#endif
