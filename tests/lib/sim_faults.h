/*
 * Faults between an aggregate and its simulated nodes, planned beforehand: at the nth call something
 * happens, for so many calls. The plan and what became of it live in memory shared with child processes.
 */
#ifndef JOGAK_TESTS_SIM_FAULTS_H
#define JOGAK_TESTS_SIM_FAULTS_H

#include "sim_nodes.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_KILL_BEFORE,   /* the aggregate dies before the call is sent */
    FAULT_KILL_AFTER,    /* ... after it was carried out, before the answer */
    FAULT_UNREACHABLE,   /* the call does not get through, and the caller is told so */
    FAULT_REPLY_LOST,    /* carried out; the caller sees a time-out */
    FAULT_TWICE,         /* carried out twice in a row */
    FAULT_ERROR,         /* the node says that its libvirt is down */
    FAULT_LATE,          /* a time-out; carried out `length` calls later, behind what came after it */
    FAULT_KILL_LATE,     /* the same, and the aggregate dies: the next one hears nothing of it */
    FAULT_AGAIN_LATE,    /* carried out, and once more `length` calls later */
    FAULT_PARTITION,     /* the victim is cut off for `length` calls */
    FAULT_ONE_WAY,       /* it hears, but its answers are lost, for `length` calls */
    FAULT_FREEZE,        /* it stands still for `length` calls, and then does all that it was told */
    FAULT_AGENT_RESTART, /* the victim's agent dies and comes back, between two calls */
    FAULT_CANCEL,        /* the user cancels, for good */
    FAULT_KINDS_,
};
extern const char *const fault_names[FAULT_KINDS_];
bool fault_has_victim(enum fault_kind kind);

struct faults;
/* NULL-free; borrows sim. Of the plan there is room for FAULTS_MAX. */
#define FAULTS_MAX 4
struct faults *faults_new(struct sim *sim);
void faults_free(struct faults *f);
/* nth: 1 is the first call of all. victim: 1..SIM_NODES, 0 when the kind has none. */
void faults_plan(struct faults *f, enum fault_kind kind, int nth, int length, int victim);
/* The door with the faults in it; f as its context. */
struct agents *faults_agents(struct faults *f);
/* All faults are over, and what was late arrives. */
void faults_heal(struct faults *f);
/* Has a FAULT_CANCEL come? */
bool faults_cancelled(const struct faults *f);
int faults_calls(const struct faults *f);
/* Hash of all calls and answers in order: two runs of one plan have the same. */
uint64_t faults_trace(const struct faults *f);
#endif
