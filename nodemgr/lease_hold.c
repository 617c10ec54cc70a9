#include "nodemgr/lease_hold.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/netdev.h"
#include "nodemgr/pin.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/sliver_watch.h"

#include <stdio.h>

LOG_MODULE("nm.hold");

/* The vNICs' names of a row's document: that is all its taps' names need. */
static const json *vnics_of(const struct sliver_row *row) { return json_get(row->document, "vnics"); }

static void row_tap(const struct sliver_row *row, size_t i, char ret[IFNAMSIZ]) {
    const char *vnic = json_get_str(json_at(vnics_of(row), i), "name");
    sliver_tap_name(row->sliver, row->epoch, vnic ? vnic : "", ret);
}

static size_t vnic_count(const struct sliver_row *row) {
    return vnics_of(row) ? json_length(vnics_of(row)) : 0;
}

static const struct sliver_row *row_of(const struct sliver_rows *rows, const char *domain) {
    for (size_t i = 0; i < rows->count; i++) {
        char name[DOMAIN_NAME_BYTES];
        if (strcmp(domain_name(rows->rows[i].sliver, rows->rows[i].epoch, name), domain) == 0)
            return &rows->rows[i];
    }
    return NULL;
}

/* Is one of its gates held already? Then a migration holds them, and opens them itself. */
static bool gates_held(const struct sliver_row *row) {
    bool held = false;
    for (size_t i = 0; i < vnic_count(row); i++) {
        char tap[IFNAMSIZ];
        struct netdev_gate gate = { .held = false };
        struct err none = ERR_INIT; /* a tap without a gate holds nothing */
        row_tap(row, i, tap);
        if (netdev_gate_read(tap, &gate, &none) == 0) held |= gate.held;
    }
    return held;
}

static void close_gates(struct lease_page *page, const struct sliver_row *row, const char *domain) {
    if (lease_hold_has(page, HOLD_GATED, domain) || gates_held(row)) return;
    lease_hold_add(page, HOLD_GATED, domain);
    for (size_t i = 0; i < vnic_count(row); i++) {
        char tap[IFNAMSIZ];
        struct err err = ERR_INIT;
        row_tap(row, i, tap);
        if (netdev_hold(tap, &err))
            log_warn("a tap cannot be held", "tap=%s cause=\"%s\"", tap, err.msg);
    }
}

static void open_gates(struct lease_page *page, const struct sliver_row *row, const char *domain) {
    for (size_t i = 0; i < vnic_count(row); i++) {
        char tap[IFNAMSIZ];
        struct err err = ERR_INIT;
        row_tap(row, i, tap);
        if (netdev_release(tap, &err))
            log_warn("a tap's gate stays as it is", "tap=%s cause=\"%s\"", tap, err.msg);
    }
    lease_hold_remove(page, HOLD_GATED, domain);
}

/* --- holding --- */

static void hold_one(struct agent *a, struct lease_page *page, const struct sliver_row *row,
                     const char *domain, bool paused) {
    struct err err = ERR_INIT;
    /* A frozen QEMU answers nobody: libvirt would wait for it. */
    if (!paused && !lease_hold_has(page, HOLD_FROZEN, domain)) {
        lease_hold_add(page, HOLD_PAUSED, domain);
        if (hypervisor_suspend(a->hypervisor, domain, &err))
            log_warn("not paused; the watchdog will freeze it", "domain=%s cause=\"%s\"", domain, err.msg);
        else log_warn("paused: the node has no lease", "domain=%s", domain);
    }
    if (row) close_gates(page, row, domain);
}

void lease_hold_all(struct agent *a, struct lease_page *page) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct err err = ERR_INIT;
    json *all AUTO_JSON = sliver_watch_all(a->watch, &err);
    if (!all || sliver_rows_read(a->db, NULL, &rows, &err)) {
        log_error("guests are left to the watchdog", "cause=\"%s\"", err.msg);
        return;
    }
    /* A lease that comes meanwhile ends it. */
    for (size_t i = 0; i < json_length(all) && lease_page_closing(page, clock_boottime_ms()); i++) {
        const json *one = json_at(all, i);
        const char *state = json_get_str(one, "state");
        char domain[DOMAIN_NAME_BYTES];
        domain_name(json_get_str(one, "sliver"), json_get_int(one, "epoch", 0), domain);
        const struct sliver_row *row = row_of(&rows, domain);
        if (row && json_get_bool(row->document, "unfenced", false)) continue;
        if (json_get_bool(one, "migrating", false)) continue;
        bool paused = lease_hold_has(page, HOLD_PAUSED, domain);
        if (strcmp(state, "running") == 0 || paused) hold_one(a, page, row, domain, paused);
    }
}

/* --- letting go --- */

static bool is_named(const json *slivers, const char *domain) {
    for (size_t i = 0; i < json_length(slivers); i++) {
        const json *one = json_at(slivers, i);
        const char *sliver = json_get_str(one, "sliver");
        char name[DOMAIN_NAME_BYTES];
        if (sliver && strcmp(domain_name(sliver, json_get_int(one, "epoch", 0), name), domain) == 0)
            return true;
    }
    return false;
}

void lease_thaw(struct lease_page *page, const char *pid_directory, const json *slivers) {
    char domain[DOMAIN_NAME_BYTES];
    for (size_t at = 0; lease_hold_next(page, HOLD_FROZEN, &at, domain);) {
        struct err err = ERR_INIT;
        if (!is_named(slivers, domain)) {
            log_debug("stays frozen: it is not this node's", "domain=%s", domain);
            continue;
        }
        if (pin_thaw(pid_directory, domain, &err)) {
            log_warn("not thawed", "domain=%s cause=\"%s\"", domain, err.msg);
            continue;
        }
        lease_hold_remove(page, HOLD_FROZEN, domain);
        log_info("thawed: the node has a lease", "domain=%s", domain);
    }
}

static bool is_gone(struct agent *a, const char *domain) {
    struct domain_info info = { .state = DOMAIN_RUNNING };
    struct err none = ERR_INIT; /* no answer: it may be there */
    return hypervisor_state(a->hypervisor, domain, &info, &none) == 0 && info.state == DOMAIN_ABSENT;
}

/* One that is not paused any more was woken by somebody else, or its pausing failed. */
static void resume_one(struct agent *a, struct lease_page *page, const char *domain) {
    struct domain_info info = { .state = DOMAIN_ABSENT };
    struct err err = ERR_INIT;
    if (hypervisor_state(a->hypervisor, domain, &info, &err) ||
        (info.state == DOMAIN_PAUSED && hypervisor_resume(a->hypervisor, domain, &err))) {
        log_warn("not resumed yet", "domain=%s cause=\"%s\"", domain, err.msg);
        return;
    }
    if (info.state == DOMAIN_PAUSED) log_info("resumed: the node has a lease", "domain=%s", domain);
    lease_hold_remove(page, HOLD_PAUSED, domain);
}

static void let_go_paused(struct agent *a, struct lease_page *page, const json *slivers) {
    char domain[DOMAIN_NAME_BYTES];
    for (size_t at = 0; lease_hold_next(page, HOLD_PAUSED, &at, domain);) {
        if (lease_page_closing(page, clock_boottime_ms())) return;
        if (is_named(slivers, domain)) resume_one(a, page, domain);
        else if (is_gone(a, domain)) lease_hold_remove(page, HOLD_PAUSED, domain);
    }
}

static void let_go_gated(struct lease_page *page, const struct sliver_rows *rows, const json *slivers) {
    char domain[DOMAIN_NAME_BYTES];
    for (size_t at = 0; lease_hold_next(page, HOLD_GATED, &at, domain);) {
        const struct sliver_row *row = row_of(rows, domain);
        bool waits = lease_hold_has(page, HOLD_PAUSED, domain) || lease_hold_has(page, HOLD_FROZEN, domain);
        if (!row) lease_hold_remove(page, HOLD_GATED, domain); /* its taps went with it */
        else if (!waits && is_named(slivers, domain)) open_gates(page, row, domain);
    }
}

static void forget_frozen(struct agent *a, struct lease_page *page) {
    char domain[DOMAIN_NAME_BYTES];
    for (size_t at = 0; lease_hold_next(page, HOLD_FROZEN, &at, domain);)
        if (is_gone(a, domain)) lease_hold_remove(page, HOLD_FROZEN, domain);
}

void lease_let_go(struct agent *a, struct lease_page *page, const json *slivers) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct err err = ERR_INIT;
    lease_thaw(page, PIN_DIRECTORY, slivers);
    let_go_paused(a, page, slivers);
    if (sliver_rows_read(a->db, NULL, &rows, &err) == 0) let_go_gated(page, &rows, slivers);
    else log_warn("gates stay closed", "cause=\"%s\"", err.msg);
    forget_frozen(a, page);
}
