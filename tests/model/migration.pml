/*
 * The twelve steps of sliver migration, with everything that may go wrong around them, for spin.
 *
 * Node 0 is the source, node 1 the target. The aggregate walks the rows of steps.pml, which is made from
 * the table of aggregate/migration/steps.c: their order, which of them have an undo, where the commit is.
 * Between it and the agents messages are lost, come late, come twice and out of order. Each of the faults
 * takes one from a budget:
 *
 *   the aggregate dies at any instant and goes on from its journal; an agent is restarted, after whose
 *   start only the fence and libvirt tell what is there; libvirt gives up in mid-copy, or takes its source
 *   back after everything has arrived; a call times out though it is carried out, or is carried out later;
 *   a message comes twice; a node is cut off or hangs, beyond its lease or not, and may come back or die;
 *   the user cancels.
 *
 * Time is in ticks and passes only for a node that is away: its lease runs out there (`lease`), then its
 * watchdog pauses what runs, at most DRIFT ticks late; the aggregate waits `wait` ticks, lease and MARGIN,
 * before it starts the sliver elsewhere from a checkpoint, at a new epoch. Assumed, not shown: a machine
 * that stood still as a whole and goes on runs its watchdog before any guest.
 *
 * Shown: at most one incarnation executes and at most one port forwards, at every instant (asserted where
 * one begins to); every run ends (there is no cycle: spin -DNP); and in the end exactly one executes where
 * the aggregate says, or the sliver is declared lost, and nothing is left over (the judge).
 * Mutants, protections taken out, must each give a counter-example (see check). Which, and how many faults, is
 * read from the environment, so that one verifier does for all.
 */
#include "steps.pml"

#define ATTEMPTS 2
#define LEASE 1
#define DRIFT 1
#define MARGIN (mutant == NO_MARGIN -> 0 : 2) /* above DRIFT */
#define S 0
#define T 1

/* Protections taken out: the numbers of check. */
#define NO_EPOCH_CHECK 1     /* agents take messages of any migration */
#define ACTIVATE_EARLY 2     /* the target runs before the commit */
#define RESUME_ON_TIMEOUT 3  /* a source that hears nothing lets its guest run again */
#define UNDO_AFTER_COMMIT 4
#define NO_MARGIN 5          /* as long as the lease, not longer */
#define NO_PIN 6             /* the source may be taken back by its libvirt */
#define COMMIT_UNCONFIRMED 7
#define FORGET_FENCE 8       /* an agent starts with an empty database */
#define WAKE_UNASKED 9       /* a node that is back lets everything run again */
#define SILENCE_IS_ABSENCE 10
#define NO_INTENT 11         /* side effects before the journal */
#define FORGET_LEASES 12     /* a restarted aggregate thinks that it gave none */
#define DECIDE_EARLIER 13    /* lost, decided outside the transaction that acts on it */
#define LATE_CHECK 14        /* a source takes a migration that it was told to forget */
#define BLIND_UNDO 15        /* undo, whoever has the guest */
#define OLD_ORDERS 16        /* a node that was lost and is back starts what it was told to before */
#define LATE_UNDO 17         /* an undo that arrives after the aggregate went forward is carried out */
byte mutant;

mtype = { NONE, OK, REFUSED,                                         /* answers */
          PROBE, CHECK, PREPARE, COPY, STOP, CONFIRM, RELEASE, ACTIVATE, DRAIN, DELIVER, UNDO, FORGET,
          REMOVE, START,                                             /* calls to agents */
          ABSENT, INCOMING, PAUSED, RUNNING };                       /* of a domain */
mtype = { P_NONE, P_CHECKED, P_PREPARED, P_COPYING, P_STOPPED, P_PINNED, P_RELEASED, P_DRAINED,
          P_INCOMING, P_ARRIVED, P_ACTIVE, P_DELIVERED, P_FAILED };  /* of a migration at one end */

/* --- the nodes: what libvirt and the switch have, and what agents keep --- */
mtype domain[2], phase[2];
byte incarnation[2]; /* the epoch of the domain */
byte fence[2];       /* highest epoch seen; on disk */
byte migration[2];   /* the epoch of the migration that the agent knows of; 0: none */
bool gate[2];        /* frames for the sliver pass to it here */
bool fenced[2];      /* paused by the watchdog: over whatever the domain's own state is */
bool away[2], dead[2];
byte lease[2], over[2];
byte forgotten[2];   /* the newest migration that it was told to forget */

/* --- messages: one live call of the aggregate; and those nobody waits for any more --- */
mtype call_verb = NONE, answer = NONE, told_phase, told_domain;
byte call_node, call_epoch;
byte turn;           /* of the aggregate, on disk: how often this migration has changed its direction */
byte turn_seen[2];
chan late = [2] of { byte, mtype, byte, byte };

/* --- the aggregate, on disk --- */
byte step, done, epoch, attempt = 1;
byte owner = S, owner_epoch = 1, next_epoch = 1, wait[2];
bool taken, committed, undoing, evacuating, reserved, pending, forget[2], ended;
byte undone = STEP_COUNT + 1; /* rows from this one on are undone */

byte faults;
#define A_FAULT (faults > 0)
#define executes(n) (domain[n] == RUNNING && !fenced[n] && !dead[n])
#define forwards(n) (gate[n] && executes(n))
inline safe() {
    assert(!(executes(S) && executes(T)));
    assert(!(forwards(S) && forwards(T)))
}

/* --- an agent --- */
inline undo_source(n) { /* libvirt's migration is given up; the guest runs again */
    if
    :: domain[n] == ABSENT -> res = (mutant == BLIND_UNDO -> OK : REFUSED) /* it has gone over */
    :: else ->
        if
        :: phase[n] == P_COPYING || phase[n] == P_STOPPED ->
            if
            :: domain[T] == INCOMING -> domain[T] = ABSENT
            :: else
            fi
        :: else
        fi;
        if
        :: domain[n] == PAUSED && phase[n] != P_CHECKED -> domain[n] = RUNNING; gate[n] = true
        :: else
        fi;
        phase[n] = P_FAILED
    fi
}

inline carry_out(n, v, e, when) {
    res = OK;
    if
    :: v == PROBE
    :: v == FORGET ->
        if
        :: migration[n] == e -> migration[n] = 0; phase[n] = P_NONE
        :: else
        fi;
        if
        :: e > forgotten[n] -> forgotten[n] = e
        :: else
        fi
    :: v == CHECK ->
        if
        :: migration[n] == e
        :: migration[n] != e && mutant == NO_EPOCH_CHECK ->
            migration[n] = e; phase[n] = P_CHECKED; fence[n] = e
        :: migration[n] != e && mutant != NO_EPOCH_CHECK && n == T && e > fence[n] &&
           (e > forgotten[n] || mutant == LATE_CHECK) ->
            fence[n] = e; migration[n] = e; phase[n] = P_CHECKED
        :: migration[n] != e && mutant != NO_EPOCH_CHECK && n == S && domain[n] != ABSENT && e > fence[n] &&
           (e > forgotten[n] || mutant == LATE_CHECK) ->
            migration[n] = e; phase[n] = P_CHECKED
        :: else -> res = REFUSED
        fi
    :: v == REMOVE -> /* every incarnation up to this epoch */
        if
        :: domain[n] != ABSENT && incarnation[n] <= e ->
            domain[n] = ABSENT; gate[n] = false; incarnation[n] = 0; fenced[n] = false
        :: else
        fi;
        if
        :: fence[n] <= e -> fence[n] = e; migration[n] = 0; phase[n] = P_NONE
        :: else
        fi
    :: v == START ->
        if
        :: e < fence[n] -> res = REFUSED
        :: e == fence[n] && incarnation[n] == e /* done already */
        :: else ->
            fence[n] = e; incarnation[n] = e; domain[n] = RUNNING; gate[n] = true; fenced[n] = false;
            migration[n] = 0; phase[n] = P_NONE
        fi
    :: v != PROBE && v != FORGET && v != CHECK && v != REMOVE && v != START &&
       migration[n] != e && (mutant != NO_EPOCH_CHECK || migration[n] == 0) ->
        if
        :: v == UNDO
        :: else -> res = REFUSED
        fi
    :: else ->
        if
        :: when < turn_seen[n] && mutant != LATE_UNDO -> v = NONE /* the aggregate has turned since */
        :: when > turn_seen[n] -> turn_seen[n] = when
        :: else
        fi;
        if
        :: n == S && v == UNDO && phase[n] != P_RELEASED && phase[n] != P_DRAINED -> undo_source(n)
        :: n == S && v == PREPARE && phase[n] == P_CHECKED -> phase[n] = P_PREPARED
        :: n == S && v == COPY && phase[n] == P_PREPARED && domain[n] == RUNNING ->
            phase[n] = P_COPYING;
            if
            :: phase[T] == P_PREPARED && migration[T] == e -> phase[T] = P_INCOMING; domain[T] = INCOMING
            :: else -> phase[n] = P_FAILED; res = REFUSED
            fi
        :: n == S && v == STOP && (phase[n] == P_STOPPED || phase[n] == P_PINNED)
        :: n == S && v == CONFIRM && (phase[n] == P_STOPPED || phase[n] == P_PINNED) ->
            phase[n] = P_PINNED
        :: n == S && v == RELEASE &&
           (phase[n] == P_PINNED || phase[n] == P_RELEASED || phase[n] == P_DRAINED) ->
            domain[n] = ABSENT; gate[n] = false; incarnation[n] = 0;
            if
            :: phase[n] == P_PINNED -> phase[n] = P_RELEASED
            :: else
            fi
        :: n == S && v == DRAIN && (phase[n] == P_RELEASED || phase[n] == P_DRAINED) ->
            phase[n] = P_DRAINED
        :: n == T && v == PREPARE && phase[n] == P_CHECKED ->
            phase[n] = P_PREPARED; incarnation[n] = e
        :: n == T && (v == CONFIRM || v == RELEASE) &&
           (phase[n] == P_ARRIVED || phase[n] == P_ACTIVE || phase[n] == P_DELIVERED)
        :: n == T && v == ACTIVATE && phase[n] == P_ARRIVED -> phase[n] = P_ACTIVE; domain[n] = RUNNING
        :: n == T && v == DELIVER && phase[n] == P_ACTIVE -> phase[n] = P_DELIVERED; gate[n] = true
        /* what was done already */
        :: v == PREPARE && phase[n] != P_CHECKED && phase[n] != P_FAILED
        :: n == S && v == COPY && (phase[n] == P_COPYING || phase[n] == P_STOPPED || phase[n] == P_PINNED)
        :: n == T && v == ACTIVATE && (phase[n] == P_ACTIVE || phase[n] == P_DELIVERED)
        :: n == T && v == DELIVER && phase[n] == P_DELIVERED
        :: n == T && v == UNDO ->
            if
            :: (phase[n] == P_ACTIVE || phase[n] == P_DELIVERED) && mutant != UNDO_AFTER_COMMIT ->
                res = REFUSED
            :: else ->
                if
                :: incarnation[n] == e -> domain[n] = ABSENT; incarnation[n] = 0; gate[n] = false
                :: else
                fi;
                phase[n] = P_FAILED
            fi
        :: else -> res = REFUSED
        fi
    fi;
    safe()
}

proctype agent(byte n) {
    mtype res, v;
    byte e, at;
end:do
    :: atomic { call_verb != NONE && call_node == n && !away[n] ->
        v = call_verb; e = call_epoch;
        carry_out(n, v, e, turn);
        told_phase = phase[n]; told_domain = domain[n];
        if
        :: migration[n] != e -> told_phase = P_NONE
        :: else
        fi;
        if /* a network that sends it once more, later */
        :: A_FAULT && nfull(late) && v != PROBE && v != NONE ->
            faults--; late!n,v,e,turn
        :: true
        fi;
        call_verb = NONE; answer = res;
        v = NONE; e = 0; res = NONE }
    :: atomic { !away[n] && late??[eval(n),_,_,_] ->
        late??eval(n),v,e,at;
        carry_out(n, v, e, at);
        v = NONE; e = 0; at = 0; res = NONE }
    od
}

/* --- libvirt, in the midst of a copy; and agents that are started again --- */
proctype world() {
end:do
    :: atomic { phase[S] == P_COPYING && domain[S] == RUNNING && domain[T] == INCOMING ->
        domain[S] = PAUSED; phase[S] = P_STOPPED }
    :: atomic { phase[S] == P_STOPPED && domain[S] == PAUSED && domain[T] == INCOMING ->
        domain[T] = PAUSED; phase[T] = P_ARRIVED }
    :: atomic { (phase[S] == P_STOPPED || phase[S] == P_PINNED) && domain[S] == PAUSED &&
        phase[T] == P_ARRIVED && migration[S] == migration[T] -> /* it ends, and takes its source away */
        domain[S] = ABSENT; gate[S] = false }
    :: atomic { A_FAULT && domain[T] == INCOMING -> /* it breaks: each end cleans up */
        faults--; domain[T] = ABSENT; incarnation[T] = 0; phase[T] = P_FAILED;
        if
        :: phase[S] == P_COPYING || phase[S] == P_STOPPED ->
            phase[S] = P_FAILED;
            if
            :: domain[S] == PAUSED -> domain[S] = RUNNING
            :: else
            fi
        :: else
        fi; safe() }
    :: atomic { A_FAULT && (phase[S] == P_STOPPED || phase[S] == P_PINNED && mutant == NO_PIN) &&
        domain[S] == PAUSED &&
        domain[T] != INCOMING -> /* the source's libvirt never heard that it arrived */
        faults--; domain[S] = RUNNING; phase[S] = P_FAILED; safe() }
    :: atomic { mutant == RESUME_ON_TIMEOUT && domain[S] == PAUSED && away[S] ->
        domain[S] = RUNNING; safe() }
    :: atomic { A_FAULT && !away[T] && migration[T] != 0 -> /* its agent dies and is started again */
        faults--;
        if
        :: mutant == FORGET_FENCE -> fence[T] = 0; migration[T] = 0; phase[T] = P_NONE
        :: mutant != FORGET_FENCE && domain[T] == PAUSED && phase[T] != P_ACTIVE -> phase[T] = P_ARRIVED
        :: mutant != FORGET_FENCE && domain[T] == ABSENT && phase[T] != P_CHECKED -> phase[T] = P_FAILED
        :: else
        fi }
    :: atomic { A_FAULT && !away[S] && phase[S] == P_COPYING -> /* libvirt's call dies with it */
        faults--; phase[S] = P_FAILED;
        if
        :: domain[T] == INCOMING -> domain[T] = ABSENT; incarnation[T] = 0; phase[T] = P_FAILED
        :: else
        fi;
        if
        :: domain[S] == PAUSED -> domain[S] = RUNNING
        :: else
        fi; safe() }
    od
}

/* --- leases: one node is away; time passes for it --- */
inline goes_away(n) {
    atomic { A_FAULT && !away[n] ->
        faults--; away[n] = true; over[n] = 0; lease[n] = LEASE; wait[n] = LEASE + MARGIN }
}

inline tick(n) {
    atomic { away[n] && wait[n] > 0 && !(lease[n] == 0 && !fenced[n] && over[n] >= DRIFT) ->
        wait[n]--;
        if
        :: lease[n] > 0 -> lease[n]--
        :: lease[n] == 0 && !fenced[n] -> over[n]++
        :: else
        fi }
}

inline watchdog(n) {
    atomic { away[n] && lease[n] == 0 && !fenced[n] -> fenced[n] = true }
}

/* The owner's incarnation, or the one on its way to become that. */
#define may_run(n) (owner == n && incarnation[n] == owner_epoch || \
                    n == T && owner == S && !ended && !evacuating && incarnation[T] == epoch)

/* It reaches the aggregate again, whose answer says what it may run. */
inline comes_back(n) {
    atomic { away[n] && !dead[n] ->
        away[n] = false;
        /* what was sent under a lease that ran out is refused: calls that start something carry its number */
        do
        :: mutant != OLD_ORDERS && lease[n] == 0 && late??[eval(n),START,_,_] -> late??eval(n),START,_,_
        :: mutant != OLD_ORDERS && lease[n] == 0 && late??[eval(n),ACTIVATE,_,_] -> late??eval(n),ACTIVATE,_,_
        :: else -> break
        od;
        if
        :: may_run(n) || mutant == WAKE_UNASKED -> fenced[n] = false
        :: !may_run(n) && lease[n] == 0 && domain[n] != ABSENT &&
           mutant != WAKE_UNASKED -> fenced[n] = true
        :: !may_run(n) && domain[n] == ABSENT -> fenced[n] = false
        :: else
        fi;
        wait[n] = 0; lease[n] = 0; over[n] = 0;
        safe() }
}

proctype nodes() {
end:do
    :: goes_away(S)
    :: goes_away(T)
    :: tick(S)
    :: tick(T)
    :: watchdog(S)
    :: watchdog(T)
    :: comes_back(S)
    :: comes_back(T)
    :: atomic { A_FAULT && away[S] && !dead[S] -> faults--; dead[S] = true }
    :: atomic { A_FAULT && away[T] && !dead[T] -> faults--; dead[T] = true }
    od
}

/* --- the aggregate --- */

inline send_late(n, v, e) {
    if
    :: nfull(late) && v != PROBE -> late!n,v,e,turn
    :: true
    fi
}

inline die() {
    faults--;
    if
    :: call_verb != NONE -> send_late(call_node, call_verb, call_epoch)
    :: else
    fi;
    call_verb = NONE; answer = NONE; call_node = 0; call_epoch = 0; ans = NONE;
    /* when it gave which lease is not on disk: all are taken for new */
    if
    :: mutant == FORGET_LEASES -> wait[S] = 0; wait[T] = 0
    :: mutant != FORGET_LEASES && away[S] -> wait[S] = LEASE + MARGIN
    :: else
    fi;
    if
    :: mutant != FORGET_LEASES && away[T] -> wait[T] = LEASE + MARGIN
    :: else
    fi
}
#define MAY_DIE :: atomic { A_FAULT -> die(); goto restart }
inline may_die() {
    if
    MAY_DIE
    :: true
    fi
}

/* ans: OK, REFUSED, or NONE for no answer in time. */
inline call(n, v, e) {
    atomic {
        ans = NONE; answer = NONE;
        if
        :: !away[n] -> call_node = n; call_epoch = e; call_verb = v
        :: else -> send_late(n, v, e)
        fi
    }
    if
    :: atomic { call_verb == NONE && answer != NONE -> ans = answer; answer = NONE }
    :: atomic { call_verb == NONE && answer == NONE -> ans = NONE } /* it was away */
    :: atomic { A_FAULT && (call_verb != NONE || answer != NONE) ->
        faults--;
        if
        :: call_verb != NONE -> send_late(n, v, e)
        :: else
        fi;
        call_verb = NONE; answer = NONE; ans = NONE }
    :: atomic { call_verb != NONE && away[n] -> send_late(n, v, e); call_verb = NONE; ans = NONE }
    MAY_DIE
    fi;
    atomic { call_node = 0; call_epoch = 0 }
}

#define is_lost(n) (away[n] && (wait[n] == 0 || mutant == SILENCE_IS_ABSENCE))
/* After no answer: until the node is there again, or is known not to run anything. */
#define UNTIL_BACK(n, if_lost) \
    if                         \
    :: !away[n]                \
    :: is_lost(n) -> goto if_lost \
    MAY_DIE                    \
    fi

/* Decided in one transaction with the leases: a node that is back by now has renewed its own. */
#define STILL_LOST(n) (is_lost(n) || mutant == DECIDE_EARLIER)
inline start_elsewhere(n) {
    next_epoch++; owner = n; owner_epoch = next_epoch; evacuating = true
}

proctype aggregate() {
    mtype ans = NONE, source;
    bool good;
restart:
    if
    :: evacuating -> goto evacuation
    :: !evacuating && ended -> goto rest
    :: !ended && !evacuating && committed -> goto onward
    :: !ended && !evacuating && !committed && undoing -> goto recover
    :: else
    fi;

walk:
    do
    :: done >= COMMIT_AFTER -> break
    :: else ->
        if
        :: mutant != NO_INTENT -> step = done + 1 /* the intent */
        :: else
        fi;
        may_die();
        good = true;
        if
        :: done + 1 == STEP_RESERVE -> atomic {
            if
            :: !taken -> next_epoch++; epoch = next_epoch; reserved = true; taken = true
            :: else
            fi }
        :: done + 1 == STEP_SIGNAL -> call(S, PROBE, epoch); good = (ans == OK && told_domain == RUNNING)
        :: done + 1 == STEP_CHECK ->
            call(T, CHECK, epoch); good = (ans == OK);
            if
            :: good -> call(S, CHECK, epoch); good = (ans == OK)
            :: else
            fi
        :: done + 1 == STEP_NETWORK ->
            call(T, PREPARE, epoch); good = (ans == OK);
            if
            :: good -> call(S, PREPARE, epoch); good = (ans == OK)
            :: else
            fi
        :: done + 1 == STEP_COPY ->
            call(S, COPY, epoch); good = (ans == OK);
            if
            :: good ->
                if
                :: phase[S] != P_COPYING || away[S]
                :: atomic { A_FAULT -> faults--; good = false } /* cancelled */
                fi
            :: else
            fi;
            if
            :: good -> call(S, PROBE, epoch);
                good = (ans == OK && (told_phase == P_STOPPED || told_phase == P_PINNED))
            :: else
            fi
        :: done + 1 == STEP_STOP -> call(S, STOP, epoch); good = (ans == OK)
        :: done + 1 == STEP_CONFIRM && mutant != COMMIT_UNCONFIRMED -> goto confirm
        :: else
        fi;
row_ended:
        may_die();
        if
        :: good -> atomic { done++; step = done } /* the result */
            may_die()
        :: else -> goto recover
        fi
    od;
    goto commit;

confirm:
    if
    :: phase[T] != P_INCOMING || away[T] || away[S]
    fi;
    call(T, PROBE, epoch);
    good = (ans == OK && (told_phase == P_ARRIVED));
    if
    :: good -> call(T, CONFIRM, epoch); good = (ans == OK)
    :: else
    fi;
    if
    :: good -> call(S, CONFIRM, epoch); good = (ans == OK)
    :: else
    fi;
    if
    :: good && mutant == ACTIVATE_EARLY -> call(T, ACTIVATE, epoch); good = (ans == OK)
    :: else
    fi;
    goto row_ended;

recover:
    if
    :: step < STEP_NETWORK || mutant == BLIND_UNDO -> goto undo
    :: else
    fi;
    call(S, PROBE, epoch);
    if
    :: ans == NONE -> UNTIL_BACK(S, source_lost); goto recover
    :: else
    fi;
    source = told_domain;
    if
    :: source == RUNNING -> goto undo
    :: else
    fi;
    call(T, PROBE, epoch);
    if
    :: ans == NONE && source == ABSENT -> UNTIL_BACK(T, target_gone); goto recover
    :: ans == NONE && source != ABSENT -> UNTIL_BACK(T, undo); goto recover
    :: else
    fi;
    if
    :: told_phase == P_ARRIVED && told_domain != ABSENT -> /* go forward: pin the source first */
        atomic {
            done = COMMIT_AFTER - 1;
            if
            :: undoing -> undoing = false; turn++
            :: else
            fi
        }
        goto confirm
    :: !(told_phase == P_ARRIVED && told_domain != ABSENT) && source != ABSENT -> goto undo
    :: else -> goto nobody_has_it
    fi;
target_gone:
    if
    :: atomic { STILL_LOST(T) -> start_elsewhere(S) }
    :: !STILL_LOST(T) -> goto recover
    fi;
    goto evacuation;

undo:
    atomic {
        if
        :: !undoing -> undoing = true; turn++; undone = COMMIT_AFTER + 1
        :: else
        fi
    }
    do
    :: undone == 1 -> break
    :: undone > 1 && !(HAS_UNDO(undone - 1) && step >= undone - 1) -> undone--
    :: undone > 1 && HAS_UNDO(undone - 1) && step >= undone - 1 ->
        may_die();
        if
        :: undone - 1 >= STEP_COPY ->
            call(S, UNDO, epoch);
            if
            :: ans == OK
            :: ans == REFUSED -> goto recover
            :: ans == NONE -> UNTIL_BACK(S, source_lost); goto undo
            fi
        :: undone - 1 == STEP_NETWORK ->
            call(T, UNDO, epoch);
            if
            :: ans == OK
            :: ans == REFUSED -> goto recover
            :: ans == NONE -> UNTIL_BACK(T, target_debt); goto undo
            fi
        :: undone - 1 == STEP_CHECK ->
            call(S, FORGET, epoch);
            if
            :: ans == NONE -> UNTIL_BACK(S, source_lost); goto undo
            :: else
            fi;
            call(T, FORGET, epoch);
            if
            :: ans == NONE -> UNTIL_BACK(T, target_debt); goto undo
            :: else
            fi
        :: undone - 1 == STEP_RESERVE -> reserved = false
        :: else
        fi;
row_undone:
        undone--
    od;
    if
    :: atomic { attempt < ATTEMPTS && !pending -> /* again, at a new epoch */
        attempt++; step = 0; done = 0; taken = false; undoing = false; undone = STEP_COUNT + 1 }
        goto walk
    :: else -> goto finish
    fi;

target_debt: /* the target is gone for good, perhaps: it is told when it comes back */
    pending = true;
    goto row_undone;

commit:
    atomic { committed = true; owner = T; owner_epoch = epoch; reserved = false };
    may_die();

onward:
    do
    :: done == STEP_COUNT -> break
    :: else ->
        if
        :: done + 1 == STEP_RELEASE ->
            call(T, RELEASE, epoch);
            if
            :: ans == OK
            :: else ->
                if
                :: mutant == UNDO_AFTER_COMMIT -> goto undo
                :: else
                fi;
                UNTIL_BACK(T, target_lost); goto onward
            fi;
            call(S, RELEASE, epoch);
            if
            :: ans != OK -> pending = true
            :: else
            fi
        :: done + 1 == STEP_ACTIVATE ->
            call(T, ACTIVATE, epoch);
            if
            :: ans == OK
            :: else ->
                if
                :: mutant == UNDO_AFTER_COMMIT -> goto undo
                :: else
                fi;
                UNTIL_BACK(T, target_lost); goto onward
            fi
        :: done + 1 == STEP_OPENFLOW ->
            call(S, DRAIN, epoch);
            call(T, DELIVER, epoch);
            if
            :: ans == OK
            :: else ->
                if
                :: mutant == UNDO_AFTER_COMMIT -> goto undo
                :: else
                fi;
                UNTIL_BACK(T, target_lost); goto onward
            fi
        :: else
        fi;
        may_die();
        done++;
        may_die()
    od;
    atomic { forget[S] = true; forget[T] = true }
    goto finish;

source_lost: /* before the commit, and its lease is over: from the checkpoint, at the target */
    if
    :: atomic { STILL_LOST(S) -> start_elsewhere(T) }
    :: !STILL_LOST(S) -> goto recover
    fi;
    goto evacuation;
target_lost: /* behind the commit */
    if
    :: atomic { STILL_LOST(T) -> start_elsewhere(S) }
    :: !STILL_LOST(T) -> goto onward
    fi;
    goto evacuation;
nobody_has_it: /* and both say so */
    atomic { start_elsewhere(S) }

evacuation:
    may_die();
    call(owner, START, owner_epoch);
    if
    :: ans == OK
    :: else ->
end_waiting: /* for either of them; for ever, when both are dead */
        if
        :: !away[owner]
        :: atomic { is_lost(owner) && !away[1 - owner] -> start_elsewhere(1 - owner) }
        MAY_DIE
        fi;
        goto evacuation
    fi;
    atomic { pending = true; forget[S] = false; forget[T] = false }
finish:
    atomic { ended = true; evacuating = false; reserved = false }

rest: /* debts are paid when a node is there; and an owner that is lost is made up for */
end_resting:
    do
    :: pending && !away[1 - owner] ->
        call(1 - owner, REMOVE, next_epoch);
        if
        :: ans == OK -> pending = false
        :: else
        fi
    :: forget[S] && !away[S] ->
        call(S, FORGET, epoch);
        if
        :: ans == OK -> forget[S] = false
        :: else
        fi
    :: forget[T] && !away[T] ->
        call(T, FORGET, epoch);
        if
        :: ans == OK -> forget[T] = false
        :: else
        fi
    :: atomic { is_lost(owner) && !away[1 - owner] ->
        start_elsewhere(1 - owner) }
        goto evacuation
    MAY_DIE
    od
}

/* When nothing can happen any more. */
proctype judge() {
end:timeout ->
    assert(dead[S] && dead[T] || ended && !evacuating);
    assert(dead[S] && dead[T] || executes(owner) && !executes(1 - owner));
    assert(dead[S] && dead[T] || forwards(owner) && !forwards(1 - owner));
    assert(dead[S] && dead[T] || incarnation[owner] == owner_epoch);
    assert(dead[S] && dead[T] || dead[1 - owner] || domain[1 - owner] == ABSENT);
    assert(dead[S] || migration[S] == 0);
    assert(dead[T] || migration[T] == 0);
    assert(dead[S] && dead[T] || !reserved)
}

init {
    atomic {
        c_code { now.faults = atoi(getenv("FAULTS")); now.mutant = atoi(getenv("MUTANT")); };
        domain[S] = RUNNING; domain[T] = ABSENT; phase[S] = P_NONE; phase[T] = P_NONE;
        incarnation[S] = 1; fence[S] = 1; gate[S] = true;
        run agent(S); run agent(T); run world(); run nodes(); run aggregate(); run judge()
    }
}
