"""Moves under traffic."""
import contextlib
import time

from .capture import Capture
from .figures import figures
from .guest import TO_MOVER, TO_PEER, Traffic
from .lab import say

BEFORE_S, AFTER_S = 1.0, 1.5  # how long the streams run before the request and after the end
BETWEEN_S = 0.2               # moves in a row
HOSTS = ("h1", "h2", "h3")
COUNTS = ("lost", "duplicated", "reordered")


def traffic(side):
    return Traffic(side.mover(), side.peer(), side.mover_address, side.peer_address)


@contextlib.contextmanager
def streams(side):
    """Runs them; yields a dict that has the receivers' verdicts at the end."""
    verdicts = {}
    before = traffic(side)
    before.start()
    before.close()
    yield verdicts
    time.sleep(AFTER_S)
    after = traffic(side)  # the guest that moves has its serial line elsewhere by now
    verdicts.update(after.stop())
    after.close()


def counted(verdicts):
    """Both directions together, and each."""
    row = {count: sum(verdict[count] for verdict in verdicts.values()) for count in COUNTS}
    for direction, verdict in verdicts.items():
        row.update({f"{count}_{direction}": verdict[count] for count in COUNTS})
        row[f"guest_gap_{direction}_ms"] = verdict["longest_gap_ms"]
    return row


def measured_move(side, lab, work):
    """One move, captured on all hosts. Returns its figures with the receivers' verdicts."""
    side.ready_to_move()
    source, target = side.at, side.target()
    with contextlib.ExitStack() as watching:
        with streams(side) as verdicts:
            captures = {host: Capture(lab.netns(host), work / f"{side.name}-{host}.seen", (TO_MOVER, TO_PEER))
                        for host in HOSTS}
            for capture in captures.values():
                watching.callback(capture.end)
            time.sleep(BEFORE_S)
            begin, end = side.move()
    seen = {host: capture.seen() for host, capture in captures.items()}
    counts = counted(verdicts)
    return {"begin_ns": begin, "end_ns": end, **counts,
            **figures(begin, end, seen, side.taps, source, target, counts["guest_gap_to_mover_ms"])}


def moves_in_a_row(side, count):
    """Returns the counts of `count` moves under one pair of streams."""
    with streams(side) as verdicts:
        for done in range(count):
            side.move()
            time.sleep(BETWEEN_S)
            if (done + 1) % 10 == 0:
                say(f"  {done + 1} moves")
    return {"moves": count, **counted(verdicts)}
