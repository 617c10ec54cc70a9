/* The aggregate's routes: the table only. schemas/aggregate.openapi.yaml says the same in full. */
#include "routes.h"

#include "about.h"
#include "audit.h"
#include "checkpoint.h"
#include "event.h"
#include "migration/migration.h"
#include "node.h"
#include "operation.h"
#include "reservation.h"
#include "sliver.h"

#define SEE (ROLE_USER | ROLE_OPERATOR)
#define USE (ROLE_USER | ROLE_OPERATOR)
#define S(name) "aggregate#" name

const struct route aggregate_routes[] = {
    { "GET", "/v1", about_show, ROLE_ANYONE, NULL, S("About"), 0, false },

    { "GET", "/v1/nodes", node_list_route, SEE, NULL, S("NodeList"), 0, false },
    { "GET", "/v1/nodes/{node}", node_show, SEE, NULL, S("Node"), 0, false },
    { "PATCH", "/v1/nodes/{node}", node_change, ROLE_OPERATOR, S("NodeChange"), S("Node"), 0, false },
    { "POST", "/v1/nodes/{node}/report", node_report, ROLE_NODE, S("NodeReport"), S("NodeLease"), 0, false },
    { "POST", "/v1/nodes/{node}/drain", drain_start, ROLE_OPERATOR, S("NodeDrain"), NULL, 0, false },

    { "POST", "/v1/slices/{slice}/plan", reservation_plan, USE, S("NewPlan"), S("Plan"), 0, false },
    { "POST", "/v1/slices/{slice}/release", reservation_release_slivers, USE, S("Release"), S("Operation"), 0, false },
    { "POST", "/v1/slices/{slice}/migrate", slice_migrate, USE, S("SliceMigrate"), NULL, 0, false },

    { "GET", "/v1/reservations", reservation_list, SEE, NULL, S("ReservationList"), 0, false },
    { "POST", "/v1/reservations", reservation_allocate, USE, S("NewReservation"), S("Reservation"), 0, false },
    { "GET", "/v1/reservations/{reservation}", reservation_show, SEE, NULL, S("Reservation"), 0, false },
    { "DELETE", "/v1/reservations/{reservation}", reservation_release, USE, NULL, NULL, 0, false },
    { "POST", "/v1/reservations/{reservation}/provision", reservation_provision, USE, S("Lease"), S("Operation"), 0, false },
    { "POST", "/v1/reservations/{reservation}/renew", reservation_renew, USE, S("Lease"), S("Reservation"), 0, false },

    { "GET", "/v1/slivers", sliver_list_route, SEE, NULL, S("SliverList"), 0, false },
    { "GET", "/v1/slivers/{sliver}", sliver_show, SEE, NULL, S("Sliver"), 0, false },
    { "POST", "/v1/slivers/{sliver}/power", sliver_power, USE, S("Power"), S("Operation"), 0, false },
    { "POST", "/v1/slivers/{sliver}/console", sliver_console, USE, NULL, S("ConsoleTicket"), 0, false },
    { "POST", "/v1/slivers/{sliver}/migrations", migration_start, USE, S("NewMigration"), S("Operation"), 0, false },

    { "GET", "/v1/slivers/{sliver}/checkpoints", checkpoint_list, SEE, NULL, S("CheckpointList"), 0, false },
    { "POST", "/v1/slivers/{sliver}/checkpoints", checkpoint_start, USE, NULL, S("Operation"), 0, false },

    { "GET", "/v1/migrations", migration_list, SEE, NULL, S("MigrationList"), 0, false },
    { "GET", "/v1/migrations/{migration}", migration_show, SEE, NULL, S("Migration"), 0, false },

    { "GET", "/v1/audit", audit_list, ROLE_OPERATOR, NULL, S("Audit"), 0, false },
    { "POST", "/v1/audit", audit_start, ROLE_OPERATOR, S("NewAudit"), S("Operation"), 0, false },

    { "GET", "/v1/operations", operation_list, SEE, NULL, S("OperationList"), 0, false },
    { "GET", "/v1/operations/{operation}", operation_show, SEE, NULL, S("Operation"), 0, false },
    { "POST", "/v1/operations/{operation}/cancel", operation_cancel, USE, NULL, S("Operation"), 0, false },

    { "GET", "/v1/events", event_stream, SEE, NULL, NULL, 0, false },
};
const size_t aggregate_route_count = sizeof aggregate_routes / sizeof aggregate_routes[0];
