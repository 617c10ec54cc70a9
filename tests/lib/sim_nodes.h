/*
 * Simulated nodes behind the agents door, for the aggregate's tests.
 *
 * The nodes live in memory shared with child processes, so that an aggregate which is killed at any
 * instant finds them as it left them. Each has what a hypervisor and a switch would have: incarnations
 * of slivers with a state and an epoch, and a view of where frames go. The verdicts of the tests come
 * from here, never from the aggregate's database. Faults are counted down over the calls.
 */
#ifndef JOGAK_TESTS_SIM_NODES_H
#define JOGAK_TESTS_SIM_NODES_H

#include "aggregate/agents.h"

#define SIM_NODES 3
#define SIM_SLIVERS 4

enum sim_state { SIM_ABSENT, SIM_INCOMING, SIM_PAUSED, SIM_RUNNING };

enum sim_fault {
    SIM_NONE,
    SIM_KILL_BEFORE,  /* the aggregate dies before the call is delivered */
    SIM_KILL_AFTER,   /* ... after the node has done it, before the answer arrives */
    SIM_UNREACHABLE,  /* not delivered; the caller is told so */
    SIM_REPLY_LOST,   /* done, but the caller sees a time-out */
    SIM_TWICE,        /* delivered twice */
    SIM_ERROR,        /* the node answers with an error and does nothing */
};

struct sim;
/* nodes h1..h3 at once; sliver `id` runs on h1 at epoch 1. Freed with sim_free(). */
struct sim *sim_new(const char *sliver);
void sim_free(struct sim *s);
struct agents *sim_agents(struct sim *s);
/* The nth call from now (1: the next) meets this fault; count: so many calls in a row. */
void sim_fault(struct sim *s, int nth, enum sim_fault fault, int count);
/* This node does not answer (down), and does again. */
void sim_reachable(struct sim *s, const char *node, bool reachable);
/* The nth call from now is the last before this node does not answer any more. */
void sim_cut(struct sim *s, int nth, const char *node);
/* How a node is lost: with all that it had, as when its power fails; or cut off, and what it runs is
 * stopped by its own lease. Either way it does not answer. */
enum sim_loss { SIM_POWER, SIM_CUT_OFF };
void sim_lose(struct sim *s, const char *node, enum sim_loss how);
/* It answers again. granted: the epoch that the answer to its report lets it run (0: none): what it holds of that
 * epoch goes on. */
void sim_return(struct sim *s, const char *node, int64_t granted);
/* The number of the newest state in the store, and one more. */
int sim_states(const struct sim *s);
void sim_add_state(struct sim *s);
/* The longest pause of a checkpoint; how many were taken. */
int sim_captures(const struct sim *s);
/* The agent of this node dies and is started again: what its libvirt has tells how far a migration was. */
void sim_agent_restart(struct sim *s, const char *node);
int sim_calls(const struct sim *s); /* delivered or not, since sim_new() */

enum sim_state sim_state(const struct sim *s, const char *node);
int64_t sim_epoch(const struct sim *s, const char *node);
/* How many incarnations run now, and the most that ever ran at one instant. */
int sim_running(const struct sim *s);
int sim_most_running(const struct sim *s);
/* What is left of migrations, incoming copies and taps on hold, over all nodes. */
int sim_leaks(const struct sim *s);
/* Does this node deliver frames for the sliver to itself? How many do? */
int sim_forwarders(const struct sim *s);
/* The public address that this node translates for the sliver; "": none. */
const char *sim_translates(const struct sim *s, const char *node);
const char *sim_last_error(const struct sim *s);

#endif
