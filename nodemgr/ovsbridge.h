/*
 * The integration bridge as rows of OVSDB: Bridge, Port and Interface. Used by switch.c alone,
 * which holds the lock; deadlines are points of clock_monotonic_ms().
 *
 * Each change raises Open_vSwitch.next_cfg in its transaction and waits, by an OVSDB monitor,
 * until ovs-vswitchd has raised cur_cfg as far: then port numbers and errors are in the rows.
 */
#ifndef JOGAK_NODEMGR_OVSBRIDGE_H
#define JOGAK_NODEMGR_OVSBRIDGE_H

#include "nodemgr/ovsdb.h"
#include "nodemgr/switch.h"

int ovsbridge_ensure(struct ovsdb *db, const char *bridge, const char *datapath_type,
                     int64_t deadline_ms, struct err *err);

/* An interface to add or to bring up to date. `ids` and `options` are arrays of pairs. */
struct ovsbridge_interface {
    const char *name;
    const char *type;
    json *ids;     /* taken */
    json *options; /* taken; NULL: leave alone */
};
/* Whether the port was added, brought up to date, or was right already (nothing is sent then, so
 * ovs-vswitchd need not even run). */
enum ovsbridge_change { OVSBRIDGE_ADDED, OVSBRIDGE_UPDATED, OVSBRIDGE_UNCHANGED };
int ovsbridge_ensure_port(struct ovsdb *db, const char *bridge,
                          const struct ovsbridge_interface *wanted, struct switch_port *ret,
                          enum ovsbridge_change *ret_change, int64_t deadline_ms, struct err *err);
int ovsbridge_del_port(struct ovsdb *db, const char *bridge, const char *name, int64_t deadline_ms,
                       struct err *err);
int ovsbridge_list(struct ovsdb *db, const char *bridge, struct switch_port **ret_ports,
                   size_t *ret_count, int64_t deadline_ms, struct err *err);

/* Names of other bridges, and of ports of ours that we did not make (ovsbridge_foreign.c). */
int ovsbridge_foreign(struct ovsdb *db, const char *bridge, char ***ret_ports, char ***ret_bridges,
                      int64_t deadline_ms, struct err *err);

#define OVSBRIDGE_ID_BRIDGE "jogak-bridge" /* in every interface's external_ids: whose it is */
#define OVSBRIDGE_ID_SLIVER "jogak-sliver"
#define OVSBRIDGE_ID_VNIC "jogak-vnic"
#define OVSBRIDGE_ID_EPOCH "jogak-epoch"

#endif
