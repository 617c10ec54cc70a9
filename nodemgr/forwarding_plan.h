/*
 * The flows and meters of one link: computed, not yet compared. Used by forwarding.c and tests.
 */
#ifndef JOGAK_NODEMGR_FORWARDING_PLAN_H
#define JOGAK_NODEMGR_FORWARDING_PLAN_H

#include "nodemgr/forwarding.h"

enum forwarding_table { TABLE_CLASSIFY, TABLE_SPOOF, TABLE_POLICE, TABLE_FORWARD, TABLE_COUNT };

/* What belongs to one link, desired or installed; link 0 is the pipeline itself. */
struct flow_set {
    uint32_t link;
    struct of_flow *flows; /* sorted by of_flow_compare() once flow_set_sort() was called */
    size_t count, capacity;
    struct switch_meter *meters;
    size_t meter_count;
};

void flow_set_done(struct flow_set *set);
/* Takes the flow. */
void flow_set_add(struct flow_set *set, struct of_flow *flow);
void flow_set_add_meter(struct flow_set *set, const struct switch_meter *meter);
/* Sort; drop repetitions. Errors: ERR_UNPROCESSABLE when two flows contradict each other. */
int flow_set_sort(struct flow_set *set, struct err *err);

/* Ports of the bridge, sorted by name. */
struct port_table {
    struct switch_port_number *ports;
    size_t count;
};
void port_table_sort(struct port_table *t);
/* 0: no such port. */
uint32_t port_table_find(const struct port_table *t, const char *name);

/* Flows of the pipeline itself. */
int forwarding_plan_base(struct flow_set *ret, struct err *err);
/* Flows and meters of one link, sorted. *missing grows by the vNICs that had to be left out.
 * The caller calls flow_set_done(ret) in any case. Errors: ERR_UNPROCESSABLE, ERR_TOO_LARGE. */
int forwarding_plan_link(const struct forwarding_link *link, const struct port_table *ports,
                         const struct forwarding_uplink *uplink, struct flow_set *ret, size_t *missing, struct err *err);

#endif
