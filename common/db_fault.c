#include "db_fault.h"

#include "db_internal.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int countdown[DB_FAULT_POINTS_];
static atomic_int kinds[DB_FAULT_POINTS_];

void db_fail_nth(enum db_fault_point point, int n, enum db_fault_kind kind) {
    atomic_store(&kinds[point], (int)kind);
    atomic_store(&countdown[point], n);
}

int db_fault_at(enum db_fault_point point) {
    if (atomic_load_explicit(&countdown[point], memory_order_relaxed) <= 0) return 0;
    if (atomic_fetch_sub(&countdown[point], 1) != 1) return 0;
    switch ((enum db_fault_kind)atomic_load(&kinds[point])) {
    case DB_FAULT_KILL:
        kill(getpid(), SIGKILL);
        return SQLITE_IOERR;
    case DB_FAULT_FULL:
        return SQLITE_FULL;
    case DB_FAULT_IOERR:
        return SQLITE_IOERR_FSYNC;
    case DB_FAULT_LOST:
        return SQLITE_FULL | DB_FAULT_LOST << 16;
    }
    return 0;
}
