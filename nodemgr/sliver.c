#include "nodemgr/sliver.h"

#include "common/clock.h"
#include "common/log.h"
#include "nodemgr/console.h"
#include "nodemgr/fence.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/lease.h"
#include "nodemgr/migration.h"
#include "nodemgr/leftover.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_lock.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/sliver_watch.h"

LOG_MODULE("nm.sliver");

static enum domain_state state_of(struct agent *a, const char *sliver, int64_t epoch,
                                  struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    struct domain_info info;
    if (hypervisor_state(a->hypervisor, domain_name(sliver, epoch, name), &info, err))
        return DOMAIN_FAILED;
    return info.state;
}

/* An older incarnation on the same node would share the domain's UUID. */
static int refuse_older(const struct sliver_rows *rows, const struct sliver_spec *spec,
                        struct err *err) {
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].epoch >= spec->epoch) continue;
        err_set(err, ERR_CONFLICT, "sliver %s is still here at epoch %lld", spec->sliver,
                (long long)rows->rows[i].epoch);
        return err_remedy(err, "DELETE that incarnation first.");
    }
    return 0;
}

static const struct sliver_row *row_at(const struct sliver_rows *rows, int64_t epoch) {
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].epoch == epoch) return &rows->rows[i];
    return NULL;
}

static int start_domain(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    char *xml AUTO_FREE = sliver_document(a, spec);
    int64_t begin = clock_monotonic_ms();
    if (lease_check(a->lease, spec, err) || lease_mark(a, spec, err)) return -1;
    if (hypervisor_create(a->hypervisor, xml, err) || sliver_parts_gate(spec, false, err)) return -1;
    struct sliver_paths paths AUTO_PATHS = { NULL };
    struct err later = ERR_INIT; /* the watcher tries again */
    sliver_paths(a, spec, &paths);
    console_attach(a->consoles, spec->sliver, spec->epoch, paths.console, &later);
    log_info("sliver started", "sliver=%s epoch=%lld ms=%lld", spec->sliver, (long long)spec->epoch,
             (long long)(clock_monotonic_ms() - begin));
    return 0;
}

static int make(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    if (sliver_row_put(a->db, spec, false, err)) return -1;
    if (sliver_parts_make(a, spec, false, err) == 0 && start_domain(a, spec, err) == 0) {
        sliver_watch_again(a->watch);
        return 0;
    }
    struct err ignored = ERR_INIT;
    if (sliver_remove(a, spec, &ignored))
        log_warn("a sliver that did not start could not be removed whole",
                 "sliver=%s epoch=%lld cause=\"%s\"", spec->sliver, (long long)spec->epoch,
                 ignored.msg);
    return err_wrap(err, "make sliver %s", spec->name);
}

int sliver_put(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    WITH_SLIVER(a->locks, spec->sliver);
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct err why = ERR_INIT;
    if (fence_raise(a->db, spec->sliver, spec->epoch, err) ||
        sliver_rows_read(a->db, spec->sliver, &rows, err) || refuse_older(&rows, spec, err))
        return -1;
    enum domain_state state = state_of(a, spec->sliver, spec->epoch, &why);
    if (why.code != ERR_NONE) {
        if (err) *err = why;
        return -1;
    }
    const struct sliver_row *row = row_at(&rows, spec->epoch);
    if (state != DOMAIN_ABSENT || (row && *row->outcome)) return 0; /* runs, or was stopped since */
    return make(a, spec, err);
}

int sliver_adopt(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    WITH_SLIVER(a->locks, spec->sliver);
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    struct sliver_paths paths AUTO_PATHS = { NULL };
    struct err why = ERR_INIT;
    if (fence_raise(a->db, spec->sliver, spec->epoch, err) ||
        sliver_rows_read(a->db, spec->sliver, &rows, err))
        return -1;
    if (row_at(&rows, spec->epoch)) return 0;
    enum domain_state state = state_of(a, spec->sliver, spec->epoch, &why);
    if (why.code != ERR_NONE) {
        if (err) *err = why;
        return -1;
    }
    sliver_paths(a, spec, &paths);
    if (state == DOMAIN_ABSENT && access(paths.disk, F_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "nothing of sliver %s is here at epoch %lld", spec->sliver,
                       (long long)spec->epoch);
    if (sliver_parts_note(a, spec, err) || sliver_row_put(a->db, spec, false, err)) return -1;
    log_info("sliver adopted", "sliver=%s epoch=%lld state=%s", spec->sliver, (long long)spec->epoch,
             domain_state_name(state));
    sliver_watch_again(a->watch);
    return 0;
}

/* --- power --- */

static int power_on(struct agent *a, const struct sliver_row *row, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    struct err why = ERR_INIT;
    enum domain_state state = state_of(a, row->sliver, row->epoch, &why);
    if (state == DOMAIN_RUNNING) return 0;
    /* One that stands still for a migration may run at the other end by the next instant. */
    if (migrations_has(a->migrations, row->sliver)) {
        err_set(err, ERR_CONFLICT, "sliver %s is in a migration", row->sliver);
        return err_remedy(err, "Let that one end, or undo it.");
    }
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    if (spec_read(row->document, &spec, err) || lease_check(a->lease, &spec, err)) return -1;
    if (state == DOMAIN_PAUSED)
        return hypervisor_resume(a->hypervisor, domain_name(row->sliver, row->epoch, name), err);
    if (state != DOMAIN_ABSENT)
        return err_set(err, ERR_CONFLICT, "sliver %s is %s", row->sliver, domain_state_name(state));
    if (sliver_parts_make(a, &spec, false, err) ||
        start_domain(a, &spec, err))
        return -1;
    return sliver_row_outcome(a->db, row->sliver, row->epoch, "", err);
}

static int power_off(struct agent *a, const struct sliver_row *row, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    lease_end_frozen(a->lease, domain_name(row->sliver, row->epoch, name));
    struct err why = ERR_INIT;
    int64_t deadline = clock_monotonic_ms() + SLIVER_STOP_MS;
    bool asked = hypervisor_shutdown(a->hypervisor, name, &why) == 0;
    if (why.code == ERR_UNAVAILABLE) {
        if (err) *err = why;
        return -1;
    }
    uint64_t seen = 0;
    while (asked && clock_monotonic_ms() < deadline) {
        if (state_of(a, row->sliver, row->epoch, &why) == DOMAIN_ABSENT) break;
        seen = sliver_watch_wait(a->watch, seen, 200);
    }
    if (hypervisor_destroy(a->hypervisor, name, err)) return -1;
    return sliver_row_outcome(a->db, row->sliver, row->epoch, "stopped", err);
}

int sliver_power(struct agent *a, const char *sliver, int64_t epoch, enum sliver_power action,
                 struct err *err) {
    WITH_SLIVER(a->locks, sliver);
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    char name[DOMAIN_NAME_BYTES];
    if (fence_check(a->db, sliver, epoch, err) || sliver_rows_read(a->db, sliver, &rows, err))
        return -1;
    const struct sliver_row *row = row_at(&rows, epoch);
    if (!row)
        return err_set(err, ERR_NOT_FOUND, "sliver %s is not here at epoch %lld", sliver,
                       (long long)epoch);
    switch (action) {
    case SLIVER_START: return power_on(a, row, err);
    case SLIVER_STOP: return power_off(a, row, err);
    case SLIVER_REBOOT:
        return hypervisor_reset(a->hypervisor, domain_name(sliver, epoch, name), err);
    }
    return 0;
}

/* --- removal --- */

int sliver_remove(struct agent *a, const struct sliver_spec *spec, struct err *err) {
    char name[DOMAIN_NAME_BYTES];
    lease_end_frozen(a->lease, domain_name(spec->sliver, spec->epoch, name));
    if (hypervisor_destroy(a->hypervisor, name, err)) return -1;
    lease_unmark(a, spec);
    console_forget(a->consoles, spec->sliver, spec->epoch);
    if (sliver_parts_remove(a, spec, err)) return -1;
    if (sliver_row_delete(a->db, spec->sliver, spec->epoch, err)) return -1;
    sliver_watch_again(a->watch);
    log_info("sliver removed", "sliver=%s epoch=%lld", spec->sliver, (long long)spec->epoch);
    return 0;
}

/* Domains of it that have no row: made by an agent whose database was lost. */
static int end_strangers(struct agent *a, const char *sliver, int64_t epoch, struct err *err) {
    struct domain_info *list AUTO_FREE = NULL;
    size_t count;
    if (hypervisor_list(a->hypervisor, &list, &count, err)) return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].sliver, sliver) == 0 && list[i].epoch <= epoch) {
            lease_end_frozen(a->lease, list[i].name);
            if (hypervisor_destroy(a->hypervisor, list[i].name, err)) return -1;
        }
    return 0;
}

int sliver_delete(struct agent *a, const char *sliver, int64_t epoch, struct err *err) {
    WITH_SLIVER(a->locks, sliver);
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    if (fence_end(a->db, sliver, epoch, err) || sliver_rows_read(a->db, sliver, &rows, err))
        return -1;
    for (size_t i = 0; i < rows.count && rows.rows[i].epoch <= epoch; i++) {
        struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
        if (spec_read(rows.rows[i].document, &spec, err) || sliver_remove(a, &spec, err))
            return err_wrap(err, "remove sliver %s at epoch %lld", sliver,
                            (long long)rows.rows[i].epoch);
    }
    return end_strangers(a, sliver, epoch, err) ? -1 : leftover_sweep(a, sliver, epoch, err);
}
