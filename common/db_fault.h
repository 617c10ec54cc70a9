/*
 * Faults of the database on a countdown. Tests only: nothing in a service calls this.
 */
#ifndef JOGAK_DB_FAULT_H
#define JOGAK_DB_FAULT_H

enum db_fault_point {
    DB_FAULT_STATEMENT, /* a step of a statement, on any connection */
    DB_FAULT_BEGIN,     /* the writer's BEGIN */
    DB_FAULT_COMMIT,    /* the writer's COMMIT */
    DB_FAULT_POINTS_
};
enum db_fault_kind {
    DB_FAULT_FULL,  /* no space */
    DB_FAULT_IOERR, /* the disk failed */
    DB_FAULT_KILL,  /* the process ends, as by SIGKILL */
    DB_FAULT_LOST,  /* no space, and SQLite has rolled back the whole transaction by itself */
};

/* The nth (1: the next) passage of that point fails, once; n == 0 takes a fault back. */
void db_fail_nth(enum db_fault_point point, int n, enum db_fault_kind kind);

#endif
