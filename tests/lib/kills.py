"""SIGKILL of one process of the testbed at one step of a migration of b, and what has to come of it.

The moment is the journal's: as soon as the intent of a step is on disk, the victim dies.
"""
import os
import signal
import subprocess
import time

import leftovers
from detector import Detector, qemu_of
from livelab import Failure, until

B = "10.1.0.2"
STEPS = range(1, 13)
TRIES = 6     # the first steps take less than a millisecond: the kill may hit the next one
ENDS_IN_S = 30
LAST_INTENT = ("SELECT max(step) FROM journal WHERE direction = 'run' AND migration ="
               " (SELECT id FROM migration WHERE sliver = ? ORDER BY rowid DESC LIMIT 1)")


def kill_at(lab, victim, sliver, step, target):
    """Begins a migration and kills that service or agent in that step. Returns the step that it died in."""
    pid, known = lab.pid(victim), lab.migration("b")
    link = lab.database()
    asking = subprocess.Popen([str(lab.build / "cli/jogak"), "migrate", "b", "--to", target], env=lab.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # a moment, to be there in time
    newest = "SELECT id FROM migration WHERE sliver = ? ORDER BY rowid DESC LIMIT 1"
    try:
        while known and link.execute(newest, (sliver,)).fetchone()[0] == known["id"] and time.monotonic() < end:
            pass
        while (link.execute(LAST_INTENT, (sliver,)).fetchone()[0] or 0) < step:
            if time.monotonic() > end:
                raise Failure(f"step {step} is never reached")
            if step > 3:
                time.sleep(0.0002)
        os.kill(pid, signal.SIGKILL)
        hit = link.execute(LAST_INTENT, (sliver,)).fetchone()[0]
        until(5, lambda: not os.path.exists(f"/proc/{pid}"), f"{victim} dead", 0.005)
        # A dying aggregate may have written one more; after any other victim it goes on.
        return link.execute(LAST_INTENT, (sliver,)).fetchone()[0] if victim == "aggregate" else hit
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        link.close()
        asking.kill()
        asking.wait()


def ended(lab):
    state = lab.migration("b")["state"]
    return state if state in ("done", "aborted", "lost") else None


def one_kill(lab, a, victim, step, source, target):
    """Returns (the step that it died in, complaints)."""
    sliver = lab.sliver("b")["id"]
    with Detector([sliver]) as detector:
        died_in = kill_at(lab, victim, sliver, step, target)
        time.sleep(1)
        lab.start(victim)
        begun = time.monotonic()
        state = until(ENDS_IN_S, lambda: ended(lab), "the migration ended")
        took = time.monotonic() - begun
        until(10, lambda: lab.sliver("b")["state"] == "ready", "b ready")
        a.reaches(B, 10)
        time.sleep(0.3)
    print(f"    {victim} killed in step {died_in}: {state} {took:.1f} s after the restart", flush=True)
    owner = lab.sliver("b")["node"]
    wrong = detector.complaints()
    if (state, owner) not in (("done", target), ("aborted", source)):
        wrong.append(f"it ended {state}, and {owner} owns it")
    if died_in > 8 and state != "done":
        wrong.append(f"killed in step {died_in}, behind the commit, it ended {state}")
    if detector.ran() != (2 if state == "done" else 1):
        wrong.append(f"{detector.ran()} incarnations were seen to send: {detector.incarnations}")
    wrong += at_rest(lab)
    if len(qemu_of({sliver})) != 1:
        wrong.append(f"QEMUs: {qemu_of({sliver})}")
    return died_in, wrong


def at_rest(lab, seconds=15):
    """What an agent owes after its restart may take it a moment."""
    end = time.monotonic() + seconds
    while (wrong := leftovers.complaints(lab)) and time.monotonic() < end:
        time.sleep(0.3)
    return wrong


def each_step(lab, a, choose, step):
    """choose(source, target): the victim's name. Until it dies in that very step."""
    hits = []
    for _ in range(TRIES):
        source = lab.sliver("b")["node"]
        target = "h3" if source == "h2" else "h2"
        victim = choose(source, target)
        died_in, wrong = one_kill(lab, a, victim, step, source, target)
        hits.append(died_in)
        if wrong:
            return [f"{victim} killed in step {died_in}, from {source}:"] + wrong
        if died_in == step:
            return []
    return [f"it never died in step {step}, but in {hits}"]
