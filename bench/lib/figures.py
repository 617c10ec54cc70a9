"""What one move cost, out of what was seen on the hosts. All times in are nanoseconds, out milliseconds."""
import statistics

from .capture import GONE
from .guest import TO_MOVER, TO_PEER

AFTER_NS = 1_000_000_000  # the streams are looked at for so long after the end of a move


def longest_silence(times):
    return max((b - a for a, b in zip(times, times[1:])), default=0)


def passed(seen, taps, port):
    """taps: how their names begin."""
    return [one.at_ns for one in seen if one.port == port and (one.device == GONE or one.device.startswith(taps))]


def within(times, begin, end):
    return [t for t in times if begin <= t <= end]


def delivered_to_mover(source, target, taps):
    """When the guest that moves was given the frames for it, when it last ran at its source, and when
    it first ran at its target.

    A frame that reaches the source's tap after the guest has sent its last one from there is read at
    the target or never; one that waits in the target's tap is read when the guest runs.
    """
    last_run = passed(source, taps, TO_PEER)[-1]
    first_run = passed(target, taps, TO_PEER)[0]
    before = [t for t in passed(source, taps, TO_MOVER) if t <= last_run]
    after = sorted(max(t, first_run) for t in passed(target, taps, TO_MOVER))
    return before + after, last_run, first_run


def figures(begin, end, seen, taps, source, target, guest_gap_ms):
    """seen: {host: [Seen]}; of one move from `source` to `target`, the peer being on h3. guest_gap_ms: the
    longest silence that the guest that moves has seen by its own clock, which stands while it is paused.

    Two things are known of its longest silence, and the smaller one holds: it is no longer than between two
    frames that a capture saw (which does not see those that were put into the target's tap past its
    queue), and no longer than the guest's own plus the pause.
    """
    to_mover, last_run, runs = delivered_to_mover(seen[source], seen[target], taps)
    to_peer = passed(seen["h3"], taps, TO_PEER)
    first_in = next(t for t in to_mover if t >= runs)
    first_out = next(t for t in to_peer if t >= runs)
    until = end + AFTER_NS
    captured = longest_silence(within(to_mover, begin, until))
    gap_in = min(captured, guest_gap_ms * 1e6 + runs - last_run)
    gap_out = longest_silence(within(to_peer, begin, until))
    return {
        "total_ms": (end - begin) / 1e6,
        "service_ms": (max(first_in, first_out) - begin) / 1e6,
        "pause_ms": (runs - last_run) / 1e6,
        "gap_to_peer_ms": gap_out / 1e6,
        "gap_to_mover_ms": gap_in / 1e6,
        "gap_ms": max(gap_in, gap_out) / 1e6,
        "quiet_gap_ms": longest_silence(within(to_peer, 0, begin)) / 1e6,
    }


def spread(values):
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3),
            "max": round(max(values), 3)}


def ratios(pairs, name):
    """pairs: [(A's figures, B's figures)]"""
    return spread([b[f"{name}_ms"] / a[f"{name}_ms"] for a, b in pairs])


def medians(rows):
    """Of each name, but for moments (_ns)."""
    names = [name for name in rows[0] if not name.endswith("_ns")]
    return {name: round(statistics.median([row[name] for row in rows]), 3) for name in names}
