/*
 * A topology: what a user wants of a slice (schemas/topology.yaml), and what has to change for it.
 */
#ifndef JOGAK_AGGREGATE_TOPOLOGY_H
#define JOGAK_AGGREGATE_TOPOLOGY_H

#include "sliver.h"

/* What a schema cannot say: names used twice, vNICs on links that are not declared, addresses or
 * MACs given twice. ERR_UNPROCESSABLE, message begins with the JSON pointer of the culprit. */
int topology_check(const json *topology, struct err *err);
#define TOPOLOGY_MTU 1400 /* of a link that names none: fits through VXLAN on wires of 1,500 bytes */

/* {create: [name], replace: [{name, why}], delete: [name], keep: [name]} against what is there. */
json *topology_plan(const json *topology, const struct sliver_list *there);
/* A sliver's part, by name; borrowed; NULL when absent. */
const json *topology_sliver(const json *topology, const char *name);

#endif
